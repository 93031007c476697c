"""Facts about this machine and what is installed on it."""

import platform
import re
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from .version import VERSION

# Instruction sets that matter to numerical code, by their names in Linux.
_INSTRUCTION_SETS = {
    "sse4_2": "SSE4.2",
    "avx": "AVX",
    "avx2": "AVX2",
    "fma": "FMA",
    "avx512f": "AVX-512",
    "asimd": "NEON",
    "sve": "SVE",
}
_LIBRARIES = {"numpy": ("numpy",), "numba": ("numpy", "numba", "llvmlite"), "cython": ("numpy",)}


def library_versions(backend: str) -> dict[str, str]:
    """Return the versions of mnistcore, Python and the libraries that a backend uses."""
    versions = {"mnistcore": VERSION, "python": platform.python_version()}
    return versions | {name: _version(name) for name in _LIBRARIES[backend]}


@cache  # each checkpoint has the versions, and to look one up takes milliseconds
def _version(library: str) -> str:
    return metadata.version(library)


def installed_version(library: str) -> str | None:
    """Return the version of a library, or None if it is not installed."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    """Return the CPU's name as the system reports it, or "unknown"."""
    found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    if found:
        return found[1].strip()
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.stdout.strip():
            return answer.stdout.strip()
    return platform.processor() or platform.machine() or "unknown"


def instruction_sets() -> tuple[str, ...]:
    """Return the names of the CPU's relevant vector instruction sets; empty except on Linux."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    flags = set(found[1].split()) if found else set()
    return tuple(name for flag, name in _INSTRUCTION_SETS.items() if flag in flags)


def folder_size(folder: Path) -> int:
    """Return the total size of all files below a folder, in bytes; 0 if it does not exist."""
    if not folder.is_dir():
        return 0
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files)


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
