import numpy as np
import pytest

from mnistcore.figures.projection import principal_components


def test_points_on_a_line_have_one_component():
    along = np.array([-3.0, -1, 0, 4])
    x = 5 + along[:, None] * np.array([0.6, 0.8])
    points, shares = principal_components(x)
    np.testing.assert_allclose(points[:, 0], along, atol=1e-12)
    np.testing.assert_allclose(points[:, 1], 0, atol=1e-12)
    np.testing.assert_allclose(shares, [1, 0], atol=1e-12)


def test_components_are_the_eigenvectors_of_the_covariance():
    x = np.random.default_rng(0).normal(size=(50, 6)) * np.arange(1, 7)
    points, shares = principal_components(x, 3)
    values = np.sort(np.linalg.eigvalsh(np.cov(x.T)))[::-1]
    np.testing.assert_allclose(points.var(axis=0, ddof=1), values[:3], rtol=1e-10)
    np.testing.assert_allclose(shares, values[:3] / values.sum(), rtol=1e-10)
    np.testing.assert_allclose(np.corrcoef(points.T), np.eye(3), atol=1e-10)


@pytest.mark.parametrize("x", [np.ones((4, 3)), np.ones((1, 3)), np.zeros((0, 3)), np.ones((3, 1))])
def test_where_nothing_varies_all_is_zero(x):
    points, shares = principal_components(x)
    np.testing.assert_array_equal(points, np.zeros((len(x), 2)))
    np.testing.assert_array_equal(shares, [0, 0])


def test_what_is_no_matrix_is_refused():
    with pytest.raises(ValueError, match=r"x must be \(N, D\)"):
        principal_components(np.zeros(3))
    with pytest.raises(ValueError, match="n_components positive"):
        principal_components(np.zeros((3, 2)), 0)
