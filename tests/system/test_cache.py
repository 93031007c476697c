"""The cache folder, and the one that stands in for it where it cannot be written."""

import os
import subprocess
import sys
from pathlib import Path

import pooch
import pytest

from mnistcore.system.cache import cache_folder, is_private, temporary_cache_folder

FOLDER = """
from mnistcore.kernels._numba.cache import CACHE_FOLDER
import os, pathlib
assert os.access(CACHE_FOLDER, os.W_OK)
pathlib.Path(CACHE_FOLDER, "compiled").touch()
print(CACHE_FOLDER)
"""
FORKED = f"""{FOLDER}
import sys, time
if (child := os.fork()) == 0:
    sys.exit()
os.waitpid(child, 0)
print(os.path.exists(CACHE_FOLDER))
"""


def test_cache_folder_is_the_one_that_the_environment_names(monkeypatch, tmp_path):
    monkeypatch.setenv("MNISTCORE_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("MNISTCORE_CACHE_DIR", "~/here")
    assert cache_folder().name == "here"
    assert cache_folder().is_absolute()
    monkeypatch.setenv("MNISTCORE_CACHE_DIR", "")
    assert cache_folder() == pooch.os_cache("mnistcore")


def test_a_user_without_a_home_has_a_private_folder(tmp_path, monkeypatch):
    def homeless(name):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("platformdirs.user_cache_dir", homeless)
    monkeypatch.delenv("MNISTCORE_CACHE_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_folder() == temporary_cache_folder()
    cache_folder().chmod(0o777)
    with pytest.raises(ValueError, match="has no home folder; set MNISTCORE_CACHE_DIR"):
        cache_folder()
    monkeypatch.setenv("MNISTCORE_CACHE_DIR", "~nobody-of-this-name/here")
    assert cache_folder() == Path("~nobody-of-this-name/here")


@pytest.fixture
def unwritable(tmp_path, monkeypatch):
    """Make the cache folder one that cannot be, and the temporary files' folder a new one."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("MNISTCORE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


def folder_of_a_process(program=FOLDER) -> list[str]:
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


def test_processes_share_one_folder_where_the_cache_cannot_be_written(unwritable):
    (first,), (second,) = folder_of_a_process(), folder_of_a_process()
    assert first == second
    (shared,) = unwritable.iterdir()
    assert first.startswith(str(shared))
    assert shared.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kind", ["open to all", "a link", "a file"])
def test_a_folder_that_others_may_have_made_is_not_used(kind, unwritable, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(unwritable))
    planted = temporary_cache_folder()
    if kind == "open to all":
        planted.mkdir()
        planted.chmod(0o777)
    elif kind == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        planted.symlink_to(tmp_path / "elsewhere")
    else:
        planted.touch()
    assert not is_private(planted)
    folder, still_there = folder_of_a_process(FORKED)
    assert not folder.startswith(f"{planted}{os.sep}")
    assert still_there == "True"  # after a fork of the process has ended
    assert list(unwritable.iterdir()) == [planted]  # and gone with the process itself
