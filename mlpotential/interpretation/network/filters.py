"""Filters of a SchNet as functions of distance, and cuts through them; factors of a DTNN.

K. T. Schuett, H. E. Sauceda, P.-J. Kindermans, A. Tkatchenko and K.-R. Mueller, J. Chem. Phys. 148,
241722 (2018), doi:10.1063/1.5019779, Fig. 2: what an atom at r receives of feature k of the atom j
and all its images b is multiplied with

    W_k(r) = sum_b W_k(|r - r_j - b|) f_cut(|r - r_j - b|),                              (1)

circles around an atom of a molecule, the pattern of the lattice in a crystal. A DTNN has one
function of distance for all its passes, the factors W^fd d + b^f2 of its Eq. (2); its cutoff ends
what becomes of them, not the factors themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mlpotential.errors import ConfigError, StructureError
from mlpotential.graph import AtomGraph
from mlpotential.models.dtnn import DTNN
from mlpotential.models.potential import Potential
from mlpotential.models.schnet import SchNet
from mlpotential.nn.cutoffs import cosine_cutoff, hard_cutoff

POINTS_AT_ONCE = 100_000  # numbers of a filter network


@dataclass(frozen=True, eq=False)
class FilterCurves:
    """By distance.

    Attributes:
        what: `filter` or `factor`.
        distances: [n_distances] (A).
        values: [n_interactions, n_distances, n_features]; without the cutoff function.
        cutoff_function: what they are multiplied with, [n_distances]; None for 1 everywhere.
        cutoff: of the model (A); None without one.
    """

    what: str
    distances: np.ndarray
    values: np.ndarray
    cutoff_function: np.ndarray | None
    cutoff: float | None

    @property
    def ended(self) -> np.ndarray:
        """With the cutoff function, [n_interactions, n_distances, n_features]."""
        if self.cutoff_function is None:
            return self.values
        return self.values * self.cutoff_function[None, :, None]


@dataclass(frozen=True, eq=False)
class FilterCut:
    """Filters on a square of a plane through an atom.

    Attributes:
        interaction: which, from 0.
        features: which, [n_shown].
        x: coordinates along both edges, from the atom, [n] (A).
        values: [n_shown, n, n], rows along the second direction.
        with_cutoff: whether the cutoff function is in them.
        image_positions: of the atom and its images in the plane, [n_images, 2] (A).
    """

    interaction: int
    features: tuple[int, ...]
    x: np.ndarray
    values: np.ndarray
    with_cutoff: bool
    image_positions: np.ndarray


def filter_curves(potential: Potential, distances: np.ndarray) -> FilterCurves:
    """Of all interactions.

    Args:
        potential: SchNet or DTNN.
        distances: [n_distances] (A).

    Raises:
        ConfigError: for an architecture without filters.
    """
    r = torch.as_tensor(distances, dtype=torch.float64)
    weights = _cutoff_function(potential, r)
    return FilterCurves(
        "filter" if isinstance(potential, SchNet) else "factor",
        distances,
        np.stack([f.numpy() for f in _functions(potential, r)]),
        None if weights is None or isinstance(potential, DTNN) else weights.numpy(),
        potential.cutoff,
    )


@torch.no_grad()
def _functions(potential: Potential, distances: Tensor) -> list[Tensor]:
    """Of one distance, without a cutoff, [n_distances, n_features] each, float64."""
    if not isinstance(potential, SchNet | DTNN):
        raise ConfigError(
            f"{type(potential).__name__} has no filters of distance: give a SchNet (or a DTNN, "
            "which has factors)"
        )
    basis = potential.radial_basis(distances.to(potential.dtype))
    if isinstance(potential, DTNN):
        return [potential.distance_to_factors(basis).double()]
    return [block.filter_network(basis).double() for block in potential.blocks]


def _cutoff_function(potential: Potential, distances: Tensor) -> Tensor | None:
    """[n_distances]; None where there is no cutoff."""
    if potential.cutoff is None:
        return None
    is_hard = getattr(potential.config, "cutoff_function", "cosine") == "hard"
    return (hard_cutoff if is_hard else cosine_cutoff)(distances, potential.cutoff)


def filter_cut(
    potential: Potential,
    structure: AtomGraph,
    atom: int,
    interaction: int,
    features: Sequence[int],
    *,
    width: float = 5.0,
    n_points: int = 101,
    normal: Sequence[float] = (0.0, 0.0, 1.0),
    with_cutoff: bool = True,
) -> FilterCut:
    """Eq. (1) on a square around an atom.

    Without the cutoff function, images within the cutoff are summed as they are.

    Args:
        potential: a SchNet.
        structure: one structure.
        atom: which, from 0; other atoms do not count.
        interaction: which, from 0.
        features: which, from 0.
        width: of the square (A).
        n_points: along an edge.
        normal: of the plane, Cartesian.
        with_cutoff: multiply with the cutoff function.

    Raises:
        ConfigError: for another architecture, an atom, interaction or feature that is not there.
        StructureError: for a periodic structure and a model without cutoff.
    """
    potential = _checked(potential, structure, atom, interaction, features)
    first, second = _plane_axes(np.asarray(normal, np.float64))
    x = np.linspace(-0.5 * width, 0.5 * width, n_points)
    points = x[None, :, None] * first + x[:, None, None] * second
    images = _images(structure, potential.cutoff, width)
    values = np.zeros((n_points, n_points, len(features)))
    for rows in np.array_split(np.arange(n_points), -(-values[..., 0].size // 2_000)):
        r = np.linalg.norm(points[rows][:, :, None] - images, axis=-1)
        values[rows] = _summed(potential, r, interaction, features, with_cutoff)
    in_plane = np.abs(images @ np.cross(first, second)) < 1e-3
    flat = np.stack([images @ first, images @ second], axis=1)[in_plane]
    shown = (np.abs(flat) <= 0.5 * width + 1e-9).all(axis=1)
    return FilterCut(
        interaction, tuple(features), x, values.transpose(2, 0, 1), with_cutoff, flat[shown]
    )


def _checked(
    potential: Potential,
    structure: AtomGraph,
    atom: int,
    interaction: int,
    features: Sequence[int],
) -> SchNet:
    """The model, as a SchNet. Raises as `filter_cut`."""
    if not isinstance(potential, SchNet):
        raise ConfigError(
            f"cuts are drawn of filters of a SchNet, and {type(potential).__name__} has none"
        )
    if structure.cell is not None and potential.cutoff is None:
        raise StructureError(
            "the model has no cutoff, so a sum over the images of an atom has no end: give a "
            "molecule, or a model with a cutoff"
        )
    for name, index, n in (
        ("atom", atom, structure.n_atoms),
        ("interaction", interaction, len(potential.blocks)),
        *(("feature", feature, potential.n_features) for feature in features),
    ):
        if not 0 <= index < n:
            raise ConfigError(f"there is no {name} {index}: there are {n}, from 0")
    return potential


def _summed(
    potential: SchNet, r: np.ndarray, interaction: int, features: Sequence[int], with_cutoff: bool
) -> np.ndarray:
    """sum_b W(r_b), [..., n_features], of distances [..., n_images]."""
    distances = torch.as_tensor(r.reshape(-1))
    cutoff = potential.cutoff
    inside = torch.ones_like(distances) if cutoff is None else hard_cutoff(distances, cutoff)
    weights = _cutoff_function(potential, distances) if with_cutoff else None
    weights = inside if weights is None else weights
    found = torch.zeros(len(distances), len(features), dtype=torch.float64)
    for some in torch.nonzero(inside)[:, 0].split(POINTS_AT_ONCE):
        network = potential.blocks[interaction].filter_network
        with torch.no_grad():
            f = network(potential.radial_basis(distances[some].to(potential.dtype))).double()
        found[some] = f[:, list(features)] * weights[some, None]
    return found.numpy().reshape(*r.shape, len(features)).sum(axis=-2)


def _plane_axes(normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two orthonormal directions in a plane; x and y for the normal z."""
    if not np.linalg.norm(normal) > 0.0:
        raise ConfigError("the normal of a plane must not be zero")
    normal = normal / np.linalg.norm(normal)
    helper = np.eye(3)[0 if abs(normal[0]) < 0.9 else 1]
    first = helper - (helper @ normal) * normal
    first /= np.linalg.norm(first)
    return first, np.cross(normal, first)


def _images(structure: AtomGraph, cutoff: float | None, width: float) -> np.ndarray:
    """Translations of an atom to itself and to images that reach the square, [n_images, 3] (A)."""
    if structure.cell is None or cutoff is None:
        return np.zeros((1, 3))
    cell, pbc = structure.cell[0].numpy(), structure.pbc[0].numpy()
    reach = cutoff + width / np.sqrt(2.0)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    most = np.where(pbc, np.ceil(reach / heights), 0).astype(int)
    shifts = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in most), indexing="ij"), axis=-1)
    vectors = shifts.reshape(-1, 3) @ cell
    return np.asarray(vectors[np.linalg.norm(vectors, axis=1) <= reach])


def most_varying(curves: FilterCurves, interaction: int, n: int) -> list[int]:
    """The features whose filters vary most over the distances, ascending."""
    order = np.argsort(-curves.ended[interaction].std(axis=0), kind="stable")
    return sorted(order[:n].tolist())
