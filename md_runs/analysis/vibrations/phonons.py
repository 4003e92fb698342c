"""Phonons of a crystal: what was found along a path, in a mesh, and at temperatures.

Wavenumbers are negative where modes are imaginary. Everything is of one primitive cell. Force
constants are those at zero macroscopic field: longitudinal and transverse optical modes of polar
crystals are not split at Gamma (LO-TO).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from md_runs.analysis.sampling.results import AnalysisResult
from mlpotential.errors import DataError

IMAGINARY_BELOW_PER_CM = -1.0  # chosen: what rounding leaves of acoustic modes near Gamma is above
GAMMA = "G"


@dataclass(frozen=True)
class PhononBands(AnalysisResult):
    """Wavenumbers along lines between points of high symmetry.

    Attributes:
        path: names of the points, a comma where the path jumps, as of ASE: "GXWKGLUWLK,UX".
        q_points: in units of the reciprocal primitive cell, [n_points, 3].
        distances: along the path, 2 pi included; jumps have no length, [n_points] (1/A).
        wavenumbers_per_cm: ascending, [n_points, n_bands].
        segments: first point and the one after the last of each line, [n_lines, 2].
        corner_distances: where points of high symmetry are, [n_corners] (1/A).
        corner_names: their names, two with a bar between where the path jumps.
    """

    path: str
    q_points: Annotated[np.ndarray, "1"]
    distances: Annotated[np.ndarray, "1/A"]
    wavenumbers_per_cm: Annotated[np.ndarray, "1/cm"]
    segments: np.ndarray
    corner_distances: Annotated[np.ndarray, "1/A"]
    corner_names: tuple[str, ...]

    COLUMNS: ClassVar[tuple[str, ...]] = ("distances", "q_points", "wavenumbers_per_cm")
    DRAWN_BY: ClassVar[str] = "md_runs.figures.phonons:plot_phonon_bands"

    def table_columns(self) -> dict[str, Any]:
        """The path and a column for each band."""
        columns = {"distances (1/A)": self.distances}
        columns |= {f"q_{axis} (1)": self.q_points[:, k] for k, axis in enumerate("abc")}
        for k, band in enumerate(self.wavenumbers_per_cm.T):
            columns[f"band {k + 1} (1/cm)"] = band
        return columns

    def at(self, q_point: Sequence[float]) -> np.ndarray:
        """Wavenumbers at a point of the path, [n_bands] (1/cm).

        Raises:
            DataError: for a point that is not on it.
        """
        near = np.abs(self.q_points - np.asarray(q_point, float)).max(axis=1) < 1e-8
        if not near.any():
            raise DataError(f"the path {self.path} has no point {tuple(q_point)}")
        found: np.ndarray = self.wavenumbers_per_cm[int(np.argmax(near))]
        return found


@dataclass(frozen=True)
class PhononDensity(AnalysisResult):
    """The density of states.

    Attributes:
        wavenumbers_per_cm: [n_points].
        density: modes per 1/cm, its integral 3 n_atoms, [n_points].
        mesh: numbers of q-points.
    """

    wavenumbers_per_cm: Annotated[np.ndarray, "1/cm"]
    density: Annotated[np.ndarray, "cm"]
    mesh: tuple[int, int, int]

    COLUMNS: ClassVar[tuple[str, ...]] = ("wavenumbers_per_cm", "density")
    DRAWN_BY: ClassVar[str] = "md_runs.figures.phonons:plot_phonon_density"


@dataclass(frozen=True)
class PhononThermodynamics(AnalysisResult):
    """Harmonic functions at constant volume, without imaginary modes and those of rigid motion.

    Attributes:
        temperatures_K: [n_temperatures].
        free_energies: of the vibrations, zero-point energy included, [n_temperatures] (eV).
        entropies_eV_per_K: [n_temperatures].
        heat_capacities_eV_per_K: [n_temperatures].
        n_atoms: of the cell that all of it belongs to.
    """

    temperatures_K: Annotated[np.ndarray, "K"]
    free_energies: Annotated[np.ndarray, "eV"]
    entropies_eV_per_K: Annotated[np.ndarray, "eV/K"]
    heat_capacities_eV_per_K: Annotated[np.ndarray, "eV/K"]
    n_atoms: int

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "temperatures_K",
        "free_energies",
        "entropies_eV_per_K",
        "heat_capacities_eV_per_K",
    )
    DRAWN_BY: ClassVar[str] = "md_runs.figures.phonons:plot_heat_capacity"


@dataclass(frozen=True)
class ImaginaryModes(AnalysisResult):
    """Directions in which the energy falls: the crystal is not at a minimum, or the model errs.

    Attributes:
        lowest_per_cm: the most imaginary wavenumber on path and mesh, negative.
        q_point: where it is, [3].
        share: of all modes of the mesh.
    """

    lowest_per_cm: Annotated[float, "1/cm"]
    q_point: Annotated[np.ndarray, "1"]
    share: Annotated[float, "1"]

    def __str__(self) -> str:
        place = " ".join(f"{x:.4g}" for x in self.q_point)
        return (
            f"IMAGINARY MODES: down to {-self.lowest_per_cm:.1f}i 1/cm, at q = ({place}); "
            f"{100 * self.share:.3g} % of the mesh. The crystal is not at a minimum of the model: "
            "relax it, with its cell, look for the distorted structure that these modes lead to, "
            "or take a larger supercell. Free energies leave them out and are not to be trusted"
        )


@dataclass(frozen=True)
class Phonons(AnalysisResult):
    """All that was found of a crystal.

    Attributes:
        formula: of the primitive cell.
        space_group: its international symbol; None where symmetry was not asked for.
        supercell: of the structure that was given, in which atoms were displaced.
        displacement: (A).
        n_displacements: of evaluated supercells.
        sum_rule_violation: largest |sum over j of force constants ij| before the sum rule was
            imposed, which makes the three acoustic modes at Gamma zero (eV/A^2).
        largest_force_constant: to compare it with (eV/A^2).
        max_force: longest force before displacements (eV/A).
        gamma_per_cm: wavenumbers at Gamma, [3 n_atoms].
        bands: along the path.
        density: of states.
        thermodynamics: at temperatures.
        imaginary: None where there are no imaginary modes.
    """

    formula: str
    space_group: str | None
    supercell: tuple[int, int, int]
    displacement: Annotated[float, "A"]
    n_displacements: int
    sum_rule_violation: Annotated[float, "eV/A^2"]
    largest_force_constant: Annotated[float, "eV/A^2"]
    max_force: Annotated[float, "eV/A"]
    gamma_per_cm: Annotated[np.ndarray, "1/cm"]
    bands: PhononBands
    density: PhononDensity
    thermodynamics: PhononThermodynamics
    imaginary: ImaginaryModes | None

    DRAWN_BY: ClassVar[str] = "md_runs.figures.phonons:plot_bands_of_phonons"


def imaginary_modes(
    wavenumbers_per_cm: np.ndarray, q_points: np.ndarray, weights: np.ndarray
) -> ImaginaryModes | None:
    """The imaginary modes among those of a mesh and of a path; None where there are none.

    The three acoustic modes at Gamma are rigid motions and are not counted, whatever their sign.

    Args:
        wavenumbers_per_cm: ascending, [n_points, n_bands].
        q_points: [n_points, 3].
        weights: of the mesh, 0 of points of the path, [n_points].
    """
    counted = wavenumbers_per_cm.copy()
    for row in np.flatnonzero(np.abs(q_points - np.rint(q_points)).max(axis=1) < 1e-8):
        counted[row, np.argsort(np.abs(counted[row]))[:3]] = np.inf
    are_imaginary = counted < IMAGINARY_BELOW_PER_CM
    if not are_imaginary.any():
        return None
    place = np.unravel_index(np.argmin(counted), counted.shape)
    n_bands = counted.shape[1]
    return ImaginaryModes(
        lowest_per_cm=float(counted[place]),
        q_point=q_points[place[0]],
        share=float((are_imaginary.sum(axis=1) * weights).sum() / (n_bands * weights.sum())),
    )
