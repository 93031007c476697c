"""Data sets and networks whose classes differ are matched by name, or refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from small_models import make_model

from mnistcore.data import Dataset
from mnistcore.data.dataset import dataset_of
from mnistcore.data.raw import Part, RawData
from mnistcore.models.datasets import fitted
from mnistcore.models.model import TrainedOn
from mnistcore.runs.folder import Run
from mnistcore.runs.scores import EvaluateConfig, run

DIGITS = tuple("0123456789")


def dataset(labels, names=(), path="/some/place") -> Dataset:
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 2, 3), np.uint8)
    part = Part(images, np.asarray(labels))
    return dataset_of(RawData(Path(path), "a test", part, part), class_names=names)


def model(names=DIGITS, **changes):
    made = make_model((6, 4, len(names)), "relu", (2, 3))
    return dataclasses.replace(made, class_names=tuple(names), **changes)


def test_a_network_of_digits_is_evaluated_on_two():
    data = dataset([3, 8, 8, 3, 8])
    scores = run(Run(Path("run"), model(), [], {}), EvaluateConfig(backend="numpy"), dataset=data)
    np.testing.assert_array_equal(scores.labels, [3, 8, 8, 3, 8])
    np.testing.assert_array_equal(scores.confusion.sum(axis=1), [0, 0, 0, 2, 0, 0, 0, 0, 3, 0])
    assert scores.class_names == DIGITS


def test_classes_in_another_order_are_matched_by_name():
    data = fitted(model("cab"), dataset([0, 1, 2], "abc"))
    np.testing.assert_array_equal(data.test_labels, [1, 2, 0])
    assert data.checksum == dataset([0, 1, 2]).checksum


def test_other_classes_are_refused_in_a_line():
    for labels, names in ((["a", "b"], ()), (range(10), "zyxwvutsrq"), (range(11), ())):
        with pytest.raises(ValueError, match=r"classes of the model; .*names") as caught:
            fitted(model(), dataset(labels, names))
        assert "\n" not in str(caught.value)


def test_the_classes_that_are_missing_are_named():
    with pytest.raises(ValueError, match=r"^place has the classes 0, 1, of which 1 is not among 0"):
        fitted(model("0x"), dataset([0, 1]))
    with pytest.raises(ValueError, match=r"^place has the classes 0, 1, none of them among x, y"):
        fitted(model("xy"), dataset([0, 1]))


def test_a_network_of_an_older_version_keeps_its_numbers_on_its_own_data():
    data = dataset(range(10), "zyxwvutsrq")  # names that the older version did not know
    own = model(data=TrainedOn("place", data.checksum))
    assert fitted(own, data).class_names == DIGITS
    assert fitted(own, data).checksum == data.checksum
    by_folder = model(config={"data": "/some/place"})
    np.testing.assert_array_equal(fitted(by_folder, data).train_labels, range(10))
    for other in (model(data=TrainedOn("place", "0" * 64)), model(config={"data": "/other"})):
        with pytest.raises(ValueError, match="the classes of the model"):
            fitted(other, data)


def test_a_network_of_an_older_version_with_dead_classes_is_matched():
    data = fitted(model("012345678"), dataset([3, 8, 3]))
    np.testing.assert_array_equal(data.train_labels, [3, 8, 3])
