"""One ring polymer in its folder, in this process, safe to kill.

The folder holds what one of i-PI would: record, structure, a copy of the model. Frames and energies
are appended as they come; a checkpoint is replaced in one step after they are on the disk, and
holds positions, momenta, forces and heat. A resumed run cuts off what was recorded after it and
repeats that, with noise that the number of a step names: the result is that of the uninterrupted
run bit for bit, provided that forces depend on the positions alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import kB
from tqdm import tqdm

from md_runs.analysis.path_integrals.energies import HBAR
from md_runs.checkpoint_archive import CheckpointClock
from md_runs.force_provider import IpiDriver
from md_runs.model_warnings import RunGuard, refuse_departure
from md_runs.pimd.ipi_input import RingPolymer
from md_runs.pimd.record import (
    check_same_run,
    identity_of,
    refuse_longer,
    write_record,
    write_start,
)
from md_runs.pimd.results import PimdResult, check_movable, progress_bar
from md_runs.pimd.ring_polymer.barostat import (
    BreathingRingPolymer,
    Piston,
    StrainedBeadFunction,
)
from md_runs.pimd.ring_polymer.bead_forces import BeadForces
from md_runs.pimd.ring_polymer.checkpoint import RingPolymerCheckpoint
from md_runs.pimd.ring_polymer.files import (
    CHECKPOINT_NAME,
    PROPERTIES_NAME,
    frame_header,
    properties_header,
    read_properties,
)
from md_runs.pimd.ring_polymer.integrator import (
    BeadFunction,
    Energies,
    RingPolymerIntegrator,
    RingPolymerSystem,
)
from md_runs.pimd.ring_polymer.thermostats import CountedNoise, Pile, Rescaling, pile_frictions
from md_runs.pimd.ring_polymer.watchdog import stop_where_it_stands_still
from md_runs.pimd.settings import TRPMD_LAMBDA, PimdRun
from md_runs.run_folders import RECORD_NAME, TRAJECTORY_NAME
from md_runs.thermal_velocities import explosion, hottest_K
from md_runs.trajectories.frames_file import (
    FIELDS,
    FrameRecorder,
    count_records,
    member_fields,
    read_trajectory,
)
from mlpotential.errors import ExtrapolationError, RunError, StructureError
from mlpotential.interruption import RunInterrupted, StopRequest, stop_on_signals
from mlpotential.run_folder import lock_folder
from mlpotential.units import ASE_TIME_PER_FS, EV_PER_ANGSTROM3_PER_PRESSURE_UNIT


@dataclass(frozen=True)
class Forces:
    """Of a run.

    Attributes:
        beads: evaluates them.
        driver: what identifies them, what the folder keeps of them, and what comes beside them.
    """

    beads: BeadForces
    driver: IpiDriver


def run_in_process(
    atoms: Atoms,
    forces: Forces,
    settings: PimdRun,
    folder: Path,
    progress: bool,
    stall_limit_s: float,
    start: RingPolymer | None = None,
    title: str = "PIMD",
    smallest_volume: float = 0.0,
) -> PimdResult:
    """One run of the native engine, or the rest of it; arguments as of `ipi_run.run_with_driver`.

    Raises:
        ConfigError, RunError, RunInterrupted: as `run_pimd`.
    """
    check_movable(atoms, settings)
    with lock_folder(folder):
        checkpoint = _checkpoint_in(folder, atoms, settings, forces.driver)
        guard = RunGuard(forces.beads, folder, continues=checkpoint is not None)
        speed = None
        if checkpoint is None or checkpoint.step < settings.n_steps:
            run = _Simulation(atoms, forces, settings, folder, guard, smallest_volume)
            with stop_where_it_stands_still(lambda: run.step, stall_limit_s):
                speed = run.go_on(checkpoint, start, title, progress)
        if forces.driver.parameters.get("guard") != "off":
            refuse_departure(guard.report, folder, settings.n_beads)
        trajectory = read_trajectory(folder / TRAJECTORY_NAME)
        return PimdResult(trajectory, read_properties(folder), speed, guard.report)


def _checkpoint_in(
    folder: Path, atoms: Atoms, settings: PimdRun, driver: IpiDriver
) -> RingPolymerCheckpoint | None:
    """Where the run in the folder stopped; None for a new one, whose record is then written."""
    checkpoint, identity = None, identity_of(driver)
    if (folder / RECORD_NAME).exists():
        check_same_run(folder, atoms, settings, identity)
        checkpoint = _newest_checkpoint(folder)
        if checkpoint is not None:
            refuse_longer(folder, checkpoint.step, settings)
            _check_recorded(folder, checkpoint)
    elif (folder / TRAJECTORY_NAME).exists():
        raise RunError(f"{folder} holds files of a foreign run: choose another folder")
    else:
        write_start(folder, atoms, driver.files)
    write_record(folder, atoms, settings, identity)
    return checkpoint


def _newest_checkpoint(folder: Path) -> RingPolymerCheckpoint | None:
    """None where the run was killed before its first one, which is that of step 0."""
    if (folder / CHECKPOINT_NAME).exists():
        return RingPolymerCheckpoint.read(folder / CHECKPOINT_NAME)
    path = folder / TRAJECTORY_NAME
    if path.exists() and count_records(path) > 1:
        raise RunError(f"{folder} holds a trajectory without its checkpoint: choose another folder")
    return None


def _check_recorded(folder: Path, checkpoint: RingPolymerCheckpoint) -> None:
    counts = {TRAJECTORY_NAME: checkpoint.n_frames, PROPERTIES_NAME: checkpoint.n_records}
    for name, expected in counts.items():
        if (found := count_records(folder / name)) < expected:
            raise RunError(
                f"{folder / name} holds {found} records, but the checkpoint was written after "
                f"{expected}: the file was cut. Start again in another folder"
            )


def make_integrator(atoms: Atoms, settings: PimdRun, forces: BeadFunction) -> RingPolymerIntegrator:
    """Of the dynamics that the settings name, in ASE's units.

    Args:
        atoms: elements and masses.
        settings: of the run.
        forces: as of `RingPolymerIntegrator`.
    """
    system = _system(atoms, settings)
    return RingPolymerIntegrator(
        system, forces, _thermostat(system, settings), CountedNoise(settings.seed)
    )


def make_breathing(
    atoms: Atoms, settings: PimdRun, forces: StrainedBeadFunction, smallest_volume: float = 0.0
) -> BreathingRingPolymer:
    """As `make_integrator`, at the pressure of the settings, in a cell that begins as the atoms'.

    Args:
        atoms: elements, masses and cell.
        settings: of the run.
        forces: as of `BreathingRingPolymer`.
        smallest_volume: less is narrower than the cutoff of the model (A^3).
    """
    system = _system(atoms, settings)
    thermostat, noise = _thermostat(system, settings), CountedNoise(settings.seed)
    assert settings.pressure_GPa is not None
    assert thermostat is not None  # of pimd, which alone holds a pressure
    piston = Piston(
        pressure=settings.pressure_GPa * EV_PER_ANGSTROM3_PER_PRESSURE_UNIT["GPa"],
        time_constant=settings.barostat_fs * ASE_TIME_PER_FS,
        volume=float(atoms.get_volume()),
        smallest_volume=smallest_volume,
    )
    return BreathingRingPolymer(system, forces, thermostat, noise, piston)


def _system(atoms: Atoms, settings: PimdRun) -> RingPolymerSystem:
    return RingPolymerSystem(
        masses=atoms.get_masses(),
        n_beads=settings.n_beads,
        timestep=settings.timestep_fs * ASE_TIME_PER_FS,
        kT=kB * settings.temperature_K,
        hbar=HBAR,
        holds_center=settings.fix_center_of_mass,
    )


def _thermostat(system: RingPolymerSystem, settings: PimdRun) -> Pile | None:
    if settings.dynamics == "rpmd":
        return None
    is_free = settings.dynamics == "trpmd"
    time_constant = settings.thermostat_time_fs * ASE_TIME_PER_FS
    frictions = pile_frictions(
        system.frequencies,
        strength=TRPMD_LAMBDA if is_free else 1.0,
        centroid_time=np.inf if is_free else time_constant,
    )
    half_step, kT = 0.5 * system.timestep, system.n_beads * system.kT
    n_coordinates = 3 * len(system.masses)
    rescaling = None
    if settings.thermostat == "pile-g" and not is_free:
        keeps = float(np.exp(-half_step / time_constant))
        rescaling = Rescaling(keeps, n_coordinates - system.n_held, kT)
    return Pile(frictions, half_step, kT, n_coordinates, rescaling)


class _Simulation:
    """The moving beads with their files and step counter."""

    def __init__(
        self,
        atoms: Atoms,
        forces: Forces,
        settings: PimdRun,
        folder: Path,
        guard: RunGuard,
        smallest_volume: float,
    ) -> None:
        self.atoms, self.settings, self.folder, self.guard = atoms, settings, folder, guard
        self.step, self._clock = 0, CheckpointClock()
        self._beads, self._extras = forces.beads, forces.driver.extras
        self._in_frames = (*self._extras, *member_fields(forces.beads, settings.n_beads))
        self._wanted = self._in_frames  # of the next evaluation; step 0 is a frame
        self._found: dict[str, np.ndarray] = {}
        self.integrator = (
            make_breathing(atoms, settings, self._evaluate_strained, smallest_volume)
            if settings.moves_cell
            else make_integrator(atoms, settings, self._evaluate)
        )
        self._hottest = kB * hottest_K(settings.temperature_K)

    def _evaluate(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        answer = self._beads.evaluate(positions, self._wanted)
        self._found = {FIELDS.get(name, name): values for name, values in answer.extras.items()}
        return answer.energies, answer.forces

    def _evaluate_strained(
        self, positions: np.ndarray, scale: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        answer = self._beads.evaluate(positions, self._wanted, scale)
        self._found = {FIELDS.get(name, name): values for name, values in answer.extras.items()}
        assert answer.virials is not None
        return answer.energies, answer.forces, answer.virials

    def go_on(
        self,
        checkpoint: RingPolymerCheckpoint | None,
        start: RingPolymer | None,
        title: str,
        progress: bool,
    ) -> float | None:
        """To the last step, which is saved. Returns steps per second; None if there was one."""
        settings = self.settings
        counts = (0, 0) if checkpoint is None else (checkpoint.n_frames, checkpoint.n_records)
        header = frame_header(self.atoms, settings, self._extras, self._beads)
        energies = properties_header(self.atoms, settings)
        with (
            FrameRecorder(self.folder / TRAJECTORY_NAME, header, counts[0]) as frames,
            FrameRecorder(self.folder / PROPERTIES_NAME, energies, counts[1]) as properties,
            stop_on_signals() as request,
        ):
            if checkpoint is None:
                self._begin(start)
                self._record(frames, properties)
                self._save(frames, properties)
            else:
                self.step, self.integrator.state = checkpoint.step, checkpoint.state
            with progress_bar(title, settings, self.step, progress) as bar:
                return self._loop(frames, properties, request, bar)

    def _begin(self, start: RingPolymer | None) -> None:
        if start is None:
            n_beads = self.settings.n_beads
            positions = np.repeat(self.atoms.positions[None], n_beads, axis=0)
            self._refusing(lambda: self.integrator.begin(positions))
        else:
            self._refusing(lambda: self.integrator.begin(start.positions, start.velocities))

    def _loop(
        self,
        frames: FrameRecorder,
        properties: FrameRecorder,
        request: StopRequest,
        bar: tqdm[Any],
    ) -> float | None:
        settings, first_time, first_step = self.settings, 0.0, self.step + 1
        while self.step < settings.n_steps:
            if request.signal_number:
                self._save(frames, properties)
                raise RunInterrupted(
                    f"interrupted after step {self.step} of {settings.n_steps}: the state is saved "
                    f"in {self.folder}, the same command continues it",
                    request.signal_number,
                )
            self._advance()
            if self.step == first_step:
                first_time = time.monotonic()
            if (temperature_K := self._record(frames, properties)) is not None:
                bar.set_postfix_str(f"{temperature_K:.0f} K", refresh=False)
            bar.update()
            at_end = self.step == settings.n_steps
            if at_end or self.step % settings.checkpoint_stride == 0 or self._clock.is_due:
                self._save(frames, properties)
        if self.step == first_step:
            return None
        return (self.step - first_step) / (time.monotonic() - first_time)

    def _advance(self) -> None:
        """One step, and whether the ring polymer survived it.

        Raises:
            RunError: if the potential or its guard refuses the structure, a number is not finite,
                or the beads are too hot.
        """
        number = self.step + 1
        self._wanted = self._in_frames if number % self.settings.stride == 0 else ()
        self._refusing(lambda: self.integrator.step(number))
        thermal = self.integrator.thermal_of(self.integrator.hottest)
        if not thermal < self._hottest:
            raise explosion(number, f"the temperature is {thermal / kB:.3g} K")
        self.step = number

    def _refusing(self, move: Callable[[], None]) -> None:
        """Moves. Raises RunError where the potential or its guard refuses the structure."""
        number = self.step + 1
        try:
            move()
        except ExtrapolationError as error:
            raise RunError(f"stopped at step {number}: {error}") from error
        except StructureError as error:
            raise explosion(number, str(error)) from error

    def _record(self, frames: FrameRecorder, properties: FrameRecorder) -> float | None:
        """Appends what is due at this step; the temperature, where it was (K)."""
        if self.step % self.settings.stride == 0:
            self._record_frame(frames)
        if self.step % self.settings.properties_stride:
            return None
        found = self.integrator.energies()
        temperature_K = found.thermal / kB
        if not np.isfinite(found.conserved):
            raise explosion(self.step, f"the energy is {found.conserved} eV")
        properties.append(
            conserved=found.conserved,
            temperature_K=temperature_K,
            potential=found.potential,
            kinetic_cv=found.kinetic_cv,
            kinetic_primitive=found.kinetic_primitive,
            **_of_cell(found),
        )
        return temperature_K

    def _record_frame(self, frames: FrameRecorder) -> None:
        integrator, settings = self.integrator, self.settings
        values: dict[str, np.ndarray | float] = {"positions": integrator.bead_positions()}
        if settings.records_velocities:
            velocities = integrator.bead_velocities() * ASE_TIME_PER_FS
            values["velocities_angstrom_per_fs"] = velocities
        if settings.record_forces:
            values |= {"forces": integrator.bead_forces, "energies": integrator.potentials}
        if isinstance(integrator, BreathingRingPolymer):
            values["cells"] = integrator.scale * self.atoms.cell.array
        frames.append(**values, **self._found)

    def _save(self, frames: FrameRecorder, properties: FrameRecorder) -> None:
        """What was recorded onto the disk first, then the checkpoint that counts on it."""
        frames.flush()
        properties.flush()
        self.guard.save()
        RingPolymerCheckpoint(
            self.step, frames.n_frames, properties.n_frames, self.integrator.state
        ).write(self.folder / CHECKPOINT_NAME)
        self._clock.saved()


def _of_cell(found: Energies) -> dict[str, float]:
    """Columns of a cell that moves; none of others."""
    if found.volume is None or found.pressure is None:
        return {}
    in_GPa = found.pressure / EV_PER_ANGSTROM3_PER_PRESSURE_UNIT["GPa"]
    return {"volume": found.volume, "pressure_GPa": in_GPa}
