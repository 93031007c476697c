"""Run a target on changed files, and stop at the first that it does not bear."""

import contextlib
import faulthandler
import random
import resource
import shutil
import sys
import time
import traceback
import warnings

from .mutation import mutated
from .targets import TARGETS

_UNIT = 1 if sys.platform == "darwin" else 1024


class FindingError(AssertionError):
    """A file that a reader does not bear."""


def fuzz(name, executions, folder, seed=0, seconds=float("inf")):
    """Read so many changed files, or as many as time allows; return how many."""
    target = TARGETS[name]
    seeds = [dict(seed) for seed in target.seeds()]
    for parts in seeds:  # valid files are read, and what a reader imports is imported
        _read(target, target.pack(parts), folder)
    whole = [list(target.pack(parts).values()) for parts in seeds]
    rng, began = random.Random(seed), time.monotonic()
    before = _peak()
    for done in range(executions):
        if time.monotonic() - began > seconds:
            return done
        files = _another(rng, target, seeds, whole)
        start = time.monotonic()
        faulthandler.dump_traceback_later(20 * target.seconds, exit=True)
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                with contextlib.suppress(*target.allowed):
                    _read(target, files, folder)
            if warned:
                raise RuntimeError(f"warned {warned[0]}")
        except Exception as error:
            raise FindingError(f"{name}, execution {done}: {_last_words(error)}") from error
        finally:
            faulthandler.cancel_dump_traceback_later()
        if time.monotonic() - start > target.seconds:
            raise FindingError(f"{name}, execution {done}: took {time.monotonic() - start:.1f} s")
        if _peak() - before > target.megabytes * 1e6:
            raise FindingError(f"{name}, execution {done}: took {(_peak() - before) / 1e6:.0f} MB")
    return executions


def _another(rng, target, seeds, whole):
    """Return changed files: a part of a seed, or a file as it is packed."""
    place = rng.randrange(len(seeds))
    parts, others = seeds[place], whole[rng.randrange(len(seeds))]
    if rng.random() < 0.25:
        files = dict(target.pack(parts))
        name = rng.choice(list(files))
        return files | {name: mutated(files[name], rng, others)}
    names = list(parts)
    weights = [3 if len(parts[name]) < 20_000 else 1 for name in names]
    (name,) = rng.choices(names, weights)
    changed = parts | {name: mutated(parts[name], rng, others)}
    return target.pack(changed)


def _read(target, files, folder):
    """Write files and read them: a single one by its name, several as a folder."""
    place = folder / target.name
    if target.name == "run":
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for name, content in files.items():
            (place / name).write_bytes(content)
    else:
        ((name, content),) = files.items()
        place = folder / (name if name == "search" else f"{target.name}.{name}".rstrip("."))
        place.write_bytes(content)
    target.read(place)


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


def _last_words(error):
    frames = traceback.extract_tb(error.__traceback__)
    place = next((f for f in reversed(frames) if "mnistcore" in f.filename), frames[-1])
    words = f"{type(error).__name__}: {error}"[:300]
    return f"{words!r} at {place.filename}:{place.lineno}"


@contextlib.contextmanager
def keeping(folder, kept):
    """Copy the files of a finding to a folder."""
    try:
        yield
    except BaseException:
        shutil.copytree(folder, kept, dirs_exist_ok=True)
        print(f"the files are in {kept}", file=sys.stderr)
        raise
