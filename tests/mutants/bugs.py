"""The list of bugs in ``bugs.toml``: what each changes, and the tests that catch it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("bugs.toml")


class StaleError(ValueError):
    """The list no longer fits the sources."""


@dataclass(frozen=True)
class Bug:
    """A bug: ``old`` becomes ``new`` in a file, wherever it occurs, ``times`` times."""

    name: str
    what: str
    file: str
    old: str
    new: str
    tests: str  # what pytest is given
    times: int = 1

    def planted(self, source):
        """Return a source with the bug."""
        found = source.count(self.old)
        if found != self.times:
            raise StaleError(
                f"{self.name}: the list is stale: {self.file} has the text {found} times, not"
                f" {self.times}"
            )
        return source.replace(self.old, self.new)

    @property
    def compiled(self):
        """Whether the bug is in a source of the Cython modules."""
        return Path(self.file).suffix in (".pyx", ".pxi")


def all_bugs():
    """Return the bugs in the order of the list."""
    return [Bug(name, **entry) for name, entry in tomllib.loads(LIST.read_text()).items()]


def chosen_bugs(words):
    """Return the bugs with one of the words in their name or in the path of their file."""
    bugs = all_bugs()
    unknown = [word for word in words if not any(word in bug.name + bug.file for bug in bugs)]
    if unknown:
        raise ValueError(f"no bug has {', '.join(unknown)} in its name or file; see --list")
    return [bug for bug in bugs if not words or any(word in bug.name + bug.file for word in words)]
