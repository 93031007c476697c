"""Run a target on changed files, and stop at the first that it does not bear.

A reader may raise only what it documents, by a ``raise`` of our own (so the words are ours, too),
within a bound of memory and of seconds. These are seconds of the processor, since a run may share
its cores and be stopped meanwhile. Neither the reader nor a library may warn or write to standard
error.
"""

import contextlib
import faulthandler
import linecache
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from unittest import mock

from .copier import lasting_copier
from .mutation import mutated
from .targets import TARGETS

_UNIT = 1 if sys.platform == "darwin" else 1024
_MEMORY = "/dev/shm"  # a file system without a disk, where there is one
_PACKAGE = f"{os.sep}mnistcore{os.sep}"
_LONGEST = 10_000  # characters of a message
_PATIENCE = 3600  # seconds, of which a reader that waits for ever may use none
_QUICK = 0.01  # seconds, in which nobody fills 100 MB; the system's answer how many takes a while

READ = "read"  # what became of a file that is not refused


class FindingError(AssertionError):
    """A file that a reader does not bear."""


class Trial:
    """A target that is tried on files in a folder of its own.

    Parameters
    ----------
    name
        The target.
    folder
        Where its files are written.
    """

    def __init__(self, name, folder):
        self.name, self.target = name, TARGETS[name]
        self.seeds = [dict(seed) for seed in self.target.seeds()]
        self.outcomes = Counter()  # READ, or the place that refused the file
        self._place, self._there = os.path.join(folder, "x"), {}
        self._armed = -_PATIENCE
        for parts in self.seeds:  # valid files are read, and what a reader imports is imported
            self._read(self.target.pack(parts))
        self._before = _peak()

    @property
    def done(self):
        return self.outcomes.total()

    def run(self, files):
        """Read files; raise FindingError if the reader does not bear them."""
        start, said, outcome = time.process_time(), os.fstat(2).st_size, READ
        self._watch(start)
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                try:
                    self._read(files)
                except self.target.allowed as error:
                    outcome = _refusal(error)
            if warned:
                raise RuntimeError(f"warned {warned[0]}")
            if os.fstat(2).st_size > said:
                raise RuntimeError("a library wrote to standard error")
        except Exception as error:
            raise self._finding(_last_words(error)) from error
        took = time.process_time() - start
        if took > self.target.seconds:
            raise self._finding(f"took {took:.1f} s")
        if took > _QUICK and _peak() - self._before > self.target.megabytes * 1e6:
            raise self._finding(f"took {(_peak() - self._before) / 1e6:.0f} MB")
        self.outcomes[outcome] += 1

    def _watch(self, now):
        """End the process should a reader never return; the next turns do not set the clock."""
        if now - self._armed > self.target.seconds:
            signal.setitimer(signal.ITIMER_PROF, 20 * self.target.seconds)
            faulthandler.dump_traceback_later(_PATIENCE, exit=True)
            self._armed = now

    def _finding(self, words):
        return FindingError(f"{self.name}, execution {self.done}: {words}")

    def _read(self, files):
        """Write files, and read them as a folder or the only one by its name."""
        if self.target.writes:
            shutil.rmtree(self._place, ignore_errors=True)
            self._there = {}
        if not self._there:
            os.makedirs(self._place, exist_ok=True)
        kept = {name for name, content in self._there.items() if files.get(name) is content}
        for name in self._there.keys() - kept:
            os.unlink(os.path.join(self._place, name))
        for name in files.keys() - kept:
            self._write(name, files[name])
        self._there = dict(files)
        path = self._place if self.target.folder else os.path.join(self._place, *files)
        self.target.read(Path(path))

    def _write(self, name, content):
        if "/" in name:
            os.makedirs(os.path.join(self._place, os.path.dirname(name)), exist_ok=True)
        with open(os.path.join(self._place, name), "wb", buffering=0) as file:
            file.write(content)


def fuzz(name, executions, folder, seed=0, seconds=float("inf")):
    """Read so many changed files, or as many as time allows; return how often each outcome came."""
    with working():
        trial = Trial(name, folder)
        whole = [list(trial.target.pack(parts).values()) for parts in trial.seeds]
        rng, began = random.Random(seed), time.monotonic()
        while trial.done < executions and time.monotonic() - began <= seconds:
            trial.run(_another(rng, trial, whole))
        return trial.outcomes


def _another(rng, trial, whole):
    """Return changed files: a part of a seed, or a file as it is packed."""
    pack = trial.target.pack
    place = rng.randrange(len(trial.seeds))
    parts, others = trial.seeds[place], whole[rng.randrange(len(whole))]
    if rng.random() < 0.25:
        files = dict(pack(parts))
        name = rng.choice(list(files))
        return files | {name: mutated(files[name], rng, others)}
    names = list(parts)
    weights = [3 if len(parts[name]) < 20_000 else 1 for name in names]
    (name,) = rng.choices(names, weights)
    return pack(parts | {name: mutated(parts[name], rng, others)})


def _no_sync(descriptor):
    pass


@contextlib.contextmanager
def working():
    """Write no file through to a disk, have one process copy HDF5, and have standard error watched.

    What is written to its descriptor goes to a file, at whose size trials look.
    """
    with mock.patch("os.fsync", new=_no_sync), lasting_copier(), _caught_errors(), _clock():
        yield


@contextlib.contextmanager
def _clock():
    """Show where a reader is when the time that a trial gives it is up, and end the process."""
    faulthandler.register(signal.SIGPROF, chain=True)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
        faulthandler.unregister(signal.SIGPROF)


@contextlib.contextmanager
def _caught_errors():
    kept = os.dup(2)
    with (
        tempfile.TemporaryFile() as caught,
        open(kept, "w", buffering=1) as ours,
        mock.patch("sys.stderr", ours),
    ):
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            caught.seek(0)
            ours.write(caught.read().decode("utf-8", "replace")[:2000])


@contextlib.contextmanager
def keeping(kept):
    """A folder in memory, of which the files of a finding are copied to another one."""
    where = _MEMORY if os.path.isdir(_MEMORY) else None
    with tempfile.TemporaryDirectory(dir=where) as folder:
        try:
            yield Path(folder)
        except BaseException:
            shutil.copytree(folder, kept, dirs_exist_ok=True)
            print(f"the files are in {kept}", file=sys.stderr)
            raise


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


def _refusal(error):
    """Return where the package raised an error; raise others again, and those that say too much."""
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    name = last.tb_frame.f_code.co_filename
    line = linecache.getline(name, last.tb_lineno).strip()
    if _PACKAGE not in name or not line.startswith("raise ") or len(str(error)) > _LONGEST:
        raise error
    return f"{os.path.basename(name)}:{last.tb_lineno}"


def _last_words(error):
    frames = traceback.extract_tb(error.__traceback__)
    place = next((f for f in reversed(frames) if _PACKAGE in f.filename), frames[-1])
    words = f"{type(error).__name__}: {error}"[:300]
    return f"{words!r} at {place.filename}:{place.lineno}"
