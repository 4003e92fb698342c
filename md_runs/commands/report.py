"""`md-runs report`: every analysis that the runs of a folder allow, on one page."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from md_runs.analysis.vibrations.irreps import mode_symmetries
from md_runs.analysis.vibrations.normal_modes import NormalModes, read_normal_modes
from md_runs.analysis.vibrations.point_groups import point_group
from md_runs.commands.analysis_report import AnalysisReport, ReportBuilder, Table, figure_bytes
from md_runs.commands.infrared_and_raman import infrared_report, raman_report
from md_runs.commands.path_integrals import path_integral_report
from md_runs.commands.prepared_run import PreparedRun, open_runs
from md_runs.commands.structure.distances import distances_report
from md_runs.commands.structure.rdf import rdf_report
from md_runs.commands.vdos import vdos_report
from md_runs.figures.html_page import REPORT_STYLE, html_page
from md_runs.figures.mode_animation import write_mode_page
from md_runs.run_folders import RECORD_NAME, RUN_SUFFIXES, TRAJECTORY_NAME, run_paths
from mlpotential import __version__
from mlpotential.command_line import Command
from mlpotential.errors import ConfigError, InputError, RunError
from mlpotential.input_files import check_output_file
from mlpotential.run_folder import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Columns = Mapping[str, Sequence[str]]

MODES_NAME = "modes.json"
MODES = "modes"  # name of their section
PASSED = " passed: "  # in the words of a check, see `spectrum_checks`
REPORT_NAME = "report.html"
PICTURES = "figure_*.png"  # of the C20 study
EXAMPLES = """  md-runs report nvt
  md-runs report c20_study --output c20.html
  md-runs report ethanol --modes modes.json --resolution-per-cm 10"""


def run(
    folder: Path,
    *,
    output: Path | None = None,
    modes: Path | None = None,
    resolution_per_cm: float | None = None,
    **reading: Any,
) -> int:
    """Writes the page and prints what must not be overlooked.

    Args:
        folder: a run, or a folder with runs (a C20 study).
        output: the page, .html (report.html in the folder).
        modes: normal modes (modes.json in the folder).
        resolution_per_cm: of spectra, 1/cm (10 to 30).
        reading: arguments of `open_runs`.
    """
    check_output_file(output)
    output = output or folder / REPORT_NAME
    if output.suffix != ".html":
        raise ConfigError(f"the report is a page: --output must end in .html, not {output.name!r}")
    sections = write_report_page(folder, output, modes, resolution_per_cm, **reading)
    warnings = [text for section in sections for text in section.warnings]
    print(f"sections: {', '.join(section.name for section in sections)}")
    for text in dict.fromkeys(warnings):
        print(f"ATTENTION: {text}")
    print(f"report: {output}")
    return 0


def write_report_page(
    folder: Path,
    output: Path,
    modes: Path | None = None,
    resolution_per_cm: float | None = None,
    **reading: Any,
) -> list[AnalysisReport]:
    """Writes the page of a run folder, or of a folder with runs; its sections.

    Arguments are those of `run`.

    Raises:
        RunError: a folder that is missing or has no run, or a page that cannot be written.
    """
    paths = run_paths(folder)
    if not paths:
        raise RunError(
            f"{folder} holds no run: expected {TRAJECTORY_NAME}, {RECORD_NAME}, segments, or files "
            f"ending in {', '.join(RUN_SUFFIXES)}, in it or in the folders below it"
        )
    runs = [open_runs([path], **reading)[0] for path in paths]
    if modes is None and (folder / MODES_NAME).exists():
        modes = folder / MODES_NAME
    sections = _sections(runs, resolution_per_cm, modes)
    links = {}
    if modes is not None:
        found = read_normal_modes(modes)
        numbers = _atomic_numbers(found, runs)
        labels = {} if numbers is None else _symmetry_labels(found, numbers)
        if found.model_errors_per_cm is not None:
            texts = [f"{error:.2g}" for error in found.model_errors_per_cm]
            labels = {**labels, "model error (1/cm)": texts}
        sections.append(_modes_section(found, modes.name, labels))
        page = modes.with_suffix(".html")
        if not page.exists() and numbers is not None:
            page = output.with_name(f"{output.stem}_modes.html")
            write_mode_page(page, found, numbers, "Normal modes", labels)
        if page.exists():
            links["moving modes"] = os.path.relpath(page, output.parent)
    title = f"Runs in {folder.resolve().name}"
    lead = [
        f"Runs: {', '.join(run.name for run in runs)}. Numbers carry one standard error "
        "in units of the last digit, 1.459(6) = 1.459 ± 0.006. "
        f"Made by mlpotential {__version__}."
    ]
    pictures = {path.name: path.read_bytes() for path in sorted(folder.glob(PICTURES))}
    write_atomically(output, report_page(title, lead, sections, pictures, links))
    return sections


def _sections(
    runs: Sequence[PreparedRun], resolution_per_cm: float | None, modes: Path | None
) -> list[AnalysisReport]:
    """Every analysis that has a run to work on; what fails says so in its place."""
    whole = [run for run in runs if len(run.segments) == 1]
    moving = [run for run in runs if not run.is_pimd_sampling and has_velocities(run)]
    # A thermostat broadens lines: segments are made for spectra where there are any.
    spectral = [run for run in moving if len(run.segments) > 1] or moving
    dipolar = [run for run in spectral if run.segments[0].dipoles is not None]
    polarizable = [run for run in spectral if run.segments[0].polarizabilities is not None]
    beads = [run for run in whole if run.n_beads > 1 and run.is_pimd_sampling]
    resolution = {"resolution_per_cm": resolution_per_cm}
    plans: list[tuple[str, list[PreparedRun], Callable[..., AnalysisReport], dict[str, Any]]] = [
        ("vdos", spectral, vdos_report, {"modes": modes, **resolution}),
        ("ir", dipolar, infrared_report, resolution),
        ("raman", polarizable, raman_report, resolution),
        ("distances", whole, distances_report, {}),
        ("rdf", whole, rdf_report, {}),
        ("path-integrals", beads, path_integral_report, {}),
    ]
    sections = []
    for name, chosen, analyse, options in plans:
        try:
            sections += [analyse(chosen, **options)] if chosen else []
        except InputError as error:
            sections.append(AnalysisReport(name, name, (), (f"left out: {error}",)))
    return sections


def has_velocities(run: PreparedRun) -> bool:
    """Whether velocities were recorded."""
    return run.segments[0].velocities_angstrom_per_fs is not None


def _atomic_numbers(modes: NormalModes, runs: Sequence[PreparedRun]) -> np.ndarray | None:
    """Of the molecule that the modes are of: those of a run of the same masses; None without."""
    for run in runs:
        masses = np.asarray(run.segments[0].masses)
        if masses.shape == modes.masses.shape and np.allclose(masses, modes.masses, rtol=1e-3):
            return np.asarray(run.segments[0].atomic_numbers)
    return None


def _symmetry_labels(modes: NormalModes, atomic_numbers: np.ndarray) -> Columns:
    """Irreducible representations, by the heading of their column."""
    group = point_group(atomic_numbers, modes.positions, modes.masses)
    symmetries = mode_symmetries(modes, group)
    return {f"symmetry ({symmetries.schoenflies})": [str(label) for label in symmetries.labels]}


def _modes_section(modes: NormalModes, source: str, labels: Columns) -> AnalysisReport:
    builder = ReportBuilder()
    groups = modes.degenerate_groups()
    rows = tuple(
        (
            f"{group[0] + 1}" if len(group) == 1 else f"{group[0] + 1}-{group[-1] + 1}",
            f"{np.mean(modes.wavenumbers_per_cm[group]):.2f}",
            str(len(group)),
            *(" + ".join(dict.fromkeys(column[k] for k in group)) for column in labels.values()),
        )
        for group in groups
    )
    columns = ("modes", "wavenumber (1/cm)", "degeneracy", *labels)
    builder.tables.append(Table(f"{modes.n_modes} normal modes", columns, rows))
    if modes.model_errors_per_cm is not None:
        builder.remarks.append("model error: standard deviation over the members of the committee")
    builder.remarks.append(f"zero-point energy {modes.zero_point_energy:.5g} eV")
    builder.assumptions.append(f"harmonic, read from {source}; degenerate within 0.5 1/cm")
    if modes.n_imaginary:
        builder.warnings.append(f"{modes.n_imaginary} modes are imaginary: no minimum")
    return builder.report(MODES, "normal modes")


def report_page(
    title: str,
    lead: Sequence[str],
    sections: Sequence[AnalysisReport],
    pictures: Mapping[str, bytes] = MappingProxyType({}),
    pages: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The page: the first figure of every section, then what else there is to each.

    Args:
        title: of the page.
        lead: lines below it.
        sections: in their order.
        pictures: PNG files by name, shown at the end.
        pages: addresses of other pages, by what they show.
    """
    links = [f'<a href="#{_anchor(s.name)}">{html.escape(s.name)}</a>' for s in sections]
    links += [f'<a href="{html.escape(quote(p))}">{html.escape(t)}</a>' for t, p in pages.items()]
    drawn = [_figure(s.title, _png(next(iter(s.figures.values())))) for s in sections if s.figures]
    gallery = f'<div class="gallery">\n{"".join(drawn)}\n</div>'
    parts = [gallery, *(_section(section) for section in sections)]
    if pictures:
        links.append('<a href="#pictures">more figures</a>')
        shown = "\n".join(_figure(name, png) for name, png in pictures.items())
        parts.append(
            f'<section id="pictures">\n<h2>figures found in the folder</h2>\n{shown}\n</section>'
        )
    leads = "\n".join(f"<p>{html.escape(line)}</p>" for line in lead)
    navigation = f"<nav>{' '.join(links)}</nav>"
    return html_page(
        title, REPORT_STYLE, "\n".join([leads, navigation, _summary(sections), *parts])
    )


def _summary(sections: Sequence[AnalysisReport]) -> str:
    """Where the page says what must not be overlooked."""
    doubtful = [section for section in sections if section.warnings]
    if not doubtful:
        return ""
    n_warnings = sum(len(section.warnings) for section in doubtful)
    names = [f'<a href="#{_anchor(s.name)}">{html.escape(s.name)}</a>' for s in doubtful]
    return f"<p><strong>To be looked at ({n_warnings}):</strong> {', '.join(names)}</p>"


def _section(report: AnalysisReport) -> str:
    warnings = "\n".join(f'<p class="doubt">{html.escape(text)}</p>' for text in report.warnings)
    others = list(report.figures.items())[1:]  # the first is in the gallery
    figures = "\n".join(_figure(name.replace("_", " "), _png(figure)) for name, figure in others)
    tables = "\n".join(_table(table) for table in report.tables)
    passed = [text for text in report.remarks if PASSED in text]
    said = [text for text in report.remarks if PASSED not in text]
    remarks = "\n".join(f'<p class="remarks">{html.escape(text)}</p>' for text in said)
    folded = "\n".join(f"<li>{html.escape(text)}</li>" for text in (*report.assumptions, *passed))
    content = f"{figures}\n{tables}\n{remarks}"
    if report.name == MODES:
        title = html.escape(report.tables[0].title)
        content = f"<details><summary>{title}</summary>\n{content}\n</details>"
    return (
        f'<section id="{_anchor(report.name)}">\n<h2>{html.escape(report.title)}</h2>\n'
        f"{warnings}\n{content}\n"
        f"<details><summary>what was assumed and checked</summary><ul>\n{folded}\n</ul></details>"
        "\n</section>"
    )


def _png(figure: Figure) -> bytes:
    return figure_bytes(figure, "png")


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in table.columns)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    return (
        f'<h3>{html.escape(table.title)}</h3>\n<div class="scroll"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>\n{rows}\n</tbody></table></div>"
    )


def _figure(name: str, png: bytes) -> str:
    data = base64.b64encode(png).decode()
    caption = html.escape(name)
    return (
        f'<figure tabindex="0"><img alt="{caption}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _anchor(name: str) -> str:
    return html.escape(name.replace(" ", "-"))


COMMAND = Command.of(run, EXAMPLES, more=[open_runs])
