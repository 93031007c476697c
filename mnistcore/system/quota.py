"""The CPU quota of a container, from Linux's control groups.

A container may see all cores of its host and still get only the time of a few: its control group,
or one that contains it, has a quota of CPU time in each period. The files are described in the
kernel's documentation: ``cpu.max`` in "Control Group v2", ``cpu.cfs_quota_us`` and
``cpu.cfs_period_us`` in "CFS Bandwidth Control".
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath


@cache
def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return how many CPUs' time this process may use; None if that is not limited or unknown.

    ``root`` is the folder that holds ``proc`` and ``sys``. The files are read once.
    """
    quotas = [quota for folder in _groups(root) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups and of all groups that contain them."""
    paths = _paths(_text(root / "proc/self/cgroup"))
    lines = _text(root / "proc/self/mountinfo").split("\n")  # paths may hold other ends of lines
    for line in lines:
        fields, _, rest = line.partition(" - ")
        kind, _, rest = rest.partition(" ")
        options = rest.rpartition(" ")[2]
        version = {"cgroup2": "", "cgroup": "cpu"}.get(kind)
        if version is None or (version and version not in options.split(",")):
            continue
        _, _, _, top, mount, *_ = map(_unescaped, fields.split(" "))
        inside = PurePosixPath(paths.get(version, "/"))
        # In a container the path may be the host's, while the mount shows the own group alone.
        below = inside.relative_to(top).parts if inside.is_relative_to(top) else ()
        for depth in range(len(below) + 1):
            yield root.joinpath(mount.lstrip("/"), *below[:depth])


def _paths(text: str) -> dict[str, str]:
    """Return the process's control group by controller: "cpu" in version 1, "" for version 2."""
    paths: dict[str, str] = {}
    for line in filter(None, text.split("\n")):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        paths |= dict.fromkeys(controllers.split(","), path)
    return paths


def _quota(folder: Path) -> float | None:
    limits = _text(folder / "cpu.max").split()
    if not limits:
        files = (folder / name for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
        limits = [word for file in files for word in _text(file).split()]
    try:
        time, period = map(int, limits)
    except ValueError:  # "max" is no limit
        return None
    return time / period if time > 0 and period > 0 else None  # -1 is no limit


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _unescaped(name: str) -> str:
    """Decode the spaces and backslashes of a path in mountinfo, such as ``\\040``."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), name)
