"""Models and images to try exports on."""

import numpy as np
import pytest
from small_models import MODELS


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


@pytest.fixture
def images(model):
    """200 raw images: noise, and a black and a white one."""
    white = int(model.pixel_max or 255)
    shape = (200, *model.input_shape)
    images = np.random.default_rng(1).integers(0, white + 1, shape, np.uint8)
    images[0], images[1] = 0, white
    return images
