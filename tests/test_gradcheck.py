import re
from types import SimpleNamespace

import numpy as np
import pytest

from mnistcore import gradcheck
from mnistcore.kernels import KERNELS, PROGRAMS, numpy_kernels
from mnistcore.training import gradients


def broken_backend(monkeypatch, **kernels):
    """Make "numpy" a backend with some kernels replaced; the reference stays as it is."""
    names = {name: getattr(numpy_kernels, name) for name in (*KERNELS, *PROGRAMS)}
    backend = SimpleNamespace(**{**names, **kernels})
    monkeypatch.setattr(gradients, "get_backend", lambda name: backend)


def failed(checks):
    return {check.name for check in checks if not check.passed}


def test_every_gradient_of_every_backend_is_right(kernels):
    name = kernels.NAME
    checks = gradcheck.run([name], seed=1)
    assert failed(checks) == set()
    assert len({check.name for check in checks}) == 22


def test_the_reference_is_checked_in_both_precisions():
    checks = gradcheck.run(["numpy"])
    double, single = (
        [check.error for check in checks if check.backend == f"numpy {dtype}"]
        for dtype in ("float64", "float32")
    )
    assert len(double) == len(single) == len(checks) / 2
    assert max(double) < 1e-8 < max(single)


def test_seeds_draw_other_problems():
    first, second = (gradcheck.run(["numpy"], seed) for seed in (0, 1))
    assert [check.error for check in first] != [check.error for check in second]


def scaled(kernel, factor):
    """A kernel whose output, its last argument, is wrong by a factor."""

    def wrong(*arguments):
        result = kernel(*arguments)
        arguments[-1][...] *= factor
        return result

    return wrong


@pytest.mark.parametrize(
    ("kernel", "caught"),
    [
        ("matmul_nt", {"matmul by a"}),
        ("matmul_tn", {"matmul by b"}),
        ("sum_rows", {"add_bias by b"}),
        ("tanh_backward", {"tanh by z"}),
        ("relu_backward", {"relu by z"}),
        ("logistic_backward", {"logistic by z"}),
        ("softmax_cross_entropy", {"cross-entropy by logits"}),
        ("dropout", {"dropout by a"}),
    ],
)
def test_a_gradient_that_is_slightly_wrong_is_caught(monkeypatch, kernel, caught):
    wrong = scaled(getattr(numpy_kernels, kernel), 1 + 1e-4)
    broken_backend(monkeypatch, **{kernel: wrong})
    assert failed(gradcheck.run(["numpy"])) == caught


@pytest.mark.parametrize("damage", ["negated", "one element", "nan"])
def test_a_wrong_gradient_of_a_network_is_caught(monkeypatch, damage):
    def loss_and_gradient(*arguments):
        loss = numpy_kernels.loss_and_gradient(*arguments)
        gradient = arguments[-1]
        if damage == "negated":
            gradient *= -1
        else:
            gradient[gradient.argmax()] = np.nan if damage == "nan" else 0
        return loss

    broken_backend(monkeypatch, loss_and_gradient=loss_and_gradient)
    assert len(failed(gradcheck.run(["numpy"]))) == 14


def test_the_table_shows_every_gradient_and_fits_eighty_columns(capsys):
    assert gradcheck.main([]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    total = len(gradcheck.run())
    assert re.search(f"^{total} of {total} gradients are right$", out, re.MULTILINE)


def test_a_failure_is_marked_and_ends_with_status_1(monkeypatch, capsys):
    broken_backend(monkeypatch, tanh_backward=scaled(numpy_kernels.tanh_backward, 1.01))
    assert gradcheck.main(["--backend", "numpy"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^tanh by z .*FAILED", out, re.MULTILINE)
    assert not re.search(r"^relu by z .*FAILED", out, re.MULTILINE)
    assert re.search(r"^21 of 22 gradients are right$", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--backend", "cuda"], "unknown backend 'cuda'; backends are cython, numba"),
        (["--backend", "numbre"], "unknown backend 'numbre'; did you mean 'numba'?"),
        (["--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["--seed", "-1"], "seed must not be negative, got -1"),
    ],
)
def test_a_bad_command_line_gets_one_clear_line(capsys, flags, message):
    assert gradcheck.main(flags) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
