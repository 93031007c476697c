import numpy as np
import pytest

from mnistcore import set_num_threads
from mnistcore.kernels import numpy_kernels
from mnistcore.models.network import Network
from mnistcore.training.adversarial import VirtualAdversary
from mnistcore.training.loop import Trainer
from mnistcore.training.optimizers import make_options, make_state

RADIUS, N, BATCH = 0.5, 30, 8
NETWORK = Network((16, 12, 3))
RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (N, 16)).astype(np.uint8)
LABELS = RNG.integers(0, 3, N).astype(np.int32)


class Spy:
    """The reference backend, which remembers the batches that it trains on."""

    def __init__(self):
        self.batches = []

    def __getattr__(self, name):
        return getattr(numpy_kernels, name)

    def train_steps(self, x, targets, sample_weight, order, rates, layers, options, *others):
        self.batches.append((x.copy(), targets.copy(), order.copy(), options.copy()))
        return numpy_kernels.train_steps(
            x, targets, sample_weight, order, rates, layers, options, *others
        )


def steps(kernels, first, stop, params, network=NETWORK, targets=LABELS, radius=RADIUS, **more):
    """Train steps of one epoch over all samples."""
    options = make_options("sgd", batch_size=BATCH, scale=1 / 255, seed=3, **more)
    state, buffers = make_state(options, params), network.init_buffers()
    adversary = VirtualAdversary(kernels, radius, network, BATCH, len(state))
    metrics = np.zeros(3)
    done = adversary.train_steps(
        X, targets, np.empty(0, np.float32), np.arange(N)[first * BATCH : stop * BATCH],
        np.full(stop - first, 0.1), network.layers(), options, first, params, state, buffers,
        np.empty(0, np.float32), metrics,
    )  # fmt: skip
    return done, metrics


def probabilities(params, x):
    return NETWORK.predict_proba(numpy_kernels, params.astype(float), x.astype(float))


def divergence(p, q):
    return (p * np.log(p / q)).sum(axis=1)


def test_a_batch_has_the_samples_and_their_moved_versions():
    spy, params = Spy(), NETWORK.init(np.random.default_rng(1))
    start = params.copy()
    done, metrics = steps(spy, 0, 4, params, label_smoothing=0.3)
    assert (done, len(spy.batches), metrics[1]) == (4, 4, 2 * N)
    x, targets, order, options = spy.batches[0]
    np.testing.assert_array_equal(order, np.arange(2 * BATCH))
    np.testing.assert_allclose(x[:BATCH], X[:BATCH] / np.float32(255), rtol=1e-6)
    smooth = 0.7 * np.eye(3)[LABELS[:BATCH]] + 0.1
    np.testing.assert_allclose(targets[:BATCH], smooth, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(x[BATCH:] - x[:BATCH], axis=1), RADIUS, rtol=1e-5)
    np.testing.assert_allclose(targets[BATCH:], probabilities(start, x[:BATCH]), rtol=1e-4)
    assert (options["scale"], options["label_smoothing"]) == (1, 0)
    assert len(spy.batches[-1][0]) == 2 * (N % BATCH)


def test_the_movement_changes_the_outputs_more_than_a_random_one():
    spy, params = Spy(), NETWORK.init(np.random.default_rng(1))
    start = params.copy()
    steps(spy, 0, 1, params)
    x = spy.batches[0][0]
    clean, moved = x[:BATCH], x[BATCH:]
    random = np.random.default_rng(2).standard_normal((200, *clean.shape))
    random *= RADIUS / np.linalg.norm(random, axis=2, keepdims=True)
    p = probabilities(start, clean)
    adversarial = divergence(p, probabilities(start, moved))
    others = np.mean([divergence(p, probabilities(start, clean + each)) for each in random], 0)
    assert (adversarial > others).all()
    assert adversarial.mean() > 4 * others.mean()


def test_a_network_that_ignores_its_inputs_is_moved_at_random():
    spy = Spy()
    steps(spy, 0, 1, np.zeros(NETWORK.n_params, np.float32))
    x = spy.batches[0][0]
    moves = x[BATCH:] - x[:BATCH]
    np.testing.assert_allclose(np.linalg.norm(moves, axis=1), RADIUS, rtol=1e-5)
    assert len(np.unique(moves)) > moves.size // 2


def test_the_samples_of_a_confident_network_are_moved_as_far():
    """The squares of its gradients, near 1e-22, are 0 in float32."""
    spy, params = Spy(), NETWORK.init(np.random.default_rng(1))
    for _ in range(400):
        steps(numpy_kernels, 0, 4, params, radius=1e-3)
    params *= 4
    steps(spy, 0, 4, params)
    x = np.concatenate([batch[0][: len(batch[0]) // 2] for batch in spy.batches])
    moved = np.concatenate([batch[0][len(batch[0]) // 2 :] for batch in spy.batches])
    assert probabilities(params, x).max(axis=1).max() == 1
    np.testing.assert_allclose(np.linalg.norm(moved - x, axis=1), RADIUS, rtol=1e-4)


def test_an_epoch_may_be_cut_anywhere(kernels):
    whole, cut = (NETWORK.init(np.random.default_rng(1)) for _ in range(2))
    steps(kernels, 0, 4, whole)
    for first, stop in ((0, 1), (1, 3), (3, 4)):
        steps(kernels, first, stop, cut)
    np.testing.assert_array_equal(whole, cut)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_backends_agree_with_the_reference(kernels, batch_norm):
    network = Network((16, 12, 3), batch_norm=batch_norm)
    results = []
    for backend in (kernels, numpy_kernels):
        results.append(network.init(np.random.default_rng(1)))
        steps(backend, 0, 4, results[-1], network)
    np.testing.assert_allclose(*results, rtol=1e-3, atol=1e-4)


def test_soft_targets_and_a_loss_that_is_not_finite():
    soft = np.eye(3, dtype=np.float32)[LABELS]
    ids, given = (NETWORK.init(np.random.default_rng(1)) for _ in range(2))
    steps(numpy_kernels, 0, 4, ids)
    steps(numpy_kernels, 0, 4, given, targets=soft)
    np.testing.assert_array_equal(ids, given)
    ids[:] = np.nan
    assert steps(numpy_kernels, 0, 4, ids)[0] == 0


def test_the_number_of_threads_changes_nothing(compiled):
    network = Network((16, 700, 500, 3))
    results = []
    for threads in (1, 2):
        set_num_threads(threads)
        results.append(network.init(np.random.default_rng(1)))
        steps(compiled, 0, 4, results[-1], network)
    np.testing.assert_array_equal(*results)


def test_a_trainer_with_a_radius_trains_adversarially():
    spy, params = Spy(), NETWORK.init(np.random.default_rng(1))
    options = make_options("sgd", batch_size=BATCH, scale=1 / 255)
    rates = lambda first, steps: np.full(steps, 0.1)  # noqa: E731
    trainer = Trainer(spy, NETWORK, params, X, LABELS, np.arange(N), options, rates, radius=RADIUS)
    trainer.prepare()
    assert spy.batches == []
    progress, _, _ = trainer.train_epoch(1, lambda progress: None)
    assert (trainer.step, trainer.samples, progress.samples) == (4, N, N)
    assert [len(x) for x, *_ in spy.batches] == [16, 16, 16, 12]
