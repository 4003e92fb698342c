"""Everything harmonic about a structure from one model: modes, symmetry, infrared intensities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses

from calculators.ase_calculator import MLPotentialCalculator
from md_runs.analysis.vibrations.degrees_of_freedom import degrees_of_freedom_at_rest
from md_runs.analysis.vibrations.irreps import ModeSymmetries, mode_symmetries
from md_runs.analysis.vibrations.mode_comparison import ModeComparison, compare_modes
from md_runs.analysis.vibrations.mode_intensities import InfraredIntensities, infrared_intensities
from md_runs.analysis.vibrations.mode_model_errors import (
    error_of_zero_point_energy,
    errors_of_modes,
    member_wavenumbers_per_cm,
)
from md_runs.analysis.vibrations.normal_modes import NormalModes, normal_modes, read_normal_modes
from md_runs.analysis.vibrations.point_groups import (
    LINEAR_GROUPS,
    SYMMETRY_TOLERANCE,
    PointGroup,
    near_misses,
    point_group,
)
from md_runs.hessian import hessian_by_finite_differences
from md_runs.relax import relax
from md_runs.trajectories.structure_file import fixed_atoms, other_constraints
from mlpotential.errors import DataError, StructureError
from mlpotential.graph import Prediction
from mlpotential.inference.committee import Models
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.execution import Execution
from mlpotential.labelling.worker_calculator import WorkerCalculator
from mlpotential.models.model_file import load_model
from mlpotential.nn.finite_differences import five_point

CALCULATOR_STEP = 0.01  # A; chosen: for forces that are converged to 1e-4 eV/A or better
POLARIZABILITY_STEP = 0.01  # A; chosen: five points are good to 1e-6 of the derivative


@dataclass(frozen=True)
class MolecularModes:
    """Vibrations of a structure at rest: a molecule, a crystal, or what moves beside fixed atoms.

    Attributes:
        energy: of the structure (eV).
        max_force: longest force of an atom that can move (eV/A): small at a stationary point.
        modes: from the exact Hessian.
        group: point group of a free molecule; None of others.
        symmetries: of the modes in it.
        born_charges: change of dipole component y with coordinate x of atom i, [n_atoms, 3, 3] (e);
            None for a model without dipoles, and in a crystal.
        infrared: intensities from them.
        polarizability_derivatives: change of component yz of the polarizability volume with
            coordinate x of atom i, [n_atoms, 3, 3, 3] (A^2), element [i, x, y, z]; None for a model
            without polarizabilities, and in a crystal.
        near_misses: higher point groups, and the tolerances that they would need (A).
        zero_point_error: model error of the zero-point energy, by a committee (eV); None of one
            model. That of the wavenumbers is with the modes.
        is_calibrated: whether model errors are those of a calibrated committee.
    """

    energy: float
    max_force: float
    modes: NormalModes
    group: PointGroup | None
    symmetries: ModeSymmetries | None
    born_charges: np.ndarray | None
    infrared: InfraredIntensities | None
    polarizability_derivatives: np.ndarray | None = None
    near_misses: Mapping[str, float] = field(default_factory=dict)
    zero_point_error: float | None = None
    is_calibrated: bool = False

    @property
    def columns(self) -> dict[str, Sequence[str] | np.ndarray]:
        """What a table of the modes shows beside their wavenumbers."""
        columns: dict[str, Sequence[str] | np.ndarray] = {}
        if self.symmetries is not None:
            columns["symmetry"] = self.symmetries.labels
        if self.infrared is not None:
            columns["IR (km/mol)"] = self.infrared.intensities_km_per_mol
        if self.modes.model_errors_per_cm is not None:
            errors = self.modes.model_errors_per_cm
            columns["model error"] = [f"{error:.2g}" for error in errors]
        return columns


def molecular_modes(
    atoms: Atoms,
    model: Models,
    execution: Execution,
    displacement: float | None = None,
    symmetry_tolerance: float = SYMMETRY_TOLERANCE,
) -> MolecularModes:
    """Evaluates energy, forces, Hessian and, where the model has them, Born charges.

    Args:
        atoms: a relaxed molecule or crystal; atoms that `FixAtoms` holds stay at rest.
        model: as for `Evaluator`.
        execution: float64 is advised.
        displacement: of central differences of forces and dipoles (A), to check the exact
            derivatives; None for those.
        symmetry_tolerance: as of `point_group` (A).

    Raises:
        StructureError: for other constraints, no atom that can move, or a structure that no energy
            can be computed for.
        DataError: a molecule that is linear, but for more than the tolerance.
        InputError: as `Evaluator`.
    """
    fixed = _fixed(atoms)
    evaluator = Evaluator(model, atoms.numbers, atoms.pbc, **asdict(execution))
    answer, hessian, born = _derivatives(atoms, evaluator, displacement, model, execution)
    found = _Harmonic(
        energy=float(answer.energy[0]),
        forces=answer.forces,
        hessian=hessian,
        born_charges=born,
        polarizability_derivatives=_polarizability_derivatives(atoms, evaluator),
    )
    modes = _modes_of(atoms, fixed, found, symmetry_tolerance)
    return _with_model_errors(modes, atoms, evaluator) if evaluator.n_members > 1 else modes


def calculator_modes(
    atoms: Atoms,
    calculator: WorkerCalculator,
    displacement: float | None = None,
    symmetry_tolerance: float = SYMMETRY_TOLERANCE,
    kept_file: Path | None = None,
    progress: bool = False,
) -> tuple[MolecularModes, str]:
    """As `molecular_modes`, by any calculator; and a sentence on where the Hessian comes from.

    Args:
        atoms: as of `molecular_modes`.
        calculator: that has forces; infrared intensities are by its dipoles, if it has them.
        displacement: of central differences of forces and dipoles (A); None for the Hessian of a
            calculator that has one, and `CALCULATOR_STEP` of others.
        symmetry_tolerance: as of `point_group` (A).
        kept_file: keeps evaluations, so that an interrupted call goes on.
        progress: show a bar, if standard error is a terminal.

    Raises:
        StructureError, DataError: as `molecular_modes`.
        CalculatorError: if nothing can be used of an evaluation.
    """
    fixed, still = _fixed(atoms), atoms.copy()
    still.calc = calculator
    (values,) = calculator.evaluate([still])
    if displacement is None and calculator.workers.abilities.has_hessian:
        is_free = np.repeat(~fixed, 3)
        hessian = calculator.get_hessian(still)[np.ix_(is_free, is_free)]
        found = _Harmonic(values["energy"], values["forces"], hessian, None)
        return _modes_of(atoms, fixed, found, symmetry_tolerance), "Hessian of the calculator"
    step = CALCULATOR_STEP if displacement is None else displacement
    has_dipoles = "dipole" in values and not atoms.pbc.any()
    result = hessian_by_finite_differences(still, step, has_dipoles, kept_file, progress)
    found = _Harmonic(values["energy"], values["forces"], result.hessian, result.dipole_derivatives)
    n_evaluations = 2 * len(result.hessian)
    return _modes_of(atoms, fixed, found, symmetry_tolerance), (
        f"Hessian by central differences of forces, {step:g} A, {n_evaluations} evaluations: "
        f"symmetric within {result.asymmetry:.2g} eV/A^2"
    )


@dataclass(frozen=True)
class _Harmonic:
    """Derivatives at a structure, as of `MolecularModes`; the Hessian of atoms that are free."""

    energy: float
    forces: np.ndarray
    hessian: np.ndarray
    born_charges: np.ndarray | None
    polarizability_derivatives: np.ndarray | None = None


def _modes_of(
    atoms: Atoms, fixed: np.ndarray, found: _Harmonic, symmetry_tolerance: float
) -> MolecularModes:
    is_free = not (fixed.any() or atoms.pbc.any())
    group, misses = _symmetry(atoms, symmetry_tolerance) if is_free else (None, {})
    masses, is_linear = atoms.get_masses(), None if group is None else group.is_linear
    modes = normal_modes(
        found.hessian, masses, atoms.positions, fixed=fixed, pbc=atoms.pbc, linear=is_linear
    )
    born = found.born_charges
    return MolecularModes(
        energy=found.energy,
        max_force=float(np.linalg.norm(found.forces[~fixed], axis=1).max()),
        modes=modes,
        group=group,
        symmetries=None if group is None else mode_symmetries(modes, group),
        born_charges=born,
        infrared=None if born is None else infrared_intensities(modes, born),
        polarizability_derivatives=found.polarizability_derivatives,
        near_misses=misses,
    )


def _with_model_errors(found: MolecularModes, atoms: Atoms, evaluator: Evaluator) -> MolecularModes:
    """Of wavenumbers and of the zero-point energy, by the Hessians of the members."""
    cell = atoms.cell.complete().array if atoms.pbc.any() else None
    calibration = evaluator.calibration
    scale = 1.0 if calibration is None else calibration.forces.scale
    hessians = evaluator.member_hessians(atoms.positions, cell)
    of_members = member_wavenumbers_per_cm(found.modes, hessians, scale)
    return replace(
        found,
        modes=replace(found.modes, model_errors_per_cm=errors_of_modes(of_members)),
        zero_point_error=error_of_zero_point_energy(of_members),
        is_calibrated=calibration is not None,
    )


def _derivatives(
    atoms: Atoms,
    evaluator: Evaluator,
    displacement: float | None,
    model: Models,
    execution: Execution,
) -> tuple[Prediction, np.ndarray, np.ndarray | None]:
    """Energy and forces, the Hessian, and Born charges as of `MolecularModes`."""
    cell = atoms.cell.complete().array if atoms.pbc.any() else None
    wanted = {"energy", "forces"} | ({"born_charges"} if cell is None else set())
    answer = evaluator.evaluate(
        atoms.positions[None],
        None if cell is None else cell[None],
        sorted(wanted & evaluator.properties),
    )
    if displacement is None:
        hessian, born = evaluator.hessian(atoms.positions, cell), answer.born_charges
        # was [i, y, x] of d mu_y / d x_i
        return answer, hessian, None if born is None else born.transpose(0, 2, 1)
    displaced = atoms.copy()
    displaced.calc = MLPotentialCalculator(model, **asdict(execution))
    has_dipoles = cell is None and "dipole" in evaluator.properties
    found = hessian_by_finite_differences(displaced, displacement, has_dipoles)
    return answer, found.hessian, found.dipole_derivatives


def _polarizability_derivatives(atoms: Atoms, evaluator: Evaluator) -> np.ndarray | None:
    """As of `MolecularModes`, by five-point differences."""
    if "polarizability" not in evaluator.properties or atoms.pbc.any():
        return None

    def polarizabilities(moves: np.ndarray) -> np.ndarray:
        found = evaluator.evaluate(atoms.positions + moves, None, ("polarizability",))
        return np.asarray(found.polarizability)

    size = 3 * len(atoms)
    every_coordinate = np.eye(size).reshape(size, len(atoms), 3)
    slopes = five_point(polarizabilities, every_coordinate, POLARIZABILITY_STEP)
    return np.asarray(slopes).reshape(len(atoms), 3, 3, 3)


def _symmetry(atoms: Atoms, tolerance: float) -> tuple[PointGroup, Mapping[str, float]]:
    """The point group and near misses. Raises DataError for what is linear but for the group."""
    numbers, masses = atoms.numbers, atoms.get_masses()
    group = point_group(numbers, atoms.positions, masses, tolerance)
    misses = near_misses(numbers, atoms.positions, masses, group)
    if not group.is_linear and degrees_of_freedom_at_rest(atoms.positions, masses).is_linear:
        needed = [f" of {needed:.2g} A" for name, needed in misses.items() if name in LINEAR_GROUPS]
        raise DataError(
            f"the molecule is almost linear, but bent by more than the symmetry tolerance of "
            f"{tolerance:g} A: relax it further, or take a larger one{''.join(needed[:1])} "
            "(--symmetry-tolerance)"
        )
    return group, misses


def _fixed(atoms: Atoms) -> np.ndarray:
    """Which atoms are fixed, [n_atoms] of bool. Raises StructureError as `molecular_modes`."""
    if names := other_constraints(atoms):
        raise StructureError(
            f"normal modes are of atoms that move freely or not at all (FixAtoms), but there are "
            f"other constraints ({names}): remove them (atoms.set_constraint())"
        )
    fixed = fixed_atoms(atoms)
    if fixed.all():
        raise StructureError("all atoms are fixed: there is nothing to vibrate")
    return fixed


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
    loaded = load_model(model)
    calculator = MLPotentialCalculator(loaded, **asdict(execution))
    known = np.array(loaded.potential.elements)
    nearest = np.abs(atomic_masses[known] - wanted.masses[:, None]).argmin(axis=1)
    atoms = Atoms(known[nearest], wanted.positions, masses=wanted.masses, calculator=calculator)
    minimum, _ = relax(atoms)
    found = molecular_modes(minimum, loaded, execution)
    return WavenumbersBeside(Path(reference).name, compare_modes(found.modes, wanted))
