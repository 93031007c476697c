"""Every figure: what it shows is what it was given, on data of many kinds, without pyplot."""

import functools
import io
import math
import string
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from mnistcore import figures
from mnistcore.figures import style
from mnistcore.models.metrics import calibration
from mnistcore.models.model import Model
from mnistcore.models.network import Network
from mnistcore.training.records import EpochRecord

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
PNG = b"\x89PNG\r\n\x1a\n"


def history(epochs, validated=True):
    return [
        EpochRecord(e, 2 / e, 1 - 1 / (e + 1), 2 / e + 0.1 if validated else None,
                    1 - 1 / (e + 1) - 0.1 if validated else None, 0.1 / e, 0.5)
        for e in range(1, epochs + 1)
    ]  # fmt: skip


def samples(n, shape, n_classes):
    images = RNG.integers(0, 256, (n, *shape), np.uint8)
    probabilities = RNG.dirichlet(np.ones(n_classes), n).astype(np.float32)
    return images, (np.arange(n) % n_classes).astype(np.int32), probabilities


def names(n):
    return [str(i) for i in range(n)]


def model(sizes, shape, activation="relu"):
    network = Network(sizes, activation)
    params = network.init(np.random.default_rng(0))
    return Model(network, params, shape, 1 / 255, 0.0, tuple(names(sizes[-1])))


def texts(figure):
    """All that is written in a figure."""
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def draws(figure):
    """Draw a figure, which must not warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert b"<svg" in style.encode(figure, "svg", dpi=40)
    return figure


# ---------------------------------------------------------------------------------------------
# What they show
# ---------------------------------------------------------------------------------------------


def test_learning_curves_show_every_record():
    figure = draws(figures.learning_curves(history(5)))
    loss, accuracy, rate = figure.axes
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [2 / e for e in range(1, 6)])
    np.testing.assert_allclose(loss.lines[1].get_ydata(), [2 / e + 0.1 for e in range(1, 6)])
    np.testing.assert_allclose(
        accuracy.lines[0].get_ydata(), [100 - 100 / (e + 1) for e in range(1, 6)]
    )
    np.testing.assert_allclose(rate.lines[0].get_ydata(), [0.1 / e for e in range(1, 6)])


def test_of_equally_accurate_epochs_the_one_of_lower_loss_is_the_best():
    records = [EpochRecord(e, 1, 0.5, loss, 0.75, 0.1, 1) for e, loss in ((1, 3), (2, 1), (3, 2))]
    assert "best: 75.00 %, epoch 2" in texts(figures.learning_curves(records))


@pytest.mark.parametrize(
    "records",
    [
        [],
        history(1),
        history(3, validated=False),
        history(200),
        [EpochRecord(1, math.nan, math.nan, None, None, math.nan, math.nan)],
        [EpochRecord(1, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0)],
    ],
)
def test_learning_curves_of_any_history(records):
    draws(figures.learning_curves(records))
    draws(figures.compare_learning({"a": records, "b": history(7)}))


def test_the_confusion_matrix_holds_its_counts():
    counts = np.array([[5, 2], [0, 7]])
    figure = draws(figures.confusion_matrix(counts, ["cat", "dog"]))
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), counts)
    assert {"5", "2", "7", "cat", "dog"} <= set(texts(figure))


def test_shares_are_of_the_true_class_and_the_diagonal_can_be_left_out():
    counts = np.array([[6, 2], [0, 0]])
    shares = figures.confusion_matrix(counts, ["a", "b"], normalize=True)
    values = np.ma.filled(shares.axes[0].images[0].get_array().astype(float), np.nan)
    np.testing.assert_array_equal(values, [[75, 25], [np.nan, np.nan]])
    masked = figures.confusion_matrix(counts, ["a", "b"], normalize=True, mask_diagonal=True)
    values = np.ma.filled(masked.axes[0].images[0].get_array().astype(float), np.nan)
    np.testing.assert_array_equal(values, [[np.nan, 25], [np.nan, np.nan]])
    assert "75.0" not in texts(masked)


@pytest.mark.parametrize("n", [1, 2, 26, 130])
@pytest.mark.parametrize("options", [{}, {"normalize": True, "mask_diagonal": True}])
def test_confusion_of_any_number_of_classes(n, options):
    draws(figures.confusion_matrix(np.eye(n, dtype=int) * 3, names(n), **options))
    draws(figures.confusion_matrix(np.zeros((n, n), int), ["a long name"] * n, **options))


def test_the_reliability_diagram_shows_the_bins():
    result = calibration(np.array([0.1, 0.6, 0.7, 0.95]), np.array([1, 0, 1, 1], bool), 5)
    figure = draws(figures.reliability_diagram(result))
    bars = [bar.get_height() for bar in figure.axes[0].patches]
    assert bars[:4] == pytest.approx([1, 0, 1, 1])
    assert bars[4:] == pytest.approx([0.1 - 1, 0.6, 0.7 - 1, 0.95 - 1])
    assert f"Expected calibration error {100 * result.expected_error:.2f} %" in texts(figure)
    draws(figures.reliability_diagram(calibration(np.zeros(0), np.zeros(0, bool))))


def test_a_gallery_says_what_is_and_what_was_read():
    images, labels, _ = samples(3, (4, 4), 3)
    probabilities = np.array([[0.9, 0.1, 0], [0.7, 0.2, 0.1], [0, 0.00001, 0.99999]])
    figure = draws(
        figures.predictions_gallery(images, labels, probabilities, ["cat", "dog", "owl"], [7, 8, 9])
    )
    shown = texts(figure)
    assert [text for text in shown if text.startswith("is ")] == ["is cat", "is dog", "is owl"]
    assert [text for text in shown if text.startswith("no. ")] == ["no. 7", "no. 8", "no. 9"]
    assert {"90.0 %", "70.0 %", ">99.9 %", "<0.1 %", "0.0 %"} <= set(shown)
    drawn = [image.get_array() for image in figure.axes[0].images]
    np.testing.assert_array_equal(drawn, images)


def test_only_mistakes_are_in_their_gallery_the_most_confident_first():
    images, labels, probabilities = samples(50, (3, 3), 4)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    order = wrong[np.argsort(-probabilities[wrong].max(axis=1))][:6]
    figure = figures.mistakes_gallery(images, labels, probabilities, names(4), most=6)
    shown = [text for text in texts(figure) if text.startswith("no. ")]
    assert shown == [f"no. {row}" for row in order]


def test_a_gallery_without_images_and_one_that_does_not_fit():
    images, labels, probabilities = samples(4, (3, 3), 2)
    right = probabilities.argmax(axis=1)
    draws(figures.mistakes_gallery(images, right, probabilities, names(2)))
    with pytest.raises(ValueError, match="do not fit"):
        figures.predictions_gallery(images, labels[:2], probabilities, names(2))


def test_the_class_distribution_counts():
    splits = {
        "training": np.array([0, 0, 1]),
        "validation": np.empty(0, int),
        "test": np.array([1]),
    }
    figure = draws(figures.class_distribution(splits, ["a", "b", "c"]))
    numbers, shares = figure.axes[:2]
    assert [bar.get_height() for bar in numbers.patches] == [2, 1, 0, 0, 1, 0]
    assert [bar.get_height() for bar in shares.patches] == pytest.approx(
        [200 / 3, 100 / 3, 0, 0, 100, 0]
    )


def test_a_sample_sheet_has_a_row_a_class():
    images = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    figure = draws(figures.sample_sheet(images, np.array([0, 1, 0, 1, 0, 1]), "ab", per_class=4))
    sheet = np.ma.filled(figure.axes[0].images[0].get_array().astype(float), np.nan)
    top, bottom = sheet[: len(sheet) // 2], sheet[len(sheet) // 2 :]
    assert set(top[np.isfinite(top)]) == {0, 2, 4}
    assert set(bottom[np.isfinite(bottom)]) == {1, 3, 5}


def test_deformations_stand_beside_their_image():
    images = np.array([[[10, 20], [30, 40]], [[50, 60], [70, 80]]], np.uint8)
    deformed = np.stack([images + 1, images + 2, images + 3], axis=1)
    figure = draws(figures.deformations(images, deformed))
    (axes,) = figure.axes
    sheet = np.ma.filled(axes.images[0].get_array().astype(float), np.nan)
    first, last = (row[np.isfinite(row)] for row in sheet[[0, -1]])
    np.testing.assert_array_equal(first, [10, 20, 11, 21, 12, 22, 13, 23])
    np.testing.assert_array_equal(last, [70, 80, 71, 81, 72, 82, 73, 83])
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["image", "epoch 1", "epoch 2", "epoch 3"]
    columns = (axes.get_xticks() - 0.5).astype(int)
    np.testing.assert_array_equal(sheet[0, columns], [10, 11, 12, 13])


def test_pixel_statistics_are_those_of_numpy():
    images = RNG.integers(0, 256, (2500, 3, 5), np.uint8)
    figure = draws(figures.pixel_statistics(images))
    mean, std, histogram = figure.axes[:3]
    np.testing.assert_allclose(mean.images[0].get_array(), images.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(std.images[0].get_array(), images.std(axis=0), rtol=1e-9)
    assert sum(histogram.lines[0].get_ydata()) == pytest.approx(100)


def test_saliency_has_a_scale_for_each_image():
    images, gradients = RNG.integers(0, 256, (3, 4, 5), np.uint8), RNG.normal(size=(3, 4, 5))
    gradients[1] = 0
    figure = draws(figures.saliency(images, gradients))
    shown = [axes.images[0] for axes in figure.axes]
    assert len(shown) == 6
    np.testing.assert_array_equal(shown[2].get_array(), images[2])
    for image, gradient in zip(shown[3:], gradients, strict=True):
        np.testing.assert_array_equal(image.get_array(), gradient)
        reach = np.abs(gradient).max() or 1.0
        assert (image.norm.vmin, image.norm.vmax) == (-reach, reach)
    draws(figures.saliency(images[:0], gradients[:0]))
    draws(figures.saliency(images.reshape(3, 20), gradients.reshape(3, 20)))
    with pytest.raises(ValueError, match="do not fit"):
        figures.saliency(images, gradients[:2])


def test_preprocessing_shows_what_the_network_gets():
    image = RNG.integers(0, 256, (4, 6), np.uint8)
    figure = draws(figures.preprocessing(image, 0.01, -0.4))
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), image * 0.01 - 0.4, rtol=1e-5)
    assert "Fed: pixel * 0.01000 - 0.4000" in texts(figure)
    draws(figures.preprocessing(np.zeros((1, 1), np.uint8), 1 / 255, 0.0))


def test_weights_are_drawn_as_images_on_a_symmetric_scale():
    made = model((12, 5, 2), (3, 4))
    image = figures.first_layer_weights(made).axes[0].images[0]
    sheet = np.ma.filled(image.get_array(), np.nan)
    first = made.network.views(made.params)[0][0][:, 0].reshape(3, 4)
    np.testing.assert_array_equal(sheet[:3, :4], first)
    assert image.norm.vmin == -image.norm.vmax


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ((784, 200, 10), (28, 28)),
        ((9, 3), (9,)),
        ((7, 3), (7,)),
        ((12, 1), (2, 2, 3)),
        ((1, 1), (1, 1)),
    ],
)
def test_weights_of_any_shape(sizes, shape):
    draws(figures.first_layer_weights(model(sizes, shape)))
    made = model(sizes, shape)
    made.params[:] = 0
    draws(figures.first_layer_weights(made))


def test_hidden_activations_are_means_by_class():
    layer = np.array([[1.0, 0], [3, 0], [10, 0]])
    figure = draws(figures.hidden_activations([layer], np.array([0, 0, 1]), "abc"))
    means = np.ma.filled(figure.axes[0].images[0].get_array().astype(float), np.nan)
    np.testing.assert_array_equal(means, [[2, 0], [10, 0], [np.nan, np.nan]])
    assert "1 unit never changes" in texts(figure)
    assert "50 % are 0" in texts(figure)
    draws(figures.hidden_activations([], np.array([0]), "a"))
    draws(figures.hidden_activations([RNG.normal(size=(9, 300))] * 2, np.arange(9) % 3, "abc"))


@pytest.mark.parametrize("values", [(0.5, 0.50000006), (0, 1e-45), (-3e38, 3e38)])
def test_hidden_activations_at_the_limits_of_float32(values):
    layer = RNG.choice(np.array(values, np.float32), (50, 6))
    draws(figures.hidden_activations([layer], np.arange(50) % 3, "abc"))
    draws(figures.hidden_projection(layer, np.arange(50) % 3, "abc"))


@pytest.mark.parametrize("n_classes", [1, 3, 26])
def test_a_projection_names_every_class_once(n_classes):
    labels = np.arange(60) % n_classes
    shown = names(n_classes) if n_classes < 26 else [f"class {i}" for i in range(26)]
    figure = draws(figures.hidden_projection(RNG.normal(size=(60, 5)), labels, shown))
    assert [text.get_text() for text in figure.axes[0].texts] == shown


def test_a_projection_of_one_unit_and_of_equal_points():
    draws(figures.hidden_projection(RNG.normal(size=(5, 1)), np.arange(5) % 2, "ab"))
    draws(figures.hidden_projection(np.ones((5, 3)), np.arange(5) % 2, "ab"))


def test_runs_are_compared_the_best_on_top():
    figure = draws(
        figures.compare_accuracy(
            {"a": 0.9, "b": 0.95, "c": 0.5},
            {"a": (0.89, 0.91), "b": (0.94, 0.96), "c": (0.4, 0.6)},
        )
    )
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["c", "a", "b"]
    draws(figures.compare_learning({f"run {i}": history(3) for i in range(13)}))
    draws(figures.compare_learning({"a": history(1), "b": history(100), "c": []}))


# ---------------------------------------------------------------------------------------------
# How they look and behave
# ---------------------------------------------------------------------------------------------


def test_names_are_drawn_as_they_stand():
    names = ["$x^2$", "a_b$", r"$\frac{$", "$" * 3, "\ud800", "ü字\x01", "x" * 300]
    n = len(names)
    draws(figures.confusion_matrix(np.eye(n, dtype=int), names))
    draws(figures.compare_accuracy(dict.fromkeys(names, 0.5), dict.fromkeys(names, (0.4, 0.6))))
    draws(figures.compare_learning({name: history(2) for name in names}))
    images, labels, probabilities = samples(n, (2, 2), n)
    draws(figures.predictions_gallery(images, labels, probabilities, names))
    draws(figures.hidden_projection(RNG.normal(size=(2 * n, 2)), np.arange(2 * n) % n, names))


def test_equal_figures_make_equal_files():
    for kind in ("png", "svg"):
        first, second = (style.encode(figures.learning_curves(history(3)), kind) for _ in range(2))
        assert first == second


def test_a_notebook_shows_a_figure():
    figure = figures.learning_curves(history(2))
    content, size = figure._repr_png_()
    assert content.startswith(PNG)
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (2 * size["width"], pytest.approx(2 * size["height"], abs=1))


def test_figures_are_drawn_in_threads_and_leave_the_settings_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    files = []

    def draw():
        files.append(style.encode(figures.learning_curves(history(4)), "svg"))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(files) == 4
    assert len(set(files)) == 1
    assert dict(matplotlib.rcParams) == before


def test_pyplot_is_not_needed():
    code = (
        "import sys; from mnistcore import figures; from mnistcore.figures import style\n"
        "style.encode(figures.learning_curves([]), 'png')\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_baselines_are_ordered_by_their_errors():
    figure = draws(
        figures.compare_baselines(
            ["b", "a", "c"], [0.1, 0.02, 0.5], [1, 20, 300], [False, True, False]
        )
    )
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b", "c"]
    values = [[line.get_xdata()[0] for line in axes.lines] for axes in figure.axes]
    assert values == [[2, 10, 50], [20, 1, 300]]
    assert {"2", "10", "50", "20", "1", "300"} <= set(texts(figure))


# ---------------------------------------------------------------------------------------------
# Whether they can be read
# ---------------------------------------------------------------------------------------------

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker",
           "Bag", "Ankle boot")  # fmt: skip
CLASSES = {
    "two": ("3", "8"),
    "fashion": FASHION,
    "letters": tuple(f"letter {c}" for c in string.ascii_uppercase),
    "balanced": tuple(string.digits + string.ascii_uppercase + "abdefghnqrt"),  # EMNIST
}


@functools.cache
def of_classes(class_names):
    """Every figure that shows classes, by its name."""
    n = len(class_names)
    images, labels, probabilities = samples(8 * n, (4, 4), n)
    confusion = np.zeros((n, n), int)
    np.add.at(confusion, (labels, probabilities.argmax(axis=1)), 700)
    layer = RNG.normal(size=(len(labels), 20)) + 2 * RNG.normal(size=(n, 20))[labels]
    hits = probabilities.argmax(axis=1) == labels
    numbers = np.arange(len(labels)) + 10_000
    return {
        "confusion": figures.confusion_matrix(confusion, class_names),
        "mistakes": figures.mistakes_gallery(
            images, labels, probabilities, class_names, numbers, 12
        ),
        "classes": figures.class_distribution({"training": labels, "test": labels}, class_names),
        "activations": figures.hidden_activations([np.maximum(layer, 0)], labels, class_names),
        "projection": figures.hidden_projection(layer, labels, class_names),
        "reliability": figures.reliability_diagram(calibration(probabilities.max(axis=1), hits)),
        "pixels": figures.pixel_statistics(images),
    }


def boxes(figure):
    """What is written in a figure and where, in inches."""
    from unittest import mock

    from matplotlib.text import Text

    drawn = []  # a locator also makes ticks outside the axes, which are not drawn
    draw = Text.draw

    def recorded(text, renderer, *arguments, **settings):
        drawn.append(text)
        return draw(text, renderer, *arguments, **settings)

    figure.draw_without_rendering()  # finds the layout, once
    figure.set_layout_engine("none")
    with mock.patch.object(Text, "draw", recorded):
        figure.draw_without_rendering()
    to_inches = figure.dpi_scale_trans.inverted()
    return [
        (text.get_text(), text.get_window_extent().transformed(to_inches))
        for text in dict.fromkeys(drawn)
        if text.get_text().strip()
    ]


def overlapping(written):
    return [
        (a, b)
        for i, (a, one) in enumerate(written)
        for b, other in written[:i]
        if min(one.x1, other.x1) - max(one.x0, other.x0) > 0.02
        and min(one.y1, other.y1) - max(one.y0, other.y0) > 0.02
    ]


@pytest.mark.parametrize("class_names", CLASSES.values(), ids=CLASSES)
def test_texts_lie_inside_the_figure_and_apart_for_any_classes(class_names):
    for name, figure in of_classes(class_names).items():
        written = boxes(figure)
        width, height = figure.get_size_inches()
        outside = [
            text
            for text, box in written
            if box.x0 < -0.02 or box.y0 < -0.02 or box.x1 > width + 0.02 or box.y1 > height + 0.02
        ]
        assert outside == [], name
        assert overlapping(written) == [], name


@pytest.mark.parametrize("class_names", CLASSES.values(), ids=CLASSES)
def test_every_class_is_named(class_names):
    drawn = of_classes(class_names)
    for name in ("confusion", "classes", "activations", "projection"):
        assert set(class_names) <= set(texts(drawn[name])), name


def test_no_bar_stands_on_a_logarithmic_axis():
    drawn = [
        *of_classes(FASHION).values(),
        figures.hidden_activations([RNG.exponential(size=(500, 9)) ** 3], np.zeros(500, int), "a"),
        figures.compare_baselines(["a", "b"], [0.1, 0.5], [1, 20], [True, False]),
        figures.learning_curves(history(9)),
    ]
    on_logarithmic = [
        axes for f in drawn for axes in f.axes if "log" in (axes.get_xscale(), axes.get_yscale())
    ]
    assert len(on_logarithmic) >= 4
    assert not [axes for axes in on_logarithmic if axes.patches or axes.containers]


@pytest.mark.parametrize(
    ("units", "columns"), [(10, 5), (32, 8), (64, 8), (50, 10), (2, 2), (7, 7)]
)
def test_weights_stand_in_whole_rows(units, columns):
    sheet = figures.first_layer_weights(model((16, units, 2), (4, 4))).axes[0].images[0].get_array()
    gap = 1
    assert sheet.shape == (units // columns * (4 + gap) - gap, columns * (4 + gap) - gap)


def test_the_rise_of_overfitting_is_not_flattened_by_the_training_loss():
    losses = [0.5, 0.4, 0.45, 0.5]
    records = [EpochRecord(e, 10.0**-e, 1, x, 0.9, 0.1, 1) for e, x in enumerate(losses, 1)]
    loss = figures.learning_curves(records).axes[0]
    low, high = loss.transData.transform([(1, 0.4), (1, 0.5)])[:, 1]
    assert high - low > 0.08 * loss.bbox.height
