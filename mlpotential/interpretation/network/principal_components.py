"""Principal components of vectors, by a singular value decomposition.

With the mean m of n vectors and X - m = U S V^T, the rows of V^T are the axes, ordered by

    variance_k = S_k^2 / (n - 1),                                                        (1)

and explained_k = variance_k over the sum of all. The sign of an axis means nothing: here its
component of the largest size is positive, so that equal vectors make equal pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlpotential.errors import DataError


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """The axes along which vectors differ most.

    Attributes:
        mean: [n_features].
        axes: orthonormal rows, [n_components, n_features].
        variances: along the axes, descending, [n_components].
        explained: their parts of the whole variance, [n_components]; zeros where there is none.
    """

    mean: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    explained: np.ndarray

    def coordinates(self, vectors: np.ndarray) -> np.ndarray:
        """Along the axes, about the mean, [n_vectors, n_components]."""
        return np.asarray((vectors - self.mean) @ self.axes.T)


def principal_components(vectors: np.ndarray, n_components: int) -> PrincipalComponents:
    """Of at least two vectors.

    Args:
        vectors: [n_vectors, n_features].
        n_components: of the axes; at most n_features and n_vectors are kept.

    Raises:
        DataError: of less than two vectors, or numbers that are not finite.
    """
    vectors = np.asarray(vectors, np.float64)
    if len(vectors) < 2:
        raise DataError(f"principal components need two vectors or more, not {len(vectors)}")
    if not np.isfinite(vectors).all():
        raise DataError("principal components of numbers that are not finite: is the model lost?")
    mean = vectors.mean(axis=0)
    _, singular_values, axes = np.linalg.svd(vectors - mean, full_matrices=False)
    variances = singular_values**2 / (len(vectors) - 1)  # Eq. (1)
    total = variances.sum()
    explained = variances / total if total > 0.0 else np.zeros_like(variances)
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.where(axes[np.arange(len(axes)), largest] < 0.0, -1.0, 1.0)[:, None]
    return PrincipalComponents(
        mean, axes[:n_components], variances[:n_components], explained[:n_components]
    )
