import pytest
from small_digits import small_digits


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """The small data set; the working folder is an empty one."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return small_digits(tmp_path / "data")
