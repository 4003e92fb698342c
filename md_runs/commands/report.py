"""`md-runs report`: every analysis that the runs of a folder allow, on one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from md_runs.analysis.vibrations.normal_modes import NormalModes, read_normal_modes
from md_runs.commands.distances import distances_findings
from md_runs.commands.findings import Findings, Notebook, Table
from md_runs.commands.infrared_and_raman import (
    ResponseOptions,
    infrared_findings,
    raman_findings,
)
from md_runs.commands.path_integrals import path_integral_findings
from md_runs.commands.prepared_run import RunView, ViewOptions, open_runs
from md_runs.commands.rdf import rdf_findings
from md_runs.commands.report_page import read_pictures, report_page
from md_runs.commands.vdos import VdosOptions, vdos_findings
from md_runs.run_folders import RECORD_NAME, RUN_SUFFIXES, TRAJECTORY_NAME, run_paths
from mlpotential import __version__
from mlpotential.errors import InputError, RunError
from mlpotential.run_folder import write_atomically

MODES_NAME = "modes.json"
REPORT_NAME = "report.html"
PICTURES = "figure_*.png"  # of the C20 study


@dataclass(frozen=True)
class ReportOptions:
    """What is asked for; None where it is to be chosen.

    Attributes:
        modes: file of normal modes; None for `modes.json` in the folder.
        resolution_per_cm: of spectra.
        view: of all runs.
    """

    modes: Path | None = None
    resolution_per_cm: float | None = None
    view: ViewOptions = field(default_factory=ViewOptions)


def write_report_page(
    folder: Path,
    output: Path,
    options: ReportOptions = ReportOptions(),
) -> list[Findings]:
    """Writes the page of a run folder, or of a folder with runs; its sections.

    Raises:
        RunError: a folder that is missing or has no run, or a page that cannot be written.
    """
    paths = run_paths(folder)
    if not paths:
        raise RunError(
            f"{folder} holds no run: expected {TRAJECTORY_NAME}, {RECORD_NAME}, segments, or files "
            f"ending in {', '.join(RUN_SUFFIXES)}, in it or in the folders below it"
        )
    views = [open_runs([path], options.view)[0] for path in paths]
    sections = _sections(folder, views, options)
    title = f"Runs in {folder.resolve().name}"
    lead = [
        f"{len(views)} runs: {', '.join(view.name for view in views)}. Numbers carry one standard "
        "error in units of the last digit, 1.459(6) = 1.459 ± 0.006. "
        f"Made by mlpotential {__version__}."
    ]
    page = report_page(title, lead, sections, read_pictures(sorted(folder.glob(PICTURES))))
    write_atomically(output, page)
    return sections


def _sections(folder: Path, views: Sequence[RunView], options: ReportOptions) -> list[Findings]:
    """Every analysis that has a run to work on; what fails says so in its place."""
    modes_path = options.modes or folder / MODES_NAME
    modes = read_normal_modes(modes_path) if options.modes or modes_path.exists() else None
    whole = [view for view in views if len(view.segments) == 1]
    moving = [view for view in views if not view.samples_only and has_velocities(view)]
    # A thermostat broadens lines: segments are made for spectra where there are any.
    spectral = [view for view in moving if len(view.segments) > 1] or moving
    beads = [view for view in whole if view.n_beads > 1 and view.samples_only]
    vdos = VdosOptions(modes=modes, resolution_per_cm=options.resolution_per_cm)
    response = ResponseOptions(resolution_per_cm=options.resolution_per_cm)
    dipolar = [view for view in spectral if view.segments[0].dipoles is not None]
    polarizable = [view for view in spectral if view.segments[0].polarizabilities is not None]
    sections = [_modes_section(modes, modes_path)] if modes is not None else []
    plans: list[tuple[str, list[RunView], Callable[[list[RunView]], Findings]]] = [
        ("vdos", spectral, lambda runs: vdos_findings(runs, vdos)),
        ("ir", dipolar, lambda runs: infrared_findings(runs, response)),
        ("raman", polarizable, lambda runs: raman_findings(runs, response)),
        ("distances", whole, distances_findings),
        ("rdf", whole, rdf_findings),
        ("path-integrals", beads, path_integral_findings),
    ]
    return sections + [_tried(name, runs, analyse) for name, runs, analyse in plans if runs]


def has_velocities(view: RunView) -> bool:
    """Whether velocities were recorded."""
    return view.segments[0].velocities_angstrom_per_fs is not None


def _tried(
    name: str, views: list[RunView], analyse: Callable[[list[RunView]], Findings]
) -> Findings:
    """The findings, or a section that says why there are none."""
    try:
        return analyse(views)
    except InputError as error:
        return Findings(name, name, (), (f"left out: {error}",))


def _modes_section(modes: NormalModes, path: Path) -> Findings:
    notes = Notebook()
    groups = modes.degenerate_groups()
    rows = tuple(
        (
            f"{group[0] + 1}" if len(group) == 1 else f"{group[0] + 1}-{group[-1] + 1}",
            f"{np.mean(modes.wavenumbers_per_cm[group]):.2f}",
            str(len(group)),
        )
        for group in groups
    )
    columns = ("modes", "wavenumber (1/cm)", "degeneracy")
    notes.tables.append(Table(f"{modes.n_modes} normal modes", columns, rows))
    notes.remarks.append(f"zero-point energy {modes.zero_point_energy:.5g} eV")
    notes.assumptions.append(f"harmonic, read from {path.name}; degenerate within 0.5 1/cm")
    if modes.n_imaginary:
        notes.doubts.append(f"{modes.n_imaginary} modes are imaginary: no minimum")
    return notes.findings("modes", "normal modes")
