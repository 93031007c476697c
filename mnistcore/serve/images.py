"""Images of a request on their way to a network: a picture's file, or pixels as numbers."""

from typing import Any

import numpy as np

from ..models.model import Model
from ..pictures.frame import SIZE
from ..pictures.reader import noun_of
from ..pictures.readings import Reading, as_dict, predict_pictures
from ..system.text import parsed

MOST_IMAGES = 1000
PIXELS = SIZE * SIZE
FULL = 255.0


def read_picture(model: Model, content: bytes) -> Reading:
    """Read the digit in the bytes of a picture's file; raise ValueError if it is none."""
    (reading,) = predict_pictures(model, [content])
    if reading.error:
        raise ValueError(f"the picture {reading.reason}")
    return reading


def reading_dict(reading: Reading) -> dict[str, Any]:
    """Return what ``predict --json`` says of a picture, without its path."""
    answer = as_dict(reading)
    del answer["path"]
    return answer


def read_pixels(body: bytes) -> np.ndarray:
    """Return the images (784,) or (N, 784) float32 in JSON ``{"pixels": ...}``.

    Raises
    ------
    ValueError
        If it is anything else; the message is a sentence for whoever sent it.
    """
    value = read_json(body)
    if set(value) != {"pixels"}:
        raise ValueError('the body must be {"pixels": [...]}, with 784 numbers or lists of them')
    pixels = value["pixels"]
    if not isinstance(pixels, list) or not pixels or not isinstance(pixels[0], list):
        return _image(pixels)
    if len(pixels) > MOST_IMAGES:
        raise ValueError(f"{len(pixels):,} images are too many; send at most {MOST_IMAGES:,}")
    return np.stack([_image(image) for image in pixels])


def read_json(body: bytes) -> dict[str, Any]:
    """Return the object that a body holds in strict JSON, which has no NaN; or raise ValueError."""
    import json

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not a number in JSON")

    try:
        value = parsed(body, lambda text: json.loads(text, parse_constant=refuse))
    except ValueError as error:
        raise ValueError(f"the body is not JSON that can be read ({error})") from None
    if not isinstance(value, dict):
        raise ValueError("the body must be an object in JSON")
    return value


def _image(pixels: object) -> np.ndarray:
    if not isinstance(pixels, list) or len(pixels) != PIXELS:
        got = f"a list of {len(pixels)}" if isinstance(pixels, list) else type(pixels).__name__
        raise ValueError(f"an image is a list of {PIXELS} numbers, row by row; got {got}")
    if not set(map(type, pixels)) <= {int, float}:
        raise ValueError("a pixel is a number from 0 to 255")
    try:
        image = np.array(pixels, np.float32)
    except OverflowError:  # an integer of hundreds of digits
        image = np.full(1, np.inf, np.float32)
    if not (image.min() >= 0 and image.max() <= FULL):
        raise ValueError("a pixel is a number from 0 to 255")
    return image


def prediction(model: Model, chances: np.ndarray) -> dict[str, Any]:
    """Return the digit and the probabilities (C,) of an image, as :func:`reading_dict` does."""
    name, noun = model.class_names[int(chances.argmax())], noun_of(model.class_names)
    return {
        noun: int(name) if noun == "digit" else name,
        "probabilities": [float(chance) for chance in chances],
    }
