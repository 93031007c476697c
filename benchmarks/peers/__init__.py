"""The comparison with other libraries: training, start-up, memory, inference, products.

``python -m benchmarks.peers`` measures. Each library, with each number of threads, runs in a
process of its own, a *worker*, which loads the library and the data once, verifies and warms up,
and then runs one round whenever it is told to, so that the workers take turns: A B C C B A. A
worker with t threads is confined to t cores.

``libraries``  the same network in each library, as its documentation recommends for speed
``worker``     the process that runs one of them, round by round
``rounds``     starts the workers and gives each its turn
``fresh``      new processes, for start-up time and peak memory
``products``   matrix products alone
``results``    the file of figures, with a description of the machine
``tables``     the figures as Markdown tables, in the README too
"""
