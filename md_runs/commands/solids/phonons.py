"""`md-runs phonons`: bands, density of states and thermodynamics of a crystal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from md_runs.commands.analysis_report import AnalysisReport, Table
from md_runs.commands.options import check_folder, check_model, taken
from md_runs.commands.solids.phonon_calculation import (
    PhononSettings,
    phonons,
    require_phonopy,
)
from md_runs.figures.phonons import bands_figure, thermodynamics_figure
from mlpotential.command_line import Command
from mlpotential.errors import DataError
from mlpotential.inference.execution import Execution
from mlpotential.settings_checks import check_number
from mlpotential.units import EV_PER_KELVIN

if TYPE_CHECKING:
    from md_runs.analysis.vibrations.phonons import Phonons

EXAMPLES = """  md-runs phonons relaxed.xyz --model model.safetensors
  md-runs phonons relaxed.xyz --model model.safetensors --supercell 4 4 4 --displacement 0.02
  md-runs phonons relaxed.xyz --model model.safetensors --path GXWKGL --temperature-K 77 300"""
AT_REST = 1e-3  # eV/A; chosen: longer forces shift wavenumbers by more than displacements do
ROOM_K = 298.15


def run(
    structure: Path,
    *,
    model: Path,
    temperature_K: Sequence[float] = (ROOM_K,),
    output: Path | None = None,
    svg: bool = False,
    **options: Any,
) -> int:
    """Phonons of a relaxed crystal, in float64 unless another dtype was asked for.

    Args:
        structure: any format ASE reads; relaxed, its cell too.
        model: model file (.safetensors), or a quoted pattern such as 'runs/*/model.safetensors', a
            committee.
        temperature_K: temperatures of the table, K (298.15).
        output: folder for all files (STRUCTURE_phonons beside the structure).
        svg: figures as SVG too.
        options: fields of `PhononSettings` and `Execution`.
    """
    from md_runs.trajectories.structure_file import read_structure

    settings = taken(options, PhononSettings)
    precise = Execution(**(options | {"dtype": options["dtype"] or "float64"}))
    for temperature in temperature_K:
        check_number("--temperature-K", temperature)
    folder = output or structure.with_name(f"{structure.stem}_phonons")
    check_folder(folder, "--output")
    atoms = read_structure(structure)
    check_model(model)
    require_phonopy()
    from md_runs.force_provider import ModelForces

    atoms.calc = ModelForces(model, precise).calculator()
    found = phonons(atoms, settings, temperature_K)
    report = phonon_report(found, temperature_K)
    paths = report.save(folder, svg)
    print(report)
    print(f"\nwritten to {folder}: {', '.join(path.name for path in paths)}")
    return 0


def phonon_report(found: Phonons, temperatures_K: Sequence[float] = (300.0,)) -> AnalysisReport:
    """What was found, as tables, files and figures.

    Args:
        found: of `phonons`.
        temperatures_K: of the table.

    Raises:
        DataError: for a temperature that is not among those of the result.
    """
    warnings = [] if found.imaginary is None else [str(found.imaginary)]
    if found.max_force > AT_REST:
        warnings.append(
            f"the longest force is {found.max_force:.2g} eV/A: phonons are those of a stationary "
            "point. Relax the crystal (md-runs relax)"
        )
    tables = {
        "bands": found.bands,
        "density": found.density,
        "thermodynamics": found.thermodynamics,
    }
    return AnalysisReport(
        name="phonons",
        title=f"phonons of {found.formula}, per primitive cell",
        assumptions=_assumptions(found),
        warnings=tuple(warnings),
        tables=(_corners(found), _thermodynamics(found, temperatures_K)),
        results={"phonons": found},
        figures={"phonons": bands_figure(found), "thermodynamics": thermodynamics_figure(found)},
        files={f"phonons_{name}.csv": part.save_csv for name, part in tables.items()},
    )


def _assumptions(found: Phonons) -> tuple[str, ...]:
    cells = " x ".join(map(str, found.supercell))
    symmetry = f"space group {found.space_group}" if found.space_group else "symmetry not used"
    mesh = " x ".join(map(str, found.density.mesh))
    return (
        f"{symmetry}; supercell {cells}, displaced {found.n_displacements} times by "
        f"{found.displacement:g} A; forces that act farther are cut off: compare a larger one",
        "sum rule: rows of force constants summed to at most "
        f"{found.sum_rule_violation:.1e} eV/A^2 (of {found.largest_force_constant:.3g}), and to "
        "zero after it was imposed",
        f"path {found.bands.path}; mesh {mesh}, tetrahedra; harmonic, at constant volume",
        "LO-TO splitting not included",
    )


def _corners(found: Phonons) -> Table:
    """Wavenumbers at the points of high symmetry, each once."""
    bands, rows, seen = found.bands, [], set()
    for (begin, end), first, last in zip(
        bands.segments, bands.corner_names[:-1], bands.corner_names[1:], strict=True
    ):
        for name, place in ((first.split("|")[-1], begin), (last.split("|")[0], end - 1)):
            if name not in seen:
                seen.add(name)
                q_point = " ".join(f"{x:.4g}" for x in bands.q_points[place])
                values = " ".join(
                    f"{k + 0.0:.1f}" for k in bands.wavenumbers_per_cm[place].round(1)
                )
                rows.append((name, q_point, values))
    return Table("wavenumbers", ("point", "q", "1/cm"), tuple(rows))


def _thermodynamics(found: Phonons, temperatures_K: Sequence[float]) -> Table:
    functions = found.thermodynamics
    rows = []
    for temperature in (0.0, *temperatures_K):
        k = int(np.argmin(np.abs(functions.temperatures_K - temperature)))
        if not np.isclose(functions.temperatures_K[k], temperature):
            raise DataError(f"nothing was computed at {temperature:g} K: ask phonons() for it")
        heat = functions.heat_capacities_eV_per_K[k] / (EV_PER_KELVIN * functions.n_atoms)
        rows.append(
            (
                f"{functions.temperatures_K[k]:g} K",
                f"{functions.free_energies[k]:.5f}",
                f"{temperature * functions.entropies_eV_per_K[k]:.5f}",
                f"{heat:.4f}",
            )
        )
    columns = ("temperature", "F (eV)", "TS (eV)", "C_V (k_B per atom)")
    return Table("vibrations, per primitive cell", columns, tuple(rows))


COMMAND = Command.of(run, EXAMPLES, more=[PhononSettings, Execution])
