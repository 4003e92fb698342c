"""What reference energies must obey: one for each structure, extensive, forces for their slope.

Each check gives a message, or None where there is nothing to say. The limits leave a factor of two
and more to the public sets known to us.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from mlpotential.data.reference_data import ReferenceData
from mlpotential.graph import AtomGraph
from mlpotential.units import (
    ANGSTROM_PER_BOHR,
    ANGSTROM_PER_LENGTH_UNIT,
    EV_PER_ENERGY_UNIT,
    EV_PER_HARTREE,
)

SAME_ENERGY = 0.01  # eV, chosen: two calculations of a structure differ less
FEWEST_FRAMES = 10  # chosen: what a statement on a distribution needs
OUTLIER = 10.0  # times the 95 % quantile of all deviations, chosen: 5.7 at most, of a scan
OUTLIER_PER_ATOM = 0.5  # eV, chosen
EDGE = 5.0  # mean leverages of a composition, chosen: some per cent of QM7 have more
INTENSIVE = 2.0  # chosen: ratio of the residuals, 0.67 at most for total energies
SMALL_STEP = 0.4  # A, chosen: so near that the forces of both frames give the energy between
FEWEST_STEPS = 5  # chosen: pairs of near frames that make a verdict
N_FRAMES_PAIRED = 500  # of each molecule, chosen
TRIMMED = 0.1  # of the pairs, chosen: single outliers are told by themselves
UNEXPLAINED_SHARE = 0.15  # of the squared energy differences, chosen: 0.064 at most in good sets
OUTLYING_CHANGE = 2.0  # eV, chosen: 0.57 at most in good sets

_EV_PER_ANGSTROM = {"eV/A": 1.0, "Hartree/Bohr": EV_PER_HARTREE / ANGSTROM_PER_BOHR}


def equal_energies(data: ReferenceData) -> str | None:
    """Different structures have different energies."""
    energies = data.energies
    if len(data) < FEWEST_FRAMES or np.ptp(energies) > 0.0:
        return None
    energy = float(energies[0]) or 0.0  # not -0
    return f"the energy of all {len(data)} structures is {energy:g} eV. Were they computed?"


def repeated_structures(data: ReferenceData, first: np.ndarray) -> str | None:
    """A structure has one energy; `first` are the `first_occurrences`."""
    differences = np.abs(data.energies - data.energies[first])
    others = np.nonzero(differences > SAME_ENERGY)[0]
    if len(others) < (2 if len(data) < FEWEST_FRAMES else 1):
        return None
    k = int(others[0])
    return (
        f"{len(others)} structures occur before with another energy: {data.name_of(k)} is "
        f"{data.name_of(int(first[k]))}, but {differences[k]:.3g} eV away. Which one is right?"
    )


def energy_outlier(data: ReferenceData) -> str | None:
    """Energy per atom against sum_Z x_Z e_Z, the frame that is farthest off left out.

    Of compositions at the edge, such as H2 among organic molecules, this says nothing.
    """
    counts = data.element_counts
    n_atoms = counts.sum(axis=1)
    fractions, per_atom = counts / n_atoms[:, None], data.energies / n_atoms
    if len(data) < FEWEST_FRAMES + len(data.elements):
        return None
    u, s, _ = np.linalg.svd(fractions, full_matrices=False)
    u = u[:, s > 1e-8 * s[0]]
    leverage = np.sum(u**2, axis=1)  # 1: the only structure with its element
    inside = leverage < min(0.5, EDGE * float(leverage.mean()))
    left_out = np.abs(per_atom - u @ (u.T @ per_atom)) / np.maximum(1.0 - leverage, 0.5)
    k = int(np.argmax(np.where(inside, left_out, 0.0)))
    rest = np.arange(len(data)) != k
    energies = np.linalg.lstsq(fractions[rest], per_atom[rest], rcond=None)[0]
    deviations = np.abs(per_atom - fractions @ energies)
    usual = float(np.quantile(deviations[rest], 0.95))
    if deviations[k] < max(OUTLIER_PER_ATOM, OUTLIER * usual):
        return None
    off, usual = (float(value * n_atoms[k]) for value in (deviations[k], usual))
    return (
        f"the energy of {data.name_of(k)} is {off:.4g} eV away from what its composition suggests; "
        f"{usual:.2g} eV is usual. Did that calculation converge?"
    )


def energies_per_atom(data: ReferenceData) -> str | None:
    """E = sum_Z n_Z e_Z must fit better than E = sum_Z x_Z e_Z with the fractions x."""
    counts = data.element_counts
    n_atoms = counts.sum(axis=1)
    if len(set(n_atoms.tolist())) < 3 or len(data) < FEWEST_FRAMES + 2 * len(data.elements):
        return None
    residuals = []
    for design in (counts, counts / n_atoms[:, None]):
        fitted = design @ np.linalg.lstsq(design, data.energies, rcond=None)[0]
        residuals.append(float(np.std(data.energies - fitted)))
    if residuals[0] <= INTENSIVE * residuals[1]:
        return None
    return (
        f"the energies go with the composition ({residuals[1]:.2g} eV are left over), and not with "
        f"the number of atoms ({residuals[0]:.2g} eV). Are they energies per atom? Total ones are "
        "needed"
    )


def energies_against_forces(data: ReferenceData) -> str | None:
    """Between near frames, dE = -(F_1 + F_2) / 2 . dr to third order in dr."""
    pairs = _near_frames(data)
    if len(pairs) < FEWEST_STEPS:
        return None
    frames = [pair[:2] for pair in pairs]
    labelled, integrated, n_atoms = np.array([pair[2:] for pair in pairs]).T
    error = np.abs(labelled - integrated)
    usual = float(np.quantile(error, 1.0 - TRIMMED))
    kept = error <= usual
    unexplained = np.sum(error[kept] ** 2) / max(float(np.sum(labelled[kept] ** 2)), 1e-300)
    if unexplained > UNEXPLAINED_SHARE:
        slope = _slope(labelled, integrated)
        reason = _reason(slope, _slope(labelled * n_atoms, integrated))
        return (
            f"between {len(pairs)} pairs of near frames the energy changes by {slope:.3g} times "
            f"what the forces say, with errors up to {error.max():.2g} eV. {reason}"
        )
    worst = int(np.argmax(error))
    if error[worst] < max(OUTLYING_CHANGE, OUTLIER * usual):
        return None
    first, second = (data.name_of(k) for k in frames[worst])
    return (
        f"from {first} to {second}, which are near, the energy changes by "
        f"{labelled[worst]:.4g} eV, by what the forces say {integrated[worst]:.3g}. Did both "
        "calculations converge?"
    )


def _slope(y: np.ndarray, x: np.ndarray) -> float:
    """Of y = slope x, from medians: single outliers do not move it."""
    large = (np.abs(x) >= np.median(np.abs(x))) & (x != 0.0)
    return float(np.median(y[large] / x[large])) if large.any() else np.inf


def _reason(slope: float, slope_of_totals: float) -> str:
    if abs(slope - 1.0) < 0.15:
        return "Are all frames of one method, one charge and one reference?"
    if abs(slope + 1.0) < 0.2:
        return "Are the forces gradients, with the other sign?"
    if abs(slope_of_totals - 1.0) < 0.2:
        return "Are the energies those per atom? Total ones are needed"
    ratios = [
        (abs(np.log(abs(slope) * in_b / in_a)), f"One {a} is {in_a / in_b:.3g} {b}")
        for units in (EV_PER_ENERGY_UNIT, ANGSTROM_PER_LENGTH_UNIT, _EV_PER_ANGSTROM)
        for a, in_a in units.items()
        for b, in_b in units.items()
        if a != b and slope > 0.0
    ]
    nearest, name = min(ratios, default=(np.inf, ""))
    if nearest < 0.1:
        return f"{name}: is a unit another than declared?"
    return "Are units and signs right, and are both labels of one calculation?"


def _near_frames(data: ReferenceData) -> list[tuple[int, int, float, float, int]]:
    """Two near frames, E_2 - E_1 as labelled and from the forces (eV), and the number of atoms."""
    from scipy.spatial import KDTree

    arrays = data.arrays
    groups: dict[bytes, list[int]] = defaultdict(list)
    ends = np.cumsum(arrays.n_atoms).tolist()
    for k, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        cell = b""
        if arrays.cells is not None:
            cell = np.rint(arrays.cells[arrays.rows[k]] * 1e3).tobytes()
        groups[arrays.all_numbers[start:end].tobytes() + cell].append(k)
    found = []
    for members in groups.values():
        members = members[:N_FRAMES_PAIRED]
        if len(members) < 2 or data[members[0]].n_atoms < 2:
            continue
        places = np.array([_places(data[k]) for k in members])
        for one, nearest in enumerate(KDTree(places).query(places, k=2)[1].tolist()):
            other = nearest[0] if nearest[0] != one else nearest[1]
            first, second = data[members[one]], data[members[other]]
            if (change := _energy_change(first, second)) is not None:
                found.append((members[one], members[other], *change, first.n_atoms))
    return found


def _places(graph: AtomGraph) -> np.ndarray:
    """Numbers that are near for near frames: distances or, in a crystal, phases of the places."""
    positions = graph.positions.numpy()
    if graph.cell is None:
        i, j = np.triu_indices(len(positions), 1)
        return np.asarray(np.linalg.norm(positions[i] - positions[j], axis=1))
    cell = graph.cell[0].numpy()
    places = positions @ np.linalg.inv(cell)
    waves = np.exp(2j * np.pi * (places - places[0]))
    return np.concatenate([waves.real.ravel(), waves.imag.ravel()])


def _energy_change(first: AtomGraph, second: AtomGraph) -> tuple[float, float] | None:
    """E_2 - E_1 as labelled and from the forces (eV); None for frames that are not near."""
    assert first.energy is not None
    assert second.energy is not None
    assert first.forces is not None
    assert second.forces is not None
    start, end = first.positions.numpy(), second.positions.numpy()
    forces = first.forces.numpy()
    if first.cell is None:
        start, end = start - start.mean(axis=0), end - end.mean(axis=0)
        u, _, v = np.linalg.svd(start.T @ end)
        turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))]) @ v
        step, forces = end - start @ turn, forces @ turn
    else:
        cell = first.cell[0].numpy()
        steps = (end - start) @ np.linalg.inv(cell)
        step = (steps - np.where(first.pbc[0].numpy(), np.rint(steps), 0.0)) @ cell
        step -= step.mean(axis=0)
    if not 1e-6 < np.linalg.norm(step, axis=1).max() < SMALL_STEP:
        return None
    integrated = -0.5 * float(((forces + second.forces.numpy()) * step).sum())
    return float(second.energy - first.energy), integrated
