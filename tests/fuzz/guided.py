"""Fuzzing by atheris: files that reach new code of the package are kept and changed further.

What libFuzzer keeps is a file of the corpus: the number of a seed, a mark that says whether parts
or packed files follow, and these, each after its length. Only :func:`_changed` makes them.
"""

import importlib.util
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from .mutation import mutated

_PARTS, _FILES = 0, 1
_COUNTS, _CORPUS = "counts", "corpus"
_LENGTH = 4  # bytes of the length of a part
_LONGEST = 2**20
_OURS = 2 / 3  # of the changes are ours, which know texts and numbers; the rest is libFuzzer's


def installed():
    """Whether atheris is installed."""
    return importlib.util.find_spec("atheris") is not None


class Corpus:
    """The seeds of a trial, and what libFuzzer's bytes mean."""

    def __init__(self, trial):
        self._trial = trial
        self._seeds = [
            (list(seed), list(trial.target.pack(seed))) for seed in map(dict, trial.seeds)
        ]

    def write(self, folder):
        """Write the seeds as libFuzzer's first files, as parts and packed."""
        folder.mkdir(exist_ok=True)
        for number, seed in enumerate(self._trial.seeds):
            for mark, files in ((_PARTS, seed), (_FILES, self._trial.target.pack(seed))):
                content = self.encode(number, mark, list(files.values()))
                (folder / f"{number}-{mark}").write_bytes(content)

    def encode(self, number, mark, contents):
        """Return bytes for the contents of parts or files."""
        parts = [len(one).to_bytes(_LENGTH, "little") + one for one in contents]
        return bytes([number, mark]) + b"".join(parts)

    def decode(self, data):
        """Return the number of a seed, the mark and the contents; None if it is none of ours."""
        if len(data) < 2 or data[0] >= len(self._seeds) or data[1] not in (_PARTS, _FILES):
            return None
        contents, place = [], 2
        while place + _LENGTH <= len(data):
            end = place + _LENGTH + int.from_bytes(data[place : place + _LENGTH], "little")
            contents.append(data[place + _LENGTH : end])
            place = end
        whole = len(contents) == len(self._names(*data[:2]))
        return (data[0], data[1], contents) if whole else None

    def files(self, data):
        """Return the files that bytes of libFuzzer stand for; None if they are none of ours."""
        decoded = self.decode(data)
        if decoded is None:
            return None
        number, mark, contents = decoded
        named = dict(zip(self._names(number, mark), contents, strict=True))
        return named if mark == _FILES else self._trial.target.pack(named)

    def changed(self, data, seed, change):
        """Return other bytes: a part or a file changed, by libFuzzer's ``change`` or by ours."""
        rng = random.Random(seed)
        decoded = self.decode(data)
        if decoded is None:
            number, mark = rng.randrange(len(self._seeds)), _PARTS
            contents = list(self._trial.seeds[number].values())
        else:
            number, mark, contents = decoded
        weights = [3 if len(content) < 20_000 else 1 for content in contents]
        (place,) = rng.choices(range(len(contents)), weights)
        if rng.random() < _OURS:
            contents[place] = mutated(contents[place], rng, contents)
        else:
            contents[place] = change(contents[place], min(2 * len(contents[place]) + 64, _LONGEST))
        return self.encode(number, mark, contents)

    def _names(self, number, mark):
        return self._seeds[number][mark]


def fuzz(name, executions, folder, seed=0, seconds=float("inf")):
    """Have libFuzzer read so many files, or as many as time allows; count each outcome.

    It runs in a process of its own, since it ends that.
    """
    command = [sys.executable, "-m", __name__, name, executions, folder, seed, seconds]
    done = subprocess.run(list(map(str, command)), env={**os.environ, "PYTHONPATH": _path()})
    if done.returncode:
        raise SystemExit(f"{name}: libFuzzer ended with status {done.returncode}")
    return Counter(json.loads((folder / _COUNTS).read_text()))


def _path():
    return os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])


def _main(name, executions, folder, seed, seconds):
    import atheris

    # Readers import what they need when they need it, so this lasts until the process ends.
    atheris.instrument_imports(include=["mnistcore"], enable_loader_override=False).__enter__()
    from .driver import Trial, working

    executions, folder, end = int(executions), Path(folder), time.monotonic() + float(seconds)
    with working():
        trial = Trial(name, folder)
        corpus = Corpus(trial)
        corpus.write(folder / _CORPUS)

        def execute(data):
            files = corpus.files(data)
            if files is not None:
                trial.run(files)
            if trial.done >= executions or time.monotonic() > end:
                (folder / _COUNTS).write_text(json.dumps(trial.outcomes))
                print(f"{name}: {len(list((folder / _CORPUS).iterdir()))} files kept", flush=True)
                os._exit(0)

        def change(data, most, seed):
            return corpus.changed(data, seed, atheris.Mutate)

        options = [
            f"-seed={int(seed) + 1}", "-cross_over=0", "-len_control=0", f"-max_len={_LONGEST}",
            "-rss_limit_mb=0", "-timeout=600", "-verbosity=0", f"-artifact_prefix={folder}/",
        ]  # fmt: skip
        atheris.Setup([name, *options, str(folder / _CORPUS)], execute, custom_mutator=change)
        atheris.Fuzz()


if __name__ == "__main__":
    _main(*sys.argv[1:])
