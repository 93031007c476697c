import json
import sys
import tempfile
from pathlib import Path

import numba
import numpy as np
import pytest

from mnistcore import __version__, available_backends, set_num_threads
from mnistcore.info import clear_cache, main, run
from mnistcore.kernels.backends import BACKENDS
from mnistcore.system.machine import cpu_model, folder_size, installed_version, library_versions


@pytest.fixture
def cache(tmp_path, tmp_path_factory, monkeypatch):
    """A cache with something of ours in it and something of the user's beside."""
    available_backends()  # Numba settles on its cache folder once: not on this one
    monkeypatch.setenv("MNISTCORE_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
    for name in ("mnist", "synthetic", "numba/abc", "photographs"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x" * 1000)
    return tmp_path


def test_facts_cover_what_a_report_of_a_fault_needs(cache):
    facts = run()
    assert facts["versions"]["mnistcore"] == __version__
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["versions"]["numba"] == numba.__version__
    assert set(facts["backends"]) == set(BACKENDS)
    assert facts["backends"]["numpy"]["available"] is True
    assert facts["cpu"]["cores"] >= 1
    assert facts["threads"] >= 1
    assert facts["cache"] == {
        "folder": str(cache),
        "bytes": {"mnist": 1000, "synthetic": 1000, "numba": 1000},
    }


def test_every_available_backend_says_what_it_runs_on(kernels):
    name = kernels.NAME
    state = run()["backends"][name]
    assert state["available"] is True
    assert state["runs_on"]


def test_a_missing_backend_says_why(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mnistcore.kernels.numba_kernels", None)
    state = run()["backends"]["numba"]
    assert state["available"] is False
    assert "backend numba is not available" in state["reason"]
    assert main([]) == 0
    assert "backend numba is not available" in " ".join(capsys.readouterr().out.split())


def test_the_data_folder_is_named_with_its_size(cache, tmp_path, monkeypatch):
    from small_digits import write_small_digits

    folder = write_small_digits(tmp_path / "data")
    monkeypatch.setenv("MNISTCORE_DATA_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    data = run()["data"]
    assert data["$MNISTCORE_DATA_DIR"] == f"{folder}: 0.0 MB"
    assert data["./data"] == "data: 0.0 MB"
    assert data["cache"] == f"{cache / 'mnist'}: no data"


def test_json_holds_the_facts(cache, capsys):
    assert main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(run()))


def test_the_table_fits_eighty_columns(cache, capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    for name in ("versions", "cpu", "instructions", "threads", "cache", *BACKENDS):
        assert f"\n{name} " in f"\n{out}"


def test_clearing_the_cache_spares_what_is_not_ours(cache, capsys):
    assert main(["--clear-cache"]) == 0
    assert capsys.readouterr().out == "cache cleared: 0.0 MB freed\n"
    assert [path.name for path in cache.iterdir()] == ["photographs"]
    assert clear_cache() == 0


def test_numbas_cache_may_lie_elsewhere(cache, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "numba" / "abc").mkdir(parents=True)
    (elsewhere / "numba" / "abc" / "file").write_bytes(b"x" * 10)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(elsewhere))
    assert run()["cache"]["bytes"]["numba"] == 10
    clear_cache()
    assert list(elsewhere.iterdir()) == []


def test_the_size_of_a_folder_counts_files_alone(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"123")
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b")
    assert folder_size(tmp_path) == 3
    assert folder_size(tmp_path / "none") == 0


def test_versions_name_what_a_backend_computes_with():
    assert set(library_versions("numpy")) == {"mnistcore", "python", "numpy"}
    assert {"numba", "llvmlite"} < set(library_versions("numba"))
    assert installed_version("no-such-library") is None


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="reads Linux's /proc/cpuinfo")
def test_the_cpu_has_a_name():
    assert cpu_model() != "unknown"


@pytest.mark.parametrize(
    ("variable", "quota", "expected"),
    [
        ("3", 0.5, (3, "OMP_NUM_THREADS")),
        ("", 1.5, (2, "a quota of 1.5 of 8 cores")),
        ("", 8.0, (8, "one per core")),
        ("", None, (8, "one per core")),
    ],
)
def test_the_number_of_threads_has_a_reason(monkeypatch, capsys, variable, quota, expected):
    from mnistcore import info
    from mnistcore.kernels import threads

    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    monkeypatch.setattr(threads.cores, "allowed_cores", lambda: set(range(8)))
    for module in (threads, info):
        monkeypatch.setattr(module, "cpu_quota", lambda: quota)
    facts = info.run()
    assert (facts["threads"], facts["threads_because"]) == expected
    assert info.main([]) == 0
    assert f"{expected[0]}: {expected[1]}" in capsys.readouterr().out
    set_num_threads(5)
    facts = info.run()
    assert (facts["threads"], facts["threads_because"]) == (5, "set_num_threads")
