"""`md-runs modes`: normal modes of a molecule, compared with others, shown, and saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from md_runs.analysis.sampling.uncertainty import number_text
from md_runs.analysis.vibrations.mode_comparison import ModeComparison, compare_modes
from md_runs.analysis.vibrations.mode_intensities import raman_intensities
from md_runs.analysis.vibrations.normal_modes import ModeSet, read_normal_modes
from md_runs.analysis.vibrations.quasi_harmonic import quasi_harmonic_modes
from md_runs.analysis.vibrations.thermochemistry import ideal_gas_thermochemistry
from md_runs.commands.analysis_report import Table
from md_runs.commands.infrared_and_raman import read_numbers
from md_runs.commands.options import check_file, check_folder, check_model
from md_runs.commands.prepared_run import open_runs
from md_runs.figures.mode_animation import write_mode_page, write_mode_xyz
from md_runs.figures.modes import matched_modes_figure, plot_stick_spectrum
from md_runs.figures.style import figure_of
from mlpotential.command_line import Command
from mlpotential.errors import ConfigError
from mlpotential.inference.execution import Execution
from mlpotential.settings_checks import check_number

if TYPE_CHECKING:
    from md_runs.molecular_modes import MolecularModes

EXAMPLES = """  md-runs modes relaxed.xyz --model model.safetensors --json modes.json
  md-runs modes relaxed.xyz --model model.safetensors --page modes.html --xyz modes
  md-runs modes ethanol.xyz --model ethanol.safetensors --intensities intensities.json
  md-runs modes relaxed.xyz --model mine.safetensors --compare modes.json --figure compared.png
  md-runs modes relaxed.xyz --model model.safetensors --quasi-harmonic nvt --temperature-K 300"""


def run(
    structure: Path,
    *,
    model: Path,
    json: Path | None = None,
    intensities: Path | None = None,
    born_charges: Path | None = None,
    activities: Path | None = None,
    polarizability_derivatives: Path | None = None,
    page: Path | None = None,
    xyz: Path | None = None,
    figure: Path | None = None,
    compare: Path | None = None,
    quasi_harmonic: Path | None = None,
    temperature_K: float = 298.15,
    finite_differences: float | None = None,
    **execution: Any,
) -> int:
    """Computes the modes in float64, unless another dtype was asked for, and writes what is named.

    Args:
        structure: any format ASE reads.
        model: model file (.safetensors), or a quoted pattern such as 'runs/*/model.safetensors', a
            committee.
        json: write wavenumbers and modes.
        intensities: write infrared intensities, JSON (a model with dipoles).
        born_charges: write Born charges, e, for md-runs ir --born-charges, .npy (likewise).
        activities: write Raman activities, JSON, from --polarizability-derivatives.
        polarizability_derivatives: of another program, with the coordinates, [n_atoms, 3, 3, 3]
            (A^2), .npy or text.
        page: write a page (.html) that shows all modes move.
        xyz: folder for a file of each mode in motion, extended XYZ.
        figure: draw infrared intensities, or with --compare and --quasi-harmonic the match:
            wavenumbers and Duschinsky matrix.
        compare: match the modes to others, a file of --json.
        quasi_harmonic: match the modes to those of the fluctuations of a classical run.
        temperature_K: of thermochemistry, and of that run where it tells none, K.
        finite_differences: displacement (A) for central differences of forces, to check the exact
            Hessian with.
        execution: fields of `Execution`.
    """
    if compare is not None and quasi_harmonic is not None:
        raise ConfigError("--compare and --quasi-harmonic: one match at a time")
    if (activities is None) != (polarizability_derivatives is None):
        raise ConfigError("--activities and --polarizability-derivatives go together")
    for path in (json, intensities, born_charges, activities, page, figure):
        check_file(path)
    if xyz is not None:
        check_folder(xyz, "--xyz")
    check_number("--temperature-K", temperature_K)
    execution["dtype"] = execution["dtype"] or "float64"
    precise = Execution(**execution)
    from md_runs.trajectories.structure_file import read_structure

    atoms = read_structure(structure)
    check_model(model)
    reference = _reference(compare, quasi_harmonic, atoms.positions, temperature_K)
    from md_runs.molecular_modes import molecular_modes

    found = molecular_modes(atoms, model, precise, finite_differences)
    asked = {"--intensities": intensities, "--born-charges": born_charges}
    if reference is None:
        asked["--figure"] = figure
    if found.infrared is None and (given := [name for name, path in asked.items() if path]):
        raise ConfigError(
            f"infrared intensities need a model with dipoles: leave {', '.join(given)} out"
        )
    _print(found, temperature_K)
    comparison = None if reference is None else compare_modes(found.modes, reference)
    name = (compare or quasi_harmonic or Path()).name
    if comparison is not None:
        print(_match_table(comparison, name, getattr(reference, "standard_errors_per_cm", None)))
    if figure is not None:
        _draw(found, comparison, name, figure)
    _write(found, json, intensities, born_charges)
    if activities is not None and polarizability_derivatives is not None:
        _write_activities(found, polarizability_derivatives, activities)
    _write_motion(found, atoms.numbers, atoms.symbols.formula.format(), page, xyz)
    return 0


def _reference(
    compare: Path | None, quasi_harmonic: Path | None, positions: np.ndarray, temperature_K: float
) -> ModeSet | None:
    """The modes to match, from a file or from the fluctuations of a run.

    Args:
        compare: file of `NormalModes`.
        quasi_harmonic: a classical run.
        positions: that frames of the run are laid on first, [n_atoms, 3] (A).
        temperature_K: of the run, where it tells none.
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
        run.temperature_K or temperature_K,
        positions,
        run.n_blocks,
    )


def _print(found: MolecularModes, temperature_K: float) -> None:
    modes = found.modes
    print(f"{found.group}: {found.symmetries}")
    print(modes.table(columns=found.columns))
    print(
        f"zero-point energy {modes.zero_point_energy:.4f} eV; longest force "
        f"{found.max_force:.2e} eV/A (modes are those of a minimum: relax)"
    )
    if not modes.n_imaginary:
        print(ideal_gas_thermochemistry(modes, found.group, found.energy, temperature_K))


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


def _draw(found: MolecularModes, comparison: ModeComparison | None, name: str, path: Path) -> None:
    """The match of two sets of modes, or infrared intensities."""
    if comparison is not None:
        matched_modes_figure(comparison, ("model", name)).savefig(path)
    elif found.infrared is not None:
        labels = [str(label) for label in found.symmetries.labels]
        figure_of(plot_stick_spectrum(found.infrared, labels)).savefig(path)


def _write(
    found: MolecularModes, json: Path | None, intensities: Path | None, born_charges: Path | None
) -> None:
    """What `md-runs vdos`, `ir` and `report` read."""
    if json is not None:
        found.modes.save_json(json)
    if found.infrared is not None and found.born_charges is not None:
        if intensities is not None:
            found.infrared.save_json(intensities)
        if born_charges is not None:
            with born_charges.open("wb") as file:
                np.save(file, found.born_charges)


def _write_activities(found: MolecularModes, derivatives: Path, activities: Path) -> None:
    shape = (len(found.modes.masses), 3, 3, 3)
    numbers = read_numbers(derivatives, "polarizability derivatives", shape)
    raman_intensities(found.modes, numbers).save_json(activities)


def _write_motion(
    found: MolecularModes,
    atomic_numbers: np.ndarray,
    name: str,
    page: Path | None,
    folder: Path | None,
) -> None:
    """The modes in motion, as a page and as a file of frames for each."""
    if page is not None:
        write_mode_page(page, found.modes, atomic_numbers, name, found.columns)
        print(f"modes in motion: {page}")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for k in range(found.modes.n_modes):
            write_mode_xyz(folder / f"mode_{k + 1:03}.extxyz", found.modes, atomic_numbers, k)
        print(f"modes in motion, a file each: {folder}")


COMMAND = Command.of(run, EXAMPLES, more=[Execution])
