"""Fields on surfaces and in planes, ready to be stored and drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.geometry import get_distances

from mlpotential.graph import cell_heights
from mlpotential.interpretation.fields.planes import Plane, PlaneGrid
from mlpotential.interpretation.fields.surfaces import Surface

NEAR_PLANE = 1.2  # A; chosen: atoms farther away are not drawn in a cut
MARGIN = 2.5  # A; chosen: of a cut around the atoms
CRYSTAL_WIDTH = 10.0  # A; chosen: several cells of most crystals
PER_CELL = 12  # chosen: least points of a volume along an axis


@dataclass(frozen=True)
class Field:
    """A function of space that belongs to a structure, seen by one model.

    Attributes:
        title: which model and structure.
        atoms: the structure.
        at: points [n, 3] (A) -> values [n].
    """

    title: str
    atoms: Atoms
    at: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Quantity:
    """What a field is.

    Attributes:
        name: in file names.
        symbol: in pictures.
        unit: of values.
        has_sign: whether zero means something, so that it is the middle of colour scales.
        has_poles: whether it has no bound near atoms, which colour scales then leave out.
    """

    name: str
    symbol: str
    unit: str
    has_sign: bool
    has_poles: bool = False

    @property
    def label(self) -> str:
        """Of axes and colour bars."""
        return f"{self.symbol} ({self.unit})" if self.unit else self.symbol


@dataclass(frozen=True)
class SurfaceMap:
    """Fields on one surface.

    Attributes:
        quantity: they are.
        surface: on which they are shown.
        titles, atoms: of each field.
        values: [n_fields, n_vertices].
    """

    quantity: Quantity
    surface: Surface
    titles: tuple[str, ...]
    atoms: tuple[Atoms, ...]
    values: np.ndarray


@dataclass(frozen=True)
class CutMap:
    """Fields in one plane.

    Attributes:
        quantity: they are.
        grid: points.
        titles, atoms: of each field; atoms are those near the plane, images included, with
            positions along the axes of the plane and its normal (A).
        values: [n_fields, n_v, n_u].
    """

    quantity: Quantity
    grid: PlaneGrid
    titles: tuple[str, ...]
    atoms: tuple[Atoms, ...]
    values: np.ndarray


def map_on_surface(fields: Sequence[Field], surface: Surface, quantity: Quantity) -> SurfaceMap:
    """Evaluates fields at all corners of a surface."""
    values = np.stack([field.at(surface.vertices) for field in fields])
    titles, atoms = zip(*((field.title, field.atoms) for field in fields), strict=True)
    return SurfaceMap(quantity, surface, titles, atoms, values)


def map_in_plane(fields: Sequence[Field], grid: PlaneGrid, quantity: Quantity) -> CutMap:
    """Evaluates fields at all points of a grid."""
    shape = (len(fields), len(grid.v), len(grid.u))
    values = np.stack([field.at(grid.points) for field in fields]).reshape(shape)
    titles = tuple(field.title for field in fields)
    atoms = tuple(atoms_near(grid, field.atoms) for field in fields)
    return CutMap(quantity, grid, titles, atoms, values)


def grid_of_cut(plane: Plane, atoms: Atoms, spacing: float, width: float | None) -> PlaneGrid:
    """Around all atoms of a molecule, or a square of a crystal.

    Args:
        plane: of the cut.
        atoms: the structure.
        spacing: of points (A).
        width: of a square around the origin of the plane (A); None for the above.
    """
    if width is None and atoms.pbc.any():
        width = CRYSTAL_WIDTH
    if width is not None:
        return plane.grid(np.array([[-0.5, 0.5]] * 2) * width, spacing)
    coordinates = plane.coordinates(atoms.positions)[:, :2]
    low, high = coordinates.min(axis=0) - MARGIN, coordinates.max(axis=0) + MARGIN
    return plane.grid(np.stack([low, high], axis=1), spacing)


def atoms_near(grid: PlaneGrid, atoms: Atoms) -> Atoms:
    """As `CutMap` has them."""
    numbers, positions = atoms.numbers, atoms.positions
    if atoms.pbc.any():
        numbers, positions = _images(grid, atoms)
    coordinates = grid.plane.coordinates(positions)
    inside = np.abs(coordinates[:, 2]) <= NEAR_PLANE
    for axis, ends in enumerate((grid.u, grid.v)):
        inside &= (coordinates[:, axis] >= ends[0]) & (coordinates[:, axis] <= ends[-1])
    return Atoms(numbers[inside], coordinates[inside])


def _images(grid: PlaneGrid, atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Atoms and images that may be in the rectangle of a grid: elements and positions (A)."""
    cell = np.asarray(atoms.cell.complete())
    corners = grid.plane.origin + np.array(
        [u * grid.plane.axes[0] + v * grid.plane.axes[1] for u in grid.u[[0, -1]]
         for v in grid.v[[0, -1]]]
    )  # fmt: skip
    fractional = np.linalg.solve(cell.T, (corners[:, None] - atoms.positions).reshape(-1, 3).T).T
    margin = NEAR_PLANE / cell_heights(cell)
    low = np.floor(fractional.min(axis=0) - margin).astype(int)
    high = np.ceil(fractional.max(axis=0) + margin).astype(int)
    ranges = [
        np.arange(first, last + 1) if periodic else np.zeros(1, int)
        for first, last, periodic in zip(low, high, atoms.pbc, strict=True)
    ]
    shifts = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3) @ cell
    positions = (atoms.positions + shifts[:, None]).reshape(-1, 3)
    return np.tile(atoms.numbers, len(shifts)), positions


def volume_of(field: Field, spacing: float) -> tuple[Atoms, np.ndarray, np.ndarray]:
    """A field in a box around a molecule, or in the cell of a crystal.

    Returns:
        The atoms with the box as their cell, the corner of the box, [3] (A), and values at its
        points, [n_x, n_y, n_z].
    """
    atoms, points = volume_points(field.atoms, spacing)
    values = field.at(points.reshape(-1, 3)).reshape(points.shape[:3])
    return atoms, points[0, 0, 0], values


def volume_points(structure: Atoms, spacing: float) -> tuple[Atoms, np.ndarray]:
    """A box around a molecule, or the cell of a crystal.

    Returns:
        The atoms with the box as their cell, and points in it, [n_x, n_y, n_z, 3] (A), the first of
        which is its corner.
    """
    atoms = structure.copy()
    origin = np.zeros(3)
    if atoms.pbc.any():
        atoms.cell = atoms.cell.complete()
    else:
        origin = atoms.positions.min(axis=0) - MARGIN
        atoms.cell = np.ptp(atoms.positions, axis=0) + 2.0 * MARGIN
    cell = np.asarray(atoms.cell)
    n = np.maximum(np.ceil(np.linalg.norm(cell, axis=1) / spacing), PER_CELL).astype(int)
    fractional = np.stack(np.meshgrid(*(np.arange(k) / k for k in n), indexing="ij"), axis=-1)
    return atoms, origin + fractional @ cell


def bonds_of(atoms: Atoms) -> np.ndarray:
    """Pairs of atoms that are near enough for a bond, [n_bonds, 2]."""
    from ase.data import covalent_radii

    radii = covalent_radii[atoms.numbers]
    _, distances = get_distances(atoms.positions)
    near = distances < 1.2 * (radii[:, None] + radii)
    return np.argwhere(np.triu(near, k=1))
