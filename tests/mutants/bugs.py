"""The list of bugs in ``bugs.toml``, and the page that shows it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/mutants.md"
_LIST = Path(__file__).with_name("bugs.toml")
_HEAD = """# Planted bugs

Each line is a bug that somebody could have written, and a test that catches it. The command

```sh
python -m tests.mutants                 # all, about ten minutes
python -m tests.mutants cython dropout  # those with one of the words in their names or files
```

plants one at a time in a copy of the working tree, builds the Cython kernels anew if they changed,
and runs the test. If a test lets its bug through, it ends with status 1. `--markdown` writes this
page.

| bug | file | test |
| --- | --- | --- |
"""


@dataclass(frozen=True)
class Bug:
    """A bug: ``old`` becomes ``new`` in a file.

    Attributes
    ----------
    name
        As in the list.
    what
        What is wrong, in words.
    file
        Its path in the repository.
    old, new
        Text that occurs once in the file, and what takes its place.
    tests
        The tests that catch it, as arguments of pytest in one line.
    """

    name: str
    what: str
    file: str
    old: str
    new: str
    tests: str

    def planted(self, source):
        """Return a source with the bug.

        Raises
        ------
        ValueError
            If the text that is to change does not occur once.
        """
        found = source.count(self.old)
        if found != 1:
            raise ValueError(
                f"{self.name}: the list is stale: {self.file} has the text {found} times, not once"
            )
        return source.replace(self.old, self.new)


def all_bugs():
    """Return the bugs in the order of the list."""
    return [Bug(name, **entry) for name, entry in tomllib.loads(_LIST.read_text()).items()]


def bugs_about(words):
    """Return the bugs with one of the words in their name or in their file's path; or all.

    Raises
    ------
    ValueError
        If a word is in none.
    """
    bugs = all_bugs()
    for word in words:
        if not any(word in f"{bug.name} {bug.file}" for bug in bugs):
            raise ValueError(f"no bug has {word!r} in its name or its file; see --list")
    return [b for b in bugs if not words or any(w in f"{b.name} {b.file}" for w in words)]


def page(bugs):
    """Return the page about bugs that are caught."""
    rows = []
    for bug in bugs:
        test = bug.tests.split()[0].removeprefix("tests/")
        rows.append(f"| {bug.what} | `{bug.file.removeprefix('mnistcore/')}` | `{test}` |\n")
    return _HEAD + "".join(rows)
