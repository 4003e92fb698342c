"""Training data for the C20 model: geometries of several kinds, labelled by a network in float64.

The SchNet paper (J. Chem. Phys. 148, 241722 (2018), App. B) drew its frames from DFT dynamics at
500 K in steps of 1 fs; here the published network, converted by `mlpotential convert`, takes the
place of DFT. Beside frames of Langevin MD at several temperatures, which keep the rare far
geometries of long runs, a model needs the beads of path-integral MD and frames near rest, which no
warm run visits (`training_geometries`); the latter have a weight, for their forces are small. Every
set comes from trajectories of its own. Stopped work goes on where it was.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from tqdm import tqdm

from calculators.ase_calculator import MLPotentialCalculator
from md_runs.analysis.vibrations.training_geometries import (
    positions_near_minimum,
    stretched_from_centroid,
)
from md_runs.c20 import STRUCTURE
from md_runs.classical.run import run_classical
from md_runs.classical.settings import ClassicalRun
from md_runs.molecular_modes import molecular_modes
from md_runs.pimd import PimdRun, run_pimd
from md_runs.relax import relax
from md_runs.trajectories.frames_file import read_trajectory
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.execution import Execution
from mlpotential.messages import bar_hidden
from mlpotential.run_folder import lock_folder
from mlpotential.settings_checks import check_count

TIMESTEP_FS = 1.0  # as in the paper
STRIDE = 20  # steps between frames; chosen: the softest vibration takes 300 fs
EQUILIBRATION_FRAMES = 100  # 2 ps
FRICTION_PER_FS = 0.01
LABELLED_AT_ONCE = 64
TRAIN_SHARES = {500: 0.6, 300: 0.2, 600: 0.2}  # by temperature (K)
OTHER_TEMPERATURE_K = 500  # of validation and test sets, as in the paper

N_BEADS = 8
BEAD_TEMPERATURE_K = 300
BEAD_TIMESTEP_FS = 0.5
BEAD_STRIDE = 40
STRETCHED_EVERY = 4  # one ring polymer in so many is stretched, in training
STRETCH = 1.6  # chosen: beyond the tails of a run of a few ns

SOFTEST_PER_CM = 200.0  # chosen: one pair of modes, at 108/cm, lies below
LARGEST_ANGSTROM = 0.12  # of it: beyond what MD at 300 K begins with
NEAR_MINIMUM_TEMPERATURE_K = 5.0
# Chosen: squared forces near the minimum are a hundredth of those at 500 K; beads are what the
# model is for.
WEIGHTS = {"md": 1.0, "beads": 3.0, "near_minimum": 50.0}


@dataclass(frozen=True)
class Sample:
    """Frames of one kind in one set.

    Attributes:
        name: of the set.
        kind: "md", "beads" or "near_minimum".
        n_frames: structures; beads count one by one.
        seed: of whatever is drawn.
        temperature_K: of the dynamics, or of the stiff modes near rest.
    """

    name: str
    kind: str
    n_frames: int
    seed: int
    temperature_K: float


@dataclass(frozen=True)
class DataSize:
    """Numbers of structures.

    Attributes:
        n_train, n_validation: frames of classical MD.
        n_beads, n_near_minimum: further ones in training; a tenth of them in validation.
        n_test: of each of three test sets: MD, beads, near rest; 0 for none.
    """

    n_train: int = 20_000
    n_validation: int = 4_500
    n_test: int = 500
    n_beads: int = 8_000
    n_near_minimum: int = 3_000

    def __post_init__(self) -> None:
        check_count("n_train", self.n_train)
        for name in ("n_validation", "n_test", "n_beads", "n_near_minimum"):
            check_count(name, getattr(self, name), smallest=0)


def planned_samples(size: DataSize) -> list[Sample]:
    """What each set consists of; the first temperature takes what rounding leaves."""
    counts = {t: round(size.n_train * share) for t, share in TRAIN_SHARES.items()}
    counts[next(iter(counts))] += size.n_train - sum(counts.values())
    samples = [Sample("train", "md", n, seed, t) for seed, (t, n) in enumerate(counts.items())]
    for seed, (name, n) in enumerate(
        {"validation": size.n_validation, "test": size.n_test}.items()
    ):
        samples.append(Sample(name, "md", n, 10 + seed, OTHER_TEMPERATURE_K))
    further = (
        ("beads", size.n_beads, BEAD_TEMPERATURE_K),
        ("near_minimum", size.n_near_minimum, NEAR_MINIMUM_TEMPERATURE_K),
    )
    for kind, n_train, temperature_K in further:
        numbers = {"train": n_train, "validation": -(-n_train // 10), f"test_{kind}": size.n_test}
        for seed, (name, n) in enumerate(numbers.items()):
            samples.append(Sample(name, kind, n, 20 + seed, temperature_K))
    return [sample for sample in samples if sample.n_frames]


def make_training_data(
    model: str | Path,
    folder: str | Path,
    size: DataSize | None = None,
    say: Callable[[str], None] = print,
    progress: bool = True,
) -> dict[str, Path]:
    """Samples and labels all sets; the files that exist are kept.

    Args:
        model: model file that moves and labels the atoms.
        folder: for trajectories and the sets, c20_<set>.extxyz.gz (eV, A).
        size: numbers of structures; None for those of `DataSize`.
        say: told in a line what begins.
        progress: progress bars, where the output is a terminal.

    Returns:
        The file of each set.

    Raises:
        InputError: for an unusable model or folder.
    """
    folder, samples = Path(folder), planned_samples(size or DataSize())
    files = {
        name: folder / f"c20_{name}.extxyz.gz" for name in dict.fromkeys(s.name for s in samples)
    }
    with lock_folder(folder):
        for name, path in files.items():
            if path.exists():
                continue
            frames = [
                atoms
                for sample in samples
                if sample.name == name
                for atoms in _labelled(sample, model, folder, say, progress)
            ]
            order = np.random.default_rng(0).permutation(len(frames))
            _write(path, [frames[k] for k in order])
            say(f"{len(frames)} frames: {path}")
    return files


def _labelled(
    sample: Sample, model: str | Path, folder: Path, say: Callable[[str], None], progress: bool
) -> Iterator[Atoms]:
    """Frames of one sample with energies and forces in float64."""
    say(f"{sample.n_frames} frames at {sample.temperature_K:g} K ({sample.kind}, {sample.name})")
    positions = np.round(_SAMPLERS[sample.kind](sample, model, folder, progress), 6)  # as written
    atoms = _start()
    evaluator = Evaluator(model, atoms.numbers, device="cpu", dtype="float64", guard="off")
    chunks = range(0, len(positions), LABELLED_AT_ONCE)
    for begin in tqdm(chunks, desc="labels", unit="batch", disable=bar_hidden(not progress)):
        chunk = positions[begin : begin + LABELLED_AT_ONCE]
        answer = evaluator.evaluate(chunk)
        forces = answer.forces.reshape(chunk.shape)
        for k, geometry in enumerate(chunk):
            frame = Atoms(atoms.numbers, geometry)
            frame.info["sampling_temperature_K"] = sample.temperature_K
            frame.info["weight"] = WEIGHTS[sample.kind]
            frame.calc = SinglePointCalculator(
                frame, energy=float(answer.energy[k]), forces=forces[k]
            )
            yield frame


def _md_frames(sample: Sample, model: str | Path, folder: Path, progress: bool) -> np.ndarray:
    """Of Langevin MD, [n_frames, n_atoms, 3] (A)."""
    atoms = _start()
    atoms.calc = MLPotentialCalculator(model, device="cpu", guard="off")
    settings = ClassicalRun(
        ensemble="langevin",
        temperature_K=sample.temperature_K,
        timestep_fs=TIMESTEP_FS,
        n_steps=STRIDE * (EQUILIBRATION_FRAMES + sample.n_frames),
        stride=STRIDE,
        friction_per_fs=FRICTION_PER_FS,
        seed=sample.seed,
        checkpoint_stride=50 * STRIDE,
    )
    run = folder / f"{sample.name}_{sample.temperature_K:g}K"
    result = run_classical(atoms, settings, run, progress)
    return np.asarray(read_trajectory(result.trajectory_file).positions[-sample.n_frames :, 0])


def _beads(sample: Sample, model: str | Path, folder: Path, progress: bool) -> np.ndarray:
    """Of path-integral MD, in training some of them stretched, [n_frames, n_atoms, 3] (A)."""
    n_ring_polymers = -(-sample.n_frames // N_BEADS)
    settings = PimdRun(
        n_steps=BEAD_STRIDE * (EQUILIBRATION_FRAMES // 2 + n_ring_polymers),
        n_beads=N_BEADS,
        temperature_K=sample.temperature_K,
        timestep_fs=BEAD_TIMESTEP_FS,
        stride=BEAD_STRIDE,
        seed=sample.seed,
    )
    execution = Execution(device="cpu", guard="off")
    folder = folder / f"{sample.name}_beads"
    run = run_pimd(_start(), model, settings, folder, progress, execution)
    beads = np.array(run.trajectory.positions[-n_ring_polymers:])
    if sample.name == "train":
        beads[::STRETCHED_EVERY] = stretched_from_centroid(beads[::STRETCHED_EVERY], STRETCH)
    return beads.reshape(-1, *beads.shape[2:])[: sample.n_frames]


def _near_minimum(sample: Sample, model: str | Path, folder: Path, progress: bool) -> np.ndarray:
    """About the minimum, far along its softest modes, [n_frames, n_atoms, 3] (A)."""
    precise = Execution(device="cpu", dtype="float64", guard="off")
    atoms = _start()
    atoms.calc = MLPotentialCalculator(model, **asdict(precise))
    minimum, _ = relax(atoms, force_tolerance=1e-6)
    return positions_near_minimum(
        molecular_modes(minimum, model, precise).modes,
        sample.n_frames,
        softest_per_cm=SOFTEST_PER_CM,
        largest_angstrom=LARGEST_ANGSTROM,
        temperature_K=sample.temperature_K,
        random=np.random.default_rng(sample.seed),
    )


_SAMPLERS = {"md": _md_frames, "beads": _beads, "near_minimum": _near_minimum}


def _write(path: Path, frames: list[Atoms]) -> None:
    """In one step; the bytes depend on the frames alone."""
    partial = path.with_name(f"partial_{path.name}")
    with (
        open(partial, "wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        io.TextIOWrapper(packed, "ascii", newline="\n") as text,
    ):
        write(text, frames, format="extxyz")
    partial.replace(path)


def _start() -> Atoms:
    atoms = read(STRUCTURE)
    assert isinstance(atoms, Atoms)
    return atoms
