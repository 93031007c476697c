"""The race of the steps of a ladder."""

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the server needs the extra serve")
pytest.importorskip("httpx", reason="httpx asks the server")

from event_streams import stream

from mnistcore.serve import race


def test_a_race(empty, monkeypatch):
    monkeypatch.setattr(race, "SECONDS", 0.1)
    monkeypatch.setattr(race, "TURN", 0.02)
    answer = empty.post("/api/race", json={"rungs": ["NumPy", "pure Python"]})
    assert answer.status_code == 201
    started = answer.json()
    assert started["lanes"] == ["pure Python", "NumPy"]  # slowest first
    with stream(empty, f"/api/race/{started['id']}/events") as events:
        seen = list(events)
    assert seen[-1] == ("state", {"state": "finished", "message": ""})
    lanes = [data for kind, data in seen if kind == "progress"][-1]["lanes"]
    assert [lane["name"] for lane in lanes] == started["lanes"]
    for lane in lanes:
        assert lane["done"]
        assert lane["seconds"] >= 0.1
        assert lane["samples"] > 0
        rate = lane["samples"] / lane["seconds"]
        assert lane["samples_per_second"] == pytest.approx(rate)
    assert lanes[0]["samples_per_second"] < lanes[1]["samples_per_second"]


def test_a_race_can_be_stopped(empty):
    started = empty.post("/api/race", json={"rungs": ["NumPy"]}).json()
    empty.post(f"/api/race/{started['id']}/stop")
    with stream(empty, f"/api/race/{started['id']}/events") as events:
        seen = list(events)
    assert seen[-1] == ("state", {"state": "stopped", "message": ""})
    assert empty.get("/api/race").json()["races"][0]["state"] == "stopped"


def test_a_race_that_diverges_says_so(empty, monkeypatch):
    monkeypatch.setattr(race, "RATE", 1e30)
    started = empty.post("/api/race", json={"rungs": ["NumPy"]}).json()
    with stream(empty, f"/api/race/{started['id']}/events") as events:
        *_, (_, last) = events
    assert last["state"] == "failed"
    assert "training diverged" in last["message"]


def test_lanes_run_from_pure_python_to_all_cores(empty):
    lanes = empty.get("/api/race").json()["lanes"]
    names = [lane["name"] for lane in lanes]
    assert names[0] == "pure Python"
    assert "NumPy" in names
    assert sum(lane["default"] for lane in lanes) >= 3


@pytest.mark.parametrize("backend", ["numba", "cython"])
def test_each_lane_computes(backend, digits):
    lanes = [name for name in race.lane_names() if backend in name.lower()]
    if not lanes:
        pytest.skip(f"{backend} is not available")
    for name in lanes[:1] + lanes[-1:]:
        lane = race.Lane(name, digits)
        lane.prepare()
        lane.run(0.5)  # a busy machine may take long to shuffle
        told = lane.describe()
        assert told["samples"] > 0
        assert np.isfinite(told["loss"])
