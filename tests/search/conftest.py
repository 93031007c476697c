import pytest
from small_digits import small_digits, write_small_digits


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """The small data set; the working folder is an empty one."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return small_digits(tmp_path / "data")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working folder with the small data set in ../data."""
    monkeypatch.setenv("MNISTCORE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MNISTCORE_DATA_DIR", raising=False)
    write_small_digits(tmp_path / "data")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"
