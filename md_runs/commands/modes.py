"""`md-runs modes`: normal modes of a structure, compared with others, shown, and saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from md_runs.analysis.exports.molden import molden_text
from md_runs.analysis.sampling.uncertainty import number_text
from md_runs.analysis.vibrations.mode_comparison import ModeComparison, compare_modes
from md_runs.analysis.vibrations.mode_intensities import (
    RamanIntensities,
    StokesIntensities,
    raman_intensities,
    stokes_intensities,
)
from md_runs.analysis.vibrations.normal_modes import ModeSet, read_normal_modes
from md_runs.analysis.vibrations.point_groups import SYMMETRY_TOLERANCE
from md_runs.analysis.vibrations.quasi_harmonic import quasi_harmonic_modes
from md_runs.analysis.vibrations.stokes_scattering import CROSS_SECTION_UNIT
from md_runs.commands.analysis_report import Table
from md_runs.commands.error_bars.model_errors import model_error_sentence
from md_runs.commands.infrared_and_raman import read_numbers
from md_runs.commands.mode_thermochemistry import GasConditions, thermochemistry_text
from md_runs.commands.options import (
    OtherCalculator,
    check_folder,
    chosen_forces,
    isotope_masses,
    parse_isotopes,
    rounds,
    taken,
    try_calculator,
)
from md_runs.commands.prepared_run import open_runs
from md_runs.figures.mode_animation import write_mode_page, write_mode_xyz
from md_runs.figures.modes import matched_modes_figure, stick_spectra_figure
from md_runs.force_provider import CalculatorForces, ModelForces
from mlpotential.command_line import Command
from mlpotential.errors import ConfigError
from mlpotential.inference.execution import Execution
from mlpotential.input_files import check_output_file, check_picture_file
from mlpotential.run_folder import write_atomically
from mlpotential.settings_checks import check_number

if TYPE_CHECKING:
    from ase import Atoms

    from md_runs.molecular_modes import MolecularModes

EXAMPLES = """  md-runs modes relaxed.xyz --model model.safetensors --json modes.json
  md-runs modes relaxed.xyz --model model.safetensors --page modes.html --xyz modes
  md-runs modes ethanol.xyz --model ethanol.safetensors --intensities intensities.json
  md-runs modes ethanol.xyz --model ethanol.safetensors --isotope 3=D
  md-runs modes ethanol.xyz --model ethanol.safetensors --molden ethanol.molden
  md-runs modes saddle.xyz --model model.safetensors --temperature-K 250 300 350
  md-runs modes relaxed.xyz --model mine.safetensors --compare modes.json --figure compared.png
  md-runs modes reference.xyz --calculator my_dft.py --drivers 4 --json reference.json
  md-runs modes relaxed.xyz --model model.safetensors --quasi-harmonic nvt --temperature-K 300"""


@dataclass(frozen=True)
class ModeFiles:
    """What is written.

    Attributes:
        json: write wavenumbers and modes.
        thermochemistry: write thermochemistry, JSON.
        intensities: write infrared intensities, JSON (a model with dipoles).
        born_charges: write Born charges, e, for md-runs ir --born-charges, .npy (likewise).
        activities: write Raman activities, JSON (a model with polarizabilities, or
            --polarizability-derivatives).
        page: write a page (.html) that shows all modes move.
        xyz: folder for a file of each mode in motion, extended XYZ.
        molden: write modes and intensities for Molden, Jmol, Avogadro and other viewers.
        figure: draw infrared intensities and Raman activities, or with --compare and
            --quasi-harmonic the match: wavenumbers and Duschinsky matrix.

    Raises:
        ConfigError: a folder that is not there, or is a file.
    """

    json: Path | None = None
    thermochemistry: Path | None = None
    intensities: Path | None = None
    born_charges: Path | None = None
    activities: Path | None = None
    page: Path | None = None
    xyz: Path | None = None
    molden: Path | None = None
    figure: Path | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name not in ("xyz", "figure"):
                check_output_file(getattr(self, field.name))
        check_picture_file(self.figure)
        if self.xyz is not None:
            check_folder(self.xyz, "--xyz")


def run(
    structure: Path,
    *,
    model: Path | None = None,
    isotope: Sequence[str] = (),
    symmetry_tolerance: float = SYMMETRY_TOLERANCE,
    polarizability_derivatives: Path | None = None,
    laser_nm: float | None = None,
    compare: Path | None = None,
    quasi_harmonic: Path | None = None,
    finite_differences: float | None = None,
    **options: Any,
) -> int:
    """Computes the modes in float64, unless another dtype was asked for, and writes what is named.

    Args:
        structure: any format ASE reads; a crystal has its modes at Gamma, fixed atoms (FixAtoms)
            stay at rest.
        model: model file (.safetensors), or a quoted pattern such as 'runs/*/model.safetensors', a
            committee.
        isotope: element or number of the atom (from 0) and its mass, amu, C=13.003, 3=D; D and T
            are all hydrogens.
        symmetry_tolerance: how far atoms may lie from where a symmetry takes their image, A.
        polarizability_derivatives: of another program, with the coordinates, [n_atoms, 3, 3, 3]
            (A^2), .npy or text: Raman activities. Default: those of the model, if it has any.
        laser_nm: wavelength of a laser, nm: Stokes intensities at the temperature, too.
        compare: match the modes to others, a file of --json.
        quasi_harmonic: match the modes to those of the fluctuations of a classical run.
        finite_differences: displacement (A) for central differences of forces, to check the exact
            Hessian of a model with (of a calculator without Hessian: 0.01).
        options: fields of `ModeFiles`, `GasConditions`, `OtherCalculator` and `Execution`.
    """
    files, conditions = taken(options, ModeFiles), taken(options, GasConditions)
    check_number("--symmetry-tolerance", symmetry_tolerance)
    _check_together(compare, quasi_harmonic)
    other, execution = taken(options, OtherCalculator), Execution(**options)
    atoms = _read(structure, isotope)
    forces = chosen_forces(model, other, execution)
    reference = _reference(compare, quasi_harmonic, atoms.positions, conditions)
    found = _found(atoms, forces, finite_differences, symmetry_tolerance, files)
    raman = _raman(found, polarizability_derivatives, laser_nm, conditions)
    if raman is None and (files.activities or laser_nm is not None):
        option = "--activities" if files.activities else "--laser-nm"
        raise ConfigError(
            f"{option} needs a model with polarizabilities (of a molecule), or those of another "
            "program by --polarizability-derivatives"
        )
    _check_has_dipoles(found, files, without_figure=reference is not None or raman is not None)
    _print(found, raman, conditions, files.thermochemistry)
    comparison, name = None, (compare or quasi_harmonic or Path()).name
    if reference is not None:
        comparison = compare_modes(found.modes, reference)
        print(_match_table(comparison, name, getattr(reference, "standard_errors_per_cm", None)))
    if files.figure is not None:
        _draw(found, raman, comparison, name, files.figure)
    _write(found, raman, files)
    _write_motion(found, atoms, files)
    if files.molden is not None:
        _write_molden(found, raman, atoms, files.molden)
    if files.json is not None:  # evaluations of a calculator, which are not needed any more
        files.json.with_name(files.json.name + ".unfinished").unlink(missing_ok=True)
    return 0


def _found(
    atoms: Atoms,
    forces: ModelForces | CalculatorForces,
    displacement: float | None,
    symmetry_tolerance: float,
    files: ModeFiles,
) -> MolecularModes:
    """The modes by a model, in float64, or by a calculator."""
    from md_runs.molecular_modes import calculator_modes, molecular_modes

    if isinstance(forces, ModelForces):
        execution = replace(forces.execution, dtype=forces.execution.dtype or "float64")
        return molecular_modes(atoms, forces.model, execution, displacement, symmetry_tolerance)
    from mlpotential.labelling.worker_calculator import WorkerCalculator

    n_structures = 6 * len(atoms)
    work = f"a Hessian by {n_structures} displacements"
    try_calculator(forces, atoms, work, rounds(forces, n_structures))
    calculator = WorkerCalculator(forces.named, forces.drivers, forces.limit_s)
    kept = None if files.json is None else files.json.with_name(files.json.name + ".unfinished")
    found, remark = calculator_modes(
        atoms, calculator, displacement, symmetry_tolerance, kept, progress=True
    )
    calculator.workers.close()
    print(remark)
    return found


def _check_together(compare: Path | None, quasi_harmonic: Path | None) -> None:
    """Raises ConfigError for options that do not fit together."""
    if compare is not None and quasi_harmonic is not None:
        raise ConfigError("--compare and --quasi-harmonic: one match at a time")


def _check_has_dipoles(found: MolecularModes, files: ModeFiles, without_figure: bool) -> None:
    """Raises ConfigError where files are asked for that infrared intensities are needed for."""
    asked = {"--intensities": files.intensities, "--born-charges": files.born_charges}
    if not without_figure:
        asked["--figure"] = files.figure
    if found.infrared is None and (given := [name for name, path in asked.items() if path]):
        raise ConfigError(
            "infrared intensities need a model with dipoles, and no cell: leave "
            f"{', '.join(given)} out"
        )


def _read(structure: Path, isotope: Sequence[str]) -> Atoms:
    """The structure with its isotopes."""
    from md_runs.trajectories.structure_file import read_structure

    atoms, isotopes = read_structure(structure), parse_isotopes(isotope)
    if isotopes:
        atoms.set_masses(isotope_masses(atoms.get_masses(), atoms.numbers, isotopes, structure))
        names = ", ".join(f"{who} = {mass:g} amu" for who, mass in isotopes.items())
        print(f"isotopes: {names}")
    return atoms


def _reference(
    compare: Path | None,
    quasi_harmonic: Path | None,
    positions: np.ndarray,
    conditions: GasConditions,
) -> ModeSet | None:
    """The modes to match, from a file or from the fluctuations of a run.

    Args:
        compare: file of `NormalModes`.
        quasi_harmonic: a classical run.
        positions: that frames of the run are laid on first, [n_atoms, 3] (A).
        conditions: with the temperature of the run, where it tells none.
    """
    if compare is not None:
        return read_normal_modes(compare)
    if quasi_harmonic is None:
        return None
    (run,) = open_runs([quasi_harmonic])
    if run.n_beads > 1:
        raise ConfigError(f"{quasi_harmonic} has beads: quasi-harmonic modes are of classical runs")
    if run.is_periodic:
        raise ConfigError(f"{quasi_harmonic} has a cell: quasi-harmonic modes are of molecules")
    print("\n".join([*run.assumptions, *(f"ATTENTION: {text}" for text in run.warnings)]))
    return quasi_harmonic_modes(
        run.trajectory.positions[:][:, 0],
        np.asarray(run.trajectory.masses, np.float64),
        run.temperature_K or conditions.one_temperature_K("--quasi-harmonic"),
        positions,
        run.n_blocks,
    )


def _raman(
    found: MolecularModes,
    derivatives: Path | None,
    laser_nm: float | None,
    conditions: GasConditions,
) -> RamanIntensities | None:
    """Activities by the model or by a file, or with a laser its Stokes intensities, too."""
    modes, values = found.modes, found.polarizability_derivatives
    if derivatives is not None:
        shape = (len(modes.masses), 3, 3, 3)
        values = read_numbers(derivatives, "polarizability derivatives", shape)
    if values is None:
        return None
    raman = raman_intensities(modes, values)
    if laser_nm is None:
        return raman
    return stokes_intensities(raman, laser_nm, conditions.one_temperature_K("--laser-nm"))


def _print(
    found: MolecularModes,
    raman: RamanIntensities | None,
    conditions: GasConditions,
    thermochemistry: Path | None,
) -> None:
    modes = found.modes
    print(_what_moves(found))
    print(modes.table(columns=found.columns))
    if raman is not None:
        print(_raman_table(raman))
    zero_point = f"{modes.zero_point_energy:.4f} eV"
    if found.zero_point_error is not None:
        zero_point += f" (model error {found.zero_point_error:.2g} eV)"
        print(model_error_sentence(found.is_calibrated))
    print(
        f"zero-point energy {zero_point}; longest force "
        f"{found.max_force:.2e} eV/A (modes are those of a stationary point: relax)"
    )
    print(thermochemistry_text(modes, found.group, found.energy, conditions, thermochemistry))


def _what_moves(found: MolecularModes) -> str:
    """Symmetry of a molecule, or what is fixed and periodic."""
    modes, lines = found.modes, []
    if found.group is not None:
        lines.append(f"{found.group}: {found.symmetries}")
        if found.near_misses:
            misses = ", ".join(f"{name} within {d:.2g} A" for name, d in found.near_misses.items())
            lines.append(f"{found.group.schoenflies}; {misses} (--symmetry-tolerance)")
    n_rigid = len(modes.residual_wavenumbers_per_cm)
    if modes.fixed is not None:
        n_fixed = int(modes.fixed.sum())
        lines.append(
            f"{n_fixed} of {len(modes.fixed)} atoms are fixed: partial Hessian of the others, "
            f"{n_rigid or 'no'} rigid motions removed"
        )
    if any(modes.pbc):
        lines.append(
            f"modes of the cell at Gamma, {n_rigid or 'no'} acoustic ones removed, LO-TO splitting "
            "not included"
        )
    return "\n".join(lines)


def _raman_table(raman: RamanIntensities) -> Table:
    """One row for each mode."""
    columns = {
        "1/cm": raman.wavenumbers_per_cm,
        "activity (A^4/amu)": raman.activities,
        "depolarisation": raman.depolarization_ratios,
        "in natural light": raman.natural_depolarization_ratios,
    }
    title = "Raman scattering"
    if isinstance(raman, StokesIntensities):
        columns[f"Stokes ({CROSS_SECTION_UNIT})"] = raman.stokes_cross_sections
        title += f"; Stokes lines of {raman.laser_nm:g} nm at {raman.temperature_K:g} K"
    rows = tuple(
        (str(k + 1), *(number_text(float(values[k])) for values in columns.values()))
        for k in range(len(raman.activities))
    )
    return Table(title, ("mode", *columns), rows)


def _match_table(comparison: ModeComparison, name: str, errors: np.ndarray | None) -> str:
    """One row for each mode of the reference."""
    rows = tuple(
        (
            str(k + 1),
            f"{reference:.2f}" if errors is None else number_text(reference, float(errors[k])),
            str(comparison.matches[k] + 1),
            f"{comparison.wavenumbers_per_cm[k]:.2f}",
            f"{100 * comparison.relative_deviations[k]:.2f}",
            f"{comparison.overlaps[k]:.3f}",
        )
        for k, reference in enumerate(comparison.reference_per_cm)
    )
    columns = ("mode", "1/cm", "is mode", "1/cm", "deviation (%)", "overlap")
    return str(Table(f"modes of {name}, and those of the model that they are", columns, rows))


def _draw(
    found: MolecularModes,
    raman: RamanIntensities | None,
    comparison: ModeComparison | None,
    name: str,
    path: Path,
) -> None:
    """The match of two sets of modes, or infrared and Raman intensities."""
    if comparison is not None:
        matched_modes_figure(comparison, ("model", name)).savefig(path)
        return
    spectra = [lines for lines in (found.infrared, raman) if lines is not None]
    labels = None if found.symmetries is None else [str(x) for x in found.symmetries.labels]
    stick_spectra_figure(spectra, labels).savefig(path)


def _write(found: MolecularModes, raman: RamanIntensities | None, files: ModeFiles) -> None:
    """What `md-runs vdos`, `ir`, `raman` and `report` read."""
    if files.json is not None:
        found.modes.save_json(files.json)
    if files.activities is not None and raman is not None:
        raman.save_json(files.activities)
    if found.infrared is not None and found.born_charges is not None:
        if files.intensities is not None:
            found.infrared.save_json(files.intensities)
        if files.born_charges is not None:
            with files.born_charges.open("wb") as file:
                np.save(file, found.born_charges)


def _write_motion(found: MolecularModes, atoms: Atoms, files: ModeFiles) -> None:
    """The modes in motion, as a page and as a file of frames for each."""
    if files.page is not None:
        name = atoms.symbols.formula.format()
        write_mode_page(files.page, found.modes, atoms.numbers, name, found.columns)
        print(f"modes in motion: {files.page}")
    if files.xyz is not None:
        files.xyz.mkdir(parents=True, exist_ok=True)
        for k in range(found.modes.n_modes):
            write_mode_xyz(files.xyz / f"mode_{k + 1:03}.extxyz", found.modes, atoms.numbers, k)
        print(f"modes in motion, a file each: {files.xyz}")


def _write_molden(
    found: MolecularModes, raman: RamanIntensities | None, atoms: Atoms, path: Path
) -> None:
    """Modes and what is known of their intensities, for viewers."""
    infrared = None if found.infrared is None else found.infrared.intensities_km_per_mol
    activities = None if raman is None else raman.activities
    title = f"{atoms.symbols.formula.format()}: modes of a machine-learned potential"
    text = molden_text(found.modes, atoms.numbers, infrared, activities, title)
    write_atomically(path, text)
    print(f"modes for viewers: {path}")


COMMAND = Command.of(run, EXAMPLES, more=[ModeFiles, GasConditions, OtherCalculator, Execution])
