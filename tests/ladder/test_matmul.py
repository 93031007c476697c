"""What holds of a product beyond its values: bounds, NaN, and what is refused."""

import numpy as np
import pytest
from tolerances import assert_product_close

pytestmark = pytest.mark.slow


def test_within_the_bound_on_any_numbers(step):
    rng = np.random.default_rng(1)

    def draw(*shape):
        return (rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4, shape)).astype(np.float32)

    a, b = draw(21, 150), draw(150, 70)
    out = np.full((21, 70), np.nan, np.float32)
    step(a, b, out)
    assert_product_close(out, a, b)


def test_nan_goes_where_it_belongs(step):
    """Zeros that fill a tile up must not meet it: 0 times NaN is NaN."""
    a, b = np.ones((6, 5), np.float32), np.ones((5, 35), np.float32)
    a[5, 4] = np.nan
    b[4, 34] = np.inf
    out = np.zeros((6, 35), np.float32)
    step(a, b, out)
    assert np.isnan(out[5]).all()
    assert (out[:5, :34] == 5).all()
    assert (out[:5, 34] == np.inf).all()


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
