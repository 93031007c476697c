"""What holds of a product beyond its values: what is refused."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("a", "b", "out", "error"),
    [
        (np.ones((3, 4)), np.ones((4, 5)), np.ones((3, 5)), TypeError),
        (np.ones((3, 4), "f"), np.ones((3, 5), "f"), np.ones((3, 5), "f"), ValueError),
        (np.ones((3, 4), "f"), np.ones((4, 5), "f"), np.ones((3, 4), "f"), ValueError),
        (np.ones((3, 4), "f"), np.ones((5, 4), "f").T, np.ones((3, 5), "f"), TypeError),
    ],
    ids=["float64", "terms", "columns", "strides"],
)
def test_what_does_not_fit_is_refused(step, a, b, out, error):
    if step.name == "BLAS":  # which converts
        return
    with pytest.raises(error):
        step(a, b, out)
