import numpy as np
import pytest

from mnistcore.kernels import numpy_kernels
from mnistcore.kernels.layout import Augmentation
from mnistcore.models.network import Network
from mnistcore.training.augmentation import (
    STRENGTHS,
    TEST_STRENGTHS,
    Augmenter,
    check_images,
    faded,
    make_augmentation,
    versions_of,
)
from mnistcore.training.loop import Trainer
from mnistcore.training.optimizers import make_options

SIDE, N = 9, 60


@pytest.fixture
def x():
    return np.random.default_rng(0).integers(0, 256, (N, SIDE * SIDE)).astype(np.uint8)


def make_trainer(x, kernels=numpy_kernels, targets=None, **settings):
    network = Network((x.shape[1], 6, 3), "relu", 0.3)
    params = network.init(np.random.default_rng(1))
    options = make_options("adam", batch_size=7, scale=1 / 255, seed=4)
    targets = (np.arange(N) % 3).astype(np.int32) if targets is None else targets
    indices = np.arange(5, N)
    rates = lambda first, steps: np.full(steps, 0.01)  # noqa: E731
    return Trainer(kernels, network, params, x, targets, indices, options, rates, **settings)


def fading(epoch):
    return faded(make_augmentation(), 1, epoch, 3)


class Spy:
    """The reference backend, which remembers what ``train_steps`` trains on."""

    def __init__(self):
        self.seen = []

    def __getattr__(self, name):
        return getattr(numpy_kernels, name)

    def train_steps(self, x, targets, sample_weight, order, *arguments):
        self.seen.append((x[order].copy(), order.copy()))
        return numpy_kernels.train_steps(x, targets, sample_weight, order, *arguments)


def test_strengths_are_those_asked_for():
    options = make_augmentation(rotation=3, thickness=0)
    assert (options["rotation"], options["thickness"]) == (3, 0)
    assert options["elastic"] == make_augmentation()["elastic"] > 0
    assert options.dtype.names == Augmentation._fields
    with pytest.raises(ValueError, match="augment has no strength turn; known: rotation, shear"):
        make_augmentation(turn=3)


@pytest.mark.parametrize(
    ("factor", "strengths", "words"),
    [
        (1, {"rotation": 200}, r"rotation must be in \[0, 90\], got 200"),
        (1, {"elastic": float("nan")}, r"elastic must be in \[0, 0.5\], got nan"),
        (1, {"smoothness": 0}, r"smoothness must be in \[0.02, 1\], got 0"),
        (-1, {}, r"rotation must be in \[0, 90\], got -10"),
        (float("inf"), {}, r"rotation must be in \[0, 90\], got inf"),
    ],
)
def test_a_strength_out_of_range_is_refused(factor, strengths, words):
    with pytest.raises(ValueError, match=words):
        make_augmentation(factor, **strengths)


def test_strengths_fade_to_none_in_the_last_epochs():
    usual = make_augmentation()
    for epoch, left in ((1, 1), (6, 1), (7, 0.75), (8, 0.5), (10, 0)):
        options = faded(usual, 0.4, epoch, 10)
        assert options["smoothness"] == usual["smoothness"]
        for name in set(Augmentation._fields) - {"smoothness"}:
            assert options[name] == pytest.approx(left * usual[name])
    assert faded(usual, 0, 10, 10) == usual
    assert faded(usual, 1, 1, 1)["rotation"] == 0


def test_a_factor_multiplies_what_moves_pixels():
    usual, double = make_augmentation()[0], make_augmentation(2, shear=0.1)[0]
    for name in ("rotation", "scale", "shift", "elastic"):
        assert double[name] == 2 * usual[name] > 0
    assert double["shear"] == 0.1
    assert (double["smoothness"], double["thickness"]) == (usual["smoothness"], usual["thickness"])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((3, 6, 5), np.uint8), "square images of up to 1024 pixels a side; .* are 6 x 5"),
        (np.zeros((3, 36), np.uint8), "these are 36"),
        (np.zeros((3, 5, 5, 3), np.uint8), "these are 5 x 5 x 3"),
        (np.zeros((0, 1025, 1025), np.uint8), "these are 1025 x 1025"),
        (np.zeros((3, 6, 6), np.float32), r"8-bit pixels \(uint8\); .* are float32"),
    ],
    ids=str,
)
def test_images_that_cannot_be_deformed_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        check_images(images)


def test_an_augmenter_deforms_the_samples_that_it_is_given(x, kernels):
    original, strengths = x.copy(), make_augmentation()
    augment = Augmenter(kernels, x, lambda epoch: strengths if epoch == 3 else None)
    options = make_options(seed=5)
    options["epoch"] = 3
    samples = np.array([7, 2, 59])
    expected = np.zeros_like(x)
    numpy_kernels.augment(x, samples, strengths, 5, 3, expected)
    np.testing.assert_array_equal(augment(options, samples)[samples], expected[samples])
    np.testing.assert_array_equal(x, original)


def test_every_epoch_trains_on_new_images_with_their_own_numbers(x):
    """Numbers stay, so that targets, weights and the masks of dropout are those of the samples."""
    spy = Spy()
    trainer = make_trainer(x, spy, strengths=fading)
    for epoch in (1, 2):
        trainer.train_epoch(epoch, lambda progress: None)
    rows, order = map(np.concatenate, zip(*spy.seen, strict=True))
    for epoch, first in ((1, 0), (2, N - 5)):
        samples = order[first : first + N - 5]
        assert sorted(samples) == list(range(5, N))
        expected = np.zeros_like(x)
        numpy_kernels.augment(x, samples, fading(epoch), 4, epoch, expected)
        np.testing.assert_array_equal(rows[first : first + N - 5], expected[samples])


def test_slices_change_nothing(x, monkeypatch):
    trained = []
    for seconds in (0.0, 1e9):  # a step at a time, and ever more of them
        monkeypatch.setattr("mnistcore.training.loop.SLICE_SECONDS", seconds)
        trainer = make_trainer(x, strengths=fading)
        trainer.train_epoch(1, lambda progress: None)
        trained.append(trainer.params)
    np.testing.assert_array_equal(*trained)


def test_targets_of_deformed_images_are_written_batch_by_batch(x, monkeypatch):
    """So a target may depend on the rest of its batch, as BLAS rounds, and not on slices."""
    trained = []
    for seconds in (0.0, 1e9):
        monkeypatch.setattr("mnistcore.training.loop.SLICE_SECONDS", seconds)
        targets, spy, batches = np.zeros((N, 3), np.float32), Spy(), []

        def retarget(x, samples, targets=targets, batches=batches):
            batches.append((x[samples], samples))
            share = x[samples].mean() / 255
            targets[samples] = share, 0.0, 1.0 - share

        trainer = make_trainer(x, spy, targets, strengths=fading, retarget=retarget)
        trainer.train_epoch(1, lambda progress: None)
        assert {len(samples) for _, samples in batches} == {7, (N - 5) % 7}
        seen, written = (
            [np.concatenate(parts) for parts in zip(*calls, strict=True)]
            for calls in (spy.seen, batches)
        )
        np.testing.assert_array_equal(seen[0], written[0])
        np.testing.assert_array_equal(seen[1], written[1])
        trained.append(trainer.params)
    np.testing.assert_array_equal(*trained)


def test_strengths_of_zero_train_as_without(x, kernels):
    nothing = make_augmentation(**dict.fromkeys(Augmentation._fields, 0) | {"smoothness": 1})
    trained = []
    for strengths in (None, lambda _: nothing):
        trainer = make_trainer(x, kernels, strengths=strengths)
        trainer.prepare()
        trainer.train_epoch(1, lambda progress: None)
        trained.append(trainer.params)
    np.testing.assert_array_equal(*trained)


@pytest.mark.parametrize("strengths", [TEST_STRENGTHS, STRENGTHS._replace(rotation=3.0)])
def test_versions_are_the_images_and_deformations_that_depend_on_seed_and_number(
    x, kernels, strengths
):
    images, samples = x.reshape(N, SIDE, SIDE), np.array([3, 50])
    first, *others = versions_of(kernels, images, samples, 4, 2, strengths)
    np.testing.assert_array_equal(first, images[samples])
    assert len(others) == 3
    out = np.empty_like(x)
    for epoch, version in enumerate(others, 1):
        options = make_augmentation(**strengths._asdict())
        numpy_kernels.augment(x, np.arange(N), options, 2, epoch, out)
        np.testing.assert_array_equal(version, out[samples].reshape(2, SIDE, SIDE))
        assert (version != first).any(axis=(1, 2)).all()


def test_images_that_cannot_be_deformed_have_one_version(x):
    images = x.reshape(N, SIDE, SIDE).astype(np.float32)
    (only,) = versions_of(numpy_kernels, images, np.arange(N), 1)
    np.testing.assert_array_equal(only, images)
    with pytest.raises(ValueError, match="test-time augmentation deforms 8-bit pixels"):
        next(versions_of(numpy_kernels, images, np.arange(N), 2))
