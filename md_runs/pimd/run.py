"""Path-integral molecular dynamics with a model or other forces, by i-PI or in this process."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms

from md_runs.force_provider import ForceProvider, IpiDriver, Model, force_provider
from md_runs.pimd.ipi_input import to_ipi_frame
from md_runs.pimd.ipi_run import run_with_driver
from md_runs.pimd.own_input import OwnInput
from md_runs.pimd.results import PimdResult
from md_runs.pimd.ring_polymer.bead_forces import bead_forces
from md_runs.pimd.ring_polymer.run import Forces, run_in_process
from md_runs.pimd.segments import (
    SegmentRun,
    SegmentsResult,
    run_segments,
    run_segments_with_driver,
)
from md_runs.pimd.settings import PimdRun
from md_runs.trajectories.structure_file import check_compressible, least_volume
from mlpotential.errors import ConfigError
from mlpotential.inference.execution import DEFAULT_EXECUTION, Execution


def run_pimd(
    atoms: Atoms,
    forces: Model | ForceProvider,
    settings: PimdRun,
    folder: str | Path,
    progress: bool = True,
    execution: Execution = DEFAULT_EXECUTION,
    stall_limit_s: float = 600.0,
    input_xml: str | Path | None = None,
) -> PimdResult:
    """Runs path-integral MD, or goes on with the run that is in the folder.

    Args:
        atoms: where all beads start; its masses count, its velocities do not. A periodic cell stays
            as it is but for a rotation to i-PI's frame (a along x, b in the xy plane).
        forces: model file, or those of a committee (a list or a pattern), of which the folder keeps
            copies; or any other force provider.
        settings: of the run.
        folder: made where needed; one run per folder.
        progress: show a bar, if standard error is a terminal.
        execution: where and how model files are evaluated.
        stall_limit_s: a run without a new step for so long is stopped (s).
        input_xml: an input of i-PI of one's own: its motion, thermostat and barostat are kept.
            What it tells otherwise than the settings is refused.

    Raises:
        StructureError, ModelFileError, ConfigError: if there can be no such run.
        RunError: if the folder is in use or holds another run, if the engine fails or stands still,
            or if a number in the outputs is not finite.
        RunInterrupted: after SIGTERM, SIGINT or SIGHUP; the state is saved.

    Warns:
        UserWarning: if the model has a hard cutoff, or input_xml has outputs of its own.
        ExtrapolationWarning: if the run was outside the training data of the model.
    """
    if settings.dynamics != "pimd":
        raise ConfigError(
            f"{settings.dynamics} is made of segments: call run_ring_polymer_segments for it"
        )
    own_input = None if input_xml is None else OwnInput.read(Path(input_xml), settings)
    atoms, provider = to_ipi_frame(atoms), force_provider(forces, execution)
    smallest_volume = 0.0
    if settings.moves_cell:
        trial = atoms.copy()
        trial.calc = provider.calculator()
        check_compressible(trial)
        smallest_volume = least_volume(trial)
    if settings.is_in_process:
        found = Forces(*bead_forces(provider, atoms))
        return run_in_process(
            atoms,
            found,
            settings,
            Path(folder),
            progress,
            stall_limit_s,
            smallest_volume=smallest_volume,
        )
    driver = provider.ipi_driver(atoms)
    return run_with_driver(
        atoms,
        driver,
        settings,
        Path(folder),
        progress,
        stall_limit_s,
        smallest_volume=smallest_volume,
        own_input=own_input,
    )


def run_ring_polymer_segments(
    atoms: Atoms,
    forces: Model | ForceProvider,
    settings: PimdRun,
    folder: str | Path,
    source: str | Path | None = None,
    progress: bool = True,
    execution: Execution = DEFAULT_EXECUTION,
    stall_limit_s: float = 600.0,
) -> SegmentsResult:
    """RPMD or TRPMD in segments that start from frames of a PIMD run, or the rest of them.

    Args:
        atoms: elements, masses and cell; where the beads of the PIMD run start, if there is none.
        forces: as for `run_pimd`.
        settings: of the segments; `n_steps` is that of all together.
        folder: made where needed; segment k is a run in `segment_k`.
        source: folder of a PIMD run of the same atoms, forces, beads and temperature; None to make
            one, in the folder `pimd`.
        progress: show bars, if standard error is a terminal.
        execution: where and how model files are evaluated.
        stall_limit_s: a run without a new step for so long is stopped (s).

    Raises:
        StructureError, ModelFileError, ConfigError: if there can be no such run.
        RunError: as `run_pimd`, or if the source is another one or too short.
        RunInterrupted: after SIGTERM, SIGINT or SIGHUP; the same call continues.

    Warns:
        UserWarning: if the model has a hard cutoff.
        ExtrapolationWarning: if a run was outside the training data of the model.
    """
    atoms, provider = to_ipi_frame(atoms), force_provider(forces, execution)
    source = None if source is None else Path(source)
    if settings.is_in_process:
        beads, driver = bead_forces(provider, atoms)

        def run_one(driver: IpiDriver, part: SegmentRun) -> PimdResult:
            found = Forces(beads, driver)
            return run_in_process(
                atoms, found, part.settings, part.folder, progress, stall_limit_s, part.start,
                part.title,
            )  # fmt: skip

        return run_segments(atoms, driver, settings, Path(folder), source, run_one)
    driver = provider.ipi_driver(atoms)
    return run_segments_with_driver(
        atoms, driver, settings, Path(folder), source, progress, stall_limit_s
    )
