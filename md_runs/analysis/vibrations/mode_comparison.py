"""Two sets of modes of one molecule: their overlaps, and which mode is which.

The structures are laid on each other in the Eckart frame; crystals, and what has fixed atoms, stay
where they are. With mass-weighted modes L and L0 of the two sets and structures r and r0 (F.
Duschinsky, Acta Physicochim. URSS 7, 551 (1937)),

    J = L^T L0,   K = L0^T M^(1/2) (r - r0).                              (1)

A mode is matched to the mode of the reference that it overlaps with, one to one, so that the sum of
squared overlaps is largest (the assignment problem, H. W. Kuhn, Nav. Res. Logist. Q. 2, 83 (1955),
doi:10.1002/nav.3800020109). Modes that share a wavenumber are defined only up to a rotation among
themselves; so squared overlaps are averaged over the degenerate modes of a set and summed over
those of the other before they are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import scipy

from md_runs.analysis.vibrations.degrees_of_freedom import degrees_of_freedom_at_rest
from md_runs.analysis.vibrations.normal_modes import (
    FrequencyComparison,
    ModeSet,
    compare_paired_frequencies,
    degenerate_groups,
)
from md_runs.analysis.vibrations.rigid_body import centered, eckart_rotations
from mlpotential.errors import DataError

TIE_BREAK = 1e-6  # chosen: among degenerate modes the plain squared overlap decides


@dataclass(frozen=True)
class ModeComparison(FrequencyComparison):
    """The modes of a molecule against those of a reference, matched by overlap.

    Beside the attributes of `FrequencyComparison`:

    Attributes:
        matches: index of the mode that is matched to each mode of the reference, [n_modes].
        overlaps: share of the matched mode that lies in the reference's mode and in those that are
            degenerate with it, 0 to 1, [n_modes].
        duschinsky: J of (1), element [k, l] of mode k and mode l of the reference,
            [n_modes, n_modes].
        displacements: K of (1), along the modes of the reference, [n_modes] (A sqrt(amu)).
    """

    matches: Annotated[np.ndarray, "1"]
    overlaps: Annotated[np.ndarray, "1"]
    duschinsky: Annotated[np.ndarray, "1"]
    displacements: Annotated[np.ndarray, "A sqrt(amu)"]

    COLUMNS: ClassVar[tuple[str, ...]] = (
        *FrequencyComparison.COLUMNS,
        "matches",
        "overlaps",
        "displacements",
    )


def compare_modes(
    modes: ModeSet, reference: ModeSet, tolerance_per_cm: float = 0.5
) -> ModeComparison:
    """Lays two sets of modes of one molecule on each other and matches them.

    Args:
        modes: with the same atoms in the same order as the reference.
        reference: all real.
        tolerance_per_cm: how far degenerate modes may lie apart.

    Raises:
        DataError: other atoms, another number of modes, structures too different to be of one
            molecule in one order of atoms, or an imaginary mode in the reference.
    """
    rotation, displacements = _superposition(modes, reference)
    n_modes = len(modes.wavenumbers_per_cm)
    turned = (modes.modes @ rotation.T).reshape(n_modes, -1)
    duschinsky = turned @ reference.modes.reshape(n_modes, -1).T  # (1)
    own = _membership(modes.wavenumbers_per_cm, tolerance_per_cm)
    others = _membership(reference.wavenumbers_per_cm, tolerance_per_cm)
    shares = own / own.sum(axis=1, keepdims=True) @ duschinsky**2 @ others
    rows, columns = scipy.optimize.linear_sum_assignment(
        shares + TIE_BREAK * duschinsky**2, maximize=True
    )
    matches = rows[np.argsort(columns)]
    paired = compare_paired_frequencies(
        modes.wavenumbers_per_cm[matches], reference.wavenumbers_per_cm
    )
    return ModeComparison(
        **vars(paired),
        matches=matches,
        overlaps=(duschinsky**2 @ others)[matches, np.arange(n_modes)],
        duschinsky=duschinsky,
        displacements=reference.modes.reshape(n_modes, -1) @ displacements.reshape(-1),  # (1)
    )


def _superposition(modes: ModeSet, reference: ModeSet) -> tuple[np.ndarray, np.ndarray]:
    """The rotation onto the reference [3, 3] and M^(1/2) (r - r0) after it [n_atoms, 3]."""
    masses = reference.masses
    if modes.masses.shape != masses.shape or not np.allclose(modes.masses, masses, rtol=1e-4):
        raise DataError("the two sets of modes are of different atoms, or in another order")
    if modes.is_free != reference.is_free:
        raise DataError(
            "one set of modes is of a free molecule, the other of a crystal or with fixed atoms"
        )
    if modes.modes.shape != reference.modes.shape:
        raise DataError(
            f"{len(modes.modes)} modes cannot be matched to {len(reference.modes)}: one structure "
            "is linear and the other bent"
        )
    rotation, difference = _laid_on(modes, reference)
    r0 = reference.positions
    atom = int(np.argmax(np.linalg.norm(difference, axis=1)))
    distance, nearest = (
        np.linalg.norm(difference[atom]),
        scipy.spatial.distance.pdist(r0).min(initial=np.inf),
    )
    if distance > 0.5 * nearest:
        raise DataError(
            f"laid on each other, the structures have atom {atom} {distance:.2f} A apart, more "
            f"than half the shortest distance of the reference ({nearest:.2f} A): give the same "
            "molecule with its atoms in the same order"
        )
    return rotation, difference * np.sqrt(masses)[:, None]


def _laid_on(modes: ModeSet, reference: ModeSet) -> tuple[np.ndarray, np.ndarray]:
    """The rotation onto the reference [3, 3], and what differs after it [n_atoms, 3] (A)."""
    if not reference.is_free:
        return np.eye(3), modes.positions - reference.positions
    masses = reference.masses
    r, r0 = centered(modes.positions, masses), centered(reference.positions, masses)
    is_linear = degrees_of_freedom_at_rest(r0, masses).is_linear
    rotation = eckart_rotations(r[None], r0, masses, is_linear)[0]
    return rotation, r @ rotation.T - r0


def _membership(wavenumbers_per_cm: np.ndarray, tolerance_per_cm: float) -> np.ndarray:
    """1 where two modes are degenerate, [n_modes, n_modes]."""
    n_modes = len(wavenumbers_per_cm)
    same = np.zeros((n_modes, n_modes))
    for group in degenerate_groups(wavenumbers_per_cm, tolerance_per_cm):
        same[np.ix_(group, group)] = 1.0
    return same
