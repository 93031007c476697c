"""The message for a missing extra says what works in this kind of installation."""

from pathlib import Path

import pytest

from mnistcore.system import extras

ROOT = Path(__file__).parents[2]


def test_a_source_folder_installs_from_itself():
    assert extras.installation("onnx") == f'pip install -e ".[onnx]" in {ROOT}'


def test_an_installed_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "_SOURCE", tmp_path)  # site-packages
    assert extras.installation("onnx") == 'pip install "mnistcore[onnx]"'


def test_a_missing_library_names_its_extra():
    with pytest.raises(extras.MissingExtraError, match=r"no_such_library is needed .*\[search\]"):
        extras.require("no_such_library", "search")
