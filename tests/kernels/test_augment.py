"""Deformed images: against floating point, against loops, and the backends against each other."""

import functools
import math

import numpy as np
import pytest
from problems import UNCOMPILED

from mnistcore.kernels import deformation, layout, numpy_kernels
from mnistcore.kernels.threads import set_num_threads

NOTHING = dict.fromkeys(layout.Augmentation._fields, 0.0) | {"smoothness": 0.16}
USUAL = {
    "rotation": 15, "shear": 0.15, "scale": 0.15, "shift": 0.07, "elastic": 0.04, "thickness": 0.5,
}  # fmt: skip
STRENGTHS = {
    "none": {},
    "usual": USUAL,
    "largest": {
        "rotation": 90, "shear": 1, "scale": 0.9, "shift": 1, "elastic": 0.5, "smoothness": 0.02,
        "thickness": 1,
    },
    "rotation": {"rotation": 90},
    "elastic": {"elastic": 0.5, "smoothness": 0.05},
    "smooth": {"elastic": 0.1, "smoothness": 1},
    "thickness": {"thickness": 1},
}  # fmt: skip
SIDES = (1, 2, 17) if UNCOMPILED else (1, 2, 3, 4, 15, 16, 17, 27, 28, 33)


def make_options(**strengths):
    options = np.zeros(1, layout.AUGMENTATION_DTYPE)
    for name, value in (NOTHING | strengths).items():
        options[name] = value
    return options


def deform(kernels, images, order, seed=1, epoch=2, **strengths):
    """Return the images whose numbers are in ``order``, deformed; no other may be written."""
    out, order = np.full(images.shape, 77, np.uint8), np.asarray(order, np.int64)
    kernels.augment(images, order, make_options(**strengths), seed, epoch, out)
    assert (np.delete(out, order, axis=0) == 77).all()
    return out[order]


def noise(n, side, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side * side)).astype(np.uint8)


def drawn(sample, n_units=8, seed=1, epoch=2):
    """The random numbers of a sample, in [-1, 1)."""
    bits = layout.random_bits(np.array([sample]), n_units, seed, epoch, layout.AUGMENTATION_LAYER)
    return bits.view(np.int32)[0] / 2**31


@pytest.mark.parametrize("side", SIDES)
def test_strengths_of_zero_leave_an_image_as_it_is(kernels, side):
    images, order = noise(3, side), [2, 0, 1, 1]
    np.testing.assert_array_equal(deform(kernels, images, order), images[order])


@pytest.mark.parametrize("strengths", STRENGTHS.values(), ids=STRENGTHS.keys())
@pytest.mark.parametrize("side", SIDES)
def test_the_bits_are_those_of_the_reference(compiled, side, strengths):
    images = noise(5, side)
    for order in ([], [3], [0, 4, 4, 1, 3, 2, 0]):
        expected = deform(numpy_kernels, images, np.array(order, np.int64), **strengths)
        actual = deform(compiled, images, np.array(order, np.int64), **strengths)
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.slow
@pytest.mark.skipif(UNCOMPILED, reason="too slow where nothing is compiled")
@pytest.mark.parametrize("name", STRENGTHS)
def test_large_images_overflow_nothing(compiled, name):
    actual = deform(compiled, noise(2, 1024), [1], **STRENGTHS[name])
    np.testing.assert_array_equal(actual, _large(name))


@functools.cache
def _large(name):
    """A large image as the reference deforms it, for all backends."""
    return deform(numpy_kernels, noise(2, 1024), [1], **STRENGTHS[name])


def test_the_reference_computes_in_numbers_that_fit_32_bits():
    """The compiled loops do: positions and their parts, in every corner of the largest image."""
    side = 1024
    numbers, _, weights = deformation.plan(make_options(**STRENGTHS["largest"]), side)
    extremes = np.where(np.arange(2**7)[:, None] >> np.arange(7) & 1, -(2**31), 2**31 - 1)
    corners = np.array([0, side - 1])
    for x in deformation._positions(numbers._replace(side=side), extremes):
        assert abs(x[:, corners][:, :, corners]).max() < 2**31 - 2**29
    bent = numbers.elastic * abs(weights).sum(axis=0).max()
    assert bent * 2**layout.WEIGHT_BITS < 2**47
    assert bent < 2**31
    assert (numbers.elastic << layout.WEIGHT_BITS >> numbers.elastic_bits) < 2**29


def test_a_deformation_depends_on_seed_epoch_and_sample_alone(kernels):
    images = np.repeat(noise(1, 28), 70, axis=0)
    images = np.ascontiguousarray(images)
    order = np.random.default_rng(0).permutation(70)
    whole = deform(kernels, images, order, **USUAL)
    for threads in (1, 2, 3):
        set_num_threads(threads)
        np.testing.assert_array_equal(deform(kernels, images, order, **USUAL), whole)
    set_num_threads(0)
    parts = [deform(kernels, images, order[i : i + 9], **USUAL) for i in range(0, 70, 9)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len({row.tobytes() for row in whole}) == 70
    for other in ({"seed": 2}, {"epoch": 3}, {"seed": 1 + 2**31}):
        changed = deform(kernels, images, order, **other, **USUAL)
        assert not (changed == whole).all(axis=1).any()


def test_large_and_negative_seeds_count_modulo_32_bits(kernels):
    images = noise(2, 28)
    one = deform(kernels, images, [1], seed=5, **USUAL)
    for seed in (5 + 2**32, 5 - 2**32, 5 + 2**62):
        np.testing.assert_array_equal(deform(kernels, images, [1], seed=seed, **USUAL), one)


# ---------------------------------------------------------------------------------------------
# What the reference computes, in floating point
# ---------------------------------------------------------------------------------------------

RAMP = 64


def ramps():
    """Two images whose pixels are four times their column, and four times their row."""
    steps = np.tile(np.arange(RAMP, dtype=np.uint8) * 4, (RAMP, 1))
    return np.stack([steps.ravel(), steps.T.ravel()])


def shown_positions(sample, **strengths):
    """The positions x and y that a deformation shows, where they lie inside of the ramp.

    The two ramps stand at the same sample number of two sets, and so are deformed alike.
    """
    for ramp in ramps():
        images = np.tile(ramp, (sample + 1, 1))
        shown = deform(numpy_kernels, images, [sample], **strengths)
        yield shown.reshape(RAMP, RAMP) / 4


@pytest.mark.parametrize("sample", range(6))
def test_the_affine_part_is_rotation_times_shear_times_scale(sample):
    strengths = {"rotation": 40, "shear": 0.3, "scale": 0.3, "shift": 0.1}
    positions = shown_positions(sample, **strengths)
    turned, sheared, widened, heightened, *shifted = drawn(sample)[:6]
    angle = math.radians(40) * turned
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    slant = np.array([[1, 0.3 * sheared], [0, 1]])
    matrix = turn @ slant @ np.diag([1 + 0.3 * widened, 1 + 0.3 * heightened])
    middle = (RAMP - 1) / 2
    places = np.mgrid[:RAMP, :RAMP][::-1].reshape(2, -1) - middle
    expected = matrix @ places + middle + 0.1 * RAMP * np.array(shifted)[:, None]
    seen = ((expected > 1) & (expected < RAMP - 2)).all(axis=0)
    assert seen.mean() > 0.3
    for actual, wanted in zip(positions, expected, strict=True):
        assert abs(actual.ravel() - wanted)[seen].max() < 1 / 8 + 1 / 128  # half a grey level


def test_elastic_displacements_are_as_large_and_as_smooth_as_asked():
    """A Gaussian of width s that smooths noise makes neighbours d apart correlate exp(-d²/4s²)."""
    elastic, smoothness = 0.03, 0.0625
    places = np.mgrid[:RAMP, :RAMP][::-1]
    fields = []
    for sample in range(60):
        positions = shown_positions(sample, elastic=elastic, smoothness=smoothness)
        fields += [p - q for p, q in zip(positions, places, strict=True)]
    fields = np.array(fields)[:, 16:48, 16:48]
    variance = (fields**2).mean()
    assert math.sqrt(variance) == pytest.approx(elastic * RAMP, rel=0.1)
    assert abs(fields.mean()) < 0.2 * math.sqrt(variance)
    for distance in (2, 4, 8):
        wanted = math.exp(-(distance**2) / (4 * (smoothness * RAMP) ** 2))
        for axis in (1, 2):
            first = np.take(fields, range(32 - distance), axis)
            last = np.take(fields, range(distance, 32), axis)
            assert (first * last).mean() / variance == pytest.approx(wanted, abs=0.1)
    halves = fields[0::2], fields[1::2]  # x and y are independent
    assert abs((halves[0] * halves[1]).mean()) < 0.1 * variance


@pytest.mark.parametrize("side", [1, 5, 28])
def test_thickness_moves_pixels_towards_extremes_of_their_neighbours(kernels, side):
    images = noise(12, side)
    shown = deform(kernels, images, range(12), thickness=0.8)
    signs = set()
    for sample, image in enumerate(images.reshape(-1, side, side).astype(int)):
        around = np.pad(image, 1)
        share = 0.8 * drawn(sample)[layout.THICKENED]
        signs.add(share > 0)
        for row in range(side):
            for column in range(side):
                nine = around[row : row + 3, column : column + 3]
                extreme = nine.max() if share > 0 else nine.min()
                wanted = image[row, column] + (extreme - image[row, column]) * abs(share)
                actual = shown[sample].reshape(side, side)[row, column]
                assert abs(actual - wanted) <= 1.5
    assert signs == {True, False}


def test_all_is_zero_around_an_image(kernels):
    """Half of the pixels of a white image shifted by up to its side show what is beside it."""
    images = np.full((40, 28 * 28), 255, np.uint8)
    shown = deform(kernels, images, range(40), shift=1)
    shares = (1 - abs(np.array([drawn(i)[4:6] for i in range(40)]))).prod(axis=1)
    np.testing.assert_allclose(shown.mean(axis=1) / 255, shares, atol=0.002)


# ---------------------------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------------------------

BAD_STRENGTHS = [
    *((name, value) for name in NOTHING for value in (-0.1, math.nan, math.inf)),
    ("rotation", 91), ("shear", 1.1), ("scale", 0.95), ("shift", 1.1), ("elastic", 0.6),
    ("smoothness", 0), ("smoothness", 1.1), ("thickness", 1.1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD_STRENGTHS)
def test_a_strength_out_of_range_is_refused(kernels, name, value):
    with pytest.raises(ValueError, match=rf"^augment: {name} must be in \["):
        deform(kernels, noise(1, 3), [0], **{name: value})


@pytest.mark.parametrize("pixels", [0, 2, 783, 1025**2])
def test_images_that_are_not_square_or_too_large_are_refused(kernels, pixels):
    images = np.zeros((1, pixels), np.uint8)
    with pytest.raises(ValueError, match=rf"squares of 1 to 1024 .* rows of {pixels} pixels"):
        deform(kernels, images, [0])


@pytest.mark.parametrize("order", [[-1], [2], [0, 1, 2]])
def test_an_order_out_of_range_is_refused(kernels, order):
    with pytest.raises(ValueError, match="order must be indices in"):
        deform(kernels, noise(2, 3), order)


def test_float_images_are_refused(kernels):
    images, out = np.zeros((1, 9), np.float32), np.zeros((1, 9), np.uint8)
    with pytest.raises(TypeError, match="images must be uint8, got float32"):
        kernels.augment(images, np.array([0]), make_options(), 0, 0, out)
