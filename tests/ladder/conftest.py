"""Each step of the ladders in turn."""

import pytest
from ladder_steps import ALL

from mnistcore.kernels.backends import BackendUnavailableError
from mnistcore.ladder import LADDERS, load


def pytest_generate_tests(metafunc):
    """Run a test that takes a step with each one; in test_NAME.py those of the ladder NAME."""
    if "step" not in metafunc.fixturenames:
        return
    module = metafunc.module.__name__.rpartition("test_")[2]
    chosen = [one for one in ALL if one[0] == module or module not in LADDERS]
    ids = ["-".join(one).replace(" ", "-") for one in chosen]
    metafunc.parametrize("step", chosen, ids=ids, indirect=True)


@pytest.fixture
def step(request):
    """A step; skipped where its backend is missing, or an intrinsic is not compiled."""
    ladder, language, name = request.param
    try:
        found = next(step for step in load(ladder).steps(language) if step.name == name)
    except BackendUnavailableError as error:
        if language in request.config.getoption("--require-backends").split(","):
            pytest.fail(str(error))
        pytest.skip(str(error))
    if language == "numba":
        import numba

        if numba.config.DISABLE_JIT and found.lesson.vectors:
            pytest.skip("vector instructions exist in compiled code only")
        if numba.config.DISABLE_JIT and ladder == "step":
            pytest.skip("a minute each as Python; tests/kernels runs these kernels uncompiled")
    return found


@pytest.fixture
def ladder(request, step):
    """The ladder of the step."""
    return load(request.node.callspec.params["step"][0])


@pytest.fixture
def compiled():
    """Skip the test where Numba is missing, or runs its functions as Python."""
    if pytest.importorskip("numba").config.DISABLE_JIT:
        pytest.skip("only what is compiled can be measured and has machine code")
