"""Large pages: what is copied into NumPy's memory."""

import numpy as np
import pytest

from mnistcore.system.pages import in_large_pages

SIZE = 5 << 20


def test_an_array_of_numpy_is_not_copied():
    array = np.zeros((SIZE // 64, 64), np.uint8)
    assert in_large_pages(array) is array
    part = array[1:].reshape(-1, 32)
    assert in_large_pages(part) is part


@pytest.mark.parametrize("kind", ["mapped", "bytes"])
def test_other_memory_is_copied(tmp_path, kind):
    values = np.random.default_rng(0).integers(0, 256, SIZE, dtype=np.uint8)
    values.tofile(tmp_path / "file")
    array = np.frombuffer(values.tobytes(), np.uint8)
    if kind == "mapped":
        array = np.asarray(np.memmap(tmp_path / "file", np.uint8, "r"))
    array = array.reshape(-1, 64)
    copy = in_large_pages(array)
    assert copy.flags.owndata
    assert not np.shares_memory(copy, array)
    assert (copy == array).all()


def test_a_small_array_stays_where_it_is(tmp_path):
    array = np.frombuffer(bytes(1000), np.uint8)
    assert in_large_pages(array) is array
