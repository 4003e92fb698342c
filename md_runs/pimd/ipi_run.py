"""One run of i-PI (Kapil et al., J. Chem. Phys. 152, 124104 (2020)) in its folder, which evaluates
all beads at once and without sockets.

The folder holds everything its run needs: settings, structure, a copy of the model. The same call
in the same folder goes on where an interrupted run stopped, however it was stopped: outputs are cut
back to the last complete checkpoint, and every step stands in them exactly once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from tqdm import tqdm

from md_runs.analysis.path_integrals.energy_series import EnergySeries
from md_runs.analysis.spectra.dynamics import NAME_OF_SETTING
from md_runs.force_provider import IpiDriver
from md_runs.model_warnings import REPORT_NAME, read_report, refuse_departure
from md_runs.pimd.ipi_checkpoints import (
    CONTINUED_NAME,
    Checkpoint,
    cut_outputs,
    newest_checkpoint,
    remove_checkpoints_after,
    remove_old_checkpoints,
    remove_outputs,
)
from md_runs.pimd.ipi_input import (
    GEOMETRY_NAME,
    PREFIX,
    VELOCITIES_NAME,
    RingPolymer,
    continued_xml,
    geometry_xyz,
    input_xml,
    velocities_xyz,
)
from md_runs.pimd.ipi_outputs import Outputs, ProgressReader, read_frames, read_properties
from md_runs.pimd.ipi_process import LOG_NAME, follow, ipi_process, log_tail
from md_runs.pimd.own_input import OwnInput
from md_runs.pimd.record import (
    check_same_run,
    identity_of,
    read_record,
    recorded_extras,
    refuse_longer,
    write_record,
    write_start,
)
from md_runs.pimd.results import PimdResult, check_movable, progress_bar
from md_runs.pimd.settings import PimdRun
from md_runs.run_folders import RECORD_NAME
from md_runs.thermal_velocities import EXPLOSION_ADVICE, hottest_K
from md_runs.trajectories.structure_file import periodic_directions
from md_runs.trajectories.trajectory import Trajectory
from mlpotential.errors import ExtrapolationWarning, RunError
from mlpotential.inference.guard import GuardReport
from mlpotential.interruption import RunInterrupted
from mlpotential.run_folder import lock_folder, write_atomically

INPUT_NAME = "input.xml"


def run_with_driver(
    atoms: Atoms,
    driver: IpiDriver,
    settings: PimdRun,
    folder: Path,
    progress: bool,
    stall_limit_s: float,
    start: RingPolymer | None = None,
    title: str = "PIMD",
    smallest_volume: float = 0.0,
    own_input: OwnInput | None = None,
) -> PimdResult:
    """One run of i-PI, of any driver, or the rest of it.

    Args:
        atoms: in i-PI's frame.
        driver: who gives i-PI the forces.
        settings: of the run; of a segment `n_steps` is its own.
        folder: made where needed.
        progress: show a bar, if standard error is a terminal.
        stall_limit_s: a run without a new step for so long is stopped (s).
        start: first positions and velocities of the beads; None for all as `atoms`, thermal.
        title: of the progress bar.
        smallest_volume: of a cell that moves; one that is smaller ends the run (A^3).
        own_input: what i-PI is told beside forces, outputs and beginning; None for our own.

    Raises:
        ConfigError, RunError, RunInterrupted: as `run_pimd`.
    """
    check_movable(atoms, settings)
    if own_input is not None:
        driver = own_input.driver(driver)
    run = _Run(folder, atoms, settings, driver, start, title, smallest_volume, own_input)
    with lock_folder(folder):
        checkpoint = run.prepare()
        speed = None
        if checkpoint is None or checkpoint.step < settings.n_steps:
            speed = run.advance(checkpoint, progress, stall_limit_s)
        return run.result(speed, progress)


def read_ipi_trajectory(folder: Path, progress: bool) -> Trajectory:
    """Of a run of i-PI, as `stored_runs.read_pimd_trajectory`."""
    atoms, outputs = _stored(folder)
    return _read_trajectory(outputs, atoms, _newest_step(outputs), progress)


def read_ipi_run_energies(folder: Path) -> EnergySeries:
    """Of a run of i-PI, as `stored_runs.read_pimd_energies`."""
    _, outputs = _stored(folder)
    found = read_properties(outputs, _newest_step(outputs))
    return EnergySeries(found.times_fs, found.kinetic_cv, found.potential)


def _stored(folder: Path) -> tuple[Atoms, Outputs]:
    atoms, settings, identity = read_record(folder)
    return atoms, Outputs(folder, settings, len(atoms), recorded_extras(identity))


def _newest_step(outputs: Outputs) -> int:
    checkpoint = newest_checkpoint(outputs)
    if checkpoint is None:
        raise RunError(
            f"the run in {outputs.folder} has not reached its first checkpoint: let it go on"
        )
    return checkpoint.step


def _read_trajectory(outputs: Outputs, atoms: Atoms, last_step: int, progress: bool) -> Trajectory:
    settings, masses = outputs.settings, atoms.get_masses()
    recorded = read_frames(outputs, last_step, masses, progress)
    n_frames = len(recorded["positions"])
    cells = None
    if "cells" in recorded:
        cells = recorded.pop("cells")
    elif atoms.pbc.any():
        cells = np.broadcast_to(atoms.cell.array, (n_frames, 3, 3))
    return Trajectory(
        atomic_numbers=atoms.numbers.copy(),
        masses=masses,
        times_fs=settings.timestep_fs * settings.stride * np.arange(n_frames),
        cells=cells,
        pbc=periodic_directions(atoms),
        temperature_K=settings.temperature_K,
        dynamics=NAME_OF_SETTING[settings.dynamics],
        integration_timestep_fs=settings.timestep_fs,
        **recorded,
    )


@dataclass(frozen=True)
class _Run:
    """One run in its folder, which is locked."""

    folder: Path
    atoms: Atoms
    settings: PimdRun
    driver: IpiDriver
    start: RingPolymer | None
    title: str
    smallest_volume: float = 0.0
    own_input: OwnInput | None = None

    @property
    def identity(self) -> dict[str, str]:
        """What must not change, but for the settings."""
        return identity_of(self.driver)

    @property
    def outputs(self) -> Outputs:
        """What i-PI writes."""
        return Outputs(self.folder, self.settings, len(self.atoms), self.driver.extras)

    def prepare(self) -> Checkpoint | None:
        """Puts what i-PI needs into a new folder, or finds where the run that is there stopped."""
        checkpoint = None
        if (self.folder / RECORD_NAME).exists():
            check_same_run(self.folder, self.atoms, self.settings, self.identity)
            checkpoint = self.newest_checkpoint()
        elif any(self.folder.glob(f"{PREFIX}.*")):
            raise RunError(f"{self.folder} holds files of a foreign run: choose another folder")
        else:
            write_start(self.folder, self.atoms, self.driver.files)
            self._write_geometry()
        write_record(self.folder, self.atoms, self.settings, self.identity)
        return checkpoint

    def _write_geometry(self) -> None:
        start = self.start
        positions = None if start is None else start.positions
        write_atomically(self.folder / GEOMETRY_NAME, geometry_xyz(self.atoms, positions))
        if start is not None:
            velocities = velocities_xyz(self.atoms, start.velocities)
            write_atomically(self.folder / VELOCITIES_NAME, velocities)

    def newest_checkpoint(self) -> Checkpoint | None:
        """Raises RunError if the run is longer than was asked for."""
        newest = newest_checkpoint(self.outputs)
        if newest is not None:
            refuse_longer(self.folder, newest.step, self.settings)
        return newest

    def advance(
        self, checkpoint: Checkpoint | None, progress: bool, stall_limit_s: float
    ) -> float | None:
        """Lets i-PI work until the last step. Returns steps per second."""
        self._remove_stale_exit()
        input_name = self._write_input(checkpoint)
        counted_before = self._take_report(checkpoint)
        reader = ProgressReader(self.folder, 0 if checkpoint is None else checkpoint.step)
        log = self.folder / LOG_NAME
        log_start = log.stat().st_size if log.exists() else 0
        n_steps = self.settings.n_steps
        try:
            with (
                progress_bar(self.title, self.settings, reader.step, progress) as bar,
                ipi_process(input_name, self.folder) as process,
            ):
                speed = follow(process, self._observer(reader, bar), stall_limit_s)
        except RunInterrupted as stop:
            raise RunInterrupted(
                f"interrupted after step {reader.step} of {n_steps}: the state is saved in "
                f"{self.folder}, the same command continues it",
                stop.signal_number,
            ) from None
        except RunError as error:
            raise RunError(f"{error}. i-PI: {log_tail(log, log_start)}") from error
        finally:
            self._add_report(counted_before)
        end = self.newest_checkpoint()
        if end is None or end.step < n_steps:
            code = process.returncode
            ended = f"was killed by signal {-code}" if code < 0 else "ended"
            raise RunError(
                f"i-PI {ended} after step {reader.step} of {n_steps}: {log_tail(log, log_start)}"
            )
        report = read_report(self.folder)
        if report is not None and report.n_outside:
            warnings.warn(str(report), ExtrapolationWarning, stacklevel=2)
        return speed

    def result(self, steps_per_second: float | None, progress: bool) -> PimdResult:
        """Reads and checks all outputs."""
        if self.driver.parameters.get("guard") != "off":
            refuse_departure(read_report(self.folder), self.folder, self.settings.n_beads)
        last_step = self.settings.n_steps
        trajectory = _read_trajectory(self.outputs, self.atoms, last_step, progress)
        properties = read_properties(self.outputs, last_step)
        hottest = int(properties.temperature_K.argmax())
        self._refuse_explosion(int(properties.steps[hottest]), properties.temperature_K[hottest])
        if properties.volume is not None:
            self._refuse_small_cell(float(properties.volume.min()))
        return PimdResult(trajectory, properties, steps_per_second, read_report(self.folder))

    def _refuse_explosion(self, step: int, temperature_K: float) -> None:
        """Raises RunError where the hottest record is hotter than any dynamics."""
        if temperature_K > hottest_K(self.settings.temperature_K):
            raise RunError(
                f"the dynamics exploded before step {step}: {temperature_K:.3g} K. "
                f"{EXPLOSION_ADVICE}"
            )

    def _refuse_small_cell(self, volume: float) -> None:
        """Raises RunError where the cell has become narrower than the cutoff of the model."""
        if volume < self.smallest_volume:
            raise RunError(
                f"the cell shrank to {volume:.4g} A^3 and is narrower than the cutoff of the model "
                f"({self.smallest_volume:.4g} A^3), so that atoms see their own images: take a "
                "larger supercell or a lower pressure, in another folder"
            )

    def _take_report(self, checkpoint: Checkpoint | None) -> GuardReport | None:
        """What was counted before, out of the way of what i-PI's driver writes at its end."""
        report = None if checkpoint is None else read_report(self.folder)
        (self.folder / REPORT_NAME).unlink(missing_ok=True)
        return report

    def _add_report(self, before: GuardReport | None) -> None:
        now = read_report(self.folder)
        if before is not None:
            (before if now is None else before + now).write(self.folder / REPORT_NAME)

    def _remove_stale_exit(self) -> None:
        """i-PI stops at once where it finds a file of this name, and calls that success."""
        path = self.folder / "EXIT"
        if path.exists():
            path.unlink()
            warnings.warn(f"removed an old {path}, which would stop i-PI at once", stacklevel=2)

    def _write_input(self, checkpoint: Checkpoint | None) -> str:
        """Makes input and outputs agree. Returns the name of the input."""
        if checkpoint is None:
            remove_outputs(self.folder)
            if self.own_input is None:
                has_velocities = self.start is not None
                xml = input_xml(self.atoms, self.settings, self.driver, has_velocities)
            else:
                xml = self.own_input.xml(self.atoms, self.settings, self.driver)
            write_atomically(self.folder / INPUT_NAME, xml)
            return INPUT_NAME
        xml = continued_xml(checkpoint.tree, self.settings, self.driver)
        write_atomically(self.folder / CONTINUED_NAME, xml)
        cut_outputs(self.outputs, checkpoint.step)
        remove_checkpoints_after(self.folder, checkpoint.step)
        return CONTINUED_NAME

    def _observer(self, reader: ProgressReader, bar: tqdm[Any]) -> Callable[[], int]:
        def newest_step() -> int:
            """Looks at the outputs, shows them on the bar, and returns their last step."""
            shown, step = reader.step, reader.update()
            self._refuse_explosion(reader.hottest_step, reader.hottest_K)
            self._refuse_small_cell(reader.smallest_volume)
            remove_old_checkpoints(self.folder)
            bar.set_postfix_str(f"{reader.temperature_K:.0f} K", refresh=False)
            bar.update(step - shown)
            return step

        return newest_step
