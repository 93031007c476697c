"""The direction of imports: commands -> network, data -> backends -> kernels, never upward."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mnistcore

PACKAGE = Path(mnistcore.__file__).parent
SOURCES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
COMPUTING = ("network", "optimizers", "backends")


def _imported(source):
    """The package's own modules that a file imports anywhere, dotted from the package's root."""
    found = set()
    folder = source.parent.parts
    for node in ast.walk(ast.parse((PACKAGE / source).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else ()
            parts = tuple(node.module.split(".")) if node.module else ()
            if not node.level:
                if parts[:1] != ("mnistcore",):
                    continue
                parts = parts[1:]
            for alias in node.names:
                found.add(".".join((*base, *parts, alias.name)))
        elif isinstance(node, ast.Import):
            found |= {a.name[10:] for a in node.names if a.name.startswith("mnistcore.")}
    return found


@pytest.mark.parametrize("source", [s for s in SOURCES if s.parts[0] == "kernels"], ids=str)
def test_kernels_import_nothing_above_them(source):
    own = {name for name in _imported(source) if not name.startswith("kernels.")}
    assert not own


@pytest.mark.parametrize("backend", ["numpy", "numba", "cython"])
def test_no_backend_imports_another(backend):
    others = {"numpy", "numba", "cython"} - {backend}
    for source in SOURCES:
        if source.parts[0] == "kernels" and backend in source.as_posix().split("kernels/")[1]:
            for name in _imported(source):
                parts = name.removeprefix("kernels.").split(".")
                assert not any(part in (f"{o}_kernels", f"_{o}") for o in others for part in parts)


@pytest.mark.parametrize("module", COMPUTING)
def test_what_computes_knows_no_command_and_no_data(module):
    allowed = {"kernels", *COMPUTING}
    assert {name.split(".")[0] for name in _imported(Path(f"{module}.py"))} <= allowed


def test_data_knows_nothing_of_networks():
    for source in SOURCES:
        if source.parts[0] == "data":
            assert {name.split(".")[0] for name in _imported(source)} <= {"data", "atomic"}, source


def test_figures_know_no_command():
    commands = {"evaluate", "report", "train", "display", "command_line"}
    for source in SOURCES:
        if source.parts[0] == "figures":
            assert not {name.split(".")[0] for name in _imported(source)} & commands, source


@pytest.mark.parametrize("module", ["step", "numba_steps", "cython_steps", "peak"])
def test_steps_of_the_ladder_stand_on_the_kernels_alone(module):
    own = _imported(Path("ladder") / f"{module}.py")
    allowed = ("kernels", "backends", "ladder.step")
    assert all(name.startswith(allowed) for name in own), own


def test_importing_the_package_loads_nothing_heavy():
    heavy = ("numba", "llvmlite", "matplotlib", "rich", "pooch", "scipy", "PIL", "safetensors")
    heavy += ("optuna", "sqlalchemy")
    code = f"import sys, mnistcore; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
