"""Several runs at once in one process: on threads of Python, and one within another."""

import threading

import pytest
from small_digits import small_digits

from mnistcore.kernels.blas import limited
from mnistcore.train import TrainConfig, run
from mnistcore.training.records import Listener

pytestmark = pytest.mark.slow

SEEDS = (0, 1, 2)


@pytest.fixture
def dataset(tmp_path):
    return small_digits(tmp_path / "data")


@pytest.fixture
def train(tmp_path, dataset, kernels):
    """A function of a seed and a name for the run, which returns the weights."""

    def trained(seed, name, listener=None):
        config = TrainConfig(
            output=str(tmp_path / f"{name}{seed}"), backend=kernels.NAME, seed=seed, epochs=3,
            hidden=(16, 8), batch_size=50, batch_norm=True, dropout=0.1, augment=True,
        )  # fmt: skip
        return run(config, dataset=dataset, listener=listener).model.params.tobytes()

    return trained


def test_threads_that_train_at_once_come_to_what_each_comes_to_alone(train):
    results = {}

    def store(seed):
        results[seed] = train(seed, "together")

    threads = [threading.Thread(target=store, args=(seed,)) for seed in SEEDS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {seed: train(seed, "alone") for seed in SEEDS}


def test_a_run_within_another(train, kernels):
    class Within(Listener):
        def epoch_done(self, record):
            with limited(kernels.NAME, 1):
                inner.append(train(1, f"within{record.epoch}-"))

    inner = []
    assert train(0, "around", Within()) == train(0, "alone")
    assert inner == [train(1, "alone")] * 3
