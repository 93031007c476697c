"""Run a target on changed files, and stop at the first that it does not bear.

A reader may raise only what it documents, by a ``raise`` of our own (so the words are ours, too),
within a bound of seconds and of memory. Neither it nor a library may warn or write to standard
error.
"""

import contextlib
import faulthandler
import linecache
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from unittest import mock

from .copier import lasting_copier
from .mutation import mutated
from .targets import TARGETS

_UNIT = 1 if sys.platform == "darwin" else 1024
_MEMORY = "/dev/shm"  # a file system without a disk, where there is one
_PACKAGE = f"{os.sep}mnistcore{os.sep}"
_LONGEST = 10_000  # characters of a message


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
        self.name, self.target, self._folder = name, TARGETS[name], folder
        self.seeds = [dict(seed) for seed in self.target.seeds()]
        self.done = 0
        self._armed = 0.0
        for parts in self.seeds:  # valid files are read, and what a reader imports is imported
            self._read(self.target.pack(parts))
        self._before = _peak()

    def run(self, files):
        """Read files; raise FindingError if the reader does not bear them."""
        start, said = time.monotonic(), os.fstat(2).st_size
        self._watch(start)
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                try:
                    self._read(files)
                except self.target.allowed as error:
                    _check_words(error)
            if warned:
                raise RuntimeError(f"warned {warned[0]}")
            if os.fstat(2).st_size > said:
                raise RuntimeError("a library wrote to standard error")
        except Exception as error:
            raise self._finding(_last_words(error)) from error
        if time.monotonic() - start > self.target.seconds:
            raise self._finding(f"took {time.monotonic() - start:.1f} s")
        if _peak() - self._before > self.target.megabytes * 1e6:
            raise self._finding(f"took {(_peak() - self._before) / 1e6:.0f} MB")
        self.done += 1

    def _watch(self, now):
        """End the process should a reader never return; starting a thread each time costs most."""
        if now - self._armed > self.target.seconds:
            faulthandler.dump_traceback_later(20 * self.target.seconds, exit=True)
            self._armed = now

    def _finding(self, words):
        return FindingError(f"{self.name}, execution {self.done}: {words}")

    def _read(self, files):
        """Write files, and read them as a folder or the only one by its name."""
        place = self._folder / "x"
        if self.target.folder:
            shutil.rmtree(place, ignore_errors=True)
        place.mkdir(exist_ok=True)
        for name, content in files.items():
            path = place / name
            if "/" in name:
                path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        self.target.read(place if self.target.folder else path)


def fuzz(name, executions, folder, seed=0, seconds=float("inf")):
    """Read so many changed files, or as many as time allows; return how many."""
    with working():
        trial = Trial(name, folder)
        whole = [list(trial.target.pack(parts).values()) for parts in trial.seeds]
        rng, began = random.Random(seed), time.monotonic()
        while trial.done < executions and time.monotonic() - began <= seconds:
            trial.run(_another(rng, trial, whole))
        faulthandler.cancel_dump_traceback_later()
        return trial.done


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
    with mock.patch("os.fsync", new=_no_sync), lasting_copier(), _caught_errors():
        yield


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


def _check_words(error):
    """Raise the error again unless it comes from a ``raise`` of the package, with short words."""
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    name = last.tb_frame.f_code.co_filename
    line = linecache.getline(name, last.tb_lineno).strip()
    if _PACKAGE not in name or not line.startswith("raise ") or len(str(error)) > _LONGEST:
        raise error


def _last_words(error):
    frames = traceback.extract_tb(error.__traceback__)
    place = next((f for f in reversed(frames) if _PACKAGE in f.filename), frames[-1])
    words = f"{type(error).__name__}: {error}"[:300]
    return f"{words!r} at {place.filename}:{place.lineno}"
