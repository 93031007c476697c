"""Trainings that pages start, watch, pause and stop."""

import base64
import time

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the server needs the extra serve")
pytest.importorskip("httpx", reason="httpx asks the server")

from event_streams import stream

import mnistcore
from mnistcore.models.network import Network
from mnistcore.runs.job import prepare
from mnistcore.serve import event_stream
from mnistcore.serve.feed import Feed
from mnistcore.serve.monitor import Monitor

LONG = {"layers": [16], "backend": "numpy", "epochs": 1000}
SHORT = {"layers": [32], "backend": "numpy", "epochs": 2}


def started(client, options):
    answer = client.post("/api/jobs", json=options)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def state_of(client, job):
    return next(one for one in client.get("/api/jobs").json()["jobs"] if one["id"] == job)


def wait_for(client, job, *states):
    ends = time.monotonic() + 60
    while (state := state_of(client, job))["state"] not in states:
        assert time.monotonic() < ends, state
        time.sleep(0.02)
    return state


@pytest.fixture
def long_job(empty):
    job = started(empty, LONG)
    wait_for(empty, job, "training")
    return job


def test_from_the_start_to_a_network_that_reads(empty, digits):
    """Without a run: one trains a network, sees it learn, and lets it read."""
    job = started(empty, SHORT)
    with stream(empty, f"/api/jobs/{job}/events") as events:
        seen = list(events)
    kinds = [kind for kind, _ in seen]
    assert kinds[0] == "snapshot"
    assert {"progress", "evaluation", "state"} <= set(kinds)
    last = [data for kind, data in seen if kind == "state"][-1]
    assert last["state"] == "finished"
    progress = [data for kind, data in seen if kind == "progress"][-1]
    assert (progress["epoch"], progress["epochs"]) == (2, 2)
    assert progress["samples"] == 2 * round(0.9 * len(digits.train_labels))
    flops = Network((784, 32, 10)).flops_per_sample
    assert flops == 2 * (2 * 784 * 32 + 3 * 32 * 10)
    assert progress["gflops"] == pytest.approx(progress["samples_per_second"] * flops / 1e9)
    (model,) = empty.get("/api/models").json()["models"]
    assert (model["id"], model["kind"], model["layers"]) == (job, "job", [784, 32, 10])
    assert model["test_accuracy"] == last["test_accuracy"] > 0.8
    pixels = digits.test_images[:50].reshape(50, -1).tolist()
    answer = empty.post(f"/api/predict?model={job}", json={"pixels": pixels}).json()
    read = [one["digit"] for one in answer["predictions"]]
    assert np.mean(read == digits.test_labels[:50]) > 0.8


def test_it_trains_what_train_trains(empty, tmp_path):
    """The same options give the same network, whoever watches."""
    job = started(empty, SHORT)
    wait_for(empty, job, "finished")
    config = mnistcore.TrainConfig(
        data="synthetic", hidden=(32,), backend="numpy", epochs=2, output=str(tmp_path / "run")
    )
    expected = mnistcore.train(config).model
    model = empty.site.computing.jobs[job].model
    np.testing.assert_array_equal(model.params, expected.params)
    assert (model.scale, model.shift) == (expected.scale, expected.shift)


def test_a_training_goes_on_alone_and_a_page_finds_it_again(empty, long_job):
    with stream(empty, f"/api/jobs/{long_job}/events") as events:
        seen = next(data for kind, data in events if kind == "progress")
    ends = time.monotonic() + 60
    while (now := state_of(empty, long_job))["samples"] <= seen["samples"]:
        assert time.monotonic() < ends
        time.sleep(0.02)
    with stream(empty, f"/api/jobs/{long_job}/events") as events:
        kind, snapshot = next(events)
    assert kind == "snapshot"
    assert snapshot["job"]["id"] == long_job
    samples = [point["samples"] for point in snapshot["curve"]]
    assert samples == sorted(samples)
    assert samples[0] <= seen["samples"] < now["samples"] <= samples[-1]
    assert snapshot["evaluations"]


def test_pause_resume_and_stop(empty, long_job):
    assert empty.post(f"/api/jobs/{long_job}/pause").json()["id"] == long_job
    paused = wait_for(empty, long_job, "paused")
    time.sleep(0.3)
    assert state_of(empty, long_job)["samples"] == paused["samples"]
    empty.post(f"/api/jobs/{long_job}/resume")
    wait_for(empty, long_job, "training")
    empty.post(f"/api/jobs/{long_job}/pause")
    wait_for(empty, long_job, "paused")
    empty.post(f"/api/jobs/{long_job}/stop")
    wait_for(empty, long_job, "stopped")
    (model,) = empty.get("/api/models").json()["models"]
    assert model["id"] == long_job
    assert model["test_accuracy"] is None  # the test is for what is finished


def test_one_computes_at_a_time(empty, long_job):
    for path in ("/api/jobs", "/api/race"):
        answer = empty.post(path, json={})
        assert answer.status_code == 409
        told = f"a network is being trained already ({long_job}); stop it first"
        assert answer.json() == {"error": told}
    empty.post(f"/api/jobs/{long_job}/stop")
    wait_for(empty, long_job, "stopped")
    assert empty.post("/api/jobs", json=SHORT).status_code == 201


def test_a_training_that_diverges_says_so(empty):
    job = started(empty, SHORT | {"optimizer": "sgd", "learning_rate": 1e30})
    failed = wait_for(empty, job, "failed")
    assert "training diverged; try a lower learning rate" in failed["message"]
    with stream(empty, f"/api/jobs/{job}/events") as events:
        assert [data["state"] for kind, data in events if kind == "state"] == ["failed"]


def test_a_training_that_diverges_in_its_last_step_says_so(empty, digits):
    """No loss follows it, and its weights are finite; what they make of an image is not."""
    some = digits.test_images[:300], digits.test_labels[:300]
    small = mnistcore.Dataset.from_arrays(*some, *some)
    empty.site.computing.data.load = lambda: small
    options = {"optimizer": "sgd", "learning_rate": 1e30, "epochs": 1, "batch_size": 300}
    failed = wait_for(empty, started(empty, SHORT | options), "failed", "finished")
    assert failed["message"].startswith("the loss on the test images is not finite")
    assert failed["test_accuracy"] is None


def test_data_that_is_not_there(empty):
    empty.site.computing.data.load = lambda: mnistcore.load_data("nowhere")
    failed = wait_for(empty, started(empty, SHORT), "failed")
    assert failed["message"].startswith("nowhere: ")


def test_one_can_draw_with_what_reads_characters(empty):
    """The state says whether, when it ends: with the data of some trainings one cannot."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (90, 8, 6), np.uint8), np.arange(90) % 3
    small = mnistcore.Dataset.from_arrays(images, labels, images, labels)
    for load, drawable in (
        (lambda: small, False),
        (mnistcore.ServeConfig(data="synthetic").load, True),
    ):
        empty.site.computing.data.load = load
        job = started(empty, SHORT)
        assert wait_for(empty, job, "finished")["drawable"] == drawable
        with stream(empty, f"/api/jobs/{job}/events") as events:
            last = [data for kind, data in events if kind == "state"][-1]
        assert last["drawable"] == drawable


def test_an_error_of_ours_ends_the_training_and_not_the_server(empty, monkeypatch):
    monkeypatch.setattr("threading.excepthook", lambda told: None)  # would print it
    monkeypatch.setattr(empty.site.computing.data, "load", lambda: 1 / 0)
    failed = wait_for(empty, started(empty, SHORT), "failed")
    assert failed["message"] == "there is an error in the program (ZeroDivisionError)"
    assert empty.get("/healthz").status_code == 200


def test_a_client_that_comes_back_after_the_end_is_told_to_stay_away(empty):
    job = started(empty, SHORT)
    wait_for(empty, job, "finished")
    last = str(empty.site.computing.jobs[job].feed.number)
    address = f"/api/jobs/{job}/events"
    assert empty.get(address, headers={"last-event-id": last}).status_code == 204
    with stream(empty, address, **{"last-event-id": "1"}) as events:
        kinds = [kind for kind, _ in events]
    assert kinds[0] == "snapshot"
    assert kinds[-1] == "state"


def test_to_ask_for_the_head_of_a_stream_does_not_open_it(empty, long_job):
    assert empty.head(f"/api/jobs/{long_job}/events").status_code == 200
    assert empty.site.streams.open == 0


def test_old_trainings_are_forgotten(empty, monkeypatch):
    monkeypatch.setattr("mnistcore.serve.computing.MOST_KEPT", 2)
    jobs = []
    for _ in range(3):
        jobs.append(started(empty, SHORT | {"epochs": 1}))
        wait_for(empty, jobs[-1], "finished")
    assert [job["id"] for job in empty.get("/api/jobs").json()["jobs"]] == jobs[1:]
    assert [model["id"] for model in empty.get("/api/models").json()["models"]] == jobs[1:]


def test_there_are_not_too_many_streams(empty, long_job, monkeypatch):
    monkeypatch.setattr(event_stream, "MOST_STREAMS", 1)
    address = f"/api/jobs/{long_job}/events"
    with stream(empty, address) as events:
        next(events)
        answer = empty.get(address)
        assert answer.status_code == 503
        assert "1 readers already" in answer.json()["error"]
    ends = time.monotonic() + 20
    while empty.site.streams.open:
        assert time.monotonic() < ends
        time.sleep(0.02)
    with stream(empty, address) as events:
        assert next(events)[0] == "snapshot"


def test_the_choices_of_the_form(empty, digits):
    options = empty.get("/api/options").json()
    assert options["backends"] == list(mnistcore.available_backends())
    defaults = mnistcore.TrainConfig()
    assert options["defaults"]["layers"] == list(defaults.hidden)
    assert options["defaults"]["learning_rate"] == defaults.learning_rate
    assert {one["name"] for one in options["optimizers"]} == {"sgd", "adam", "adamw"}
    for network in options["networks"]:
        assert len(network["layers"]) <= options["limits"]["layers"]
    ends = time.monotonic() + 60
    while (data := empty.get("/api/options").json()["data"]) is None:
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert (data["train"], data["test"]) == (len(digits.train_labels), len(digits.test_labels))
    assert data["image_shape"] == [28, 28]
    everything = dict(options["defaults"], momentum=0.5, optimizer="sgd", epochs=1, threads=1)
    wait_for(empty, started(empty, everything | {"backend": "numpy"}), "finished")


def test_a_look_at_a_network(digits):
    config = mnistcore.TrainConfig(data="synthetic", hidden=(3,), backend="numpy")
    job = prepare(config, digits, writes=False)
    params = job.network.init(np.random.default_rng(0))
    look = Monitor(job).look(params, 640)
    confusion = np.array(look["confusion"])
    assert confusion.sum() == look["images"] == min(2000, len(job.validation_indices))
    assert confusion.trace() / confusion.sum() == pytest.approx(look["accuracy"])
    assert look["samples"] == 640
    assert look["classes"] == list(digits.class_names)
    assert len(look["wrong"]) == 24
    for wrong in look["wrong"]:
        assert wrong["label"] == digits.train_labels[wrong["index"]] != wrong["predicted"]
        image = np.frombuffer(base64.b64decode(wrong["image"]), np.uint8).reshape(28, 28)
        np.testing.assert_array_equal(image, digits.train_images[wrong["index"]])
    tiles = np.frombuffer(base64.b64decode(look["weights"]["tiles"]), np.uint8)
    assert (look["weights"]["count"], look["weights"]["shape"]) == (3, [28, 28])
    weights = job.network.views(params)[0][0].T
    scaled = 128 + 127 * weights / np.abs(weights).max(axis=1, keepdims=True)
    assert np.abs(tiles.reshape(3, 784) - scaled).max() <= 1


def test_looks_take_a_small_share_of_the_time(digits, monkeypatch):
    now = {"perf_counter": 10.0, "thread_time": 0.0}
    for clock in now:
        monkeypatch.setattr(f"mnistcore.serve.monitor.{clock}", lambda c=clock: now[c])
    monkeypatch.setattr(
        "mnistcore.serve.monitor.accuracy",
        lambda *given: now.update(thread_time=now["thread_time"] + 0.02) or 0.5,
    )
    config = mnistcore.TrainConfig(data="synthetic", hidden=(3,), backend="numpy")
    job = prepare(config, digits, writes=False)
    monitor = Monitor(job)
    assert monitor.due()
    monitor.look(job.network.init(np.random.default_rng(0)), 0)
    now["perf_counter"] += 1.99
    assert not monitor.due()  # 0.02 s are 1 % of 2 s
    now["perf_counter"] += 0.02
    assert monitor.due()


def test_a_feed_has_the_latest_of_each_kind():
    feed = Feed()
    for number in range(1000):
        feed.publish("progress", {"n": number})
    feed.publish("state", {"state": "finished"}, last=True)
    assert feed.over
    first, second = feed.after(0)
    assert first.encoded == b'id: 1000\nevent: progress\ndata: {"n":999}\n\n'
    assert (second.kind, second.number) == ("state", 1001)
    assert feed.after(1000) == [second]
    assert feed.after(1001) == []
