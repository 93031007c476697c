"""The ladder of a training step: what its shapes leave out."""

import numpy as np

from mnistcore.ladder.images import draw_images
from mnistcore.ladder.verify import mistake


def test_a_partial_last_batch_and_a_rate_for_each_step(step, ladder):
    drawn = ladder.draw((3, 60, 7), np.random.default_rng(0))
    drawn = drawn._replace(order=drawn.order[:16], learning_rates=np.array([0.1, 0.0, 0.3]))
    before = [np.copy(argument) for argument in drawn]
    result = step(*drawn)
    assert mistake(ladder, before, drawn, result) is None


def test_metrics_are_running_sums(step, ladder):
    drawn = ladder.draw((2, 60, 7), np.random.default_rng(0))
    drawn.metrics[:] = 100.0
    before = [np.copy(argument) for argument in drawn]
    result = step(*drawn)
    assert mistake(ladder, before, drawn, result) is None


def test_images_are_as_sparse_as_those_of_mnist():
    images = draw_images(500, 784, np.random.default_rng(0))
    assert 0.17 < np.count_nonzero(images) / images.size < 0.22
    ends = np.count_nonzero(np.diff(images > 0, axis=1)) / 500
    assert 40 < ends < 90  # of runs, in an image
