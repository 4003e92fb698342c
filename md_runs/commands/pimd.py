"""`md-runs pimd`: path-integral molecular dynamics, and segments of RPMD or TRPMD."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from md_runs.commands.error_bars.conditions import Conditions
from md_runs.commands.options import (
    OtherCalculator,
    check_folder,
    chosen_forces,
    printed_extrapolation,
    rounds,
    taken,
    try_calculator,
)
from md_runs.force_provider import STALL_LIMIT_S, CalculatorForces
from md_runs.pimd.settings import PimdRun
from mlpotential.command_line import Command
from mlpotential.errors import ConfigError
from mlpotential.inference.execution import Execution

DEFAULT_STRIDE = 1000  # of checkpoints, in `PimdRun`; with a calculator: those of energies

EXAMPLES = (
    "  md-runs pimd relaxed.xyz --model model.safetensors --folder pimd "
    "--n-beads 8 --n-steps 10000\n"
    "  md-runs pimd relaxed.xyz --model model.safetensors --folder trpmd --from pimd "
    "--dynamics trpmd --n-beads 8 --n-steps 40000 --stride 4\n"
    "  md-runs pimd relaxed.xyz --model model.safetensors --folder piglet "
    "--input-xml piglet.xml --n-beads 8 --n-steps 10000\n"
    "  md-runs pimd relaxed.xyz --calculator my_dft.py --drivers 4 --folder dft "
    "--n-beads 8 --n-steps 1000\n"
    "  md-runs pimd relaxed.xyz --model model.safetensors --folder pimd --n-beads 8 "
    "--n-steps 20000 --until 'mean_bond < 0.0005' 'potential < 0.002' --at-most 2e6"
)


def run(
    structure: Path,
    *,
    model: Path | None = None,
    folder: Path,
    source: Path | None = None,
    input_xml: Path | None = None,
    **options: Any,
) -> int:
    """Runs, or continues, PIMD or segments of RPMD or TRPMD.

    Args:
        structure: file with the atoms to start from, any format ASE reads.
        model: model file (.safetensors), or a quoted pattern such as 'runs/*/model.safetensors', a
            committee.
        folder: for all files of the run; a run that is there goes on.
        source: folder of the pimd run whose frames segments of rpmd or trpmd start from (default:
            a pimd run of their own).
        input_xml: an input of i-PI of your own, whose motion, thermostat and barostat are kept;
            forces, outputs and first positions are those of this command.
        options: fields of `PimdRun`, `Conditions`, `OtherCalculator` and `Execution`.
    """
    from md_runs.trajectories.structure_file import read_structure

    settings, conditions = taken(options, PimdRun), taken(options, Conditions)
    other = taken(options, OtherCalculator)
    execution = Execution(**options)
    if settings.dynamics != "pimd" and conditions.until:
        raise ConfigError(f"--until is for pimd: segments of {settings.dynamics} have their length")
    if settings.dynamics == "pimd" and source is not None:
        raise ConfigError("--from is for segments: add --dynamics rpmd or trpmd")
    if settings.dynamics != "pimd" and input_xml is not None:
        raise ConfigError("--input-xml is for pimd: segments make their own input")
    check_folder(folder, "--folder")
    atoms = read_structure(structure)
    forces = chosen_forces(model, other, execution)
    stall_limit_s = STALL_LIMIT_S
    if isinstance(forces, CalculatorForces):
        if settings.checkpoint_stride == DEFAULT_STRIDE:
            settings = replace(settings, checkpoint_stride=settings.properties_stride)
        stall_limit_s = forces.stall_limit_s(settings.n_beads, settings.properties_stride)
    work = f"1000 steps of {settings.n_beads} beads"
    try_calculator(forces, atoms, work, 1000 * rounds(forces, settings.n_beads))
    from md_runs.pimd import PimdResult, SegmentsResult, run_pimd, run_ring_polymer_segments

    def run_one(settings: PimdRun) -> PimdResult:
        return run_pimd(
            atoms, forces, settings, folder, stall_limit_s=stall_limit_s, input_xml=input_xml
        )

    result: PimdResult | SegmentsResult
    holds = True
    with printed_extrapolation():
        if settings.dynamics == "pimd":
            result, holds = conditions.run(atoms, settings, folder, run_one)
        else:
            result = run_ring_polymer_segments(
                atoms, forces, settings, folder, source, stall_limit_s=stall_limit_s
            )
    print(f"{result}: {folder}")
    if result.extrapolation is not None:
        print(result.extrapolation)
    return 0 if holds else 1


COMMAND = Command.of(
    run,
    EXAMPLES,
    more=[PimdRun, Conditions, OtherCalculator, Execution],
    aliases={"source": "--from"},
)
