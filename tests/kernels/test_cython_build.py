"""The builds of the Cython kernels: their flags, their choice at import, and their absence."""

import importlib.util
import itertools
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import load_backend

from mnistcore.kernels import ATTRIBUTES, KERNELS, PROGRAMS, layout, threads

pytestmark = pytest.mark.slow

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


def build(cython, name):
    """One of the builds, as far as the machine runs it; a debug build may be the only one."""
    if name not in cython._build("baseline").instruction_sets():
        pytest.skip(f"this machine does not run {name}")
    if cython._core.DEBUG_BUILD and name not in ("baseline", cython.INSTRUCTION_SET):
        pytest.skip(f"the debug build is of {cython.INSTRUCTION_SET} alone")
    return cython._build(name)


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


def names_of(file, pattern):
    """The names in the enumerations of a file that begin with a pattern."""
    text = (ENGINE / file).read_text()
    enums = re.findall(rf"^{pattern} enum:.*\n((?: {{4}}.*\n)+)", text, re.M)
    return re.findall(r"^ +([A-Z]\w*) =", "".join(enums), re.M)


@pytest.mark.parametrize("name", ALL)
def test_constants_are_those_of_the_package(cython, name):
    engine = build(cython, name)
    models = {**vars(threads), **vars(layout), "CLOSED_BIT": threads.CLOSED.bit_length() - 1}
    constants = names_of("constants.pxi", "cpdef")
    assert len(constants) > 30
    for constant in constants:
        assert getattr(engine, constant) & layout.LOW_BITS == int(models[constant]), constant


def test_no_constant_of_the_package_is_copied_elsewhere():
    package = {
        name
        for name, value in {**vars(threads), **vars(layout)}.items()
        if isinstance(value, (int, np.integer))
    }
    copies = {
        name
        for file in ENGINE.glob("*.pxi")
        for name in names_of(file.name, "cdef")
        if name in package
    }
    assert not copies


def test_the_options_have_the_fields_of_the_package():
    """In this order: the kernels read the record as it lies in memory."""
    text = (ENGINE / "plan.pxi").read_text()
    (fields,) = re.findall(r"cdef struct Options:\n    #.*\n((?:    \w+ \w+\n)+)", text)
    kinds = {"int64_t": np.int64, "double": np.float64}
    pairs = [line.split() for line in fields.splitlines()]
    dtype = np.dtype([(name, kinds[kind]) for kind, name in pairs], align=True)
    assert dtype == layout.OPTIONS_DTYPE


def test_the_public_names_are_those_of_the_contract(cython):
    assert set(cython.__all__) == {*ATTRIBUTES, *KERNELS, *PROGRAMS}
    assert cython.NAME == "cython"
    assert cython.compiled()


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
    build(cython, name)
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


# Arguments that ``checks`` would refuse, straight to the compiled module.
WRONG = {
    "a label": "labels[5] = 10",
    "a row of the data": "order[5] = 100",
    "a workspace": "workspace = workspace[:-1]",
}
STRAIGHT_IN = """
import numpy as np
from mnistcore import get_backend
from mnistcore.kernels.layout import SKIP_ALL
from mnistcore.models.network import Network
from mnistcore.training.optimizers import make_options
core, network = get_backend("cython")._core, Network((20, 30, 10))
layers = network.layers()
# With clipping, a run needs all of the workspace.
options = make_options("sgd", batch_size=8, scale=1.0, clip_norm=1.0)
labels, order = np.zeros(100, np.int32), np.arange(40)
x, none = np.ones((100, 20), np.float32), np.zeros(0, np.float32)
workspace = np.zeros(core.training_size(layers, 8, 0, 1), np.float32)
params = network.init(np.random.default_rng(0))
{wrong}
program = core.Training(
    layers, options, 1, SKIP_ALL, (x, labels, none), (order, np.zeros(5), 0),
    (params, np.zeros((0, len(params)), np.float32), none, workspace, np.zeros(3)))
program.run(0, True)
print(program.steps_done)
"""


def test_the_debug_build_runs_what_is_right(cython):
    out, error = python(STRAIGHT_IN.format(wrong=""), MNISTCORE_CYTHON_ISA=cython.INSTRUCTION_SET)
    assert out == "5", error


@pytest.mark.parametrize("wrong", WRONG)
def test_the_debug_build_stops_at_what_is_wrong(cython, wrong):
    if not cython._core.DEBUG_BUILD:
        pytest.skip("not the debug build: see setup.py")
    code = STRAIGHT_IN.format(wrong=WRONG[wrong])
    out, error = python(code, MNISTCORE_CYTHON_ISA=cython.INSTRUCTION_SET)
    assert out == ""
    assert re.search(r"\.pxi:\d+: .*Assertion", error), error


def test_a_release_checks_nothing(setup_script, monkeypatch):
    monkeypatch.delenv("MNISTCORE_CYTHON_DEBUG", raising=False)
    monkeypatch.delenv("MNISTCORE_CYTHON_ISA", raising=False)
    for extension in setup_script.extensions():
        assert ("CHECKED", "0") in extension.define_macros
        assert "-UNDEBUG" not in extension.extra_compile_args
    monkeypatch.setenv("MNISTCORE_CYTHON_DEBUG", "1")
    for extension in setup_script.extensions():
        assert ("CHECKED", "1") in extension.define_macros
        assert "-UNDEBUG" in extension.extra_compile_args
