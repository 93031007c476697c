"""The builds of the Cython kernels: their flags, their choice at import, and their absence."""

import importlib.util
import itertools
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import load_backend

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "mnistcore" / "kernels" / "_cython"
X86 = platform.machine().lower() in ("x86_64", "amd64")


@pytest.fixture
def cython(request):
    return load_backend("cython", request.config)


@pytest.fixture(scope="module")
def setup_script():
    spec = importlib.util.spec_from_file_location("setup_script", ROOT / "setup.py")
    if spec is None or not (ROOT / "setup.py").exists():
        pytest.skip("setup.py is in the source folder only")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def python(code, **environment):
    """Run code in a fresh interpreter; its output and what it says on failing."""
    environment = {**os.environ, "MNISTCORE_CYTHON_ISA": "", **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    return done.stdout.strip(), done.stderr.strip()


# Import the package as if some modules had not been built.
WITHOUT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.rpartition(".")[2] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}")
sys.meta_path.insert(0, Blocked())
import mnistcore
"""
ALL = ("avx512", "avx2", "baseline")


def test_flags_are_portable_and_keep_nan(setup_script):
    flags = [*setup_script.FAST, *itertools.chain(*setup_script.INSTRUCTION_SETS.values())]
    assert "-ffp-contract=off" in flags
    for flag in flags:
        assert not flag.startswith(("-march", "-mtune", "-mcpu"))
        assert flag not in ("-Ofast", "-ffast-math", "-ffinite-math-only", "-fassociative-math")


def test_c_is_a_few_lines():
    """What Cython has no word for, and no loop, no packing, no kernel."""
    verbatim = []
    for file in ENGINE.glob("*.pxi"):
        for block in re.findall(r'cdef extern from \*:\n    """(.*?)"""', file.read_text(), re.S):
            verbatim += block.strip("\n ").splitlines()
    assert 20 < len(verbatim) <= 80
    assert not re.search(r"\b(for|while|do)\b", "\n".join(verbatim))


def test_the_best_build_is_picked(cython):
    supported = cython._build("baseline").instruction_sets()
    assert supported[-1] == "baseline"
    forced = os.environ.get("MNISTCORE_CYTHON_ISA")
    assert (forced or supported[0]) == cython.INSTRUCTION_SET


PRODUCT = """
import numpy as np
from mnistcore import get_backend
kernels = get_backend("cython")
rng = np.random.default_rng(0)
a, b = (rng.integers(-9, 10, shape).astype(np.float32) for shape in ((33, 50), (50, 47)))
out = np.empty((33, 47), np.float32)
kernels.matmul(a, b, out)
print(kernels.INSTRUCTION_SET, np.array_equal(out, a @ b))
"""


@pytest.mark.parametrize("name", ["avx512", "avx2", "baseline"])
def test_a_build_can_be_forced(cython, name):
    if name not in cython._build("baseline").instruction_sets():
        pytest.skip(f"this machine does not run {name}")
    out, error = python(PRODUCT, MNISTCORE_CYTHON_ISA=name)
    assert out == f"{name} True", error


@pytest.mark.usefixtures("cython")
def test_an_unknown_build_is_refused():
    _, error = python("import mnistcore; mnistcore.get_backend('cython')", MNISTCORE_CYTHON_ISA="z")
    assert "BackendUnavailableError" in error
    assert "MNISTCORE_CYTHON_ISA must be one of avx512, avx2, baseline, got 'z'" in error


@pytest.mark.usefixtures("cython")
def test_a_build_that_the_machine_cannot_run_is_refused():
    code = """
import sys, types
sys.modules["mnistcore.kernels._cython.baseline"] = types.SimpleNamespace(
    instruction_sets=lambda: ["avx2", "baseline"])
import mnistcore
mnistcore.get_backend("cython")
"""
    _, error = python(code, MNISTCORE_CYTHON_ISA="avx512")
    assert "MNISTCORE_CYTHON_ISA is avx512, but this machine runs only avx2, baseline" in error


@pytest.mark.usefixtures("cython")
@pytest.mark.skipif(not X86, reason="one build only")
def test_a_missing_build_gives_way_to_the_next():
    code = WITHOUT.format(names=ALL[:2]) + "print(mnistcore.get_backend('cython').INSTRUCTION_SET)"
    out, error = python(code)
    assert out == "baseline", error


def test_a_package_without_the_builds_works_and_says_why():
    code = WITHOUT.format(names=ALL) + "print(*mnistcore.available_backends())"
    out, error = python(code)
    assert "numpy" in out.split(), error
    assert "cython" not in out.split()
    code = WITHOUT.format(names=ALL) + "mnistcore.get_backend('cython')"
    _, error = python(code)
    last = error.splitlines()[-1]
    assert "backend cython is not available" in last
    assert "not built for this Python" in last
    assert "pip install" in last


def test_where_there_is_no_compiler_it_says_so():
    code = WITHOUT.format(names=ALL) + "mnistcore.get_backend('cython')"
    _, error = python(code, PATH="")
    assert "no C compiler here" in error.splitlines()[-1]
