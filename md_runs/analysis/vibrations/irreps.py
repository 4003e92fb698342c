"""Symmetry labels of vibrations: which irreducible representation a mode belongs to.

An operation R takes a mode with displacements u_i to (R u)_p(i) = R u_i, where atom i comes to the
place of atom p(i). The share of a mode u in the representation G is its projection

    w_G = d / (sum_R chi(R)^2) * sum_R chi(R) <u|R u>,   d = chi(1)   (1)

(E. B. Wilson, J. C. Decius, P. C. Cross, "Molecular Vibrations", McGraw-Hill 1955, ch. 6), which is
1 for one representation and 0 for all others. Each mode is so judged by itself: pairs that a finite
difference has split keep their label. Modes of different symmetry that lie closer together than
the noise mix; their group is then labelled as a whole ("A1 + B2"), by the sums of w_G. Where even
that is not clear the label is "?".
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.vibrations.character_tables import Irrep, irreps
from md_runs.analysis.vibrations.degrees_of_freedom import n_vibrations
from md_runs.analysis.vibrations.normal_modes import ModeSet, degenerate_groups
from md_runs.analysis.vibrations.point_groups import PointGroup
from mlpotential.errors import DataError

PURE = 0.9  # chosen: share in one representation that makes a label
NOT_LABELLED = "?"


@dataclass(frozen=True)
class ModeSymmetries(AnalysisResult):
    """The symmetry labels of a set of modes.

    Attributes:
        schoenflies: point group.
        labels: texts, [n_modes]; "?" where none fits, "A1 + B2" where modes mix by accident.
        purities: largest share (1) of each mode in one representation, [n_modes].
        is_infrared_active: allowed to change the dipole, [n_modes].
        is_raman_active: allowed to change the polarizability, [n_modes].
        representation: how often each label occurs among the vibrations, by label; pairs and
            triples count once.
    """

    schoenflies: str
    labels: Annotated[np.ndarray, "1"]
    purities: Annotated[np.ndarray, "1"]
    is_infrared_active: Annotated[np.ndarray, "1"]
    is_raman_active: Annotated[np.ndarray, "1"]
    representation: dict[str, int]

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "labels",
        "purities",
        "is_infrared_active",
        "is_raman_active",
    )

    def __str__(self) -> str:
        """Such as "2A1 + B2"."""
        terms = [f"{n if n > 1 else ''}{name}" for name, n in self.representation.items()]
        return " + ".join(terms)


def mode_symmetries(
    modes: ModeSet, group: PointGroup, tolerance_per_cm: float = 0.5
) -> ModeSymmetries:
    """Labels the modes of a molecule.

    Args:
        modes: of the structure that the group was found for.
        group: of `point_group`.
        tolerance_per_cm: modes so close together may mix by accident.

    Raises:
        DataError: modes of another structure or orientation, or of a molecule that is bent a
            little where the group calls it linear.
    """
    _check_same_structure(modes, group)
    table = irreps(group)
    shares = _shares(modes, group, table)
    active = np.array([_is_active(irrep, group) for irrep in table])
    labels, is_active = [""] * len(shares), np.zeros((len(shares), 2), bool)
    for members in degenerate_groups(modes.wavenumbers_per_cm, tolerance_per_cm):
        mixture = _mixture(shares[members].sum(axis=0), table)
        for k in members:
            best = int(np.argmax(shares[k]))
            contained = [best] if shares[k, best] >= PURE else mixture
            labels[k] = " + ".join(table[j].name for j in contained) or NOT_LABELLED
            is_active[k] = active[contained].any(axis=0) if contained else True
    occurrences = Counter[str]()
    for irrep, total in zip(table, shares.sum(axis=0), strict=True):
        occurrences[irrep.name] += round(float(total) / irrep.dimension)
    return ModeSymmetries(
        schoenflies=group.schoenflies,
        labels=np.array(labels),
        purities=shares.max(axis=1, initial=0.0),
        is_infrared_active=is_active[:, 0],
        is_raman_active=is_active[:, 1],
        representation={name: n for name, n in occurrences.items() if n > 0},
    )


def _shares(modes: ModeSet, group: PointGroup, table: list[Irrep]) -> np.ndarray:
    """Equation (1) for every mode and representation, [n_modes, n_irreps]."""
    u = modes.modes
    overlaps = np.empty((len(group.operations), len(u)))
    for row, operation, permutation in zip(
        overlaps, group.operations, group.permutations, strict=True
    ):
        row[:] = np.einsum("kix,kix->k", u[:, permutation], u @ operation.T)
    weights = np.stack([i.dimension / (i.characters @ i.characters) * i.characters for i in table])
    shares: np.ndarray = (weights @ overlaps).T  # (1)
    return shares


def _mixture(sums: np.ndarray, table: list[Irrep]) -> list[int]:
    """The representations that make up a group of modes; none unless all are whole."""
    multiplicities = np.round(sums / [irrep.dimension for irrep in table])
    remainders = sums - multiplicities * [irrep.dimension for irrep in table]
    if np.abs(remainders).max() > 1 - PURE:
        return []
    return [int(j) for j in np.flatnonzero(multiplicities)]


def _is_active(irrep: Irrep, group: PointGroup) -> tuple[bool, bool]:
    """Contained in a vector (infrared); in a symmetric tensor (Raman)."""
    vector = np.trace(group.operations, axis1=1, axis2=2)
    of_squares = np.einsum("kxy,kyx->k", group.operations, group.operations)
    tensor = (vector**2 + of_squares) / 2
    return irrep.multiplicity(vector) > 0.5, irrep.multiplicity(tensor) > 0.5


def _check_same_structure(modes: ModeSet, group: PointGroup) -> None:
    """Raises DataError as `mode_symmetries` says."""
    n_atoms = len(modes.positions)
    if group.permutations.shape[1] != n_atoms:
        raise DataError(
            f"the point group is of {group.permutations.shape[1]} atoms, the modes of {n_atoms}"
        )
    center = modes.masses @ modes.positions / modes.masses.sum()
    r = modes.positions - center
    moved = np.einsum("kxy,iy->kix", group.operations, r)
    partners = r[group.permutations]
    deviation = float(np.linalg.norm(moved - partners, axis=2).max())
    if deviation > 2 * group.tolerance:
        raise DataError(
            f"the operations of {group.schoenflies} miss atoms of the modes' structure by "
            f"{deviation:.3g} A: find the group for modes.positions and modes.masses"
        )
    if len(modes.wavenumbers_per_cm) != n_vibrations(n_atoms, group.is_linear):
        raise DataError(
            f"the molecule is {'' if group.is_linear else 'not '}linear within the tolerance of "
            f"its point group ({group.tolerance:g} A), but has {len(modes.wavenumbers_per_cm)} "
            "modes: relax it further, straighten it, or take another tolerance"
        )
