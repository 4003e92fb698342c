"""The subcommands of `md-runs` that analyse runs: what they are told.

Nothing of the analysis is imported before a command runs, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from md_runs.analysis.spectra.dynamics import Method
from md_runs.analysis.spectra.quantum_corrections import QuantumCorrection
from mlpotential.cli import add_command
from mlpotential.errors import ConfigError

ANALYSES = ("vdos", "ir", "raman", "rdf", "distances", "path-integrals")
REMOVED = ("translation-and-rotation", "translation", "nothing")


def add_analysis_commands(commands: Any) -> None:
    """The parsers of all analyses, without importing what they need."""
    _add_vdos(commands)
    _add_infrared_and_raman(commands)
    _add_rdf(commands)
    _add_distances(commands)
    _add_path_integrals(commands)
    _add_report(commands)


def _add_vdos(commands: Any) -> None:
    vdos = add_command(
        commands,
        "vdos",
        "vibrational density of states from velocities, with error bars, peaks and checks",
        "  md-runs vdos nve\n"
        "  md-runs vdos nve --by element --modes modes.json --resolution-per-cm 5\n"
        "  md-runs vdos classical trpmd --output compared --verlet-correction",
    )
    _add_runs(vdos)
    _add_spectrum_options(vdos)
    vdos.add_argument("--by", choices=("element", "atom", "mode"), help="parts to divide it into")
    vdos.add_argument("--modes", type=Path, help="of md-runs modes --json: drawn beside it")
    vdos.add_argument(
        "--remove",
        choices=REMOVED,
        help="motion of the whole to take off (translation-and-rotation; translation in a cell)",
    )
    vdos.add_argument(
        "--no-mass-weighting",
        action="store_true",
        help="the plain velocity autocorrelation function, hydrogens foremost",
    )


def _add_infrared_and_raman(commands: Any) -> None:
    for name, summary, intensities in (
        ("ir", "infrared absorption from dipoles, (km/mol) per 1/cm, with error bars", "infrared"),
        ("raman", "Raman activities from polarizabilities, with error bars", "raman"),
    ):
        command = add_command(
            commands,
            name,
            summary,
            f"  md-runs {name} nve\n"
            f"  md-runs {name} nve --temperature-K 300 --quantum-correction harmonic\n"
            f"  md-runs {name} classical trpmd --intensities {intensities}.json --output compared",
        )
        _add_runs(command)
        _add_spectrum_options(command)
        command.add_argument(
            "--quantum-correction",
            choices=get_args(QuantumCorrection),
            help="factor of the intensities (classical; Kubo of RPMD, TRPMD and CMD)",
        )
        command.add_argument(
            "--intensities", type=Path, help="JSON with intensities of the modes: drawn beside it"
        )
        if name == "ir":
            command.add_argument(
                "--born-charges",
                type=Path,
                help=".npy or text, [n_atoms, 3, 3] (e): flux of velocities instead of dipoles",
            )


def _add_rdf(commands: Any) -> None:
    rdf = add_command(
        commands,
        "rdf",
        "g(r) and coordination numbers of periodic runs, h(r) of molecules, over beads",
        "  md-runs rdf water.h5 --pairs O-O O-H --r-max 6\n"
        "  md-runs rdf classical pimd --output compared\n"
        "  md-runs rdf droplet --reference-volume 1000 --r-max 5",
    )
    _add_runs(rdf)
    _add_blocks(rdf)
    rdf.add_argument("--pairs", nargs="+", metavar="A-B", help="elements, O-H for H around O (all)")
    rdf.add_argument("--r-max", type=float, help="A (half the smallest cell; a whole molecule)")
    rdf.add_argument("--bin-width", type=float, help="A (0.05 of g(r), 0.01 of h(r))")
    rdf.add_argument(
        "--reference-volume", type=float, help="A^3, what density refers to (that of the cell)"
    )
    rdf.add_argument(
        "--coordination-within", type=float, help="A, count neighbours (to the first minimum)"
    )


def _add_distances(commands: Any) -> None:
    distances = add_command(
        commands,
        "distances",
        "nearest neighbours, size, bonds, angles and dihedrals, over beads; quantum effects of a "
        "classical and a path-integral run, convergence of runs with more and more beads",
        "  md-runs distances classical --bonds 0-1 0-2 --angles 1-0-2\n"
        "  md-runs distances classical pimd --output quantum_effects\n"
        "  md-runs distances pimd_4 pimd_8 pimd_16 --bonds 0-1 --tolerance 0.001",
    )
    _add_runs(distances)
    _add_blocks(distances)
    distances.add_argument("--neighbours", type=int, default=1, help="nearest of each atom (1)")
    for name, atoms in (("bonds", "I-J"), ("angles", "I-J-K"), ("dihedrals", "I-J-K-L")):
        distances.add_argument(
            f"--{name}", nargs="+", default=[], metavar=atoms, help="atoms, counted from 0"
        )
    distances.add_argument("--bin-width", type=float, default=0.01, help="of distances, A (0.01)")
    distances.add_argument(
        "--tolerance", type=float, default=0.001, help="A, of the mean, for enough beads (0.001)"
    )


def _add_path_integrals(commands: Any) -> None:
    statistics = add_command(
        commands,
        "path-integrals",
        "energies, heat capacity, spread and isotope effects of quantum nuclei, and whether there "
        "are enough beads",
        "  md-runs path-integrals pimd\n"
        "  md-runs path-integrals pimd --isotope C=13.003\n"
        "  md-runs path-integrals pimd_4 pimd_8 pimd_16 --output beads",
    )
    _add_runs(statistics)
    _add_blocks(statistics)
    statistics.add_argument(
        "--isotope",
        nargs="+",
        default=[],
        metavar="WHO=MASS",
        help="element or number of the atom (from 0), new mass (amu)",
    )
    statistics.add_argument(
        "--tolerance", type=float, default=0.01, help="share that beads may lack (0.01)"
    )


def _add_report(commands: Any) -> None:
    report = add_command(
        commands,
        "report",
        "one self-contained page (.html) of all that the runs of a folder tell",
        "  md-runs report nvt\n"
        "  md-runs report c20_study --output c20.html\n"
        "  md-runs report ethanol --modes modes.json --resolution-per-cm 10",
    )
    report.add_argument("folder", type=Path, help="a run, or a folder with runs (a C20 study)")
    report.add_argument("--output", type=Path, metavar="HTML", help="(report.html in the folder)")
    report.add_argument("--modes", type=Path, help="normal modes (modes.json in the folder)")
    report.add_argument("--resolution-per-cm", type=float, help="of spectra (10 to 30)")
    _add_reading(report)
    _add_blocks(report)


def _add_blocks(command: argparse.ArgumentParser) -> None:
    command.add_argument("--blocks", type=int, help="of frames, for the error bars (10)")


def _add_runs(command: argparse.ArgumentParser) -> None:
    """Options that all analyses share."""
    command.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="run folder or trajectory file; several are laid over each other",
    )
    command.add_argument(
        "--output", type=Path, metavar="FOLDER", help="for all files (RUN_COMMAND beside the run)"
    )
    command.add_argument("--svg", action="store_true", help="figures as SVG too")
    _add_reading(command)


def _add_reading(command: argparse.ArgumentParser) -> None:
    """What the user knows better than the files."""
    command.add_argument(
        "--skip-ps", type=float, help="left out at the start (until equilibrated, as detected)"
    )
    command.add_argument("--temperature-K", type=float, help="of the runs (as recorded)")
    command.add_argument(
        "--frame-interval-fs", type=float, help="time between frames (as recorded)"
    )
    command.add_argument(
        "--structure", type=Path, help="elements, masses, pbc, where a file does not tell them"
    )
    command.add_argument(
        "--extras-units",
        nargs="+",
        metavar="NAME=UNIT",
        help="of extras in outputs of i-PI, dipole=debye (atomic units)",
    )


def _add_spectrum_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--resolution-per-cm", type=float, help="physical resolution (10 to 30, as the run allows)"
    )
    command.add_argument(
        "--dynamics", choices=get_args(Method), help="what moved the atoms (as recorded)"
    )
    command.add_argument("--friction-per-fs", type=float, help="of a Langevin thermostat")
    command.add_argument(
        "--verlet-correction", action="store_true", help="take back the shift by the time step"
    )
    command.add_argument(
        "--integration-timestep-fs", type=float, help="of the integrator (as recorded)"
    )
    command.add_argument("--max-per-cm", type=float, help="right end of the axis")


def run_analysis(options: argparse.Namespace) -> int:
    """Runs the command, prints what it found and saves it."""
    folder = options.output or default_folder(options.runs, options.command)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--output {folder} is a file: name a folder")
    from md_runs.commands.asked_for import analyse

    findings = analyse(options)
    paths = findings.save(folder, options.svg)
    print(findings)
    n_tables = sum(path.suffix == ".csv" for path in paths)
    names = [path.name for path in paths if path.suffix != ".csv"]
    print(f"\nwritten to {folder}: {', '.join(names)} and {n_tables} tables (.csv)")
    return 0


def default_folder(runs: Sequence[Path], command: str) -> Path:
    """Beside the first run, named after it and the command."""
    first = runs[0].resolve()
    name = first.name if first.is_dir() else first.name.removesuffix("".join(first.suffixes[-1:]))
    return runs[0].parent / f"{name}_{command}"


def run_report(options: argparse.Namespace) -> int:
    """Writes the page and prints what must not be overlooked."""
    from md_runs.commands.asked_for import view_options
    from md_runs.commands.report import REPORT_NAME, ReportOptions, write_report_page

    output = options.output or options.folder / REPORT_NAME
    if output.suffix != ".html":
        raise ConfigError(f"the report is a page: --output must end in .html, not {output.name!r}")
    asked = ReportOptions(options.modes, options.resolution_per_cm, view_options(options))
    sections = write_report_page(options.folder, output, asked)
    doubts = [text for section in sections for text in section.doubts]
    print(f"sections: {', '.join(section.name for section in sections)}")
    for text in dict.fromkeys(doubts):
        print(f"ATTENTION: {text}")
    print(f"report: {output}")
    return 0


ANALYSIS_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    **dict.fromkeys(ANALYSES, run_analysis),
    "report": run_report,
}
