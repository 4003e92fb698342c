"""What reference forces must obey whatever the method, and what they do in bonded matter.

Forces of an isolated system have no sum and no torque; an atom without symmetry around it has a
force; bonds that are longer than usual pull. Each check gives a message, or None where there is
nothing to say. The limits leave a factor of three to the public sets known to us.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mlpotential.data.reference_data import ReferenceData
from mlpotential.graph import AtomGraph
from mlpotential.neighbors import neighbor_pairs

MANY = 10  # frames, chosen: so many at fault are worth a word, or
ENOUGH = 20  # one among so many; less is nobody's training set
OFTEN = 5  # chosen: so often a bond must occur to be compared with itself
LARGE_FORCE = 0.05  # eV/A, root mean square, chosen: convergence of the method is smaller
NET_FORCE = 0.01  # eV/A per atom, chosen: six times that of MD17
NET_SHARE = 0.05  # of |sum F| / sqrt(sum F^2), chosen: at most 0.021, of periodic water
TORQUE_SHARE = 0.1  # of |sum r x F| / sqrt(sum r^2 F^2), chosen: at most 0.028
ASYMMETRY = 0.01  # of `_asymmetry`, chosen: sites without a force by symmetry have 2e-4 at most
ZERO_ROWS = 0.1  # of the atoms of a frame, chosen
BOND_RATIO = 1.3  # of the covalent radii: what counts as bonded
N_BOND_FRAMES = 200  # chosen: enough for a correlation
_GOLDEN = 0.6180339887498949
# Correlation between stretch and pull of bonds: -0.25 (molten metals) to -0.97 in the sets known to
# us. Chosen: what is above WEAKEST by four standard errors, but PULLING at least, is at fault.
WEAKEST, PULLING, PUSHING = -0.25, -0.12, 0.2
FEWEST_BONDS = 30  # chosen: their correlation is known to 0.2


def net_forces(data: ReferenceData) -> str | None:
    """sum_i F_i = 0 where nothing outside the structure pulls."""
    forces, n_atoms = data.arrays.label("forces"), data.arrays.n_atoms
    totals = np.linalg.norm(_sums(forces, data), axis=1)
    lengths = np.sqrt(_sums((forces**2).sum(axis=1), data))
    return _of_frames(
        data,
        np.where(totals > NET_SHARE * lengths, totals / n_atoms, 0.0),
        NET_FORCE,
        "the forces of {n} structures do not add up to zero (up to {largest:.2g} eV/A per atom, in "
        "{frame}). Are those of fixed atoms left out, or those of a field left in?",
    )


def net_torques(data: ReferenceData) -> str | None:
    """sum_i r_i x F_i = 0 for molecules."""
    arrays, forces = data.arrays, data.arrays.label("forces")
    positions = arrays.positions[arrays.atom_index(range(len(data)))]
    centres = _sums(positions, data) / arrays.n_atoms[:, None]
    arms = positions - centres[arrays.structure_of_atom]
    squared = (forces**2).sum(axis=1)
    largest = np.sqrt(_sums((arms**2).sum(axis=1) * squared, data))
    torques = np.linalg.norm(_sums(np.cross(arms, forces), data), axis=1)
    is_large = np.sqrt(_sums(squared, data) / (3.0 * arrays.n_atoms)) >= LARGE_FORCE
    return _of_frames(
        data,
        np.where(is_large & ~arrays.has_cell, torques / np.maximum(largest, 1e-12), 0.0),
        TORQUE_SHARE,
        "the forces of {n} molecules would turn them (by {largest:.2g} times sqrt(sum r^2 F^2) in "
        "{frame}). Are their rows in the order of the atoms, and are forces and positions in one "
        "orientation?",
    )


def zero_forces(data: ReferenceData) -> str | None:
    """A force of exactly zero needs symmetry around its atom."""
    forces, n_atoms = data.arrays.label("forces"), data.arrays.n_atoms
    is_zero = (forces == 0.0).all(axis=1)
    shares = _sums(is_zero.astype(np.float64), data) / n_atoms
    is_large = np.sqrt(_sums((forces**2).sum(axis=1), data) / (3.0 * n_atoms)) > LARGE_FORCE
    suspects = (n_atoms > 1) & ((shares == 1.0) | is_large) & (shares >= ZERO_ROWS)
    values = np.zeros(len(data))
    for k in np.flatnonzero(suspects).tolist():
        graph = data[k]
        assert graph.forces is not None
        zero = (graph.forces.numpy() == 0.0).all(axis=1)
        values[k] = (zero & (_asymmetry(graph) > ASYMMETRY)).mean()
    return _of_frames(
        data,
        values,
        ZERO_ROWS,
        "forces of exactly zero where no symmetry asks for them: in {n} structures, the first "
        "{first}. Are they of fixed atoms, or not computed?",
    )


def _sums(of_atoms: np.ndarray, data: ReferenceData) -> np.ndarray:
    """Over the atoms of each structure, [n_all_atoms, ...] -> [n_structures, ...]."""
    n_atoms = data.arrays.n_atoms
    return np.asarray(np.add.reduceat(of_atoms, np.cumsum(n_atoms) - n_atoms, axis=0))


def _of_frames(data: ReferenceData, values: np.ndarray, limit: float, message: str) -> str | None:
    """The message, where the values of structures exceed their limit in enough of them."""
    values = np.where(data.arrays.n_atoms > 1, values, 0.0)
    bad = np.nonzero(values > limit)[0]
    if len(bad) < (MANY if len(data) < ENOUGH else 1):
        return None
    worst = int(np.argmax(values))
    return message.format(
        n=f"{len(bad)} of {len(data)}",
        largest=values[worst],
        frame=data.name_of(worst),
        first=data.name_of(int(bad[0])),
    )


def _asymmetry(graph: AtomGraph) -> np.ndarray:
    """|sum_j w_j u_ij| / sum_j w_j over neighbours in directions u, [n_atoms]: 0 by symmetry."""
    centres, others, vectors, distances = _pairs(graph, 6.0)
    weights = np.exp(-((distances / 2.0) ** 2))
    numbers = graph.atomic_numbers.numpy()
    sums, norms = np.zeros((graph.n_atoms, 3)), np.full(graph.n_atoms, 1e-3)
    for i, j, sign in ((centres, others, 1.0), (others, centres, -1.0)):
        w = weights * np.sqrt(numbers[j])
        np.add.at(sums, i, sign * (w / distances)[:, None] * vectors)
        np.add.at(norms, i, w)
    return np.asarray(np.linalg.norm(sums, axis=1) / norms)


def _pairs(graph: AtomGraph, cutoff: float) -> tuple[np.ndarray, ...]:
    """i, j, r_j - r_i and its length of each pair that is not in one place."""
    positions = graph.positions.numpy()
    cell = None if graph.cell is None else graph.cell[0].numpy()
    (i, j), shifts = neighbor_pairs(positions, cutoff, cell, graph.pbc[0].numpy())
    vectors = positions[j] - positions[i] + (0.0 if cell is None else shifts @ cell)
    distances = np.linalg.norm(vectors, axis=1)
    apart = distances > 1e-6
    return i[apart], j[apart], vectors[apart], distances[apart]


def bond_forces(data: ReferenceData) -> str | None:
    """Over bonds of a kind, length and (F_j - F_i) . u_ij correlate: longer ones pull."""
    places = np.flatnonzero(data.arrays.n_atoms > 1)
    spread = np.argsort(np.arange(len(places)) * _GOLDEN % 1.0)  # in step with no period
    chosen = [data[k] for k in places[np.sort(spread[:N_BOND_FRAMES])].tolist()]
    bonds = _Bonds([(graph, graph.forces.numpy()) for graph in chosen if graph.forces is not None])
    found, n_bonds = bonds.correlation(lambda numbers: np.arange(len(numbers)))
    if n_bonds < FEWEST_BONDS:
        return None
    if found < np.clip(WEAKEST + 4.0 / np.sqrt(n_bonds), PULLING, PUSHING):
        return None
    for order, rows in _OTHER_ORDERS.items():
        other, _ = bonds.correlation(rows)
        if other < -max(PUSHING, abs(found)):
            return (
                f"forces and stretch of {n_bonds} bonds go together when the rows of the forces "
                f"are {order} (correlation {other:.2f}), and not as they are ({found:.2f}). Are "
                "the rows in the order of the atoms?"
            )
    what = "gradients, with the other sign" if found > PUSHING else "those of the same structures"
    return (
        f"stretched bonds do not pull: stretch and force of {n_bonds} bonds have the correlation "
        f"{found:.2f}, where -0.25 to -1 is usual. Are the forces {what}?"
    )


_OTHER_ORDERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "reversed": lambda numbers: np.arange(len(numbers))[::-1],
    "sorted by element": lambda numbers: np.argsort(np.argsort(numbers, kind="stable")),
    "sorted by element, heavy first": lambda numbers: np.argsort(
        np.argsort(-numbers, kind="stable")
    ),
}


class _Bonds:
    """All bonds of some frames, and to which others each is compared.

    With those of the same atoms of the same molecule, where most occur often, else of the same
    elements.
    """

    def __init__(self, frames: Sequence[tuple[AtomGraph, np.ndarray]]) -> None:
        self.frames = frames
        self.found = [_bonds(graph) for graph, _ in frames]
        self.lengths = np.concatenate([np.zeros(0), *(d for *_, d in self.found)])
        molecules: dict[bytes, int] = {}
        atoms, elements = [], []
        for (graph, _), (i, j, _, _) in zip(frames, self.found, strict=True):
            numbers = graph.atomic_numbers.numpy()
            molecule = molecules.setdefault(numbers.tobytes(), len(molecules))
            atoms.append(np.stack([np.full(len(i), molecule), i, j], axis=1))
            elements.append(np.sort(np.stack([numbers[i], numbers[j]], axis=1), axis=1))
        classes = [
            np.unique(np.concatenate(rows), axis=0, return_inverse=True)[1].ravel()
            for rows in (atoms, elements)
            if len(self.lengths)
        ]
        often = [ids for ids in classes if np.median(np.bincount(ids)[ids]) >= OFTEN]
        self.classes = often[0] if often else None

    def correlation(self, order: Callable[[np.ndarray], np.ndarray]) -> tuple[float, int]:
        """Between length and pull with reordered forces (-1 for springs), and of how many bonds."""
        pulls = [np.zeros(0)]
        for (graph, forces), (i, j, directions, _) in zip(self.frames, self.found, strict=True):
            f = forces[order(graph.atomic_numbers.numpy())]
            pulls.append(np.sum((f[j] - f[i]) * directions, axis=1))
        pull = np.concatenate(pulls)
        if self.classes is None or np.sqrt(np.mean(pull**2)) < LARGE_FORCE:
            return 0.0, 0
        return _correlation(self.lengths, pull, self.classes)


def _bonds(graph: AtomGraph) -> tuple[np.ndarray, ...]:
    """i, j, the direction from i to j and the length of each pair of bonded atoms."""
    from ase.data import covalent_radii

    radii = covalent_radii[graph.atomic_numbers.numpy()]
    i, j, vectors, distances = _pairs(graph, 2.0 * BOND_RATIO * float(radii.max()))
    bonded = distances < BOND_RATIO * (radii[i] + radii[j])
    directions = vectors[bonded] / distances[bonded, None]
    return i[bonded], j[bonded], directions, distances[bonded]


def _correlation(x: np.ndarray, y: np.ndarray, classes: np.ndarray) -> tuple[float, int]:
    """Of the deviations from the mean of each class, over those of at least `OFTEN` members."""
    counts = np.bincount(classes)

    def standardized(values: np.ndarray) -> np.ndarray:
        rest = values - (np.bincount(classes, values) / counts)[classes]
        spread = np.sqrt(np.bincount(classes, rest**2) / counts)[classes]
        return np.divide(rest, spread, out=np.zeros_like(rest), where=spread > 1e-6)

    used = (counts >= OFTEN)[classes]
    product = (standardized(x) * standardized(y))[used]
    return (float(product.mean()), len(product)) if len(product) else (0.0, 0)
