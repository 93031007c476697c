"""The built-in digits: what they depend on, the frame they share with MNIST, and their cache."""

import hashlib
import os

import numpy as np
import pytest

from mnistcore.data import strokes, synthetic
from mnistcore.data.folder import FILE_NAMES, Arrays, find_files, read_files
from mnistcore.data.idx import idx_sha256
from mnistcore.data.strokes import N_POINTS, STYLES, stroke_tables
from mnistcore.data.synthetic import cached_sha256, load_synthetic, make_digits

SMALL = {"n_train": 700, "n_test": 50, "seed": 3}


@pytest.fixture(scope="module")
def digits():
    return make_digits(5000, seed=0)


@pytest.fixture
def no_drawing(monkeypatch):
    """Digits can come from the cache alone."""

    def refuse(*_):
        raise AssertionError("digits were drawn")

    monkeypatch.setattr(synthetic, "_draw_chunk", refuse)


def assert_equal(one, other):
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right, strict=True)


def test_types_and_shapes(digits):
    images, labels = digits
    assert (images.dtype, images.shape) == (np.uint8, (5000, 28, 28))
    assert (labels.dtype, labels.shape) == (np.int32, (5000,))
    assert images.flags.c_contiguous


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_the_same_for_every_number_of_threads(digits, threads):
    assert_equal(make_digits(5000, 0, threads), digits)


@pytest.mark.parametrize("n", [0, 1, 9, 500, 1234])
def test_the_first_digits_of_more_are_the_same(digits, n):
    assert_equal(make_digits(n, seed=0), (digits[0][:n], digits[1][:n]))


def test_another_seed_gives_other_digits(digits):
    images, labels = make_digits(5000, seed=1)
    assert (labels != digits[1]).mean() > 0.8
    assert not (images == digits[0]).all(axis=(1, 2)).any()


def test_every_run_of_ten_holds_each_digit_once_in_a_random_order(digits):
    runs = digits[1].reshape(-1, 10)
    assert (np.sort(runs, axis=1) == np.arange(10)).all()
    assert len(np.unique(runs, axis=0)) > 490  # of 500, from 10! orders
    at_first = np.bincount(runs[:, 0], minlength=10)
    assert (abs(at_first - 50) < 5 * np.sqrt(50 * 0.9)).all()


def test_no_two_digits_are_equal(digits):
    images = digits[0].reshape(5000, -1)
    assert len({image.tobytes() for image in images}) == 5000


def test_ink_fits_the_box_of_20_pixels(digits):
    ink = digits[0] > 0
    extents = [_extent(ink.any(axis=axis)) for axis in (1, 2)]
    longer = np.maximum(*extents)
    assert longer.max() == 20
    assert (longer == 20).mean() > 0.99
    assert np.minimum(*extents).mean() < 18


@pytest.mark.parametrize("tall", [False, True])
def test_a_line_fills_the_box_and_no_more(tall):
    along = np.linspace(-3, 7, N_POINTS, dtype=np.float32)[:, None]
    radius = np.array([2], np.float32)
    x, y = synthetic._fit_into_box(*(along / 100, along)[:: 1 if tall else -1], radius)
    along, across = (y, x) if tall else (x, y)
    assert (along.min(), along.max()) == pytest.approx((2, 18))
    assert (across.min(), across.max()) == pytest.approx((10, 10), abs=0.1)
    ink = synthetic._ink(x, y, radius, np.full_like(x, 2))[..., 0]
    middle = ink[10] if tall else ink[:, 10]
    np.testing.assert_allclose(middle, [0] * 8 + [1] * 4 + [0] * 8, atol=0.1)


def _extent(has_ink):
    """From the first to the last pixel with ink, of each row."""
    return has_ink.shape[1] - has_ink.argmax(axis=1) - has_ink[:, ::-1].argmax(axis=1)


def test_centre_of_mass_is_the_centre_of_the_image(digits):
    weight = digits[0] / digits[0].sum(axis=(1, 2), keepdims=True)
    row, column = ((weight.sum(axis=axis) @ np.arange(28.0)) for axis in (2, 1))
    for centre in (row, column):
        assert (abs(centre - 14) <= 0.51).mean() > 0.995  # whole pixels: half of one is left
        assert abs(centre.mean() - 14) < 0.05


def test_pixels_are_distributed_as_in_mnist(digits):
    pixels = digits[0] / 255
    assert pixels.mean() == pytest.approx(0.1307, abs=0.01)  # MNIST: 0.1307 and 0.3081
    assert pixels.std() == pytest.approx(0.3081, abs=0.015)
    ink = digits[0][digits[0] > 0]
    assert 0.35 < (ink >= 250).mean() < 0.5  # MNIST: 0.39
    assert len(np.unique(ink)) == 255


def test_labels_belong_to_their_images(digits):
    """The mean image of a class is closest to more than half of the other digits of the class."""
    images, labels = digits[0].reshape(5000, -1) / 255, digits[1]
    means = np.stack([images[:4000][labels[:4000] == digit].mean(axis=0) for digit in range(10)])
    distances = (means**2).sum(axis=1) - 2 * images[4000:] @ means.T
    assert (distances.argmin(axis=1) == labels[4000:]).mean() > 0.55


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((-1, 0), ValueError, "n is -1; it must be at least 0"),
        ((1.5, 0), TypeError, "n is 1.5; it must be an integer"),
        ((10, -1), ValueError, "seed is -1; it must be at least 0"),
        ((10, "0"), TypeError, "seed is '0'; it must be an integer"),
        ((10, None), TypeError, "seed is None"),
        ((10, 0, 0), ValueError, "threads is 0; it must be at least 1"),
        ((10, 0, 2.0), TypeError, "threads is 2.0"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        make_digits(*arguments)


def test_styles_become_paths_through_their_control_points():
    tables = stroke_tables()
    assert len(tables.cumulative) == sum(text.count(":") for text in STYLES)
    np.testing.assert_allclose(tables.curve.sum(axis=2), 1, atol=1e-6)
    for style, has_variant in enumerate(tables.has_variant):
        n_control = np.flatnonzero(tables.curve[style].any(axis=0))[-1] + 1
        for control in tables.control[style, has_variant, :n_control]:
            path = tables.curve[style, :, :n_control] @ control
            assert path.shape == (N_POINTS, 2)
            nearest = np.linalg.norm(control[:, None] - path, axis=2).min(axis=1)
            assert nearest.max() < 0.04


def test_splines_between_their_ends_reproduce_parabolas():
    spline = strokes._spline(5)
    t = np.linspace(0, 4, len(spline))
    inside = (t >= 1) & (t <= 3)
    np.testing.assert_allclose(spline[inside] @ np.arange(5.0) ** 2, t[inside] ** 2, atol=1e-12)
    np.testing.assert_allclose(spline @ np.arange(5.0), t, atol=1e-12)


@pytest.mark.parametrize("digit", range(10))
def test_styles_are_drawn_by_their_weights(digit):
    weights = np.array(
        [float(line.split(":")[0]) for line in STYLES[digit].split("\n") if ":" in line]
    )
    uniform = (np.arange(1000) + 0.5) / 1000
    style = np.searchsorted(stroke_tables().cumulative, digit + uniform, side="right")
    share = np.unique(style, return_counts=True)[1] / 1000
    np.testing.assert_allclose(share, weights / weights.sum(), atol=0.002)


def test_variants_of_a_style_must_have_the_same_strokes(monkeypatch):
    styles = list(STYLES)
    styles[7] = "1.0: an angle\n 0,0 50,0! 50,50\n 0,0 50,0 50,50"
    monkeypatch.setattr("mnistcore.data.strokes.STYLES", styles)
    with pytest.raises(ValueError, match="its variants differ in their strokes"):
        stroke_tables.__wrapped__()


def test_loads_a_training_and_a_test_set(tmp_path):
    loaded = load_synthetic(tmp_path / "new" / "cache", **SMALL)
    assert_equal(loaded[:2], make_digits(700, seed=3))
    assert loaded.test_images.shape == (50, 28, 28)
    assert (loaded.test_labels.dtype, loaded.test_labels.shape) == (np.int32, (50,))
    own = {image.tobytes() for image in loaded.test_images}
    for seed in range(5):
        assert not own & {image.tobytes() for image in make_digits(700, seed)[0]}


def test_sizes_by_default():
    assert load_synthetic.__defaults__ == (60_000, 10_000, 0)


def test_the_cache_serves_them_from_then_on(tmp_path, request):
    made = load_synthetic(tmp_path, **SMALL)
    request.getfixturevalue("no_drawing")
    served = load_synthetic(str(tmp_path), **SMALL)
    assert_equal(served, made)
    assert isinstance(served.train_images.base, np.memmap)
    assert not served.train_images.flags.writeable


@pytest.mark.parametrize("other", [{"n_train": 701}, {"n_test": 49}, {"seed": 4}])
def test_other_digits_are_kept_apart(tmp_path, other):
    first = load_synthetic(tmp_path, **SMALL)
    second = load_synthetic(tmp_path, **(SMALL | other))
    assert any(a.tobytes() != b.tobytes() for a, b in zip(first, second, strict=True))
    assert len(list((tmp_path / "synthetic").iterdir())) == 2


def test_another_version_of_the_program_is_not_served_the_old_digits(tmp_path, monkeypatch):
    load_synthetic(tmp_path, **SMALL)
    monkeypatch.setattr(synthetic, "_version", lambda: "another")
    monkeypatch.setattr(synthetic, "_SLANT_MEAN", -1.0)
    assert_equal(load_synthetic(tmp_path, **SMALL)[:2], make_digits(700, seed=3))


def test_the_version_is_a_hash_of_what_draws(tmp_path, monkeypatch):
    before = synthetic._version()
    edited = tmp_path / "strokes.py"
    edited.write_text("# edited")
    monkeypatch.setattr(strokes, "__file__", str(edited))
    assert synthetic._version() != before


def test_the_sums_of_the_cached_files_are_known(tmp_path, no_drawing, request):
    assert cached_sha256(tmp_path, **SMALL) == ()
    request.getfixturevalue("monkeypatch").undo()
    made = load_synthetic(tmp_path, **SMALL)
    labels = {name: made._asdict()[name].astype(np.uint8) for name in LABELS}
    assert cached_sha256(tmp_path, **SMALL) == tuple(map(idx_sha256, made._replace(**labels)))
    path = next(tmp_path.rglob(FILE_NAMES[1]))
    path.write_bytes(path.read_bytes()[:-1] + b"\x0b")
    assert cached_sha256(tmp_path, **SMALL) == ()


LABELS = ("train_labels", "test_labels")


def test_the_cached_files_are_a_data_set_of_idx_files(tmp_path):
    made = load_synthetic(tmp_path, **SMALL)
    (folder,) = (tmp_path / "synthetic").iterdir()
    for written, array in zip(read_files(find_files(folder)), made, strict=True):
        np.testing.assert_array_equal(written, array)
    sums = dict(line.split()[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILE_NAMES
    }
    assert not list(folder.glob("*.tmp"))


def _flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "emptied": lambda file: file.write_bytes(b""),
    "overwritten": lambda file: file.write_bytes(b"\xff" * 100),
    "a bit": _flip_a_bit,
    "removed": lambda file: file.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", [FILE_NAMES[0], FILE_NAMES[3], "SHA256SUMS"])
def test_a_damaged_cache_is_made_anew(tmp_path, damage, name):
    small = {"n_train": 20, "n_test": 10}
    made = Arrays(*map(np.array, load_synthetic(tmp_path, **small)))
    (file,) = tmp_path.glob(f"synthetic/*/{name}")
    sound = file.read_bytes()
    damage(file)
    if file.exists():
        os.utime(file, (0, 0))  # clocks of file systems tick slowly: this write is a later one
    assert_equal(load_synthetic(tmp_path, **small), made)
    if name in FILE_NAMES:  # without their sums, they are what was noted as verified
        assert file.read_bytes() == sound


def test_a_stop_half_way_leaves_nothing_that_is_served(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(synthetic, "replacing", stop)
        with pytest.raises(KeyboardInterrupt):
            load_synthetic(tmp_path, **SMALL)
    monkeypatch.setattr(synthetic, "_SLANT_MEAN", -1.0)  # so that drawing anew shows
    assert_equal(load_synthetic(tmp_path, **SMALL)[:2], make_digits(700, seed=3))


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    loaded = load_synthetic(tmp_path / "file", **SMALL)
    assert_equal(loaded[:2], make_digits(700, seed=3))


def test_a_full_disk_is_no_error(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mnistcore.data.idx.os.fsync", full)
    loaded = load_synthetic(tmp_path, **SMALL)
    assert_equal(loaded[:2], make_digits(700, seed=3))
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]
