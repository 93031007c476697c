"""The environment of a child process."""

import os
from pathlib import Path

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """Return the environment of this process, in which Python finds this package in any folder."""
    paths = filter(None, [str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH")])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
