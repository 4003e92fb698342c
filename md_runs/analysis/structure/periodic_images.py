"""Periodic cells of any shape: nearest images, and all images within a distance.

The images of a point repeat in planes; the smallest spacing h between the planes of a cell bounds
what "the nearest image" can mean. Wrapping fractional coordinates to -1/2 ... 1/2 finds the
nearest image whenever it is closer than h / 2, in skewed cells too: an image at distance d has
fractional coordinates of at most d / h. Beyond h / 2 a pair may have several images, and they are
all found here from copies of the atoms around the cell, in a k-d tree.

Directions that are not periodic have no images, and their cell vectors do not matter.
"""

from __future__ import annotations

import numpy as np
import scipy

from mlpotential.errors import ConfigError, DataError, StructureError

SMALLEST_SPACING = 0.5  # A; chosen: atoms do not come closer, and images would be countless
MAX_IMAGES = 5_000_000  # chosen: about 1 GB in the tree


def checked_cells(cells: np.ndarray, pbc: tuple[bool, bool, bool]) -> np.ndarray:
    """Cells whose directions that are not periodic are replaced by normals of length 1.

    Args:
        cells: lattice vectors as rows, [..., 3, 3] (A).
        pbc: periodic directions.

    Raises:
        DataError: wrong shape.
        StructureError: not finite; planes of periodic images closer than `SMALLEST_SPACING`.
    """
    cells = np.array(cells, np.float64)
    if cells.shape[-2:] != (3, 3):
        raise DataError(f"cells must have shape [3, 3] or [n_frames, 3, 3], not {cells.shape}")
    if not np.isfinite(cells).all():
        raise StructureError("the cell is not finite")
    periodic = np.flatnonzero(pbc)
    if 0 < len(periodic) < 3:
        normals = np.linalg.svd(cells[..., periodic, :])[2][..., len(periodic) :, :]
        cells[..., np.flatnonzero(~np.array(pbc)), :] = normals
    with np.errstate(divide="ignore", invalid="ignore"):
        volumes = np.abs(np.linalg.det(cells))
        lengths = np.linalg.norm(cells, axis=-1)
    if periodic.size and not np.all(volumes > 1e-10 * np.maximum(lengths.prod(axis=-1), 1e-300)):
        raise StructureError("the cell is flat: its periodic vectors lie in one plane or vanish")
    spacing = plane_spacings(cells, pbc).min() if periodic.size else np.inf
    if spacing < SMALLEST_SPACING:
        raise StructureError(
            f"the cell is {spacing:.3g} A thin: at least {SMALLEST_SPACING} A are needed. "
            "Are the cell vectors in Angstrom?"
        )
    return cells


def plane_spacings(cells: np.ndarray, pbc: tuple[bool, bool, bool]) -> np.ndarray:
    """Distances between the planes of images, [..., 3] (A); infinite where not periodic."""
    spacings = 1 / np.linalg.norm(np.linalg.inv(cells), axis=-2)
    return np.where(pbc, spacings, np.inf)


def nearest_images(
    displacements: np.ndarray, cells: np.ndarray, pbc: tuple[bool, bool, bool]
) -> np.ndarray:
    """Displacements to the nearest image; right where the result is below half the spacing.

    Args:
        displacements: [n_frames, ..., 3] (A).
        cells: of `checked_cells`, [3, 3] or [n_frames, 3, 3] (A).
        pbc: periodic directions.
    """
    extra = displacements.ndim - 2
    cells = cells if cells.ndim == 2 else cells.reshape(len(cells), *[1] * (extra - 1), 3, 3)
    fractional = displacements @ np.linalg.inv(cells)
    return displacements - np.where(pbc, np.rint(fractional), 0.0) @ cells


def neighbors_within(
    positions: np.ndarray, radius: float, cell: np.ndarray | None, pbc: tuple[bool, bool, bool]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All neighbours of each atom, its own images among them.

    Args:
        positions: [n_atoms, 3] (A).
        radius: (A).
        cell: of `checked_cells`, [3, 3] (A); None where nothing is periodic.
        pbc: periodic directions.

    Returns:
        Atoms i, atoms j that an image within the radius belongs to, distances (A), all
        [n_neighbors]; i, j and j, i both stand there.

    Raises:
        ConfigError: if the radius needs more than `MAX_IMAGES` copies of atoms.
    """
    copies, origins = positions, np.arange(len(positions))
    if cell is not None and any(pbc):
        copies, origins = _copies_around(positions, radius, cell, pbc)
    centers = scipy.spatial.cKDTree(copies[: len(positions)])
    found = centers.sparse_distance_matrix(
        scipy.spatial.cKDTree(copies), radius, output_type="ndarray"
    )
    found = found[found["i"] != found["j"]]  # not itself, but its images
    return found["i"], origins[found["j"]], found["v"]


def _copies_around(
    positions: np.ndarray, radius: float, cell: np.ndarray, pbc: tuple[bool, bool, bool]
) -> tuple[np.ndarray, np.ndarray]:
    """Atoms wrapped into the cell, then their images up to the radius around it, and whose."""
    margins = radius / plane_spacings(cell, pbc)
    n_copies = len(positions) * float(np.prod(1 + 2 * margins))
    if n_copies > MAX_IMAGES:
        raise ConfigError(
            f"a distance of {radius:g} A needs about {n_copies:.2g} images of atoms: ask for less"
        )
    fractional = positions @ np.linalg.inv(cell)
    fractional -= np.where(pbc, np.floor(fractional), 0.0)
    origins = np.arange(len(positions))
    for axis in np.flatnonzero(pbc):
        pieces, whose = [fractional], [origins]
        n_cells = int(np.ceil(margins[axis]))
        for shift in [k for k in range(-n_cells, n_cells + 1) if k]:
            moved = fractional[:, axis] + shift
            is_near = (moved >= -margins[axis]) & (moved <= 1 + margins[axis])
            piece = fractional[is_near]
            piece[:, axis] += shift
            pieces.append(piece)
            whose.append(origins[is_near])
        fractional, origins = np.concatenate(pieces), np.concatenate(whose)
    return fractional @ cell, origins
