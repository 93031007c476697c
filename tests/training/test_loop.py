import dataclasses
import math

import numpy as np
import pytest

from mnistcore.kernels import numpy_kernels
from mnistcore.kernels.layout import AVERAGE_EVERY
from mnistcore.models.inference import Evaluation, evaluate, logits_of
from mnistcore.models.network import Network
from mnistcore.training.fit import fit
from mnistcore.training.loop import Trainer
from mnistcore.training.optimizers import make_options
from mnistcore.training.records import Listener, NonFiniteLossError

N, BATCH = 100, 8
STEPS = math.ceil(N / BATCH)


class Recorder(Listener):
    """Remembers what it is told."""

    def __init__(self):
        self.slices, self.records = [], []

    def slice_done(self, progress):
        self.slices.append(progress)

    def epoch_done(self, record):
        self.records.append(record)


class Spy:
    """The reference backend, which remembers the arguments of ``train_steps``."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return getattr(numpy_kernels, name)

    def train_steps(self, *arguments):
        self.calls.append([np.copy(a) if isinstance(a, np.ndarray) else a for a in arguments])
        self.x = arguments[0]
        return numpy_kernels.train_steps(*arguments)


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, N, np.int32)
    x = rng.integers(0, 100, (N, 5), np.uint8)
    x[np.arange(N), targets] += 100
    return x, targets


def make_trainer(
    samples,
    kernels=numpy_kernels,
    rate=0.1,
    indices=None,
    activation="tanh",
    batch_size=BATCH,
    batch_norm=False,
    ema_decay=0.0,
    **settings,
):
    x, targets = samples
    network = Network((5, 7, 3), activation, batch_norm=batch_norm)
    params = network.init(np.random.default_rng(1))
    options = make_options(
        "sgd", batch_size=batch_size, momentum=0.5, scale=1 / 255, seed=4, ema_decay=ema_decay
    )
    indices = np.arange(N) if indices is None else indices
    rates = lambda first, steps: np.full(steps, rate)  # noqa: E731
    return Trainer(kernels, network, params, x, targets, indices, options, rates, **settings)


def scores(*accuracies):
    """A validation that gives these accuracies in turn, all with the same loss."""
    values = iter(accuracies)
    return lambda: Evaluation(1.0, next(values), np.empty(0))


def test_slices_give_the_bits_of_a_whole_epoch(samples, monkeypatch):
    whole = make_trainer(samples)
    whole._slice_steps = STEPS
    whole.train_epoch(1, lambda progress: None)
    monkeypatch.setattr("mnistcore.training.loop.SLICE_SECONDS", 0.0)  # a step at a time
    recorder = Recorder()
    sliced = make_trainer(samples)
    sliced.train_epoch(1, recorder.slice_done)
    assert len(recorder.slices) == STEPS
    np.testing.assert_array_equal(whole.params, sliced.params)
    assert whole.step == sliced.step == STEPS


def test_slices_grow_from_a_single_step(samples, monkeypatch):
    monkeypatch.setattr("mnistcore.training.loop.SLICE_SECONDS", 1e9)
    recorder = Recorder()
    make_trainer(samples).train_epoch(1, recorder.slice_done)
    assert [p.samples_done for p in recorder.slices] == [8, 40, 100]


def test_the_order_of_an_epoch_is_a_function_of_seed_and_epoch(samples):
    indices = np.arange(10, 70)
    spy = Spy()
    trainer = make_trainer(samples, spy, indices=indices)
    trainer.train_epoch(3, lambda progress: None)
    order = np.concatenate([call[3] for call in spy.calls])
    np.testing.assert_array_equal(
        order, indices[np.random.default_rng([4, 3]).permutation(len(indices))]
    )
    assert {int(call[6]["epoch"][0]) for call in spy.calls} == {3}


def test_steps_count_on_from_slice_to_slice_and_epoch_to_epoch(samples):
    spy = Spy()
    trainer = make_trainer(samples, spy)
    for epoch in (1, 2):
        trainer.train_epoch(epoch, lambda progress: None)
    firsts = [call[7] for call in spy.calls]
    lengths = [len(call[4]) for call in spy.calls]
    np.testing.assert_array_equal(firsts, np.cumsum([0, *lengths[:-1]]))
    assert (trainer.step, trainer.samples) == (2 * STEPS, 2 * N)


def test_images_are_not_copied(samples):
    spy = Spy()
    make_trainer(samples, spy).train_epoch(1, lambda progress: None)
    assert spy.x is samples[0]


def test_read_only_samples_are_enough(samples):
    for array in samples:
        array.flags.writeable = False
    assert make_trainer(samples).train_epoch(1, lambda progress: None)


def test_a_batch_beyond_the_samples_is_all_of_them(samples, kernels):
    trainer = make_trainer(samples, kernels, batch_size=10**9)
    trainer.train_epoch(1, lambda progress: None)
    assert (trainer.step, trainer.samples) == (1, N)


def test_preparing_trains_nothing(samples, kernels):
    trainer = make_trainer(samples, kernels)
    before = trainer.params.copy()
    trainer.prepare()
    np.testing.assert_array_equal(trainer.params, before)
    assert trainer.step == 0


def test_progress_ends_at_the_means_of_the_epoch(samples):
    recorder = Recorder()
    outcome = fit(make_trainer(samples), 2, listener=recorder)
    last = [p for p in recorder.slices if p.samples_done == N]
    assert [p.epoch for p in last] == [1, 2]
    for progress, record in zip(last, outcome.history, strict=True):
        assert (progress.loss, progress.accuracy) == (record.train_loss, record.train_accuracy)
    assert recorder.records == outcome.history


def test_loss_and_accuracy_are_those_of_one_epoch(samples):
    """With a single batch, they are those of the weights that the epoch begins with."""
    trainer, network = make_trainer(samples, rate=1.0, batch_size=N), Network((5, 7, 3), "tanh")
    before = []

    def validate():
        before.append(evaluate(numpy_kernels, network, trainer.params, *samples, 1 / 255))
        return before[-1]

    first, *later = fit(trainer, 4, validate).history
    assert later[-1].train_loss < 0.9 * first.train_loss
    for record, evaluation in zip(later, before, strict=False):
        assert record.train_loss == pytest.approx(evaluation.loss, rel=1e-5)
        assert record.train_accuracy == pytest.approx(evaluation.accuracy)


def test_training_learns_and_validation_sees_it(samples):
    x, targets = samples
    trainer = make_trainer(samples, rate=0.3)
    network = Network((5, 7, 3), "tanh")

    def validate():
        return evaluate(numpy_kernels, network, trainer.params, x, targets, 1 / 255)

    outcome = fit(trainer, 30, validate)
    assert outcome.history[-1].validation_accuracy > 0.95
    assert outcome.history[-1].validation_loss < outcome.history[0].validation_loss
    assert outcome.ending == "finished"


def test_without_patience_the_last_weights_are_kept(samples):
    trainer = make_trainer(samples)
    outcome = fit(trainer, 3, scores(0.9, 0.8, 0.7))
    assert (outcome.ending, outcome.best_epoch) == ("finished", 1)
    np.testing.assert_array_equal(outcome.params, trainer.params)
    assert trainer.step == 3 * STEPS


def test_a_fit_with_batch_normalisation_keeps_folded_weights(samples):
    trainer = make_trainer(samples, batch_norm=True)
    seen = []

    def validate():
        seen.append(trainer.inference_params().copy())
        return Evaluation(1.0, (0.5, 0.9, 0.8)[len(seen) - 1], np.empty(0))

    outcome = fit(trainer, 3, validate, patience=5)
    plain = Network((5, 7, 3), "tanh")
    assert outcome.params.shape == (plain.n_params,)
    assert outcome.params.tobytes() == seen[1].tobytes() != seen[2].tobytes()
    logits = plain.forward(numpy_kernels, outcome.params, samples[0], 1 / 255)
    assert (logits.argmax(axis=1) == samples[1]).mean() > 0.9


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_fit_with_an_average_of_the_weights_keeps_the_average(samples, batch_norm):
    trainer = make_trainer(samples, batch_norm=batch_norm, batch_size=4, ema_decay=0.5)
    start, network = trainer.params.copy(), Network((5, 7, 3), "tanh", batch_norm=batch_norm)
    np.testing.assert_array_equal(
        trainer.inference_params(), network.folded(start, network.init_buffers())
    )
    outcome = fit(trainer, 2)
    assert trainer.step >= AVERAGE_EVERY
    params = trainer._state[-1], trainer.params
    x, buffers = samples[0] * np.float32(1 / 255), network.init_buffers()

    def folded(params):
        own = network.statistics(numpy_kernels, params, x, 1e-5) if batch_norm else buffers
        return network.folded(params, own)

    average, latest = map(folded, params)
    np.testing.assert_allclose(outcome.params, average, atol=1e-5)
    assert np.abs(outcome.params - latest).max() > 1e-3
    if batch_norm:  # not with the running statistics, which are of the weights on the way
        stale = network.folded(params[0], trainer._buffers)
        assert np.abs(outcome.params - stale).max() > 1e-3
    logits = network.plain.forward(numpy_kernels, outcome.params, samples[0], 1 / 255)
    assert (logits.argmax(axis=1) == samples[1]).mean() > 0.9


def test_the_statistics_of_an_average_are_of_random_images_the_same_each_time(samples, monkeypatch):
    monkeypatch.setattr("mnistcore.training.loop._SAMPLED", 34)
    indices = np.arange(5, N)
    trainer = make_trainer(samples, indices=indices, batch_norm=True, batch_size=4, ema_decay=0.5)
    fit(trainer, 1)
    network, average = Network((5, 7, 3), "tanh", batch_norm=True), trainer._state[-1]
    rows = np.random.default_rng(4).permutation(indices)[:34]  # 4 is the seed of the options
    assert len(set(samples[1][rows])) == 3
    x = samples[0][rows] * np.float32(1 / 255)
    expected = network.folded(average, network.statistics(numpy_kernels, average, x, 1e-5))
    np.testing.assert_allclose(trainer.inference_params(), expected, atol=1e-5)


def test_an_average_that_has_not_moved_yet_is_not_kept(samples):
    trainer = make_trainer(samples, batch_size=N, ema_decay=0.99)
    fit(trainer, AVERAGE_EVERY - 1)
    np.testing.assert_array_equal(trainer.inference_params(), trainer.params)
    assert np.abs(trainer._state[-1] - trainer.params).max() > 1e-3


def test_patience_stops_and_restores_the_best_weights(samples):
    best = fit(make_trainer(samples), 2).params
    outcome = fit(make_trainer(samples), 9, scores(0.5, 0.9, 0.8, 0.9, 0.7), patience=2)
    assert outcome.ending == "stopped early"
    assert len(outcome.history) == 4
    assert outcome.best_epoch == 2
    np.testing.assert_array_equal(outcome.params, best)


def test_patience_restores_the_best_weights_also_when_it_does_not_stop(samples):
    best = fit(make_trainer(samples), 2).params
    outcome = fit(make_trainer(samples), 3, scores(0.5, 0.9, 0.8), patience=5)
    assert outcome.ending == "finished"
    np.testing.assert_array_equal(outcome.params, best)


def test_the_lower_loss_decides_between_equal_accuracies(samples):
    losses = iter([0.5, 0.4, 0.45])
    outcome = fit(make_trainer(samples), 3, lambda: Evaluation(next(losses), 0.9, np.empty(0)))
    assert outcome.best_epoch == 2


class Interrupted:
    """A check that raises KeyboardInterrupt at its n-th call."""

    def __init__(self, n):
        self.left = n

    def __call__(self):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_an_interrupt_in_the_first_epoch_keeps_the_latest_weights(samples, monkeypatch):
    monkeypatch.setattr("mnistcore.training.loop.SLICE_SECONDS", 0.0)
    trainer = make_trainer(samples, check=Interrupted(4))
    outcome = fit(trainer, 3, scores(0.5))
    assert (outcome.ending, outcome.history, trainer.step) == ("interrupted", [], 3)
    np.testing.assert_array_equal(outcome.params, trainer.params)


def test_an_interrupt_later_keeps_the_best_weights(samples, monkeypatch):
    monkeypatch.setattr("mnistcore.training.loop.SLICE_SECONDS", 0.0)
    best = fit(make_trainer(samples), 1).params
    trainer = make_trainer(samples, check=Interrupted(2 * STEPS + 3))
    outcome = fit(trainer, 3, scores(0.9, 0.8, 0.7))
    assert (outcome.ending, outcome.best_epoch, len(outcome.history)) == ("interrupted", 1, 2)
    np.testing.assert_array_equal(outcome.params, best)


def test_an_interrupt_while_validating_ends_the_fit(samples):
    def validate():
        raise KeyboardInterrupt

    outcome = fit(make_trainer(samples), 3, validate)
    assert (outcome.ending, outcome.history) == ("interrupted", [])


def test_an_interrupt_in_the_middle_of_a_slice_is_passed_on(samples, monkeypatch):
    """The weights there are those of no step: a second Ctrl-C is like a kill."""
    trainer = make_trainer(samples)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "_train_steps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(trainer, 3)


def test_weights_that_the_last_step_made_infinite_are_a_diverged_run(samples):
    """No loss comes after it, and without validation nothing else would tell."""
    trainer = make_trainer(samples, batch_size=N, rate=1e39)
    start = trainer.params.copy()
    with np.errstate(all="ignore"):
        outcome = fit(trainer, 1)
    assert (trainer.step, outcome.ending) == (1, "diverged")
    assert "the weights are not finite after the last step" in outcome.message
    np.testing.assert_array_equal(outcome.params, start)


def test_a_loss_that_is_not_finite_stops_before_its_update(samples, kernels):
    trainer = make_trainer(samples, kernels, rate=1e25, activation="identity")
    with pytest.raises(NonFiniteLossError, match=r"no longer finite at step .* lower learning"):
        trainer.train_epoch(1, lambda progress: None)
    assert trainer.step < STEPS


@pytest.mark.parametrize("rate", [1e25, 1e38])
def test_what_is_kept_of_a_diverged_run_is_finite(samples, kernels, rate):
    outcome = fit(make_trainer(samples, kernels, rate=rate, activation="identity"), 3)
    assert outcome.ending == "diverged"
    assert "lower learning rate" in outcome.message
    assert np.isfinite(outcome.params).all()


def test_a_diverged_run_keeps_its_best_weights(samples):
    best = fit(make_trainer(samples), 1).params
    losses = iter([0.5, math.nan])
    outcome = fit(make_trainer(samples), 3, lambda: Evaluation(next(losses), 0.9, np.empty(0)))
    assert (outcome.ending, outcome.best_epoch) == ("diverged", 1)
    assert "validation loss is not finite after epoch 2" in outcome.message
    np.testing.assert_array_equal(outcome.params, best)


def test_what_a_listener_raises_is_raised(samples):
    class Pruner(Listener):
        def epoch_done(self, record):
            raise LookupError("pruned")

    with pytest.raises(LookupError, match="pruned"):
        fit(make_trainer(samples), 3, listener=Pruner())


def test_time_in_training_is_the_sum_over_the_epochs(samples):
    trainer = make_trainer(samples)
    outcome = fit(trainer, 3)
    assert trainer.seconds == pytest.approx(sum(r.seconds for r in outcome.history))
    assert all(math.isfinite(v) for r in outcome.history for v in dataclasses.astuple(r) if v)


def test_logits_in_parts_are_the_logits(monkeypatch, samples, kernels):
    network = Network((5, 7, 3), "tanh")
    params = network.init(np.random.default_rng(1))
    whole = network.forward(kernels, params, samples[0], 1 / 255)
    monkeypatch.setattr("mnistcore.models.inference.PART", 33)
    parts = logits_of(kernels, network, params, samples[0], 1 / 255)
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-6)


def test_an_evaluation_is_its_metrics(samples):
    x, targets = samples
    network = Network((5, 7, 3), "tanh")
    params = network.init(np.random.default_rng(1))
    result = evaluate(numpy_kernels, network, params, x, targets, 1 / 255)
    predictions = network.predict(numpy_kernels, params, x, 1 / 255)
    assert result.accuracy == np.mean(predictions == targets)
    assert result.confusion.trace() == np.sum(predictions == targets)
    assert result.confusion.sum() == N
