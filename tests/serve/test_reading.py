"""The page's files, the list of networks, predictions and explanations."""

import json
import os
import shutil
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the server needs the extra serve")
pytest.importorskip("httpx", reason="httpx asks the server")

from starlette.routing import Route

import mnistcore
from mnistcore.kernels import numpy_kernels
from mnistcore.pictures.readings import as_dict, predict_pictures
from mnistcore.serve import reading_api
from mnistcore.serve.application import make_application

PNG = {"content-type": "image/png"}


@pytest.fixture(scope="module")
def model(run_folder):
    return mnistcore.load(run_folder)


def test_the_page_may_run_nothing_but_its_own_files(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_a_file_that_has_not_changed_is_not_sent_again(client):
    first = client.get("/page/index.html")
    assert first.content == client.get("/").content
    again = client.get("/page/index.html", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_sign_of_life(client):
    assert client.get("/healthz").json() == {"status": "ok"}


def test_every_answer_tells_servers_apart(client, empty):
    """Also those that refuse: the identifiers of one server mean other networks in another."""
    paths = ("/", "/healthz", "/api/models", "/nowhere")
    names = [
        {asked.get(path).headers["x-mnistcore-server"] for path in paths}
        for asked in (client, empty)
    ]
    assert [len(one) for one in names] == [1, 1]
    assert names[0] != names[1]


def test_models(client, run_folder, model):
    (served,) = client.get("/api/models").json()["models"]
    summary = json.loads((run_folder / "summary.json").read_text())
    assert served == {
        "id": "run-1",
        "name": "first",
        "kind": "run",
        "layers": [784, 32, 16, 10],
        "activation": "relu",
        "image_shape": [28, 28],
        "classes": list("0123456789"),
        "parameters": model.network.n_params,
        "test_accuracy": summary["test_accuracy"],
    }


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes")
def test_a_run_whose_name_is_no_text_and_whose_accuracy_is_no_number(serving, run_folder, tmp_path):
    odd = tmp_path / os.fsdecode(b"r\xff")
    shutil.copytree(run_folder, odd)
    (odd / "summary.json").write_text('{"test_accuracy": NaN}')
    with serving([odd]) as client:
        (served,) = client.get("/api/models").json()["models"]
    assert (served["name"], served["test_accuracy"]) == ("r\udcff", None)


@pytest.mark.parametrize("n", [1, 3, 70])
def test_pixels_are_read_as_the_model_reads_them(client, model, digits, n):
    images = digits.test_images[:n].reshape(n, -1)
    answer = client.post("/api/predict?model=run-1", json={"pixels": images.tolist()}).json()
    expected = model.predict_proba(images)
    got = [one["probabilities"] for one in answer["predictions"]]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)
    assert [one["digit"] for one in answer["predictions"]] == expected.argmax(axis=1).tolist()


def test_a_single_image_is_answered_by_itself(client, digits, model):
    image = digits.test_images[5].ravel()
    answer = client.post("/api/predict", json={"pixels": image.tolist()}).json()
    assert set(answer) == {"digit", "probabilities"}
    assert answer["digit"] == int(model.predict(image)[0])


@pytest.mark.parametrize(("images", "on_loop"), [(1, True), (1000, False)])
def test_many_images_do_not_hold_up_the_event_loop(client, digits, monkeypatch, images, on_loop):
    read, threads = reading_api.read_pixels, []

    def noted(body):
        threads.append(threading.current_thread().name)
        return read(body)

    monkeypatch.setattr(reading_api, "read_pixels", noted)
    pixels = [digits.test_images[0].ravel().tolist()] * images
    answer = client.post("/api/predict", json={"pixels": pixels}).json()
    assert len(answer["predictions"]) == images
    assert ["AnyIO worker" in name for name in threads] == [not on_loop]


def test_a_picture_is_read_as_predict_reads_it(client, drawing, model):
    answer = client.post("/api/predict", content=drawing, headers=PNG)
    expected = as_dict(next(predict_pictures(model, [drawing])))
    del expected["path"]
    assert answer.status_code == 200
    assert answer.json() == expected
    assert answer.headers["cache-control"] == "no-store"


def test_paper_without_a_digit_is_an_answer(client, blank):
    answer = client.post("/api/explain", content=blank, headers=PNG)
    assert answer.status_code == 200
    told = answer.json()
    assert told["digit"] is told["probabilities"] is told["image"] is told["saliency"] is None
    assert told["reason"]
    assert told["layers"] == told["connections"] == []


def test_an_explanation_agrees_with_the_network(client, digits, model):
    image = digits.test_images[3]
    told = client.post("/api/explain", json={"pixels": image.ravel().tolist()}).json()
    assert told["image"] == image.tolist()
    x = image.ravel() * np.float64(model.scale) + model.shift
    a = [x]
    layers = model.network.views(model.params)
    for weights, bias in layers:
        a.append(np.maximum(a[-1] @ weights + bias, 0))
    for layer, expected in zip(told["layers"][:-1], a[1:-1], strict=True):
        assert layer["size"] == len(expected)
        np.testing.assert_allclose(layer["activations"], expected, atol=2e-4)
    assert told["layers"][-1]["activations"] == pytest.approx(told["probabilities"], abs=1e-4)
    for number, (weights, _) in enumerate(layers):
        strongest = [c for c in told["connections"] if c["layer"] == number]
        contributions = a[number][:, None] * weights
        for c in strongest:
            assert c["contribution"] == pytest.approx(contributions[c["from"], c["to"]], abs=2e-4)
        assert 0 < len(strongest) <= 60
        largest = np.sort(np.abs(contributions), axis=None)[-len(strongest) :]
        sizes = sorted(abs(c["contribution"]) for c in strongest)
        np.testing.assert_allclose(sizes, largest, atol=2e-4)


def test_the_say_of_a_pixel_is_the_change_of_the_logit(client, digits, model):
    """In a network of straight pieces, ink that is a little lighter takes away that share."""
    image = digits.test_images[3]
    told = client.post("/api/explain", json={"pixels": image.ravel().tolist()}).json()
    saliency = np.array(told["saliency"])
    row, column = np.unravel_index(np.abs(saliency).argmax(), saliency.shape)

    def logit(share):
        changed = image.astype(np.float32)
        changed[row, column] *= share
        return model.logits(numpy_kernels, changed[None])[0, told["digit"]]

    change = float(logit(1) - logit(0.999)) / 0.001
    assert change == pytest.approx(saliency[row, column], rel=0.05)
    assert not saliency[image == 0].any()


def test_without_a_network_the_answer_says_what_to_do(empty, drawing):
    assert empty.get("/api/models").json() == {"models": []}
    answer = empty.post("/api/predict", content=drawing, headers=PNG)
    assert answer.status_code == 404
    assert answer.json() == {"error": "there is no network yet; train one"}


def test_the_description_has_every_address(client):
    description = client.get("/openapi.json").json()
    described = {
        (path, method.upper())
        for path, operations in description["paths"].items()
        for method in operations
    }
    routes = [route for route in make_application(client.site).routes if isinstance(route, Route)]
    there = {(route.path, method) for route in routes for method in route.methods - {"HEAD"}}
    assert described == there


def test_the_description_refers_to_what_it_has(client):
    text = client.get("/openapi.json").text
    schemas = json.loads(text)["components"]["schemas"]
    named = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named == set(schemas)
