"""The C20 study of the SchNet paper, from a model file to figures.

    relaxed structure -> normal modes (Fig. 7)
                      -> classical NVT -> NVE segments -> vibrational density of states
                      -> path-integral MD
    classical, path integral -> nearest neighbours, diameter, h(r) (Fig. 8)
    path integral with other numbers of beads -> bead convergence (Fig. 11)

What is left out at the start of a run is fixed beforehand, `EQUILIBRATION`, and recorded in the
folder of the run, so that `md-runs report` and the other commands leave out the same.

K. T. Schuett et al., J. Chem. Phys. 148, 241722 (2018), doi:10.1063/1.5019779, Sec. IV C. Each
stage keeps its files in the study's folder and continues from them, so the study can be killed
and started again at any moment.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.io import read, write

from calculators.ase_calculator import MLPotentialCalculator
from md_runs.analysis.path_integrals.energies import (
    RecordedEnergies,
    primitive_kinetic_series,
    recorded_energies,
)
from md_runs.analysis.sampling.equilibration import RULE_NAME, EquilibrationRule
from md_runs.analysis.sampling.frames import uniform_timestep_fs
from md_runs.analysis.sampling.results import plain
from md_runs.analysis.spectra.density_of_states import (
    VibrationalSpectrum,
    vibrational_density_of_states,
)
from md_runs.analysis.structure.distances import (
    CageGeometry,
    DistanceDistribution,
    antipodal_pairs,
    bonded_pairs,
    cage_geometry,
    distance_distribution,
)
from md_runs.analysis.structure.rdf import PairDistribution, pair_distribution
from md_runs.analysis.vibrations.normal_modes import NormalModes, normal_modes
from md_runs.c20 import STRUCTURE
from md_runs.c20.settings import STUDY_NAME, C20Study, read_identity
from md_runs.classical.nve_segments import run_nve_segments
from md_runs.classical.run import ClassicalResult, run_classical
from md_runs.classical.settings import ClassicalRun
from md_runs.force_provider import CalculatorForces
from md_runs.molecular_modes import calculator_modes
from md_runs.pimd import PimdResult, run_pimd
from md_runs.pimd.settings import PimdRun
from md_runs.relax import relax
from md_runs.run_identity import refuse_another_run
from md_runs.trajectories.frames_file import read_records, read_trajectory
from md_runs.trajectories.trajectory import Trajectory
from mlpotential.inference.evaluator import Evaluator
from mlpotential.labelling.worker_calculator import WorkerCalculator
from mlpotential.models.model_file import LoadedModel, load_model
from mlpotential.run_folder import lock_folder, write_atomically

EQUILIBRATION = EquilibrationRule(
    share=0.25,  # chosen
    longest_ps=1.0,  # chosen: ten friction times of the thermostats
)
UNWATCHED = "a calculator has no guard: nobody watched what it is good for"
MOST_SEGMENTS = 10
SEGMENT_STRIDE = 4  # steps; 2 fs resolve 8,000 1/cm, far above any mode of C20
RELAXED_FORCE = 1e-4  # eV/A
FRICTION_PER_FS = 0.01
ASE_SECONDS_PER_STEP = 0.3e-3  # measured: integrator and calculator of 20 atoms
# Measured: with 8 beads of 20 atoms. On a device a step takes no time of the host.
ENGINE_SECONDS_PER_STEP = {"ipi": 1e-3, "native": 0.2e-3, "cuda": 0.0}


@dataclass(frozen=True)
class Sampling:
    """What one run says of the cage, after equilibration.

    Attributes:
        geometry: mean distances with error bars.
        bonds, diameters: distributions of nearest-neighbour and antipodal distances.
        pairs: h(r).
        length_ps: analysed (ps).
        temperature_K: mean kinetic temperature over the analysed part.
    """

    geometry: CageGeometry
    bonds: DistanceDistribution
    diameters: DistanceDistribution
    pairs: PairDistribution
    length_ps: float
    temperature_K: float


@dataclass(frozen=True)
class C20Results:
    """Everything the study found."""

    model: LoadedModel | None  # None of a study by a calculator
    energy: float
    static: CageGeometry
    bonds_of_minimum: np.ndarray  # [30], ascending (A)
    modes: NormalModes
    classical: Sampling
    path_integral: Sampling
    pimd_steps_per_second: float | None
    spectrum: VibrationalSpectrum
    quantum_energies: RecordedEnergies  # of the path-integral run, all atoms
    bead_series: dict[int, Sampling]  # by number of beads, the study's own too; empty without


def run_study(
    study: C20Study, say: Callable[[str], None] = print, progress: bool = True
) -> C20Results:
    """Runs, or continues, all stages.

    Args:
        study: settings.
        say: told in a line what begins.
        progress: progress bars, where the output is a terminal.

    Raises:
        InputError: for an unusable model or folder.
        RunInterrupted: on SIGTERM, SIGINT or SIGHUP; the same call continues.
    """
    folder = study.folder
    model = load_model(study.model) if study.calculator is None else None
    with lock_folder(folder):
        _require_same_study(study, model, folder)
        say("[1/5] relaxed structure and normal modes")
        relaxed = _relaxed_structure(study, model, folder)
        energy, modes = _energy_and_modes(study, model, relaxed, progress)
        relaxed.calc = _calculator(study, model)
        say(f"[2/5] classical MD, {study.classical_ps:g} ps at {study.temperature_K:g} K")
        classical = _run_classical(study, relaxed, folder / "classical", progress)
        say(f"      {classical.extrapolation or UNWATCHED}")
        trajectory = read_trajectory(classical.trajectory_file)
        say("[3/5] NVE segments from thermalised frames, for the vibrational spectrum")
        spectrum = _spectrum(study, relaxed, trajectory, folder / "nve", progress)
        counts = [study.n_beads, *(p for p in study.bead_series if p != study.n_beads)]
        runs = {}
        for p in counts:
            how = "through i-PI" if study.engine == "ipi" else f"{study.engine} engine"
            say(f"[4/5] PIMD, {p} beads, {study.path_integral_ps:g} ps, {how}")
            place = folder / ("pimd" if p == study.n_beads else f"pimd_{p}_beads")
            runs[p] = _run_pimd(study, p, relaxed, place, progress)
            say(f"      {runs[p].extrapolation or UNWATCHED}")
        say("[5/5] analysis and figures")
        pimd = runs[study.n_beads]
        minimum = relaxed.positions
        bonds, antipodes = bonded_pairs(minimum, 3), antipodal_pairs(minimum)
        temperatures_K = read_records(classical.trajectory_file)["temperature_K"]
        quantum = {
            p: _sampling(run.trajectory, bonds, antipodes, run.properties.temperature_K)
            for p, run in sorted(runs.items())
        }
        return C20Results(
            model=model,
            energy=energy,
            static=cage_geometry(minimum[None, None], bonds, antipodes, n_blocks=1),
            bonds_of_minimum=np.sort(np.linalg.norm(np.diff(minimum[bonds], axis=1)[:, 0], axis=1)),
            modes=modes,
            classical=_sampling(trajectory, bonds, antipodes, temperatures_K),
            path_integral=quantum[study.n_beads],
            quantum_energies=_quantum_energies(pimd, study.temperature_K),
            pimd_steps_per_second=pimd.steps_per_second,
            spectrum=spectrum,
            bead_series=quantum if len(quantum) > 1 else {},
        )


def _calculator(study: C20Study, model: LoadedModel | None) -> BaseCalculator:
    """Of the runs."""
    if model is None:
        assert study.calculator is not None
        return study.calculator.calculator()
    return MLPotentialCalculator(replace(model, extra_networks={}), **asdict(study.execution))


def _energy_and_modes(
    study: C20Study, model: LoadedModel | None, relaxed: Atoms, progress: bool
) -> tuple[float, NormalModes]:
    """Of the minimum (eV): the model's in float64, a calculator's by differences of forces."""
    if model is None:
        assert study.calculator is not None
        calculator = WorkerCalculator(
            study.calculator.named, study.calculator.drivers, study.calculator.limit_s
        )
        kept = study.folder / "hessian_evaluations"
        found, _ = calculator_modes(relaxed, calculator, kept_file=kept, progress=progress)
        calculator.workers.close()
        return found.energy, found.modes
    precise = replace(study.execution, dtype="float64")
    exact = Evaluator(model.potential, relaxed.numbers, **asdict(precise))
    energy = float(exact.evaluate(relaxed.positions[None]).energy[0])
    hessian = exact.hessian(relaxed.positions)
    return energy, normal_modes(hessian, relaxed.get_masses(), relaxed.positions)


def _start() -> Atoms:
    start = read(STRUCTURE)
    assert isinstance(start, Atoms)
    return start


def estimated_hours(study: C20Study) -> float:
    """Time of both runs here, from a few evaluations and what engines need besides (h)."""
    start = _start()
    if study.calculator is not None:
        return _estimated_hours_of_calculator(study, study.calculator, start)
    evaluator = Evaluator(study.model, start.numbers, **asdict(study.execution))

    def seconds(n_replicas: int) -> float:
        positions = np.repeat(start.positions[None], n_replicas, axis=0)
        times = []
        for _ in range(12):
            begin = time.perf_counter()
            evaluator.evaluate(positions)
            times.append(time.perf_counter() - begin)
        return float(np.median(times))

    classical = study.n_steps(study.classical_ps) * (seconds(1) + ASE_SECONDS_PER_STEP)
    quantum = study.n_steps(study.path_integral_ps) * sum(
        seconds(p) + ENGINE_SECONDS_PER_STEP[study.engine]
        for p in {study.n_beads, *study.bead_series}
    )
    return (classical + quantum) / 3600.0


def _estimated_hours_of_calculator(
    study: C20Study, forces: CalculatorForces, start: Atoms
) -> float:
    """From one evaluation (h)."""
    calculator = WorkerCalculator(forces.named, timeout_s=forces.limit_s)
    calculator.evaluate([start])
    calculator.workers.close()
    assert calculator.seconds is not None
    rounds = sum(-(-p // forces.drivers) for p in {study.n_beads, *study.bead_series})
    n_steps = study.n_steps(study.classical_ps) + rounds * study.n_steps(study.path_integral_ps)
    return n_steps * calculator.seconds / 3600.0


def _require_same_study(study: C20Study, model: LoadedModel | None, folder: Path) -> None:
    """One folder, one model and one physical setting; only the lengths may grow."""
    of_forces = {} if study.calculator is None else study.calculator.named.identity
    if model is not None:
        of_forces = {"model (sha256)": model.sha256}
    identity = {
        **of_forces,
        "n_beads": study.n_beads,
        "engine": study.engine,
        "temperature_K": study.temperature_K,
        "timestep_fs": study.timestep_fs,
        "stride": study.stride,
        "segment_ps": study.segment_ps,
        "seed": study.seed,
        "dtype": study.execution.dtype,
    }
    if (folder / STUDY_NAME).exists():
        refuse_another_run(folder, read_identity(folder), identity)
    else:
        write_atomically(folder / STUDY_NAME, json.dumps(plain(identity), indent=1) + "\n")


def _relaxed_structure(study: C20Study, model: LoadedModel | None, folder: Path) -> Atoms:
    """The minimum in float64, read back from its file so that a continued study sees the same."""
    path = folder / "relaxed.traj"
    if not path.exists():
        start = _start()
        if model is None:
            start.calc = _calculator(study, None)
        else:
            precise = replace(study.execution, dtype="float64")
            start.calc = MLPotentialCalculator(model.potential, **asdict(precise))
        relaxed, _ = relax(start, force_tolerance=RELAXED_FORCE)
        partial = path.with_suffix(".partial")
        write(partial, relaxed, format="traj")
        partial.replace(path)
    structure = read(path)
    assert isinstance(structure, Atoms)
    structure.calc = None
    return structure


def _run_classical(
    study: C20Study, relaxed: Atoms, folder: Path, progress: bool
) -> ClassicalResult:
    settings = ClassicalRun(
        ensemble="langevin",
        temperature_K=study.temperature_K,
        timestep_fs=study.timestep_fs,
        n_steps=study.n_steps(study.classical_ps),
        stride=study.stride,
        friction_per_fs=FRICTION_PER_FS,
        seed=study.seed,
        checkpoint_stride=1000,
    )
    _record_equilibration(folder)
    return run_classical(relaxed, settings, folder, progress)


def _run_pimd(
    study: C20Study, n_beads: int, relaxed: Atoms, folder: Path, progress: bool
) -> PimdResult:
    settings = PimdRun(
        n_steps=study.n_steps(study.path_integral_ps),
        n_beads=n_beads,
        engine=study.engine,
        temperature_K=study.temperature_K,
        timestep_fs=study.timestep_fs,
        stride=study.stride,
        properties_stride=study.stride,
        seed=study.seed,
    )
    _record_equilibration(folder)
    if study.calculator is None:
        return run_pimd(relaxed, study.model, settings, folder, progress, study.execution)
    settings = replace(settings, checkpoint_stride=study.stride)
    limit_s = study.calculator.stall_limit_s(settings.n_beads, settings.properties_stride)
    return run_pimd(relaxed, study.calculator, settings, folder, progress, stall_limit_s=limit_s)


def _record_equilibration(folder: Path) -> None:
    """For whoever analyses the run that this folder is made for."""
    folder.mkdir(parents=True, exist_ok=True)
    EQUILIBRATION.save_json(folder / RULE_NAME)


def _spectrum(
    study: C20Study, relaxed: Atoms, trajectory: Trajectory, folder: Path, progress: bool
) -> VibrationalSpectrum:
    """From NVE segments that start at fixed times: a longer study keeps the earlier ones."""
    spacing = study.segment_spacing
    frames = range(spacing, trajectory.n_frames, spacing)[:MOST_SEGMENTS]
    velocities = _velocities(trajectory)
    starts = [(trajectory.positions[k, 0], velocities[k, 0]) for k in frames]
    n_steps = round(study.segment_ps * 1000.0 / study.timestep_fs / SEGMENT_STRIDE) * SEGMENT_STRIDE
    segments = run_nve_segments(
        relaxed, starts, n_steps, study.timestep_fs, SEGMENT_STRIDE, folder, progress
    )
    return vibrational_density_of_states(
        [_velocities(s)[:, 0] for s in segments],
        [s.positions[:, 0] for s in segments],
        trajectory.masses,
        uniform_timestep_fs(segments[0].times_fs),
    )


def _quantum_energies(run: PimdResult, temperature_K: float) -> RecordedEnergies:
    """Of the frames that are analysed, at which i-PI records energies, too."""
    trajectory, properties = run.trajectory, run.properties
    first = EQUILIBRATION.n_frames(trajectory.times_fs)
    return recorded_energies(
        properties.kinetic_cv[first:],
        properties.potential[first:],
        temperature_K,
        primitive=primitive_kinetic_series(
            trajectory.positions[first:], trajectory.masses, temperature_K
        ),
        n_atoms=trajectory.n_atoms,
    )


def _velocities(trajectory: Trajectory) -> np.ndarray:
    assert trajectory.velocities_angstrom_per_fs is not None
    return trajectory.velocities_angstrom_per_fs


def _sampling(
    trajectory: Trajectory, bonds: np.ndarray, antipodes: np.ndarray, temperatures_K: np.ndarray
) -> Sampling:
    """Analyses a run.

    Args:
        trajectory: of the cage.
        bonds, antipodes: pairs of atoms, [30, 2] and [10, 2].
        temperatures_K: recorded with the frames, [n_frames].
    """
    first = EQUILIBRATION.n_frames(trajectory.times_fs)
    positions = trajectory.positions[first:]
    return Sampling(
        geometry=cage_geometry(positions, bonds, antipodes),
        bonds=distance_distribution(positions, bonds, "nearest-neighbour distance"),
        diameters=distance_distribution(positions, antipodes, "diameter"),
        pairs=pair_distribution(positions),
        length_ps=float(trajectory.times_fs[-1] - trajectory.times_fs[first]) / 1000.0,
        temperature_K=float(np.mean(temperatures_K[first:])),
    )
