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
    images = np.random.default_rng(1).integers(0, 256, (200, *model.input_shape), np.uint8)
    images[0], images[1] = 0, 255
    return images
