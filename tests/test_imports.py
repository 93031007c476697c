"""The imports that each file of the package may make, compiled modules included.

Imports inside functions and under TYPE_CHECKING count, and so do ``import_module`` with a
literal name and the ``include`` and ``cimport`` statements of Cython files.
"""

import ast
import functools
import graphlib
import posixpath
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mnistcore

PACKAGE = Path(mnistcore.__file__).parent

# A row may import only what it names, which must be in rows below it. A folder or file with its
# own row follows that row instead of its parent's.
ALLOWED: dict[str, set[str]] = {
    # The public names
    "__init__": {
        *("train", "evaluate", "predict", "report", "search", "baselines", "export", "convert"),
        *("gradcheck", "info", "ladder", "serve"),
        *("runs", "sklearn", "training", "models", "data", "kernels", "system"),
    },
    # The commands
    "__main__": {"terminal", "system"},
    "train": {"report", "terminal", "runs", "training", "system"},
    "evaluate": {"terminal", "runs", "data", "system"},
    "predict": {"terminal", "runs", "pictures", "models", "kernels", "system"},
    "report": {"terminal", "runs", "figures", "training", "models", "data", "kernels", "system"},
    "search": {"terminal", "runs", "figures", "training", "models", "data", "kernels", "system"},
    "baselines": {
        "terminal",
        "figures",
        "sklearn",
        "training",
        "models",
        "data",
        "kernels",
        "system",
    },
    "export": {"terminal", "interchange", "training", "system"},
    "convert": {"terminal", "interchange", "kernels", "system"},
    "gradcheck": {"terminal", "training", "kernels", "system"},
    "info": {"terminal", "data", "kernels", "system"},
    "serve": {
        *("ladder/step", "ladder/machine", "terminal", "runs", "pictures", "training", "models"),
        *("data", "kernels", "system"),
    },
    "ladder": {
        *("ladder/backprop", "ladder/step", "ladder/machine"),
        *("terminal", "models", "kernels", "system"),
    },
    "ladder/training_step": {
        *("ladder/step", "ladder/images", "ladder/matmul", "training", "models"),
        *("kernels/numba_kernels", "kernels/cython_kernels", "kernels/numpy_kernels", "kernels"),
    },
    "ladder/matmul": {
        *("ladder/step", "ladder/compiling", "ladder/builds", "kernels/numba_kernels"),
        *("kernels/cython_kernels", "kernels/_numba", "kernels"),
    },
    "ladder/adam": {
        *("ladder/step", "ladder/compiling", "ladder/builds", "kernels/numba_kernels"),
        *("kernels/cython_kernels", "kernels/_numba", "kernels"),
    },
    "ladder/gather": {
        *("ladder/step", "ladder/images", "ladder/compiling", "ladder/builds"),
        *("kernels/cython_kernels", "kernels/_numba", "kernels"),
    },
    "ladder/softmax": {
        *("ladder/step", "ladder/compiling", "ladder/builds", "kernels/numba_kernels"),
        *("kernels/cython_kernels", "kernels"),
    },
    "ladder/images": set(),
    "ladder/backprop": {"ladder/backprop/steps", "terminal", "data", "system"},
    "ladder/backprop/steps": set(),
    "ladder/compiling": {"kernels/_numba"},
    "ladder/builds": {"ladder/_steps_avx2", "ladder/_steps_avx512", "ladder/_steps_baseline"},
    "ladder/_steps_avx2": {"ladder/_steps"},
    "ladder/_steps_avx512": {"ladder/_steps"},
    "ladder/_steps_baseline": {"ladder/_steps"},
    "ladder/_steps": {
        *("ladder/adam/steps", "ladder/gather/steps", "ladder/matmul/steps"),
        *("ladder/softmax/steps", "kernels/_cython"),
    },
    "ladder/adam/steps": set(),
    "ladder/gather/steps": set(),
    "ladder/matmul/steps": set(),
    "ladder/softmax/steps": set(),
    "ladder/machine": {"kernels/_numba"},
    "ladder/step": {"kernels"},
    # The libraries
    "terminal": {"runs", "training", "pictures", "models", "data", "kernels", "system"},
    "runs": {"training", "models", "data", "kernels", "system"},
    "figures": {"training", "models", "data"},
    "sklearn": {"interchange", "training", "models", "kernels", "system"},
    "interchange": {"training", "models", "data", "kernels", "system"},
    "training": {"models", "data", "kernels", "kernels/numpy_kernels", "system"},
    "pictures": {"models", "kernels", "kernels/numpy_kernels", "system"},
    "models": {"data", "kernels", "system"},
    "data": {"system"},
    "kernels/numba_kernels": {"kernels/_numba", "kernels"},
    "kernels/_numba": {"kernels", "system"},
    "kernels/cython_kernels": {"kernels/_cython", "kernels"},
    "kernels/_cython": set(),
    "kernels/numpy_kernels": {"kernels/_numpy", "kernels"},
    "kernels/_numpy": {"kernels"},
    "kernels": {"system"},
    "system": set(),
}


def sources() -> dict[str, str]:
    """Return the text of every compiled or interpreted file, by its path in the package."""
    return dict(_sources())


@functools.cache
def _sources() -> dict[str, str]:
    return {
        path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
        for pattern in ("*.py", "*.pyx", "*.pxi", "*.pxd")
        for path in PACKAGE.rglob(pattern)
    }


def row_of(path: str) -> str:
    """Return the row of the table for a file: the longest that its path begins with."""
    parts = posixpath.splitext(path)[0].split("/")
    names = ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]
    found = next((name for name in names if name in ALLOWED), None)
    assert found is not None, f"{path} has no row in the table of tests/test_imports.py"
    return found


@functools.cache  # a test that plants an import in one file parses no other again
def imports_of(path: str, text: str) -> set[str]:
    """Return the package's modules that a file imports, as dotted names from the root."""
    if path.endswith(".py"):
        return _imports_of_python(path, ast.parse(text))
    folder = posixpath.dirname(path)
    includes = re.findall(r'^\s*include "(.+)"', text, re.MULTILINE)
    names = {_dotted(posixpath.normpath(posixpath.join(folder, name))) for name in includes}
    for statement in re.findall(r"^\s*((?:from|c?import) .+)$", text, re.MULTILINE):
        line = statement.replace("cimport", "import").removesuffix("(").strip()
        line += " x" if line.endswith("import") else ""
        names |= _imports_of_python(path, ast.parse(line))
    return names


def _dotted(path: str) -> str:
    return posixpath.splitext(path)[0].replace("/", ".")


def _imports_of_python(path: str, tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = _absolute(path, node.level, node.module or "")
            if module is not None:
                found |= {f"{module}.{alias.name}".lstrip(".") for alias in node.names}
        elif isinstance(node, ast.Import):
            names = (_absolute(path, 0, alias.name) for alias in node.names)
            found |= {name for name in names if name}
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            name = _spelled(node.args[0])
            level = len(name) - len(name.lstrip("."))
            module = _absolute(path, level, name[level:])
            if name.strip(".*") and module is not None:
                found.add(module)
    return found


def _absolute(path: str, level: int, module: str) -> str | None:
    """Return a module's name from the package's root, or None if it is in another package."""
    if not level:
        first, _, rest = module.partition(".")
        return rest if first == "mnistcore" else None
    folder = posixpath.dirname(path).split("/") if "/" in path else []
    return ".".join([*folder[: len(folder) - level + 1], *filter(None, [module])])


def _spelled(name: ast.expr) -> str:
    """Return a literal name, with a star for what follows the literal start of an f-string."""
    ending = ""
    if isinstance(name, ast.JoinedStr):
        name, ending = name.values[0], "*"
    written = isinstance(name, ast.Constant) and isinstance(name.value, str)
    return name.value + ending if written else ""


def files_of(module: str, files: dict[str, str]) -> set[str]:
    """Return the files that an import reaches: of a module, of a name in one, or of a star."""
    path = module.replace(".", "/")
    if path.endswith("*"):
        return {file for file in files if file.startswith(path[:-1])}
    for name in (path, posixpath.dirname(path)):
        for candidate in (f"{name}.py", f"{name}.pyx", f"{name}.pxi", f"{name}/__init__.py"):
            if candidate.lstrip("/") in files:
                return {candidate.lstrip("/")}
    return set()


def edges_of(files: dict[str, str]) -> dict[str, set[str]]:
    """Return the files that each file imports."""
    edges = {}
    for path, text in files.items():
        reached = {module: files_of(module, files) for module in imports_of(path, text)}
        lost = [module for module, found in reached.items() if not found]
        assert not lost, f"{path} imports {lost}, which is not there"
        edges[path] = set().union(*reached.values()) - {path}
    return edges


def forbidden(files: dict[str, str]) -> list[str]:
    """Return a message for each import that the table does not allow."""
    return [
        f"{path} ({row_of(path)}) imports {target} ({row_of(target)})"
        for path, targets in sorted(edges_of(files).items())
        for target in sorted(targets)
        if row_of(target) != row_of(path) and row_of(target) not in ALLOWED[row_of(path)]
    ]


def circle(files: dict[str, str]) -> list[str]:
    """Return files that import each other in a circle, or an empty list if there are none."""
    try:
        graphlib.TopologicalSorter(edges_of(files)).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_every_import_is_allowed():
    assert not forbidden(sources())


def test_files_import_each_other_in_no_circle():
    assert not circle(sources())


def test_the_table_points_downwards():
    rows = list(ALLOWED)
    for row, allowed in ALLOWED.items():
        below = set(rows[rows.index(row) + 1 :])
        assert allowed <= below, f"{row} may import {allowed - below}, which stand above it"


def test_the_table_has_no_row_too_many():
    """Some file uses each row and each import that the row allows."""
    used: dict[str, set[str]] = {row: set() for row in ALLOWED}
    present = set()
    for path, targets in edges_of(sources()).items():
        present.add(row_of(path))
        used[row_of(path)] |= {row_of(target) for target in targets}
    for row, allowed in ALLOWED.items():
        assert row in present
        assert allowed <= used[row], f"{row} imports nothing of {allowed - used[row]}"


def test_the_root_holds_commands_alone():
    from mnistcore.__main__ import COMMANDS

    files = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    packages = {path.parent.name for path in PACKAGE.glob("*/__main__.py")}
    assert files | packages == set(COMMANDS)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("data/idx.py", "from ..models.network import Network"),  # upward
        ("figures/style.py", "from ..terminal import tables"),
        ("training/fit.py", "def f():\n    from mnistcore.runs.execution import run"),
        ("kernels/numba_kernels.py", "from . import numpy_kernels"),  # between backends
        ("kernels/_numba/team.py", "from .._cython import avx2"),
        ("kernels/_cython/tile.pxi", "from mnistcore.kernels.numba_kernels import matmul"),
        ("kernels/_cython/avx2.pyx", 'include "../../ladder/_steps.pxi"'),
        ("kernels/cython_kernels.py", "importlib.import_module(f'._numba.{name}', __package__)"),
        ("kernels/threads.py", "import mnistcore.kernels.numpy_kernels"),
        ("evaluate.py", "from .train import run"),  # between commands
    ],
)
def test_a_planted_import_is_found(path, line):
    files = sources()
    files[path] += f"\n{line}\n"
    found = forbidden(files)
    assert found
    assert all(message.startswith(path) for message in found)


@pytest.mark.parametrize(
    "line",
    [
        "from .job import run",
        "if TYPE_CHECKING:\n    from .job import TrainResult",
        "def f():\n    from mnistcore.runs import job",
    ],
)
def test_a_planted_circle_is_found(line):
    files = sources()
    files["runs/folder.py"] += f"\n{line}\n"  # job imports folder
    assert set(circle(files)) == {"runs/folder.py", "runs/job.py"}


def test_importing_the_package_loads_nothing_heavy():
    heavy = ("numba", "llvmlite", "matplotlib", "rich", "pooch", "scipy", "PIL", "safetensors")
    heavy += ("optuna", "sqlalchemy", "subprocess", "importlib.metadata")
    code = f"import sys, mnistcore; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
