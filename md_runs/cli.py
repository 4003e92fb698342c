"""The command `md-runs`: relaxation, modes, classical and path-integral MD, the C20 study.

What analyses runs is in `md_runs.commands.analysis_options`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from md_runs.c20 import MODEL
from md_runs.c20.settings import FULL_LENGTH_PS, C20Study, recording_stride
from md_runs.classical.settings import ENSEMBLES, ClassicalRun
from md_runs.commands.analysis_options import ANALYSIS_COMMANDS, add_analysis_commands
from md_runs.pimd.settings import DYNAMICS, PimdRun
from mlpotential.cli import add_command, exit_code
from mlpotential.inference.execution import Backend, Execution, GuardMode

if TYPE_CHECKING:
    from ase import Atoms

EXAMPLES = """examples:
  md-runs c20
  md-runs relax start.xyz --model model.safetensors --output relaxed.xyz
  md-runs modes relaxed.xyz --model model.safetensors
  md-runs classical relaxed.xyz --model model.safetensors --folder nvt --ensemble bussi
  md-runs pimd relaxed.xyz --model model.safetensors --folder pimd --n-beads 16 --n-steps 10000
  md-runs export pimd pimd.h5
  md-runs vdos nve --modes modes.json

A run that was stopped, however it was stopped, goes on with the same command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one subcommand; a user's mistake becomes one line on standard error and code 2."""
    options = build_parser().parse_args(arguments)
    return exit_code(f"md-runs {options.command}", COMMANDS[options.command], options)


def build_parser() -> argparse.ArgumentParser:
    """The command line, without importing torch."""
    parser = argparse.ArgumentParser(
        prog="md-runs",
        description="Molecular dynamics with machine-learned force fields.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_c20(commands)
    _add_c20_data(commands)
    _add_relax_and_modes(commands)
    _add_classical_and_pimd(commands)
    _add_export(commands)
    add_analysis_commands(commands)
    return parser


def _add_relax_and_modes(commands: Any) -> None:
    relax = add_command(
        commands,
        "relax",
        "relax a structure to the nearest minimum",
        "  md-runs relax start.xyz --model model.safetensors --output relaxed.xyz",
    )
    _add_structure_and_model(relax)
    relax.add_argument("--output", type=Path, required=True, help="relaxed structure (ASE format)")
    relax.add_argument("--force-tolerance", type=float, default=1e-4, help="eV/A (1e-4)")
    relax.add_argument("--max-steps", type=int, default=2000, help="give up after (2000)")
    relax.add_argument("--optimizer", choices=("bfgs", "fire"), default="bfgs", help="(bfgs)")

    modes = add_command(
        commands,
        "modes",
        "normal modes of a relaxed molecule, from the exact Hessian, with point group, symmetry "
        "labels and thermochemistry",
        "  md-runs modes relaxed.xyz --model model.safetensors --json modes.json\n"
        "  md-runs modes relaxed.xyz --model model.safetensors --page modes.html\n"
        "  md-runs modes ethanol.xyz --model ethanol.safetensors --intensities intensities.json",
    )
    _add_structure_and_model(modes)
    modes.add_argument("--json", type=Path, help="write wavenumbers and modes")
    modes.add_argument(
        "--intensities", type=Path, help="write infrared intensities (a model with dipoles)"
    )
    modes.add_argument("--page", type=Path, help="write a page (.html) that shows all modes move")
    modes.add_argument("--temperature-K", type=float, default=298.15, help="(298.15)")


def _add_classical_and_pimd(commands: Any) -> None:
    classical = add_command(
        commands,
        "classical",
        "classical MD: NVE, Langevin or Bussi thermostat",
        "  md-runs classical relaxed.xyz --model model.safetensors --folder nvt "
        "--temperature-K 300 --n-steps 20000",
    )
    _add_structure_and_model(classical)
    _add_settings(classical, ClassicalRun)

    pimd = add_command(
        commands,
        "pimd",
        "path-integral MD through i-PI, all beads in one evaluation",
        "  md-runs pimd relaxed.xyz --model model.safetensors --folder pimd "
        "--n-beads 8 --n-steps 10000\n"
        "  md-runs pimd relaxed.xyz --model model.safetensors --folder trpmd --from pimd "
        "--dynamics trpmd --n-beads 8 --n-steps 40000 --stride 4",
    )
    _add_structure_and_model(pimd)
    _add_settings(pimd, PimdRun)
    pimd.add_argument(
        "--from",
        dest="source",
        type=Path,
        help="folder of the pimd run whose frames segments of rpmd or trpmd start from (its own)",
    )


def _add_export(commands: Any) -> None:
    export = add_command(
        commands,
        "export",
        "a run as H5MD or extended XYZ, for other programs",
        "  md-runs export nvt nvt.h5\n"
        "  md-runs export pimd pimd.extxyz          (one file for each bead)\n"
        "  md-runs export nve/segment_0.frames segment.extxyz",
    )
    export.add_argument("run", type=Path, help="run folder (classical or pimd), .frames or .h5")
    export.add_argument("output", type=Path, help="file to write, .h5 (H5MD) or .extxyz")


def _add_c20(commands: Any) -> None:
    c20 = add_command(
        commands,
        "c20",
        "the C20 study of the SchNet paper: modes, distributions, spectrum",
        "  md-runs c20\n"
        "  md-runs c20 --length-ps 20 --folder long\n"
        "  md-runs c20 --length-ps 20 --bead-series 1 2 4 16 --folder long\n"
        "  md-runs c20 --model mine.safetensors --beads 16 --temperature-K 200 --folder cold\n"
        "  md-runs c20 --full --yes",
    )
    c20.add_argument("--model", type=Path, default=MODEL, help="model file (the shipped)")
    c20.add_argument("--folder", type=Path, help="(c20_study, with --full c20_full)")
    c20.add_argument("--length-ps", type=float, default=2.0, help="of each of the two runs (2)")
    c20.add_argument("--beads", type=int, default=8, help="replicas of the ring polymer (8)")
    c20.add_argument(
        "--bead-series",
        type=int,
        nargs="+",
        default=[],
        metavar="P",
        help="further runs with these numbers of beads, for their convergence (none)",
    )
    c20.add_argument("--temperature-K", type=float, default=300.0, help="(300)")
    c20.add_argument("--seed", type=int, default=0, help="of velocities and thermostats (0)")
    c20.add_argument(
        "--full", action="store_true", help="1.25 ns, the length in the paper; needs --yes"
    )
    c20.add_argument("--yes", action="store_true", help="start --full after seeing its time")
    _add_execution(c20)


def _add_c20_data(commands: Any) -> None:
    data = add_command(
        commands,
        "c20-data",
        "training data for a C20 model: frames of Langevin MD, labelled by a model in float64",
        "  mlpotential convert force_model published.safetensors --elements C\n"
        "  md-runs c20-data --model published.safetensors --folder data\n"
        "  md-runs c20-data --model published.safetensors --folder small --n-train 3000 "
        "--n-validation 500",
    )
    data.add_argument("--model", type=Path, required=True, help="that moves and labels the atoms")
    data.add_argument("--folder", type=Path, required=True, help="of sets and runs; continued")
    data.add_argument("--n-train", type=int, default=20_000, help="at 300, 500, 600 K (20000)")
    data.add_argument("--n-validation", type=int, default=4_500, help="at 500 K (4500)")
    data.add_argument("--n-test", type=int, default=500, help="at 500 K (500)")


def _add_structure_and_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("structure", type=Path, help="any format ASE reads")
    command.add_argument(
        "--model",
        type=Path,
        required=True,
        help="model file (.safetensors), or a quoted pattern such as 'runs/*/model.safetensors', "
        "a committee",
    )
    _add_execution(command)


def _add_execution(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    command.add_argument("--dtype", choices=("float32", "float64"), help="(that of the model)")
    command.add_argument(
        "--backend", choices=get_args(Backend), default="auto", help="(the fastest there is)"
    )
    command.add_argument(
        "--threads", type=int, default=1, help="of the native backend, best for many beads (1)"
    )
    command.add_argument(
        "--guard",
        choices=get_args(GuardMode),
        default="warn",
        help="what to do outside the training data of the model (warn)",
    )


def _execution(options: argparse.Namespace, dtype: str | None = None) -> Execution:
    """As asked for; `dtype` where none was."""
    return Execution(
        options.device, options.dtype or dtype, options.backend, options.threads, options.guard
    )


def _add_settings(command: argparse.ArgumentParser, settings: type[Any]) -> None:
    """A run folder and one option for each field of the settings."""
    command.add_argument("--folder", type=Path, required=True, help="of the run; continued if used")
    for field in fields(settings):
        name = "--" + field.name.replace("_", "-")
        required = field.default is field.default_factory  # both are MISSING
        if field.type == "bool":
            command.add_argument(name, action=argparse.BooleanOptionalAction, default=field.default)
            continue
        shown = None if required else f"({field.default})"
        kind = {"int": int, "float": float}.get(str(field.type), str)
        choices = {"ensemble": ENSEMBLES, "dynamics": DYNAMICS}.get(field.name)
        command.add_argument(
            name,
            dest=field.name,
            type=kind,
            default=field.default,
            help=shown,
            required=required,
            choices=choices,
        )


def _settings(options: argparse.Namespace, settings: type[Any]) -> Any:
    return settings(**{f.name: getattr(options, f.name) for f in fields(settings)})


def _with_calculator(options: argparse.Namespace, dtype: str | None = None) -> Atoms:
    """The structure; evaluated in `dtype` where the user asks for none."""
    from calculators import MLPotentialCalculator
    from md_runs.trajectories.structure_file import read_structure

    atoms = read_structure(options.structure)
    atoms.calc = MLPotentialCalculator(options.model, **asdict(_execution(options, dtype)))
    return atoms


def _check_output(path: Path) -> None:
    """Raises ConfigError, before the work, for a structure file that could not be written after."""
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    from mlpotential.errors import ConfigError

    try:
        file_format = ioformats.get(filetype(path.name, read=False))
    except UnknownFileTypeError:
        file_format = None
    if file_format is None or not file_format.can_write:
        raise ConfigError(f"ASE writes no structures to files like {path.name!r}: end it in .xyz")
    if not path.parent.is_dir():
        raise ConfigError(f"the folder {path.parent} of the output does not exist: make it first")


def _relax(options: argparse.Namespace) -> int:
    from ase.io import write

    from md_runs.relax import relax
    from mlpotential.errors import RunError

    _check_output(options.output)
    atoms = _with_calculator(options, "float64")
    relaxed, result = relax(atoms, options.force_tolerance, options.max_steps, options.optimizer)
    try:
        write(options.output, relaxed)
    except OSError as error:
        raise RunError(f"cannot write {options.output}: {error.strerror}") from error
    print(
        f"{result.n_steps} steps, energy {result.energy:.6f} eV, longest force "
        f"{result.max_force:.2e} eV/A: {options.output}"
    )
    return 0


def _modes(options: argparse.Namespace) -> int:
    from md_runs.analysis.vibrations.thermochemistry import ideal_gas_thermochemistry
    from md_runs.figures.mode_animation import write_mode_page
    from md_runs.molecular_modes import molecular_modes
    from md_runs.trajectories.structure_file import read_structure
    from mlpotential.errors import ConfigError

    atoms = read_structure(options.structure)
    found = molecular_modes(atoms, options.model, _execution(options, "float64"))
    modes = found.modes
    if options.intensities and found.infrared is None:
        raise ConfigError("infrared intensities need a model with dipoles: leave --intensities out")
    print(f"{found.group}: {found.symmetries}")
    print(modes.table(columns=found.columns))
    print(
        f"zero-point energy {modes.zero_point_energy:.4f} eV; longest force "
        f"{found.max_force:.2e} eV/A (modes are those of a minimum: relax)"
    )
    if not modes.n_imaginary:
        print(ideal_gas_thermochemistry(modes, found.group, found.energy, options.temperature_K))
    if options.json:
        modes.save_json(options.json)
    if options.intensities and found.infrared is not None:
        found.infrared.save_json(options.intensities)
    if options.page:
        name = atoms.symbols.formula.format()
        write_mode_page(options.page, modes, atoms.numbers, name, found.columns)
        print(f"modes in motion: {options.page}")
    return 0


def _classical(options: argparse.Namespace) -> int:
    from md_runs.classical.run import run_classical

    atoms = _with_calculator(options)
    result = run_classical(atoms, _settings(options, ClassicalRun), options.folder)
    print(f"mean temperature {result.mean_temperature_K} K: {result.trajectory_file}")
    if result.extrapolation is not None:
        print(result.extrapolation)
    return 0


def _pimd(options: argparse.Namespace) -> int:
    from md_runs.pimd import PimdResult, SegmentsResult, run_pimd, run_ring_polymer_segments
    from md_runs.trajectories.structure_file import read_structure
    from mlpotential.errors import ConfigError

    settings: PimdRun = _settings(options, PimdRun)
    run = (read_structure(options.structure), options.model, settings, options.folder)
    result: PimdResult | SegmentsResult
    if settings.dynamics == "pimd":
        if options.source is not None:
            raise ConfigError("--from is for segments: add --dynamics rpmd or trpmd")
        result = run_pimd(*run, execution=_execution(options))
    else:
        result = run_ring_polymer_segments(*run, options.source, execution=_execution(options))
    print(f"{result}: {options.folder}")
    if result.extrapolation is not None:
        print(result.extrapolation)
    return 0


def _export(options: argparse.Namespace) -> int:
    from md_runs.commands.export import export_run

    for path in export_run(options.run, options.output):
        print(path)
    return 0


def _c20(options: argparse.Namespace) -> int:
    length_ps = FULL_LENGTH_PS if options.full else options.length_ps
    folder = options.folder or Path("c20_full" if options.full else "c20_study")
    study = C20Study(
        model=options.model,
        folder=folder,
        classical_ps=length_ps,
        path_integral_ps=length_ps,
        n_beads=options.beads,
        bead_series=tuple(options.bead_series),
        temperature_K=options.temperature_K,
        stride=recording_stride(folder, length_ps),
        seed=options.seed,
        execution=_execution(options),
    )
    from md_runs.c20.report import write_report
    from md_runs.c20.study import estimated_hours, run_study

    if options.full:
        print(f"1.25 ns of both runs will take about {estimated_hours(study):.1f} h here")
        if not options.yes:
            print("add --yes to start; it can be stopped and continued at any moment")
            return 1
    print(write_report(study, run_study(study)))
    print(f"\nfigures, tables and summary.json: {study.folder}")
    return 0


def _c20_data(options: argparse.Namespace) -> int:
    from md_runs.c20.training_data import make_training_data

    make_training_data(
        options.model, options.folder, options.n_train, options.n_validation, options.n_test
    )
    return 0


COMMANDS = {
    "c20": _c20,
    "c20-data": _c20_data,
    "relax": _relax,
    "modes": _modes,
    "classical": _classical,
    "pimd": _pimd,
    "export": _export,
    **ANALYSIS_COMMANDS,
}
