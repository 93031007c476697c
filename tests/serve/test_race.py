"""The race of the backends and the ladder's products."""

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the server needs the extra serve")
pytest.importorskip("httpx", reason="httpx asks the server")

from event_streams import stream

from mnistcore.kernels import numpy_kernels
from mnistcore.kernels.layout import METRICS
from mnistcore.models.network import Network
from mnistcore.serve import race
from mnistcore.serve.race_step import ProductSteps, python_product
from mnistcore.training.optimizers import make_options, make_state


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


def test_lanes_run_from_pure_python_to_all_cores(empty):
    lanes = empty.get("/api/race").json()["lanes"]
    names = [lane["name"] for lane in lanes]
    assert names[0] == "pure Python"
    assert "NumPy" in names
    assert sum(lane["default"] for lane in lanes) >= 3


@pytest.mark.parametrize("backend", ["numba", "cython"])
def test_each_lane_computes(backend, digits, monkeypatch):
    """Also the ladder's rungs, which Numba compiles."""
    lanes = [name for name in race.lane_names() if backend in name.lower()]
    if not lanes:
        pytest.skip(f"{backend} is not available")
    for name in lanes[:1] + lanes[-1:]:
        lane = race.Lane(name, digits)
        lane.prepare()
        lane.run(0.01)
        told = lane.describe()
        assert told["samples"] > 0
        assert np.isfinite(told["loss"])


def test_the_step_is_that_of_the_reference():
    """Two steps of a race, with products in pure Python, beside the specification."""
    network = Network((12, 5, 4, 3))
    rng = np.random.default_rng(1)
    x = (rng.integers(0, 256, (20, 12)) * rng.integers(0, 2, (20, 12))).astype(np.uint8)
    labels = rng.integers(0, 3, 20).astype(np.int32)
    options = make_options("sgd", batch_size=8, scale=1 / 255, shift=0.0, seed=0)
    results = []
    for kernels in (numpy_kernels, ProductSteps(network, python_product)):
        params, metrics = network.init(np.random.default_rng(2)), np.zeros(METRICS)
        done = kernels.train_steps(
            x, labels, np.empty(0, np.float32), rng_order(), np.array([0.1, 0.2]),
            network.layers(), options, 0, params, make_state(options, params),
            network.init_buffers(np.float32), np.empty(0, np.float32), metrics,
        )  # fmt: skip
        assert done == 2
        results.append((params, metrics))
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-5)


def rng_order():
    return np.random.default_rng(3).permutation(20)[:15]  # the second batch is a partial one


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 2), (7, 1, 5)])
def test_the_product_in_python_is_exact_on_whole_numbers(shape):
    m, k, n = shape
    rng = np.random.default_rng(0)
    a = rng.integers(-3, 4, (m, k)).astype(np.float32)
    b = rng.integers(-3, 4, (k, n)).astype(np.float32)
    out = np.full((m, n), np.nan, np.float32)
    python_product(a, b, out)
    np.testing.assert_array_equal(out, a @ b)
