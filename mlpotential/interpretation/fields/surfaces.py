"""Surfaces around molecules on which fields are shown, as triangles.

Points r of a surface fulfil

    inverse-squares: sum_i |r - r_i|^-2 = level (A^-2),   3.7 in Schuett et al. (2019), Fig. 5;
    distances:       sum_i |r - r_i|    = level (A).

The first exists at any level and follows the molecule. The second, as other papers print it, has a
smallest level, which grows with the number of atoms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.optimize import minimize

from mlpotential.errors import ConfigError, StructureError
from mlpotential.settings_checks import check_choice, require

SurfaceKind = Literal["inverse-squares", "distances"]
UNITS: dict[str, str] = {"inverse-squares": "Å⁻²", "distances": "Å"}
FORMULAS: dict[str, str] = {"inverse-squares": "Σ|r−rᵢ|⁻²", "distances": "Σ|r−rᵢ|"}
PUBLISHED_LEVEL = 3.7  # 1/A^2
DEFAULT_SPACING = 0.1  # A; chosen: 2 10^4 corners for benzene, whose colours look smooth
NEWTON_STEPS = 6  # chosen: two or three are enough from points of the grid
MOST_GRID_POINTS = 3e7  # chosen: half a gigabyte


@dataclass(frozen=True)
class Surface:
    """A triangulated surface.

    Attributes:
        vertices: [n_vertices, 3] (A).
        faces: corners of triangles, seen from outside counter-clockwise, [n_faces, 3].
        kind: which function of the atoms is constant.
        level: its value.
    """

    vertices: np.ndarray
    faces: np.ndarray
    kind: SurfaceKind
    level: float

    @property
    def formula(self) -> str:
        """For pictures."""
        return f"{FORMULAS[self.kind]} = {self.level:g} {UNITS[self.kind]}"

    @property
    def vertex_areas(self) -> np.ndarray:
        """A third of the triangles around each vertex, [n_vertices] (A^2)."""
        a, b, c = self.vertices[self.faces].swapaxes(0, 1)
        areas = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)
        return np.bincount(
            self.faces.ravel(), weights=np.repeat(areas / 3.0, 3), minlength=len(self.vertices)
        )


def checked_level(kind: str, level: float | None, positions: np.ndarray) -> float:
    """The level, by default that of the papers.

    Args:
        kind: of the surface.
        level: None for the default.
        positions: of the atoms, [n_atoms, 3] (A).

    Raises:
        ConfigError: for an unknown kind, a level that is no number above zero, a missing one of
            distances, or one below their smallest.
    """
    check_choice("--surface", kind, get_args(SurfaceKind))
    if kind == "inverse-squares":
        level = PUBLISHED_LEVEL if level is None else level
    smallest = 0.0 if kind == "inverse-squares" else float(_least_distances(positions)[0])
    if kind == "distances" and (level is None or not level > smallest):
        came = "none was given" if level is None else f"not {level:g}"
        raise ConfigError(
            f"the distances from {len(positions)} atoms add up to at least {smallest:.4g} A "
            f"anywhere, so --level of --surface distances must be above {smallest:.4g}: {came}. "
            "3.7 is the level of --surface inverse-squares"
        )
    assert level is not None
    require(0.0 < level < np.inf, "--level", "a number above 0", level)
    return level


def surface_around(
    positions: np.ndarray,
    kind: SurfaceKind = "inverse-squares",
    level: float | None = None,
    spacing: float = DEFAULT_SPACING,
) -> Surface:
    """Marching cubes on a grid, whose corners are then moved onto the surface itself.

    Args:
        positions: of the atoms, [n_atoms, 3] (A).
        kind: of the surface.
        level: None for the default.
        spacing: of the grid (A).

    Raises:
        ConfigError: as `checked_level`, for a spacing of no or too many grid points, or where
            scikit-image is not installed.
    """
    level = checked_level(kind, level, positions)
    require(0.0 < spacing < np.inf, "--spacing", "a number above 0 (A)", spacing)
    low, high = _bounds(positions, kind, level)
    low, high = low - 2.0 * spacing, high + 2.0 * spacing
    shape = np.ceil((high - low) / spacing).astype(int) + 1
    if (n_points := float(np.prod(shape.astype(float)))) > MOST_GRID_POINTS:
        raise ConfigError(f"a surface with {n_points:.1e} grid points is too much: raise --spacing")
    axes = [start + spacing * np.arange(n) for start, n in zip(low, shape, strict=True)]
    values = _lengths_on_grid(axes, positions, kind)
    vertices, faces = _marched(values - _length_of(kind, level), spacing)
    vertices = polished(vertices + low, positions, kind, level)
    return Surface(vertices, faces, kind, level)


def level_function(
    points: np.ndarray, positions: np.ndarray, kind: SurfaceKind
) -> tuple[np.ndarray, np.ndarray]:
    """The sum over atoms, [n_points], and its gradient, [n_points, 3], at points [n_points, 3]."""
    from_atoms = points[:, None] - positions
    squares = np.maximum((from_atoms**2).sum(axis=-1), np.finfo(float).tiny)
    if kind == "inverse-squares":
        weights = -2.0 * squares**-2
        return (1.0 / squares).sum(axis=1), np.einsum("pa,pax->px", weights, from_atoms)
    distances = np.sqrt(squares)
    return distances.sum(axis=1), np.einsum("pa,pax->px", 1.0 / distances, from_atoms)


def polished(
    points: np.ndarray, positions: np.ndarray, kind: SurfaceKind, level: float
) -> np.ndarray:
    """Points near a surface, moved onto it along the gradient by Newton's method.

    Steps are those of a length L = (sum |r - r_i|^-2)^-1/2, which is nearly linear in r.

    Args:
        points: [n_points, 3] (A).
        positions: of the atoms, [n_atoms, 3] (A).
        kind, level: of the surface.
    """
    target = _length_of(kind, level)
    for _ in range(NEWTON_STEPS):
        values, gradients = level_function(points, positions, kind)
        if kind == "inverse-squares":
            gradients = -0.5 * values[:, None] ** -1.5 * gradients
            values = values**-0.5
        steps = (target - values) / (gradients**2).sum(axis=1)
        points = points + steps[:, None] * gradients
    return points


def _length_of(kind: SurfaceKind, level: float) -> float:
    return level**-0.5 if kind == "inverse-squares" else level


def _lengths_on_grid(
    axes: list[np.ndarray], positions: np.ndarray, kind: SurfaceKind
) -> np.ndarray:
    """L of `polished`, or the sum of distances, atom by atom, [n_x, n_y, n_z] (A)."""
    total = np.zeros([len(axis) for axis in axes])
    for position in positions:
        x, y, z = ((axis - x) ** 2 for axis, x in zip(axes, position, strict=True))
        squares = x[:, None, None] + y[:, None] + z
        if kind == "inverse-squares":
            total += 1.0 / np.maximum(squares, 1e-12)
        else:
            total += np.sqrt(squares)
    return total**-0.5 if kind == "inverse-squares" else total


def _bounds(
    positions: np.ndarray, kind: SurfaceKind, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """A box around the surface, two corners (A)."""
    if kind == "inverse-squares":  # one of n atoms is nearer than (n / level)^1/2
        margin = (len(positions) / level) ** 0.5
        return positions.min(axis=0) - margin, positions.max(axis=0) + margin
    center = positions.mean(axis=0)  # nearer than the mean distance from atoms
    return center - level / len(positions), center + level / len(positions)


def _least_distances(positions: np.ndarray) -> tuple[float, np.ndarray]:
    """The least sum of distances from all atoms (A), a convex function, and where it is, [3]."""

    def summed(point: np.ndarray) -> tuple[float, np.ndarray]:
        values, gradients = level_function(point[None], positions, "distances")
        return values[0], gradients[0]

    found = minimize(summed, positions.mean(axis=0), jac=True, method="L-BFGS-B")
    candidates = np.vstack([positions, found.x])  # the least may lie on an atom, in a corner
    values, _ = level_function(candidates, positions, "distances")
    return float(values.min()), candidates[values.argmin()]


def _marched(values: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Where values change sign, negative inside: corners (A from the first point) and triangles."""
    require_marching_cubes()
    from skimage.measure import marching_cubes

    if values.min() >= 0.0:
        raise StructureError(
            "the surface is smaller than the spacing of the grid: lower --spacing, or choose "
            "another --level"
        )
    vertices, faces, _, _ = marching_cubes(
        values, 0.0, spacing=(spacing,) * 3, gradient_direction="descent"
    )
    return vertices.astype(np.float64), faces.astype(np.int64)


def require_marching_cubes() -> None:
    """Raises ConfigError where scikit-image is not installed."""
    try:
        import skimage.measure  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "surfaces need the package scikit-image: pip install mlpotential[surfaces], or leave "
            "the surface out with --surface none"
        ) from error
