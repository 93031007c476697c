"""The version of mnistcore, and facts about this machine and what is installed on it."""

import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

VERSION = "0.1.0"  # of mnistcore

# What numerical code looks for in a CPU, by the names that Linux gives them.
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
    """The versions of mnistcore, Python and the libraries that a backend computes with."""
    versions = {"mnistcore": VERSION, "python": platform.python_version()}
    return versions | {name: metadata.version(name) for name in _LIBRARIES[backend]}


def installed_version(library: str) -> str | None:
    """The version of an installed library, or None where it is not installed."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    """The CPU's name, as well as the system knows it."""
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
    """Which vector instructions the CPU offers, of those that matter here; Linux only."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _cpuinfo(), re.MULTILINE)
    flags = set(found[1].split()) if found else set()
    return tuple(name for flag, name in _INSTRUCTION_SETS.items() if flag in flags)


def folder_size(folder: Path) -> int:
    """The bytes of all files below a folder; 0 where there is none."""
    if not folder.is_dir():
        return 0
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files)


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
