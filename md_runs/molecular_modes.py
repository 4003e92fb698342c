"""Everything harmonic about a molecule from one model: modes, symmetry, infrared intensities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses

from calculators.ase_calculator import MLPotentialCalculator
from md_runs.analysis.vibrations.irreps import ModeSymmetries, mode_symmetries
from md_runs.analysis.vibrations.mode_comparison import ModeComparison, compare_modes
from md_runs.analysis.vibrations.mode_intensities import InfraredIntensities, infrared_intensities
from md_runs.analysis.vibrations.normal_modes import (
    NormalModes,
    normal_modes,
    read_normal_modes,
)
from md_runs.analysis.vibrations.point_groups import PointGroup, point_group
from md_runs.hessian import hessian_by_finite_differences
from md_runs.relax import relax
from mlpotential.errors import StructureError
from mlpotential.inference.committee import Models
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.execution import Execution
from mlpotential.models.model_file import load_model


@dataclass(frozen=True)
class MolecularModes:
    """Vibrations of a molecule at rest.

    Attributes:
        energy: of the structure (eV).
        max_force: longest force of an atom (eV/A): small at a minimum.
        modes: from the exact Hessian.
        group: point group of the structure.
        symmetries: of the modes in it.
        born_charges: change of dipole component y with coordinate x of atom i, [n_atoms, 3, 3] (e);
            None for a model without dipoles.
        infrared: intensities from them.
    """

    energy: float
    max_force: float
    modes: NormalModes
    group: PointGroup
    symmetries: ModeSymmetries
    born_charges: np.ndarray | None
    infrared: InfraredIntensities | None

    @property
    def columns(self) -> dict[str, Sequence[str] | np.ndarray]:
        """What a table of the modes shows beside their wavenumbers."""
        columns: dict[str, Sequence[str] | np.ndarray] = {"symmetry": self.symmetries.labels}
        if self.infrared is not None:
            columns["IR (km/mol)"] = self.infrared.intensities_km_per_mol
        return columns


def molecular_modes(
    atoms: Atoms, model: Models, execution: Execution, displacement: float | None = None
) -> MolecularModes:
    """Evaluates energy, forces, Hessian and, where the model has them, Born charges.

    Args:
        atoms: a relaxed molecule.
        model: as for `Evaluator`.
        execution: float64 is advised.
        displacement: of central differences of forces and dipoles (A), to check the exact
            derivatives; None for those.

    Raises:
        StructureError: for a periodic structure, one with constraints, or one that no energy can
            be computed for.
        InputError: as `Evaluator`.
    """
    if atoms.pbc.any():
        raise StructureError("normal modes are of isolated molecules: set pbc=False")
    if atoms.constraints:
        names = ", ".join(type(constraint).__name__ for constraint in atoms.constraints)
        raise StructureError(
            f"normal modes are of molecules that move freely, but there are constraints ({names}): "
            "remove them (atoms.set_constraint()) for the modes of all atoms"
        )
    evaluator = Evaluator(model, atoms.numbers, **asdict(execution))
    wanted = {"energy", "forces", "born_charges"} & evaluator.properties
    answer = evaluator.evaluate(atoms.positions[None], properties=sorted(wanted))
    if displacement is None:
        hessian, born = evaluator.hessian(atoms.positions), answer.born_charges
        born = None if born is None else born.transpose(0, 2, 1)  # was [i, y, x] of d mu_y / d x_i
    else:
        displaced = atoms.copy()
        displaced.calc = MLPotentialCalculator(model, **asdict(execution))
        found = hessian_by_finite_differences(
            displaced, displacement, with_dipoles="dipole" in evaluator.properties
        )
        hessian, born = found.hessian, found.dipole_derivatives
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
    group = point_group(atoms.numbers, modes.positions, modes.masses)
    return MolecularModes(
        energy=float(answer.energy[0]),
        max_force=float(np.linalg.norm(answer.forces, axis=1).max()),
        modes=modes,
        group=group,
        symmetries=mode_symmetries(modes, group),
        born_charges=born,
        infrared=None if born is None else infrared_intensities(modes, born),
    )


@dataclass(frozen=True)
class WavenumbersBeside:
    """Wavenumbers of a model at its own minimum, matched with those of a reference.

    Attributes:
        name: of the reference.
        comparison: of the modes.
    """

    name: str
    comparison: ModeComparison

    @property
    def record(self) -> dict[str, Any]:
        """What a model file keeps."""
        found = self.comparison
        return {
            "wavenumbers_per_cm": found.wavenumbers_per_cm.round(2).tolist(),
            "reference_per_cm": found.reference_per_cm.round(2).tolist(),
            "mean_relative_deviation": found.mean_relative_deviation,
            "max_relative_deviation": found.max_relative_deviation,
        }

    def __str__(self) -> str:
        found = self.comparison
        rows = zip(
            found.reference_per_cm, found.wavenumbers_per_cm, found.relative_deviations, strict=True
        )
        lines = [f"wavenumbers beside {self.name} (1/cm)", "  reference      model   deviation (%)"]
        lines += [f"  {a:>9.2f}  {b:>9.2f}   {100 * deviation:>13.2f}" for a, b, deviation in rows]
        mean, largest = found.mean_relative_deviation, found.max_relative_deviation
        lines.append(f"  {100 * mean:.2f} % on average, at most {100 * largest:.2f} %")
        return "\n".join(lines)


def wavenumbers_beside(model: str, reference: str) -> WavenumbersBeside:
    """Relaxes the molecule of a reference with a model and matches the modes, in float64.

    The elements are those of the model whose masses come nearest, isotopes or not.

    Args:
        model: model file.
        reference: file of `NormalModes`, as `md-runs modes --json` writes it.

    Raises:
        DataError: a file that holds something else, or modes of another molecule.
        RunError: if the structure does not relax.
    """
    wanted = read_normal_modes(Path(reference))
    execution = Execution(dtype="float64")
    calculator = MLPotentialCalculator(model, **asdict(execution))
    known = np.array(load_model(model).potential.elements)
    nearest = np.abs(atomic_masses[known] - wanted.masses[:, None]).argmin(axis=1)
    atoms = Atoms(known[nearest], wanted.positions, masses=wanted.masses, calculator=calculator)
    minimum, _ = relax(atoms)
    found = molecular_modes(minimum, model, execution)
    return WavenumbersBeside(Path(reference).name, compare_modes(found.modes, wanted))
