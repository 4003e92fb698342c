"""Normal modes from a Hessian, translations and rotations projected out.

E. B. Wilson, J. C. Decius, P. C. Cross, "Molecular Vibrations" (McGraw-Hill, 1955). With the
mass-weighted Hessian F_ij = H_ij / sqrt(m_i m_j) and an orthonormal basis B of everything that is
orthogonal to the rigid motions,

    (B^T F B) c = omega^2 c,  mode = B c.   (1)

The rigid motions never enter, so that a softest mode cannot be mistaken for one of them, and the
modes of a geometry that is not quite stationary stay free of rotation. What is a rigid motion tells
the one rule of `degrees_of_freedom`: a free molecule has six (a linear one five), a crystal three
translations, and with fixed atoms there is what they leave, usually nothing; then (1) is of the
partial Hessian of the atoms that can move.

Modes of a crystal are those of its cell at Gamma, where all cells move alike (of a supercell, those
that fold there). The Hessian is that at zero macroscopic field: the splitting of longitudinal from
transverse optical modes in polar crystals (LO-TO) is not in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol

import numpy as np

from md_runs.analysis.sampling.frames import check_masses
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.vibrations.degrees_of_freedom import degrees_of_freedom_at_rest
from mlpotential.errors import DataError
from mlpotential.units import ASE_TIME_PER_FS, EV_PER_WAVENUMBER, WAVENUMBER_PER_INVERSE_FS

if TYPE_CHECKING:
    from ase.vibrations import VibrationsData

ASYMMETRY_TOLERANCE = 1e-2  # chosen: of the largest element; finite differences stay below 1e-3
NUMBERS = (  # fields of `NormalModes` that every file of them has
    "wavenumbers_per_cm",
    "modes",
    "residual_wavenumbers_per_cm",
    "masses",
    "positions",
)


class ModeSet(Protocol):
    """Modes with their geometry: `NormalModes`, or `QuasiHarmonicModes`."""

    @property
    def wavenumbers_per_cm(self) -> np.ndarray:
        """Ascending, negative where imaginary, [n_modes]."""

    @property
    def modes(self) -> np.ndarray:
        """Mass-weighted and orthonormal, [n_modes, n_atoms, 3]."""

    @property
    def masses(self) -> np.ndarray:
        """[n_atoms] (amu)."""

    @property
    def positions(self) -> np.ndarray:
        """The structure that the modes belong to, [n_atoms, 3] (A)."""

    @property
    def fixed(self) -> np.ndarray | None:
        """Atoms that never move, [n_atoms] of bool; None where all can."""

    @property
    def is_free(self) -> bool:
        """Whether they are those of a molecule that may lie anywhere and in any orientation."""


@dataclass(frozen=True)
class NormalModes(AnalysisResult):
    """The vibrations of a molecule or a crystal, softest first.

    Attributes:
        wavenumbers_per_cm: [n_modes]; an imaginary mode has a negative number.
        modes: mass-weighted and orthonormal, [n_modes, n_atoms, 3]; divide by sqrt(mass) for
            Cartesian displacements.
        residual_wavenumbers_per_cm: of the translations and rotations that were projected out,
            the eigenvalues of the Hessian among them, [n_rigid]; zero at a stationary point of an
            energy that knows no place and no orientation.
        masses: [n_atoms] (amu).
        positions: the structure that the modes belong to, [n_atoms, 3] (A).
        fixed: atoms that never move, [n_atoms] of bool; None where all can.
        pbc: periodic directions, [3].
        model_errors_per_cm: of the wavenumbers, by a committee, [n_modes]; None of others.
    """

    wavenumbers_per_cm: Annotated[np.ndarray, "1/cm"]
    modes: Annotated[np.ndarray, "1"]
    residual_wavenumbers_per_cm: Annotated[np.ndarray, "1/cm"]
    masses: Annotated[np.ndarray, "amu"]
    positions: Annotated[np.ndarray, "A"]
    fixed: np.ndarray | None = None
    pbc: tuple[bool, bool, bool] = (False, False, False)
    model_errors_per_cm: Annotated[np.ndarray | None, "1/cm"] = None

    COLUMNS: ClassVar[tuple[str, ...]] = ("wavenumbers_per_cm",)
    DRAWN_BY: ClassVar[str] = "md_runs.figures.modes:plot_normal_modes"

    @property
    def n_modes(self) -> int:
        """3N - 6 of a molecule, 3N - 5 if linear, 3N - 3 of a crystal, see `degrees_of_freedom`."""
        return len(self.wavenumbers_per_cm)

    @property
    def is_free(self) -> bool:
        """Whether no atom is fixed and nothing periodic."""
        return self.fixed is None and not any(self.pbc)

    @property
    def n_imaginary(self) -> int:
        """Number of modes of negative curvature: 0 at a minimum."""
        return int(np.sum(self.wavenumbers_per_cm < 0))

    @property
    def zero_point_energy(self) -> float:
        """Sum of half a quantum over the real modes (eV)."""
        real = self.wavenumbers_per_cm[self.wavenumbers_per_cm > 0]
        return float(0.5 * EV_PER_WAVENUMBER * real.sum())

    def degenerate_groups(self, tolerance_per_cm: float = 0.5) -> list[list[int]]:
        """Indices of the modes that share a wavenumber, see `degenerate_groups`."""
        return degenerate_groups(self.wavenumbers_per_cm, tolerance_per_cm)

    def table(
        self,
        tolerance_per_cm: float = 0.5,
        columns: Mapping[str, Sequence[str] | np.ndarray] | None = None,
    ) -> str:
        """One line for each group of degenerate modes: numbers (from 1), wavenumber, degeneracy.

        Args:
            tolerance_per_cm: how far degenerate modes may lie apart.
            columns: heading and what each mode has there, [n_modes]; numbers (intensities) are
                summed over a group, texts (symmetry labels) are named once.
        """
        columns = columns or {}
        headings = "".join(f"   {heading:>12}" for heading in columns)
        lines = ["   modes   wavenumber (1/cm)   degeneracy" + headings]
        for group in self.degenerate_groups(tolerance_per_cm):
            first, last = group[0] + 1, group[-1] + 1
            numbers = f"{first}" if first == last else f"{first}-{last}"
            mean = self.wavenumbers_per_cm[group].mean()
            cells = "".join(f"   {_cell(column, group):>12}" for column in columns.values())
            imaginary = "  imaginary" if mean < 0 else ""
            lines.append(f"{numbers:>8}   {mean:>17.2f}   {len(group):>10}{cells}{imaginary}")
        return "\n".join(lines)


@dataclass(frozen=True)
class FrequencyComparison(AnalysisResult):
    """Two sets of wavenumbers, paired, in the order of the reference.

    Attributes:
        wavenumbers_per_cm: [n_modes].
        reference_per_cm: [n_modes].
        relative_deviations: (wavenumber - reference) / reference, [n_modes].
        mean_relative_deviation: mean of their magnitudes.
        max_relative_deviation: largest magnitude.
    """

    wavenumbers_per_cm: Annotated[np.ndarray, "1/cm"]
    reference_per_cm: Annotated[np.ndarray, "1/cm"]
    relative_deviations: Annotated[np.ndarray, "1"]
    mean_relative_deviation: Annotated[float, "1"]
    max_relative_deviation: Annotated[float, "1"]

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "reference_per_cm",
        "wavenumbers_per_cm",
        "relative_deviations",
    )
    DRAWN_BY: ClassVar[str] = "md_runs.figures.modes:plot_wavenumbers"


def normal_modes(
    hessian: np.ndarray,
    masses: np.ndarray,
    positions: np.ndarray,
    *,
    fixed: np.ndarray | None = None,
    pbc: Sequence[bool] | np.ndarray = (False, False, False),
    linear: bool | None = None,
) -> NormalModes:
    """The normal modes (1), see `degrees_of_freedom` for their number.

    Args:
        hessian: second derivatives of the energy, [3 n_atoms, 3 n_atoms] (eV/A^2); with fixed
            atoms, those of the others alone will do, [3 n_free, 3 n_free].
        masses: [n_atoms] (amu).
        positions: [n_atoms, 3] (A).
        fixed: atoms that never move, [n_atoms] of bool; None for none.
        pbc: periodic directions, [3].
        linear: whether the molecule is linear, where its point group tells; None to ask the
            positions.

    Raises:
        DataError: shapes that do not belong together, numbers that are not finite, a mass that is
            not positive, a Hessian that is not symmetric, or no atom that is free to move.
    """
    masses, positions = np.array(masses, np.float64), np.array(positions, np.float64)  # copies
    _check_structure(masses, positions)
    free = degrees_of_freedom_at_rest(positions, masses, fixed=fixed, pbc=pbc, linear=linear)
    if free.fixed.all():
        raise DataError("all atoms are fixed: there is nothing to vibrate")
    of_free = np.repeat(~free.fixed, 3)
    hessian = _hessian_of_free(np.asarray(hessian, np.float64), of_free)
    root_mass = np.repeat(np.sqrt(masses), 3)[of_free]
    mass_weighted = 0.5 * (hessian + hessian.T) / np.outer(root_mass, root_mass)
    rigid = free.rigid_vectors(positions).reshape(free.n_rigid, positions.size)[:, of_free]
    basis = np.linalg.svd(rigid)[2][len(rigid) :].T if len(rigid) else np.eye(len(root_mass))
    curvatures, coefficients = np.linalg.eigh(basis.T @ mass_weighted @ basis)  # (1)
    modes = np.zeros((len(curvatures), len(of_free)))
    modes[:, of_free] = (basis @ coefficients).T
    return NormalModes(
        wavenumbers_per_cm=wavenumbers_of_curvatures(curvatures),
        modes=modes.reshape(-1, *positions.shape),
        residual_wavenumbers_per_cm=wavenumbers_of_curvatures(
            np.linalg.eigvalsh(rigid @ mass_weighted @ rigid.T)
        ),
        masses=masses,
        positions=positions,
        fixed=free.fixed if free.fixed.any() else None,
        pbc=tuple(np.broadcast_to(np.asarray(pbc, bool), 3).tolist()),
    )


def normal_modes_of_vibrations(vibrations: VibrationsData) -> NormalModes:
    """The normal modes of ASE's vibrations, rigid motions projected out.

    ASE itself projects nothing out: its six softest modes are rigid motions, more or less. Atoms
    that it did not displace are fixed.

    Raises:
        DataError: as `normal_modes`.
    """
    atoms = vibrations.get_atoms()
    fixed = np.ones(len(atoms), bool)
    fixed[vibrations.get_indices()] = False
    hessian = vibrations.get_hessian_2d()
    return normal_modes(hessian, atoms.get_masses(), atoms.positions, fixed=fixed, pbc=atoms.pbc)


def read_normal_modes(path: Path) -> NormalModes:
    """Modes that `NormalModes.save_json` has written.

    Args:
        path: of the JSON file, that of `md-runs modes --json` too.

    Raises:
        DataError: a file that is missing or holds something else.
    """
    try:
        content = json.loads(path.read_text())
        arrays = {name: np.array(content[name], np.float64) for name in NUMBERS}
        arrays["modes"] = arrays["modes"].reshape(-1, *arrays["positions"].shape)
        fixed, pbc = content.get("fixed"), content.get("pbc", (False, False, False))
        errors = content.get("model_errors_per_cm")
        return NormalModes(
            **arrays,
            fixed=None if fixed is None else np.array(fixed, bool),
            pbc=tuple(pbc),
            model_errors_per_cm=None if errors is None else np.array(errors, np.float64),
        )
    except OSError as error:
        raise DataError(f"cannot read the modes {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} holds no normal modes as save_json writes them") from error


def cartesian_displacements(modes: ModeSet) -> np.ndarray:
    """Modes as motions of the atoms, each of length 1, [n_modes, n_atoms, 3]."""
    displacements = modes.modes / np.sqrt(modes.masses)[:, None]
    return displacements / np.linalg.norm(displacements, axis=(1, 2), keepdims=True)


def degenerate_groups(
    wavenumbers_per_cm: np.ndarray, tolerance_per_cm: float = 0.5
) -> list[list[int]]:
    """Indices of wavenumbers that lie within the tolerance of the first of their group.

    Args:
        wavenumbers_per_cm: ascending, [n_modes].
        tolerance_per_cm: how far degenerate modes may lie apart.
    """
    groups: list[list[int]] = []
    for index, wavenumber in enumerate(wavenumbers_per_cm):
        if groups and wavenumber - wavenumbers_per_cm[groups[-1][0]] <= tolerance_per_cm:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def compare_frequencies(
    wavenumbers_per_cm: np.ndarray, reference_per_cm: np.ndarray
) -> FrequencyComparison:
    """Relative deviations of one set of wavenumbers from another, paired in ascending order.

    Where the modes themselves are known, `compare_modes` pairs them by overlap.

    Args:
        wavenumbers_per_cm: [n_modes].
        reference_per_cm: [n_modes], all real.

    Raises:
        DataError: different or no numbers of modes, a number that is not finite, or an imaginary
            mode in the reference.
    """
    return compare_paired_frequencies(np.sort(wavenumbers_per_cm), np.sort(reference_per_cm))


def compare_paired_frequencies(
    wavenumbers_per_cm: np.ndarray, reference_per_cm: np.ndarray
) -> FrequencyComparison:
    """`compare_frequencies` of wavenumbers that are paired already, [n_modes] each."""
    wavenumbers = np.asarray(wavenumbers_per_cm, np.float64)
    reference = np.asarray(reference_per_cm, np.float64)
    if wavenumbers.shape != reference.shape or wavenumbers.ndim != 1 or len(reference) == 0:
        raise DataError(
            f"two lists of as many modes are needed, not {wavenumbers.shape} and {reference.shape}"
        )
    if not (np.isfinite(wavenumbers).all() and np.isfinite(reference).all()):
        raise DataError("there are wavenumbers that are not finite")
    if reference.min() <= 0:
        raise DataError(
            f"the reference has a mode of {reference.min():.4g} 1/cm: relative deviations need "
            "real, positive wavenumbers"
        )
    deviations = (wavenumbers - reference) / reference
    return FrequencyComparison(
        wavenumbers_per_cm=wavenumbers,
        reference_per_cm=reference,
        relative_deviations=deviations,
        mean_relative_deviation=float(np.abs(deviations).mean()),
        max_relative_deviation=float(np.abs(deviations).max()),
    )


def _cell(column: Sequence[str] | np.ndarray, group: list[int]) -> str:
    """What a group of degenerate modes has in a column of the table."""
    entries = np.asarray(column)[group]
    if np.issubdtype(entries.dtype, np.number):
        return f"{entries.sum():.4g}"
    return " + ".join(dict.fromkeys(entries))


def _check_structure(masses: np.ndarray, positions: np.ndarray) -> None:
    """Raises DataError as `normal_modes` says."""
    if positions.ndim != 2 or positions.shape[1] != 3 or len(positions) == 0:
        raise DataError(f"positions must have shape [n_atoms, 3], not {list(positions.shape)}")
    check_masses(masses, len(positions))
    if not np.isfinite(positions).all():
        raise DataError("the positions hold numbers that are not finite")


def _hessian_of_free(hessian: np.ndarray, of_free: np.ndarray) -> np.ndarray:
    """The rows and columns of coordinates that are free, [3 n_atoms] of bool, checked."""
    n_all, n_free = len(of_free), int(of_free.sum())
    if hessian.shape == (n_all, n_all):
        hessian = hessian[np.ix_(of_free, of_free)]
    if hessian.shape != (n_free, n_free):
        of_others = f" or, of those that move, [{n_free}, {n_free}]" * (n_free < n_all)
        raise DataError(
            f"{n_all // 3} atoms need a Hessian of shape [{n_all}, {n_all}]{of_others}, not "
            f"{list(hessian.shape)}"
        )
    if not np.isfinite(hessian).all():
        raise DataError("the Hessian holds numbers that are not finite")
    asymmetry = np.abs(hessian - hessian.T).max()
    if asymmetry > ASYMMETRY_TOLERANCE * np.abs(hessian).max():
        raise DataError(
            f"the Hessian is not symmetric: elements differ by up to {asymmetry:.3g} eV/A^2 from "
            "their mirror images"
        )
    return hessian


def wavenumbers_of_curvatures(curvatures: np.ndarray) -> np.ndarray:
    """Wavenumbers of eigenvalues of a mass-weighted Hessian, omega^2.

    Args:
        curvatures: of any shape (eV/A^2/amu).

    Returns:
        omega / (2 pi c) (1/cm); negative where the curvature is negative (an imaginary mode).
    """
    omega_per_fs = np.sqrt(np.abs(curvatures)) * ASE_TIME_PER_FS
    return np.sign(curvatures) * omega_per_fs / (2 * np.pi) * WAVENUMBER_PER_INVERSE_FS


def curvatures_of_wavenumbers(wavenumbers_per_cm: np.ndarray) -> np.ndarray:
    """The inverse of `wavenumbers_of_curvatures`: omega^2 with the sign of the wavenumber."""
    omega = 2 * np.pi * wavenumbers_per_cm / (WAVENUMBER_PER_INVERSE_FS * ASE_TIME_PER_FS)
    return np.sign(wavenumbers_per_cm) * omega**2
