"""Molecules with harmonic force fields and known symmetry, for the tests of modes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes
from scipy.constants import atomic_mass, elementary_charge, speed_of_light
from scipy.spatial.distance import pdist, squareform
from scipy.spatial.transform import Rotation

GOLDEN = (1 + np.sqrt(5)) / 2


def per_cm(force_constant: float, mass: float) -> float:
    """sqrt(k / m) / (2 pi c) (1/cm) from SI constants; force constant eV/A^2, mass amu."""
    omega = np.sqrt(force_constant * elementary_charge * 1e20 / (mass * atomic_mass))
    return float(omega / (2 * np.pi * speed_of_light * 100))


def springs(positions: np.ndarray, bonds: Sequence[tuple[int, int, float]]) -> np.ndarray:
    """Hessian of sum k/2 (d - d0)^2 at rest, [3N, 3N] (eV/A^2)."""
    n_atoms = len(positions)
    hessian = np.zeros((n_atoms, 3, n_atoms, 3))
    for i, j, k in bonds:
        direction = (positions[j] - positions[i]) / np.linalg.norm(positions[j] - positions[i])
        block = k * np.outer(direction, direction)
        hessian[i, :, i] += block
        hessian[j, :, j] += block
        hessian[i, :, j] -= block
        hessian[j, :, i] -= block
    return hessian.reshape(3 * n_atoms, 3 * n_atoms)


def springs_by_length(positions: np.ndarray, constants: dict[float, float]) -> np.ndarray:
    """Springs between all pairs of certain distances (A, to 0.01 A): {distance: eV/A^2}."""
    distances = squareform(pdist(positions))
    bonds = [
        (int(i), int(j), k)
        for length, k in constants.items()
        for i, j in np.argwhere(np.triu(abs(distances - length) < 0.01, k=1))
    ]
    return springs(positions, bonds)


def valence_hessian(
    positions: np.ndarray, coordinates: Sequence[tuple[Callable[[np.ndarray], float], float]]
) -> np.ndarray:
    """Hessian of sum k/2 (q - q0)^2 of any internal coordinates q at rest, [3N, 3N] (eV/A^2)."""
    step, size = 1e-5, positions.size
    hessian = np.zeros((size, size))
    for q, constant in coordinates:
        gradient = np.empty(size)
        for k in range(size):
            ahead, behind = positions.copy(), positions.copy()
            ahead.flat[k] += step
            behind.flat[k] -= step
            gradient[k] = (q(ahead) - q(behind)) / (2 * step)
        hessian += constant * np.outer(gradient, gradient)
    return hessian


def angle(i: int, j: int, k: int) -> Callable[[np.ndarray], float]:
    """The angle at j (rad)."""

    def value(r: np.ndarray) -> float:
        a, b = r[i] - r[j], r[k] - r[j]
        return float(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b))

    return value


def sine_of_torsion(i: int, j: int, k: int, m: int) -> Callable[[np.ndarray], float]:
    """Sine of the torsion about j-k, which is 0 in a planar molecule."""

    def value(r: np.ndarray) -> float:
        b = r[k] - r[j]
        first, second = np.cross(r[j] - r[i], b), np.cross(b, r[m] - r[k])
        lengths = np.linalg.norm(b) * np.linalg.norm(first) * np.linalg.norm(second)
        return float(np.cross(first, second) @ b / lengths)

    return value


def water() -> tuple[Atoms, np.ndarray]:
    """Water, with stretches of 50 and a spring of 10 eV/A^2 between the hydrogens."""
    atoms = molecule("H2O")
    return atoms, springs(atoms.positions, [(0, 1, 50.0), (0, 2, 50.0), (1, 2, 10.0)])


def carbon_dioxide() -> tuple[Atoms, np.ndarray]:
    """CO2 along z, with stretches of 97 eV/A^2 and a bend."""
    atoms = molecule("CO2")  # C, O, O
    hessian = springs(atoms.positions, [(0, 1, 97.0), (0, 2, 97.0)]).reshape(3, 3, 3, 3)
    bend = np.array([-2.0, 1.0, 1.0])
    for axis in (0, 1):
        hessian[:, axis, :, axis] += 5.0 * np.outer(bend, bend)
    return atoms, hessian.reshape(9, 9)


def methane() -> tuple[Atoms, np.ndarray]:
    """Methane, with springs of 30 (C-H) and 5 eV/A^2 (H-H)."""
    atoms = molecule("CH4")
    pairs = [(0, i, 30.0) for i in range(1, 5)]
    pairs += [(i, j, 5.0) for i in range(1, 5) for j in range(i + 1, 5)]
    return atoms, springs(atoms.positions, pairs)


def benzene() -> tuple[Atoms, np.ndarray]:
    """Benzene, with springs to first, second and third neighbours and torsions about C-C."""
    atoms = molecule("C6H6")
    r = atoms.positions
    ring = list(np.argsort(np.arctan2(r[:6, 1], r[:6, 0])))
    near = squareform(pdist(r)) < 1.6
    hydrogen = {c: int(np.flatnonzero(near[c, 6:])[0]) + 6 for c in ring}
    torsions = []
    for n in range(6):
        a, b, c, d = (int(ring[(n + k) % 6]) for k in range(4))
        torsions += [(a, b, c, d), (hydrogen[b], b, c, d), (a, b, c, hydrogen[c])]
        torsions += [(hydrogen[b], b, c, hydrogen[c])]
    constants = [0.3, 0.2, 0.2, 0.1]  # eV
    hessian = valence_hessian(
        r, [(sine_of_torsion(*t), constants[n % 4]) for n, t in enumerate(torsions)]
    )
    lengths = np.unique(pdist(r).round(2))  # C-H 1.09, C-C 1.40, C..H 2.15, C..C 2.42, H..H 2.48
    stretches = dict(zip(lengths[:6], [31.0, 40.0, 2.0, 4.0, 0.5, 1.0], strict=True))
    return atoms, hessian + springs_by_length(r, stretches)


def dodecahedron(edge: float = 1.45) -> np.ndarray:
    """The 20 corners of a regular dodecahedron, [20, 3] (A)."""
    signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
    corners = [*signs.astype(float)]
    for a, b in np.array(np.meshgrid([-1, 1], [-1, 1])).reshape(2, -1).T:
        flat = np.array([0.0, a / GOLDEN, b * GOLDEN])
        corners += [np.roll(flat, k) for k in range(3)]
    return 0.5 * GOLDEN * edge * np.array(corners)  # the edge of these corners is 2 / golden


def buckminsterfullerene(edge: float = 1.43) -> np.ndarray:
    """The 60 corners of a truncated icosahedron, [60, 3] (A)."""
    corners = set()
    for base in (
        (0.0, 1.0, 3 * GOLDEN),
        (1.0, 2 + GOLDEN, 2 * GOLDEN),
        (GOLDEN, 2.0, 2 * GOLDEN + 1),
    ):
        for signs in np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T:
            for k in range(3):
                corners.add(tuple(np.roll(np.array(base) * signs + 0.0, k).round(12)))
    return 0.5 * edge * np.array(sorted(corners))  # the edge of these corners is 2


def ferrocene(is_staggered: bool) -> Atoms:
    """Iron between two rings of five C-H, at rounded experimental distances."""
    atoms = Atoms("Fe", [[0, 0, 0]])
    for side in (1, -1):
        turn = np.pi / 5 if is_staggered and side < 0 else 0.0
        angles = 2 * np.pi * np.arange(5) / 5 + turn
        for symbol, radius in (("C", 1.22), ("H", 2.30)):
            ring = np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
            atoms += Atoms(symbol * 5, np.column_stack([ring, np.full(5, 1.65 * side)]))
    return atoms


def turned(atoms: Atoms, hessian: np.ndarray, seed: int = 0) -> tuple[Atoms, np.ndarray]:
    """The same molecule elsewhere, in another orientation."""
    turn = Rotation.random(None, np.random.default_rng(seed)).as_matrix()
    moved = atoms.copy()
    moved.positions = atoms.positions @ turn.T + [1.0, -2.0, 3.0]
    n_atoms = len(atoms)
    blocks = hessian.reshape(n_atoms, 3, n_atoms, 3)
    rotated = np.einsum("xa,iajb,yb->ixjy", turn, blocks, turn, optimize=True)
    return moved, rotated.reshape(3 * n_atoms, 3 * n_atoms)


class HarmonicCharges(Calculator):
    """E = (x - x0) H (x - x0) / 2 with charges on the atoms: energy, forces and dipole."""

    implemented_properties = ["energy", "forces", "dipole"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, rest: np.ndarray, hessian: np.ndarray, charges: np.ndarray) -> None:
        super().__init__()
        self.rest, self.hessian, self.charges = rest, hessian, charges

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        shift = (self.atoms.positions - self.rest).ravel()
        gradient = self.hessian @ shift
        self.results = {
            "energy": float(0.5 * shift @ gradient),
            "forces": -gradient.reshape(-1, 3),
            "dipole": self.charges @ self.atoms.positions,
        }
