"""Facts about the installation and this machine: ``mnistcore info``."""

import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .kernels.backends import BACKENDS, get_backend, unavailable_reason
from .kernels.threads import (
    available_cores,
    default_threads,
    get_num_threads,
    n_cores,
    omp_threads,
)
from .system.cache import cache_folder, is_private, temporary_cache_folder
from .system.callable_module import make_callable
from .system.machine import cpu_model, folder_size, installed_version, instruction_sets
from .system.quota import cpu_quota
from .system.version import VERSION
from .terminal.command_line import DONE, CommandError, Parser, run_command, user_errors
from .terminal.display import print_json

__all__ = ["clear_cache", "main", "run"]

_LIBRARIES = ("numpy", "numba", "llvmlite", "Cython", "safetensors", "rich", "pooch")
# The parts of mnistcore's cache folder, which may also contain other files.
_CACHED = ("mnist", "synthetic", "numba")


def run() -> dict[str, Any]:
    """Return facts about the installation and the machine, for JSON.

    Returns
    -------
    dict
        ``versions`` by library, ``cpu`` (model, cores, instruction sets, system), ``threads``
        and ``threads_because``, ``default_backend``, ``backends`` (by name: what it runs on, or
        why it is unavailable), ``data`` (the folders searched for MNIST) and ``cache`` (folder,
        and bytes of each part).
    """
    return {
        "versions": _versions(),
        "cpu": {
            "model": cpu_model(),
            "cores": available_cores(),
            "instruction_sets": list(instruction_sets()),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "threads": get_num_threads(),
        "threads_because": _threads_because(),
        "default_backend": next(n for n in BACKENDS if unavailable_reason(n) is None),
        "backends": {name: _backend(name) for name in BACKENDS},
        "data": _data_folders(),
        "cache": _cache(),
    }


def clear_cache() -> int:
    """Remove mnistcore's parts of the cache folder, and return the number of bytes freed.

    Raises
    ------
    OSError
        If a file cannot be removed.
    """
    freed = 0
    for part in _cache_parts().values():
        freed += folder_size(part)
        if part.is_dir():
            shutil.rmtree(part)
    return freed


def _versions() -> dict[str, str | None]:
    libraries = {name: installed_version(name) for name in _LIBRARIES}
    return {"mnistcore": VERSION, "python": platform.python_version(), **libraries}


def _threads_because() -> str:
    """Return what the number of threads follows from."""
    if get_num_threads() != default_threads():
        return "set_num_threads"
    if omp_threads():
        return "OMP_NUM_THREADS"
    quota = cpu_quota()
    if quota is not None and available_cores() < n_cores():
        return f"a quota of {quota:g} of {n_cores()} cores"
    return "one per core"


def _backend(name: str) -> dict[str, Any]:
    """Describe a backend: what it runs on, or why it is unavailable."""
    reason = unavailable_reason(name)
    if reason is not None:
        return {"available": False, "reason": reason}
    return {"available": True, "runs_on": get_backend(name).INSTRUCTION_SET or _blas()}


def _blas() -> str:
    """Return the name and version of the BLAS that NumPy was built with."""
    import numpy as np

    configuration: Any = np.show_config(mode="dicts")
    blas = configuration.get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def _data_folders() -> dict[str, str]:
    """Return the folders that are searched for MNIST, in order, and what they contain."""
    from .data import DataNotFoundError
    from .data.folder import find_files

    named = os.environ.get("MNISTCORE_DATA_DIR")
    folders = {"$MNISTCORE_DATA_DIR": Path(os.path.expanduser(named)) if named else None}
    folders |= {"./data": Path("data"), "cache": cache_folder() / "mnist"}
    states = {}
    for name, folder in folders.items():
        if folder is None:
            states[name] = "not set"
            continue
        try:
            files = find_files(folder)
        except DataNotFoundError:
            states[name] = f"{folder}: no data"
        else:
            size = sum(file.stat().st_size for file in files)
            states[name] = f"{folder}: {_megabytes(size)}"
    return states


def _cache_parts() -> dict[str, Path]:
    """Return the parts of the cache folder; Numba's may be elsewhere, in NUMBA_CACHE_DIR."""
    root = cache_folder()
    parts = {name: root / name for name in _CACHED}
    numba_root = os.environ.get("NUMBA_CACHE_DIR")
    if numba_root:
        parts["numba"] = Path(numba_root) / "numba"
    stand_in = temporary_cache_folder()  # where the cache could not be written
    if stand_in.is_dir() and is_private(stand_in):
        parts["numba (temporary)"] = stand_in
    return parts


def _cache() -> dict[str, Any]:
    sizes = {name: folder_size(path) for name, path in _cache_parts().items()}
    return {"folder": str(cache_folder()), "bytes": sizes}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("info", _main, argv)


def _main(argv: Sequence[str]) -> int:
    parser = Parser("info", "Show versions, the CPU, the backends, data and cache folders.")
    parser.add_argument(
        "--clear-cache",
        action="store_true",
        help="remove downloaded data, built-in digits and compiled kernels from the cache",
    )
    parser.add_argument("--json", action="store_true", help="print the facts as JSON")
    arguments = parser.parse_args(argv)
    if arguments.clear_cache:
        if arguments.json:
            raise CommandError("give either --clear-cache or --json")
        with user_errors():
            freed = clear_cache()
        print(f"cache cleared: {_megabytes(freed)} freed")
        return DONE
    with user_errors():
        facts = run()
    if arguments.json:
        print_json(facts)
    else:
        _show(facts)
    return DONE


def _show(facts: Mapping[str, Any]) -> None:
    from .system.console import Console
    from .terminal.tables import facts_table

    cpu, cache = facts["cpu"], facts["cache"]
    sets = ", ".join(cpu["instruction_sets"]) or "unknown"
    rows = {
        "versions": ", ".join(f"{k} {v or 'not installed'}" for k, v in facts["versions"].items()),
        "cpu": f"{cpu['model']} ({cpu['cores']} cores, {cpu['system']})",
        "instructions": sets,
        "threads": f"{facts['threads']}: {facts['threads_because']}",
    }
    for name, state in facts["backends"].items():
        default = ", the default" if name == facts["default_backend"] else ""
        found = f"available: {state['runs_on']}{default}" if state["available"] else state["reason"]
        rows[name] = found
    for name, state in facts["data"].items():
        rows[f"data, {name}"] = state
    parts = ", ".join(f"{name} {_megabytes(size)}" for name, size in cache["bytes"].items())
    rows["cache"] = f"{cache['folder']}: {parts}"
    Console().print(facts_table(rows))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


make_callable(__name__)

if __name__ == "__main__":
    sys.exit(main())
