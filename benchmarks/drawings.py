"""How well networks read drawn and printed digits unlike those of MNIST and the built-in digits.

python -m benchmarks.drawings                # beside MNIST's validation images
python -m benchmarks.drawings --split test   # beside its test images, once, for the final figures
python -m benchmarks.drawings --runs RUN     # a network that is trained already

The drawings are polylines that were written down by hand, among them the 1 with a flag that most
of Europe writes and that is rare in MNIST. They share no code with the built-in digits (no smooth
curves, another pen), but the longer flags of the built-in 1s were added after drawings of this
module had been misread. The printed digits are those of matplotlib's fonts, whose 1 has a flag.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from mnistcore.evaluate import EvaluateConfig
from mnistcore.evaluate import run as evaluate
from mnistcore.models.checkpoint import load
from mnistcore.predict import predict_pictures
from mnistcore.train import TrainConfig
from mnistcore.train import run as train

Pictures = dict[str, tuple[list[np.ndarray], list[int]]]  # ink and digits by the name of the set

# Strokes of points in tenths of a box that is as high as the digit; y points downwards.
SHAPES: dict[str, list[list[tuple[float, float]]]] = {
    "1, a line": [[(5, 0), (5, 10)]],
    "1, short flag": [[(3.4, 2), (5, 0), (5, 10)]],
    "1, long flag": [[(1.6, 3.6), (5, 0), (5, 10)]],
    "1, very long flag": [[(0.6, 5.2), (5, 0), (5, 10)]],
    "1, flag and foot": [[(2.6, 2.4), (5, 0), (5, 10)], [(2.6, 10), (7.4, 10)]],
    "1, long flag, wide foot": [[(1.4, 3.8), (5, 0), (5, 10)], [(1.6, 10), (8.4, 10)]],
    "0, eight corners": [
        [(3, 0), (1, 3), (1, 7), (3, 10), (5.4, 10), (7, 7), (7, 3), (5, 0), (3, 0)],
    ],
    "2, straight": [[(1, 2.4), (2.6, 0.4), (5, 0), (6.8, 1.6), (6.4, 4), (1, 10), (7.2, 10)]],
    "3, two bows": [
        [(1, 1), (3, 0), (5.6, 0.4), (6.4, 2.4), (5.2, 4.4), (3, 4.8), (5.6, 5.2), (6.8, 7.4),
         (5.6, 9.6), (3, 10), (1, 9)],
    ],
    "4, open": [[(2.4, 0), (1, 5.8), (7, 5.8)], [(5.4, 2.6), (5, 10)]],
    "4, closed": [[(5.4, 10), (5.4, 0), (0.8, 6.6), (7.4, 6.6)]],
    "5, two strokes": [
        [(2, 0), (1.6, 4.4), (4.4, 3.8), (6.6, 5.6), (6.4, 8.4), (4.2, 10), (1, 9.2)],
        [(2, 0), (6.6, 0)],
    ],
    "6, round": [
        [(5.8, 0.4), (3, 2.4), (1.2, 6), (1.8, 9), (4, 10), (6.2, 8.8), (6, 6.4), (4, 5.4),
         (1.6, 6.8)],
    ],
    "7, plain": [[(1, 0), (7, 0), (3.4, 10)]],
    "7, with a bar": [[(1, 0), (7, 0), (3.4, 10)], [(2.6, 5), (6.8, 5)]],
    "7, with a serif": [[(1, 1.8), (1, 0), (7, 0), (3.2, 10)]],
    "8, crossed": [
        [(5.8, 1.4), (4, 0), (2, 1.2), (2.4, 3.6), (6, 6.6), (6.2, 9), (4, 10), (1.6, 8.8),
         (2, 6.4), (5.6, 3.6), (5.8, 1.4)],
    ],
    "9, straight leg": [
        [(6.2, 2), (4.6, 0.2), (2.2, 0.6), (1.2, 2.8), (2.4, 4.8), (4.8, 4.8), (6.2, 2), (6, 10)],
    ],
    "9, bent leg": [
        [(6.2, 2.4), (4.4, 0), (2, 0.8), (1.4, 3.2), (3, 5), (5.4, 4.2), (6.2, 2.4), (5.8, 7.6),
         (4, 10), (1.6, 9.4)],
    ],
}  # fmt: skip


def drawn(rng: np.random.Generator, shape: str, length: int = 160) -> np.ndarray:
    """A shape as one person draws it, (H, W) ink from 0 to 1: displaced points, slant, tremor."""
    pen = np.exp(rng.uniform(np.log(0.04), np.log(0.13))) * length
    lean, wide, turn = rng.normal(0.08, 0.12), np.exp(rng.normal(0, 0.15)), rng.normal(0, 0.06)
    cos, sin = np.cos(turn), np.sin(turn)
    side = 4 * length
    image = Image.new("L", (side, side))
    draw = ImageDraw.Draw(image)
    for stroke in SHAPES[shape]:
        points = np.array(stroke, float) / 10 - (0.4, 0.5)
        points += rng.normal(0, 0.022, points.shape)
        points[:, 0] = wide * points[:, 0] - lean * points[:, 1]
        points = points @ np.array([[cos, sin], [-sin, cos]])
        for x, y in _unsteady(rng, points, length) * length + side / 2:
            half = pen / 2
            draw.ellipse((x - half, y - half, x + half, y + half), fill=255)
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(1))) / 255
    rows, columns = (np.flatnonzero(soft.max(axis=axis) > 0.3) for axis in (1, 0))
    return np.pad(soft[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], length // 3)


def _unsteady(rng: np.random.Generator, points: np.ndarray, length: int) -> np.ndarray:
    """Points one pixel apart along a polyline, with a slowly varying tremor."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    at = np.linspace(0, along[-1], max(2, int(along[-1] * length)))
    path = np.stack([np.interp(at, along, points[:, i]) for i in (0, 1)], axis=1)
    knots = np.linspace(0, along[-1], max(3, int(8 * along[-1])))
    tremor = rng.normal(0, 0.008, (len(knots), 2))
    return path + np.stack([np.interp(at, knots, tremor[:, i]) for i in (0, 1)], axis=1)


def printed(font: Path, digit: int, lean: float) -> np.ndarray:
    """A digit of a font, (H, W) ink from 0 to 1."""
    image = Image.new("L", (320, 320))
    text = ImageFont.truetype(str(font), 160)
    ImageDraw.Draw(image).text((160, 160), str(digit), fill=255, font=text, anchor="mm")
    data = (1, lean, -lean * 160, 0, 1, 0)
    leaning = image.transform(image.size, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    return np.asarray(leaning) / 255


def fonts() -> list[Path]:
    """Files of some of matplotlib's fonts that have all digits."""
    import matplotlib

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    plain = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif", "STIXGeneral")
    return [folder / f"{name}.ttf" for name in plain]


def pictures(hands: int) -> Pictures:
    """Ink and digits by the name of the set: flagged 1s, all other drawings, print."""
    rng = np.random.default_rng(5)
    drawings = [(shape, drawn(rng, shape)) for shape in SHAPES for _ in range(hands)]
    flagged = [ink for shape, ink in drawings if "flag" in shape]
    others = [(ink, int(shape[0])) for shape, ink in drawings if "flag" not in shape]
    print_ = [
        (printed(font, digit, lean), digit)
        for font in fonts() for digit in range(10) for lean in (0.0, 0.2)
    ]  # fmt: skip
    return {
        "flagged 1s": (flagged, [1] * len(flagged)),
        "other drawings": ([ink for ink, _ in others], [digit for _, digit in others]),
        "print": ([ink for ink, _ in print_], [digit for _, digit in print_]),
    }


def measured(name: str, run: str, split: str, sets: Pictures) -> str:
    """A line on a trained network: how well it reads a split of its own data, and the sets."""
    own = evaluate(run, EvaluateConfig(split=split)).accuracy
    words = [f"{name}: {split} {own:.2%}"]
    model = load(run)
    for of, (inks, digits) in sets.items():
        read = [reading.digit for reading in predict_pictures(model, [1 - ink for ink in inks])]
        right = sum(a == b for a, b in zip(read, digits, strict=True))
        words.append(f"{of} {right} of {len(digits)}")
    return ", ".join(words)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drawings", description=__doc__)
    parser.add_argument("--data", nargs="+", default=["mnist", "mnist+synthetic"])
    parser.add_argument("--runs", nargs="+", help="measure these runs instead of training some")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--hands", type=int, default=30, help="drawings of each shape")
    parser.add_argument("--split", default="validation", choices=("validation", "test"))
    arguments = parser.parse_args(argv)
    sets = pictures(arguments.hands)
    if arguments.runs:
        for run in arguments.runs:
            print(measured(run, run, arguments.split, sets), flush=True)
        return 0
    for data in arguments.data:
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as folder:
                output = str(Path(folder, "run"))
                train(TrainConfig(data=data, backend=arguments.backend, seed=seed, output=output))
                print(measured(f"{data}, seed {seed}", output, arguments.split, sets), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
