"""Classical molecular dynamics (NVE, Langevin, Bussi, Nose-Hoover, NPT), safe to kill.

`classical.thermostats` says which degrees of freedom each ensemble has: a thermostat must count
what it heats.

A linear molecule keeps the angular momentum about its axis, that of its bends. In a straight
structure it is zero and would stay so: one of two bends frozen, the others too hot, until rescaling
has blown up whatever rotation rounding left. So a run of it with Bussi or Nose-Hoover thermostat
begins a little bent, and its end over end rotation is taken out after every step.

Restart. `classical.checkpoint` holds positions, momenta and the states of generator and thermostat,
and is replaced in one step after the frames before it are on the disk; a resumed run cuts off
the frames after it and repeats them. The result is that of the uninterrupted run bit for bit,
provided that the calculator's forces depend on positions and cell alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms

from md_runs.analysis.sampling.uncertainty import Estimate, block_average
from md_runs.checkpoint_archive import CheckpointClock
from md_runs.classical.checkpoint import ClassicalState
from md_runs.classical.constant_pressure import MartynaTobiasKlein
from md_runs.classical.settings import ClassicalRun
from md_runs.classical.steps import (
    advance,
    check_dynamic,
    frame_header,
    moving_copy,
    progress_bar,
    record_frame,
)
from md_runs.classical.thermostats import (
    make_integrator,
    restore_thermostat,
    thermostat_state,
)
from md_runs.model_warnings import RunGuard, refuse_departure, warn_of_hard_cutoff
from md_runs.run_folders import CHECKPOINT_NAME, TRAJECTORY_NAME
from md_runs.run_identity import refuse_another_run, settings_of, structure_of
from md_runs.thermal_velocities import (
    LINEAR_KEY,
    hottest_K,
    maxwell_boltzmann,
    n_degrees_of_freedom,
    thermal_motion,
    without_rigid_motion,
)
from md_runs.trajectories.frames_file import FrameRecorder, read_records
from md_runs.trajectories.structure_file import check_compressible
from mlpotential.errors import RunError
from mlpotential.inference.guard import GuardReport
from mlpotential.interruption import RunInterrupted, stop_on_signals
from mlpotential.labelling.worker_calculator import WorkerCalculator
from mlpotential.run_folder import lock_folder

ENERGY_TOLERANCE = 1e-4  # eV per atom; chosen: above float32 noise, below any other model's energy
BENT_START = 0.03  # A, chosen: a half of what bends of CO2 displace its atoms by at 300 K
AT_REST = 1e-10  # amu A / ASE time; chosen: rounding left by taking out the rigid motion
N_BLOCKS = 10


@dataclass(frozen=True)
class ClassicalResult:
    """A finished run.

    Attributes:
        trajectory_file: for `frames_file.read_trajectory`.
        atoms: the last structure with its momenta and the calculator: `run_classical` in another
            folder goes on with these velocities. Its `info["linear_molecule"]` tells whether the
            run counted a molecule as linear, which its last, bent frame could not.
        n_degrees_of_freedom: those the temperature counts.
        mean_temperature_K: over all frames, with its block-averaged standard error.
        extrapolation: how much of the run was outside the training data of the model; what a
            killed process did after its last checkpoint is missing. None where nobody counted.
        mean_pressure_GPa: over all frames of a run at constant pressure; None of others.
        mean_volume: as well (A^3).
    """

    trajectory_file: Path
    atoms: Atoms
    n_degrees_of_freedom: int
    mean_temperature_K: Estimate
    extrapolation: GuardReport | None = None
    mean_pressure_GPa: Estimate | None = None
    mean_volume: Estimate | None = None


def run_classical(
    atoms: Atoms, settings: ClassicalRun, folder: Path, progress: bool = True
) -> ClassicalResult:
    """Runs, or continues, the dynamics in a folder; a finished run is returned at once.

    Args:
        atoms: structure with a calculator; not changed. Its velocities are used, without rigid
            motion; if nothing is left of them they are drawn at the temperature, and a linear
            molecule begins bent by 0.03 A where the thermostat rescales its momenta.
        settings: of the run.
        folder: made where needed; `trajectory.frames` and `classical.checkpoint` are in it.
        progress: a progress bar, if the output is a terminal.

    Raises:
        StructureError: constraints (but fixed atoms), masses or velocities that dynamics cannot
            use; at constant pressure a structure that is not periodic in all directions, has fixed
            atoms, no stress, or a cell smaller than the cutoff.
        RunError: the folder is in use or holds another run, the calculator is another one, the run
            was begun with another count of its degrees of freedom, the disk is full, or the
            dynamics exploded or left the training data: at once with guard `stop`, else at the end
            if it stayed outside for long. What was recorded is kept.
        RunInterrupted: after SIGTERM, SIGINT or SIGHUP; the state is saved.

    Warns:
        UserWarning: if the calculator's model has a hard cutoff.
        ExtrapolationWarning: of the first structure outside the training data of the model.
    """
    folder = Path(folder)
    check_dynamic(atoms, settings.rotates)
    if settings.moves_cell:
        check_compressible(atoms)
    warn_of_hard_cutoff(getattr(atoms.calc, "traits", None))
    with lock_folder(folder):
        guard = RunGuard(atoms.calc, folder, continues=(folder / CHECKPOINT_NAME).exists())
        state = _read_or_start(atoms, settings, folder)
        if state.step < settings.n_steps:
            state = _Simulation(atoms, settings, folder, state, guard).run(progress)
    if getattr(atoms.calc, "guard_mode", None) != "off":
        refuse_departure(guard.report, folder)
    return _result(atoms, settings, folder, state, guard.report)


def _read_or_start(atoms: Atoms, settings: ClassicalRun, folder: Path) -> ClassicalState:
    """The state in the folder, checked; or step 0, written there before anything else."""
    identity, n_dof = settings_of(settings), n_degrees_of_freedom(atoms, settings.rotates)
    dtype = getattr(atoms.calc, "dtype", None)
    if isinstance(dtype, str):
        identity["dtype"] = dtype
    if isinstance(atoms.calc, WorkerCalculator):
        identity |= atoms.calc.identity
    start = structure_of(atoms) | {"velocities": atoms.get_velocities()}
    checkpoint = folder / CHECKPOINT_NAME
    if checkpoint.exists():
        state = ClassicalState.read(checkpoint)
        if "dtype" not in state.settings:  # version 0.1.0 did not write it
            identity.pop("dtype", None)
        refuse_another_run(folder, state.settings | state.start, identity | start)
        if state.step > settings.n_steps:
            raise RunError(
                f"{folder} already holds {state.step} steps, more than n_steps = "
                f"{settings.n_steps}: n_steps can only be raised"
            )
        _check_same_count(folder, state, n_dof)
        return state
    if (folder / TRAJECTORY_NAME).exists():
        raise RunError(f"{folder} holds a trajectory without its checkpoint: choose another folder")
    generator = np.random.default_rng(settings.seed)
    begin = moving_copy(atoms, atoms.get_positions(), atoms.get_momenta())
    momenta = without_rigid_motion(begin, begin.get_momenta(), settings.rotates)
    if np.abs(momenta).max() < AT_REST:
        if settings.rescales and thermal_motion(atoms, rotates=False).is_linear:
            _bend(begin, generator)
        momenta = maxwell_boltzmann(begin, settings.temperature_K, settings.rotates, generator)
    state = ClassicalState(
        step=0,
        n_frames=0,
        positions=begin.get_positions(),
        momenta=momenta,
        energy=float(begin.get_potential_energy()),
        thermostat={},
        generator=dict(generator.bit_generator.state),
        settings=identity,
        start=start,
        n_degrees_of_freedom=n_dof,
        cell=np.array(atoms.cell) if settings.moves_cell else None,
    )
    state.write(checkpoint)
    return state


def _bend(atoms: Atoms, generator: np.random.Generator) -> None:
    """Moves the atoms of a linear molecule off their line, by `BENT_START` each, at random."""
    atoms.info[LINEAR_KEY] = True
    masses = atoms.get_masses()[:, None]
    shifts = BENT_START * generator.standard_normal((len(atoms), 3))
    axis = np.linalg.svd(atoms.positions - atoms.positions.mean(axis=0))[2][0]
    across = masses * (shifts - np.outer(shifts @ axis, axis))
    atoms.positions += without_rigid_motion(atoms, across, rotates=False) / masses


def _check_same_count(folder: Path, state: ClassicalState, n_dof: int) -> None:
    """Raises RunError for a run whose start and thermostat had other degrees of freedom.

    Files of version 1 do not tell: they counted 3N - 6 for linear molecules of three or more atoms.
    """
    n_atoms = len(state.positions)
    counted = state.n_degrees_of_freedom
    if counted is None:
        turns = state.settings["ensemble"] != "langevin" and not np.any(
            state.start["periodic directions"]
        )
        counted = 3 * n_atoms - 3 - (min(3, 2 * (n_atoms - 1)) if turns else 0)
    if counted != n_dof:
        raise RunError(
            f"the run in {folder} was begun with {counted} degrees of freedom, and {n_dof} are "
            "right: an older version took one of the bends out of a linear molecule. Start again "
            "in another folder"
        )


class _Simulation:
    """The moving atoms with their integrator, files and step counter."""

    def __init__(
        self,
        atoms: Atoms,
        settings: ClassicalRun,
        folder: Path,
        state: ClassicalState,
        guard: RunGuard,
    ) -> None:
        self.settings, self.folder, self.initial, self.guard = settings, folder, state, guard
        self.step, self.clock = state.step, CheckpointClock()
        self.atoms = moving_copy(atoms, state.positions, state.momenta, state.cell)
        self.n_dof = n_degrees_of_freedom(atoms, settings.rotates)
        self.hottest_K = hottest_K(settings.temperature_K)
        if not atoms.pbc.any():
            self.atoms.info[LINEAR_KEY] = thermal_motion(atoms, rotates=False).is_linear
        _check_same_calculator(self.atoms, state)
        self.generator = np.random.default_rng()
        self.generator.bit_generator.state = state.generator
        self.integrator = make_integrator(self.atoms, settings, self.generator, self.n_dof)
        restore_thermostat(self.integrator, state.thermostat)
        self.forces: np.ndarray = self.atoms.get_forces(apply_constraint=False)

    def run(self, progress: bool) -> ClassicalState:
        """To the last step; the state there, saved."""
        header = frame_header(
            self.atoms,
            self.settings.timestep_fs,
            self.settings.stride,
            self.settings.moves_cell,
        )
        header = replace(header, **self.settings.recorded)
        n_frames = self.initial.n_frames
        with (
            FrameRecorder(self.folder / TRAJECTORY_NAME, header, n_frames) as recorder,
            progress_bar(self.settings.n_steps, self.step, progress) as bar,
            stop_on_signals() as request,
        ):
            if n_frames == 0:
                self.record(recorder)
            while self.step < self.settings.n_steps:
                target = self.next_stop()
                while self.step < target and not request.signal_number:
                    self.forces = advance(
                        self.integrator, self.forces, self.step + 1, self.n_dof, self.hottest_K
                    )
                    self.step += 1
                    bar.update()
                    if self.clock.is_due:
                        break
                if self.step == target and self.step % self.settings.stride == 0:
                    bar.set_postfix_str(self.record(recorder), refresh=False)
                if request.signal_number or self.clock.is_due or self.at_checkpoint():
                    state = self.save(recorder)
                if request.signal_number:
                    raise RunInterrupted(
                        f"interrupted after step {self.step} of {self.settings.n_steps}: the state "
                        f"is saved in {self.folder}, the same command continues it",
                        request.signal_number,
                    )
        return state

    def next_stop(self) -> int:
        """The next step with something to do besides integrating."""
        strides = (self.settings.stride, self.settings.checkpoint_stride)
        return min(self.settings.n_steps, *((self.step // s + 1) * s for s in strides))

    def at_checkpoint(self) -> bool:
        at_end = self.step == self.settings.n_steps
        return at_end or self.step % self.settings.checkpoint_stride == 0

    def record(self, recorder: FrameRecorder) -> str:
        """Appends the frame; temperature and energy for the progress bar."""
        moving = self.integrator if isinstance(self.integrator, MartynaTobiasKlein) else None
        temperature_K, energy = record_frame(
            recorder,
            self.atoms,
            self.forces,
            self.n_dof,
            self.step,
            self.hottest_K,
            pressure=None if moving is None else moving.pressure,
        )
        volume = "" if moving is None else f", V {self.atoms.get_volume():.1f} A^3"
        return f"T {temperature_K:.0f} K, E {energy:.3f} eV{volume}"

    def save(self, recorder: FrameRecorder) -> ClassicalState:
        """Frames onto the disk first, then the checkpoint that counts on them."""
        recorder.flush()
        state = replace(
            self.initial,
            step=self.step,
            n_frames=recorder.n_frames,
            positions=self.atoms.get_positions(),
            momenta=self.atoms.get_momenta(),
            energy=float(self.atoms.get_potential_energy()),
            thermostat=thermostat_state(self.integrator),
            generator=dict(self.generator.bit_generator.state),
            cell=np.array(self.atoms.cell) if self.settings.moves_cell else None,
        )
        self.guard.save()
        state.write(self.folder / CHECKPOINT_NAME)
        self.clock.saved()
        return state


def _check_same_calculator(atoms: Atoms, state: ClassicalState) -> None:
    """Raises RunError unless the energy of the checkpoint's structure is the one it tells."""
    energy = float(atoms.get_potential_energy())
    if not abs(energy - state.energy) <= ENERGY_TOLERANCE * len(atoms):
        raise RunError(
            f"the potential is another one: at step {state.step} it gave {state.energy:.6f} eV and "
            f"now gives {energy:.6f} eV for the same structure. Use the same model, or another "
            "folder"
        )


def _result(
    atoms: Atoms,
    settings: ClassicalRun,
    folder: Path,
    state: ClassicalState,
    extrapolation: GuardReport | None,
) -> ClassicalResult:
    records = read_records(folder / TRAJECTORY_NAME)

    def mean(values: np.ndarray) -> Estimate:
        return block_average(values, min(N_BLOCKS, len(values)))

    of_cell = {}
    if settings.moves_cell:
        volumes = np.abs(np.linalg.det(records["cells"]))
        of_cell = {
            "mean_pressure_GPa": mean(records["pressure_GPa"]),
            "mean_volume": mean(volumes),
        }
    last = moving_copy(atoms, state.positions, state.momenta, state.cell)
    if not atoms.pbc.any():
        last.info[LINEAR_KEY] = thermal_motion(atoms, rotates=False).is_linear
    return ClassicalResult(
        trajectory_file=folder / TRAJECTORY_NAME,
        atoms=last,
        n_degrees_of_freedom=n_degrees_of_freedom(atoms, settings.rotates),
        mean_temperature_K=mean(records["temperature_K"]),
        extrapolation=extrapolation,
        **of_cell,
    )
