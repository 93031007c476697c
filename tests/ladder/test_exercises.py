"""The exercises: each stub is wrong in the way that the page says, and can be solved."""

import re
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from mnistcore.ladder import check, load
from mnistcore.ladder.mine import load_function
from mnistcore.ladder.verify import first_mistake, first_special_mistake

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "ladder" / "exercises.md"
STUBS = re.findall(
    r"<!-- stub -->\n```python\n(.*?)```\n\n```text\n(.*?)```", PAGE.read_text("utf-8"), re.S
)


def the_definition(a, b, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = 0.0
            for k in range(a.shape[1]):
                total += float(a[i, k]) * float(b[k, j])
            out[i, j] = total


def one_row_at_a_time(a, b, out):
    for i in range(len(out)):
        out[i] = a[i] @ b


@njit(fastmath={"contract"})
def in_the_right_order(a, b, out):
    for i in range(out.shape[0]):
        out[i] = 0
        for k in range(a.shape[1]):
            factor = a[i, k]
            for j in range(out.shape[1]):
                out[i, j] += factor * b[k, j]


@njit(fastmath={"contract"})
def two_columns(a, b, out):
    out[:] = 0
    n = out.shape[1]
    for i in range(out.shape[0]):
        for k in range(a.shape[1]):
            factor = a[i, k]
            for j in range(0, n - 1, 2):
                out[i, j] += factor * b[k, j]
                out[i, j + 1] += factor * b[k, j + 1]
            if n % 2:
                out[i, n - 1] += factor * b[k, n - 1]


@njit(fastmath={"contract"})
def four_rows(a, b, out):
    out[:] = 0
    whole = out.shape[0] // 4 * 4
    for i in range(0, whole, 4):
        for k in range(a.shape[1]):
            f0, f1, f2, f3 = a[i, k], a[i + 1, k], a[i + 2, k], a[i + 3, k]
            for j in range(out.shape[1]):
                term = b[k, j]
                out[i, j] += f0 * term
                out[i + 1, j] += f1 * term
                out[i + 2, j] += f2 * term
                out[i + 3, j] += f3 * term
    for i in range(whole, out.shape[0]):
        for k in range(a.shape[1]):
            for j in range(out.shape[1]):
                out[i, j] += a[i, k] * b[k, j]


@njit(fastmath={"contract"})
def blocks_of_terms(a, b, out):
    out[:] = 0
    for start in range(0, a.shape[1], 64):
        for i in range(out.shape[0]):
            for k in range(start, min(start + 64, a.shape[1])):
                factor = a[i, k]
                for j in range(out.shape[1]):
                    out[i, j] += factor * b[k, j]


def all_the_bytes(a, b, out):
    np.matmul(a, b, out=out)


def packed_in_each_call(a, b, out):
    for j in range(0, b.shape[1], 64):
        panel = b[:, j : j + 64].copy()
        out[:, j : j + 64] = a @ panel


SOLUTIONS = [
    the_definition,
    one_row_at_a_time,
    in_the_right_order,
    two_columns,
    four_rows,
    blocks_of_terms,
    all_the_bytes,
    packed_in_each_call,
]


@pytest.mark.parametrize("number", range(1, len(SOLUTIONS) + 1))
def test_a_stub_is_wrong_in_the_way_that_the_page_says(number, tmp_path):
    code, message = STUBS[number - 1]
    file = tmp_path / f"stub_{number}.py"
    file.write_text(code, encoding="utf-8")
    with pytest.raises(AssertionError) as wrong:
        check(load_function(file, "multiply"))
    assert f"{wrong.value}".split() == message.split()


@pytest.mark.parametrize("solution", SOLUTIONS)
def test_there_is_a_solution(solution):
    ladder = load("matmul")
    assert first_mistake(ladder, solution, ladder.edges) is None
    assert first_special_mistake(ladder, solution) is None


def test_every_stub_has_its_solution():
    assert len(STUBS) == len(SOLUTIONS)
