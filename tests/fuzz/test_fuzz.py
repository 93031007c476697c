"""The short form of the fuzzer, and names that no program may obey through every command."""

import pytest

from .driver import fuzz
from .targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_raise_only_what_is_documented(name, tmp_path):
    target = TARGETS[name]
    assert fuzz(name, target.short, tmp_path, seed=1).total() == target.short
