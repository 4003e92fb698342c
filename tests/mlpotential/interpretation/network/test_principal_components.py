"""Principal components against eigenvectors of the covariance matrix."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mlpotential.errors import DataError
from mlpotential.interpretation.network.principal_components import principal_components


def test_axes_are_eigenvectors_of_the_covariance(rng):
    vectors = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6)) + 3.0
    found = principal_components(vectors, 4)
    eigenvalues, eigenvectors = np.linalg.eigh(np.cov(vectors.T))
    assert_allclose(found.variances, eigenvalues[::-1][:4], rtol=1e-10)
    assert_allclose(found.explained, eigenvalues[::-1][:4] / eigenvalues.sum(), rtol=1e-10)
    overlaps = np.abs(np.sum(found.axes * eigenvectors.T[::-1][:4], axis=1))
    assert_allclose(overlaps, 1.0, rtol=1e-9)
    at = found.coordinates(vectors)
    assert_allclose(np.cov(at.T), np.diag(found.variances), atol=1e-9 * found.variances[0])
    assert_allclose(at.mean(axis=0), 0.0, atol=1e-12 * found.variances[0])


def test_signs_do_not_depend_on_the_order(rng):
    vectors = rng.normal(size=(9, 3))
    assert_allclose(
        principal_components(vectors, 3).axes, principal_components(vectors[::-1], 3).axes,
        rtol=1e-8,
    )  # fmt: skip


def test_equal_vectors_have_no_variance():
    found = principal_components(np.ones((3, 2)), 2)
    assert_allclose(found.explained, 0.0)
    with pytest.raises(DataError, match="two vectors or more, not 1"):
        principal_components(np.ones((1, 2)), 2)
    with pytest.raises(DataError, match="not finite"):
        principal_components(np.array([[1.0, np.nan], [0.0, 0.0]]), 2)
