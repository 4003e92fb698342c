"""Internal coordinates of every frame and bead: lengths, angles, dihedrals, sizes.

Dihedrals follow IUPAC: looking along the middle bond from the second atom to the third, the angle
from the first atom to the fourth is positive clockwise. For the bonds b1, b2, b3 (A. Blondel and
M. Karplus, J. Comput. Chem. 17, 1132 (1996), doi:10.1002/(SICI)1096-987X(19960715)17:9),

    tan(phi) = |b2| b1 . (b2 x b3) / ((b1 x b2) . (b2 x b3)).   (1)

In a periodic cell the displacements are those to the nearest image; they are refused where they are
longer than half the cell, where the nearest image is not the only one.
"""

from __future__ import annotations

import numpy as np

from md_runs.analysis.sampling.frames import check_masses
from md_runs.analysis.structure.periodic_images import checked_cells, nearest_images, plane_spacings
from mlpotential.errors import ConfigError, DataError

NOT_PERIODIC = (False, False, False)


def check_atoms(atoms: np.ndarray, n_together: int, n_atoms: int) -> np.ndarray:
    """Tuples of atoms as [n_tuples, n_together], int. Raises DataError for what they cannot be."""
    kind = {2: "pairs", 3: "triples", 4: "quadruples"}[n_together]
    atoms = np.asarray(atoms)
    if atoms.ndim != 2 or atoms.shape[1] != n_together or len(atoms) == 0:
        raise DataError(f"{kind} must have shape [n_{kind}, {n_together}], not {list(atoms.shape)}")
    if atoms.min() < 0 or atoms.max() >= n_atoms:
        raise DataError(
            f"the {kind} name atoms {atoms.min()} to {atoms.max()}, but the trajectory has "
            f"atoms 0 to {n_atoms - 1}: is it another molecule?"
        )
    if (np.diff(np.sort(atoms, axis=1), axis=1) == 0).any():
        raise DataError(f"an atom is named twice in one of the {kind}")
    return atoms.astype(np.intp)


def displacements(
    positions: np.ndarray,
    pairs: np.ndarray,
    cells: np.ndarray | None = None,
    pbc: tuple[bool, bool, bool] = NOT_PERIODIC,
) -> np.ndarray:
    """Vectors from the first to the second atom of each pair, to the nearest image.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A).
        pairs: [n_pairs, 2].
        cells: lattice vectors as rows, [3, 3] or [n_frames, 3, 3] (A); None for a molecule.
        pbc: periodic directions.

    Returns:
        [n_frames, n_beads, n_pairs, 3] (A).

    Raises:
        DataError: pairs of atoms that are not there; a distance beyond half the cell.
        StructureError: a cell that is flat or thin.
    """
    n_frames, n_beads, n_atoms, _ = positions.shape
    i, j = check_atoms(pairs, 2, n_atoms).T
    # The frames last: gathering atoms then copies whole rows, three times as fast.
    rows = np.ascontiguousarray(
        positions.reshape(n_frames * n_beads, n_atoms, 3).transpose(2, 1, 0)
    )
    vectors = (rows[:, j] - rows[:, i]).transpose(2, 1, 0).reshape(n_frames, n_beads, len(i), 3)
    if cells is None or not any(pbc):
        return vectors
    cells = checked_cells(cells, pbc)
    vectors = nearest_images(vectors, cells, pbc)
    limit = 0.5 * plane_spacings(cells, pbc).min(axis=-1)
    lengths = np.linalg.norm(vectors, axis=-1).max(axis=(1, 2))
    if np.any(lengths > limit):
        frame = int(np.argmax(lengths - limit))
        raise DataError(
            f"a distance of {lengths[frame]:.4g} A is beyond half the cell, "
            f"{np.broadcast_to(limit, lengths.shape)[frame]:.4g} A, where atoms have more than one "
            "image: repeat the cell, or use unwrapped positions without a cell"
        )
    return vectors


def distances(
    positions: np.ndarray,
    pairs: np.ndarray,
    cells: np.ndarray | None = None,
    pbc: tuple[bool, bool, bool] = NOT_PERIODIC,
) -> np.ndarray:
    """Distances of pairs of atoms, [n_frames, n_beads, n_pairs] (A).

    Arguments and errors are those of `displacements`.
    """
    vectors = displacements(positions, pairs, cells, pbc)
    components = np.moveaxis(vectors, -1, 0)
    squares = components[0] ** 2
    for component in components[1:]:
        squares += component**2
    return np.sqrt(squares, out=squares)


def angles(
    positions: np.ndarray,
    triples: np.ndarray,
    cells: np.ndarray | None = None,
    pbc: tuple[bool, bool, bool] = NOT_PERIODIC,
) -> np.ndarray:
    """Angles at the second atom of each triple, 0 to 180, [n_frames, n_beads, n_triples] (degree).

    Raises:
        DataError: as `displacements`; atoms of a triple on one point.
    """
    triples = check_atoms(triples, 3, positions.shape[2])
    first = displacements(positions, triples[:, [1, 0]], cells, pbc)
    second = displacements(positions, triples[:, [1, 2]], cells, pbc)
    sine = np.linalg.norm(np.cross(first, second), axis=-1)
    cosine = np.einsum("...x,...x->...", first, second)
    return _degrees(sine, cosine, "triple")


def dihedrals(
    positions: np.ndarray,
    quadruples: np.ndarray,
    cells: np.ndarray | None = None,
    pbc: tuple[bool, bool, bool] = NOT_PERIODIC,
) -> np.ndarray:
    """Dihedral angles by equation (1), -180 to 180, [n_frames, n_beads, n_quadruples] (degree).

    Raises:
        DataError: as `displacements`; three atoms in a row on one line.
    """
    quadruples = check_atoms(quadruples, 4, positions.shape[2])
    b1, b2, b3 = (displacements(positions, quadruples[:, [k, k + 1]], cells, pbc) for k in range(3))
    normal = np.cross(b2, b3)
    sine = np.linalg.norm(b2, axis=-1) * np.einsum("...x,...x->...", b1, normal)
    cosine = np.einsum("...x,...x->...", np.cross(b1, b2), normal)
    return _degrees(sine, cosine, "quadruple")  # (1)


def radii_of_gyration(positions: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Root of the mass-weighted mean square distance from the center of mass.

    Args:
        positions: of a whole molecule, [n_frames, n_beads, n_atoms, 3] (A).
        masses: [n_atoms] (amu).

    Returns:
        [n_frames, n_beads, 1] (A).

    Raises:
        DataError: if the masses are not those of the atoms.
    """
    check_masses(masses, positions.shape[2])
    weights = np.asarray(masses) / np.sum(masses)
    from_center = positions - np.einsum("a,fbax->fbx", weights, positions)[:, :, None]
    return np.sqrt(np.einsum("a,fbax,fbax->fb", weights, from_center, from_center))[..., None]


def largest_distances(positions: np.ndarray) -> np.ndarray:
    """The largest distance in a molecule, its diameter, [n_frames, n_beads, 1] (A).

    Raises:
        DataError: if there is one atom.
    """
    return distances(positions, every_pair(positions.shape[2])).max(axis=-1, keepdims=True)


def nearest_neighbor_distances(
    positions: np.ndarray,
    n_neighbors: int = 1,
    cells: np.ndarray | None = None,
    pbc: tuple[bool, bool, bool] = NOT_PERIODIC,
) -> np.ndarray:
    """Distances of each atom to its n nearest, in ascending order, whoever they are in each frame.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A).
        n_neighbors: how many of each atom.
        cells: [3, 3] or [n_frames, 3, 3] (A); None for a molecule.
        pbc: periodic directions.

    Returns:
        [n_frames, n_beads, n_atoms, n_neighbors] (A).

    Raises:
        ConfigError: if there are not so many other atoms.
        DataError: if a distance is beyond half the cell.
        StructureError: a cell that is flat or thin.
    """
    n_atoms = positions.shape[2]
    if not 1 <= n_neighbors < n_atoms:
        raise ConfigError(f"{n_atoms} atoms cannot have {n_neighbors} nearest neighbours each")
    vectors = positions[:, :, None] - positions[:, :, :, None]
    limit: np.ndarray | float = np.inf
    if cells is not None and any(pbc):
        cells = checked_cells(cells, pbc)
        shape = vectors.shape
        flat = nearest_images(vectors.reshape(*shape[:2], n_atoms**2, 3), cells, pbc)
        vectors = flat.reshape(shape)
        limit = 0.5 * np.min(plane_spacings(cells, pbc))
    matrix = np.linalg.norm(vectors, axis=-1)
    matrix[..., np.arange(n_atoms), np.arange(n_atoms)] = np.inf
    nearest = np.sort(np.partition(matrix, n_neighbors - 1)[..., :n_neighbors])
    if nearest.max() > limit:
        raise DataError(
            f"a nearest neighbour at {nearest.max():.4g} A is beyond half the cell, {limit:.4g} A: "
            "repeat the cell"
        )
    return nearest


def every_pair(n_atoms: int) -> np.ndarray:
    """Pairs i < j, [n_atoms (n_atoms - 1) / 2, 2]. Raises DataError for one atom."""
    if n_atoms < 2:
        raise DataError("distances in a molecule need at least 2 atoms")
    return np.stack(np.triu_indices(n_atoms, k=1), axis=1)


def _degrees(sine: np.ndarray, cosine: np.ndarray, kind: str) -> np.ndarray:
    """Angles of common multiples of sine and cosine. Raises DataError where both vanish."""
    if np.any((sine == 0) & (cosine == 0)):
        raise DataError(f"a {kind} of atoms has no angle: they lie on one point or on one line")
    return np.degrees(np.arctan2(sine, cosine))
