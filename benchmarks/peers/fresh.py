"""What needs a new process each time: the time until the first training step, the peak memory.

``python -m benchmarks.peers.fresh start|memory ASSIGNMENT`` prints a line of JSON. mnistcore runs
its ``train`` command, as a user does. The others run the shortest script that does the same: load
the raw arrays, make the network, train.
"""

import json
import sys
import tempfile
from pathlib import Path

from .worker import Assignment, confine, make_job


def start(assignment: Assignment) -> None:
    """Return when the first training step of the default job is done."""
    if not assignment.library.startswith("mnistcore-"):
        from .libraries import LIBRARIES

        job = make_job(assignment)
        peer = LIBRARIES[assignment.library].load()(job)
        import numpy as np

        peer.train(np.arange(job.case.batch_size))
        return

    from mnistcore.train import TrainConfig, run
    from mnistcore.training.records import Listener, Progress

    class FirstStepDone(Exception):  # noqa: N818  (not an error: it ends the run)
        pass

    class StopAtFirstStep(Listener):
        def slice_done(self, progress: Progress) -> None:
            raise FirstStepDone

    backend = assignment.library.removeprefix("mnistcore-")
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            backend=backend,
            data=assignment.data,
            threads=assignment.threads,
            output=f"{folder}/run",
        )
        try:
            run(config, listener=StopAtFirstStep())
        except FirstStepDone:
            return
    raise AssertionError("the run ended before its first step")


def train_default_job(assignment: Assignment) -> None:
    """Train the default network for some epochs and read the test set."""
    from benchmarks.sizes import MEMORY_EPOCHS

    if assignment.library.startswith("mnistcore-"):
        from mnistcore.train import main

        backend = assignment.library.removeprefix("mnistcore-")
        with tempfile.TemporaryDirectory() as folder:
            flags = [
                "--backend",
                backend,
                "--epochs",
                str(MEMORY_EPOCHS),
                "--quiet",
                "--data",
                assignment.data,
            ]
            status = main(
                [*flags, "--threads", str(assignment.threads), "--output", f"{folder}/run"]
            )
        if status:
            raise AssertionError(f"mnistcore train ended with status {status}")
        return

    import numpy as np

    from .libraries import LIBRARIES

    job = make_job(assignment)
    peer = LIBRARIES[assignment.library].load()(job)
    for epoch in range(MEMORY_EPOCHS):
        peer.train(np.random.default_rng(epoch).permutation(len(job.images)))
    peer.predict(np.load(Path(assignment.folder, "test_images.npy")))


def peak_memory() -> int:
    """The largest resident memory of this process, in bytes.

    Not that of ``getrusage``, which on Linux includes the parent's memory at the time of the fork.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(peak.split()[1])
    except (OSError, StopIteration):
        import resource

        peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak_rss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    what, wanted = sys.argv[1], Assignment(**json.loads(sys.argv[2]))
    confine(wanted.threads)
    if what == "start":
        start(wanted)
        answer = {}
    else:
        train_default_job(wanted)
        answer = {"bytes": peak_memory()}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    sys.stdout.flush()
