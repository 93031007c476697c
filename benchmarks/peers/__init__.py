"""The comparison with other libraries: training, start-up, memory, inference, products.

``python -m benchmarks.peers`` measures. For each library and number of threads a *worker*
process of its own loads the library and the data once, warms up, and then waits for the word to
run one round, so that all of them take turns: A B C A B C. A worker with t threads is confined
to t cores.

``libraries``  the same network in each library, as its documentation recommends for speed
``worker``     the process that runs one of them, round by round
``rounds``     the workers and their turns
``fresh``      processes that are measured from their start: start-up time, peak memory
``products``   matrix products alone
``results``    the file of figures, with the machine's description
``tables``     the same as Markdown, and into the README
"""
