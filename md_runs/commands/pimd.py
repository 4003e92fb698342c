"""`md-runs pimd`: path-integral molecular dynamics, and segments of RPMD or TRPMD."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from md_runs.commands.error_bars.conditions import Conditions
from md_runs.commands.options import check_folder, check_model, printed_extrapolation, taken
from md_runs.pimd.settings import PimdRun
from mlpotential.command_line import Command
from mlpotential.errors import ConfigError
from mlpotential.inference.execution import Execution

EXAMPLES = (
    "  md-runs pimd relaxed.xyz --model model.safetensors --folder pimd "
    "--n-beads 8 --n-steps 10000\n"
    "  md-runs pimd relaxed.xyz --model model.safetensors --folder trpmd --from pimd "
    "--dynamics trpmd --n-beads 8 --n-steps 40000 --stride 4\n"
    "  md-runs pimd relaxed.xyz --model model.safetensors --folder piglet "
    "--input-xml piglet.xml --n-beads 8 --n-steps 10000\n"
    "  md-runs pimd relaxed.xyz --model model.safetensors --folder pimd --n-beads 8 "
    "--n-steps 20000 --until 'mean_bond < 0.0005' 'potential < 0.002' --at-most 2e6"
)


def run(
    structure: Path,
    *,
    model: Path,
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
        options: fields of `PimdRun`, `Conditions` and `Execution`.
    """
    from md_runs.trajectories.structure_file import read_structure

    settings, conditions = taken(options, PimdRun), taken(options, Conditions)
    execution = Execution(**options)
    if settings.dynamics != "pimd" and conditions.until:
        raise ConfigError(f"--until is for pimd: segments of {settings.dynamics} have their length")
    if settings.dynamics == "pimd" and source is not None:
        raise ConfigError("--from is for segments: add --dynamics rpmd or trpmd")
    if settings.dynamics != "pimd" and input_xml is not None:
        raise ConfigError("--input-xml is for pimd: segments make their own input")
    check_folder(folder, "--folder")
    atoms = read_structure(structure)
    check_model(model)
    from md_runs.pimd import PimdResult, SegmentsResult, run_pimd, run_ring_polymer_segments

    def run_one(settings: PimdRun) -> PimdResult:
        return run_pimd(atoms, model, settings, folder, execution=execution, input_xml=input_xml)

    result: PimdResult | SegmentsResult
    holds = True
    with printed_extrapolation():
        if settings.dynamics == "pimd":
            result, holds = conditions.run(atoms, settings, folder, run_one)
        else:
            result = run_ring_polymer_segments(
                atoms, model, settings, folder, source, execution=execution
            )
    print(f"{result}: {folder}")
    if result.extrapolation is not None:
        print(result.extrapolation)
    return 0 if holds else 1


COMMAND = Command.of(
    run, EXAMPLES, more=[PimdRun, Conditions, Execution], aliases={"source": "--from"}
)
