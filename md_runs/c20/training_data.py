"""Training data for the C20 model: geometries of Langevin MD, labelled by a network in float64.

The SchNet paper (J. Chem. Phys. 148, 241722 (2018), App. B) drew its frames from DFT dynamics at
500 K in steps of 1 fs; here the published network, converted by `mlpotential convert`, takes the
place of DFT. Sets come from trajectories of their own, at several temperatures, so that a model
also knows the rare far geometries of long runs. Stopped work goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from tqdm import tqdm

from calculators.ase_calculator import MLPotentialCalculator
from md_runs.c20 import STRUCTURE
from md_runs.classical.run import run_classical
from md_runs.classical.settings import ClassicalRun
from md_runs.trajectories.frames_file import read_trajectory
from mlpotential.inference.evaluator import Evaluator
from mlpotential.run_folder import lock_folder
from mlpotential.settings_checks import check_count

TIMESTEP_FS = 1.0  # as in the paper
STRIDE = 20  # steps between frames; chosen: the softest vibration takes 300 fs
EQUILIBRATION_FRAMES = 100  # 2 ps
FRICTION_PER_FS = 0.01
LABELLED_AT_ONCE = 64
TRAIN_SHARES = {500: 0.6, 300: 0.2, 600: 0.2}  # by temperature (K)
OTHER_TEMPERATURE_K = 500  # of validation and test sets, as in the paper


@dataclass(frozen=True)
class Sample:
    """Frames of one trajectory."""

    name: str
    temperature_K: int
    n_frames: int
    seed: int


def planned_samples(n_train: int, n_validation: int, n_test: int) -> list[Sample]:
    """Trajectories and their lengths; the first temperature takes what rounding leaves."""
    counts = {t: round(n_train * share) for t, share in TRAIN_SHARES.items()}
    counts[next(iter(counts))] += n_train - sum(counts.values())
    train = [Sample("train", t, n, seed) for seed, (t, n) in enumerate(counts.items()) if n]
    others = [
        Sample(name, OTHER_TEMPERATURE_K, n, 10 + seed)
        for seed, (name, n) in enumerate({"validation": n_validation, "test": n_test}.items())
        if n
    ]
    return [*train, *others]


def make_training_data(
    model: str | Path,
    folder: str | Path,
    n_train: int = 20_000,
    n_validation: int = 4_500,
    n_test: int = 500,
    say: Callable[[str], None] = print,
    progress: bool = True,
) -> dict[str, Path]:
    """Samples and labels all sets; the files that exist are kept.

    Args:
        model: model file that moves and labels the atoms.
        folder: for trajectories and the sets, c20_<set>.extxyz.gz (eV, A).
        n_train, n_validation, n_test: numbers of frames; none of a set for 0.
        say: told in a line what begins.
        progress: progress bars, where the output is a terminal.

    Returns:
        The file of each set.

    Raises:
        InputError: for an unusable model or folder, or senseless numbers.
    """
    check_count("n_train", n_train)
    check_count("n_validation", n_validation, smallest=0)
    check_count("n_test", n_test, smallest=0)
    folder = Path(folder)
    samples = planned_samples(n_train, n_validation, n_test)
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
            partial = path.with_name(f"partial_{path.name}")
            write(partial, [frames[k] for k in order], format="extxyz")
            partial.replace(path)
            say(f"{len(frames)} frames: {path}")
    return files


def _labelled(
    sample: Sample, model: str | Path, folder: Path, say: Callable[[str], None], progress: bool
) -> Iterator[Atoms]:
    """Frames of one trajectory with energies and forces in float64."""
    say(f"{sample.n_frames} frames at {sample.temperature_K} K ({sample.name})")
    atoms = _start()
    atoms.calc = MLPotentialCalculator(model, device="cpu")
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
    run = folder / f"{sample.name}_{sample.temperature_K}K"
    result = run_classical(atoms, settings, run, progress)
    positions = read_trajectory(result.trajectory_file).positions[-sample.n_frames :, 0]
    evaluator = Evaluator(model, atoms.numbers, device="cpu", dtype="float64")
    chunks = range(0, len(positions), LABELLED_AT_ONCE)
    for begin in tqdm(chunks, desc="labels", unit="batch", disable=None if progress else True):
        chunk = np.round(positions[begin : begin + LABELLED_AT_ONCE], 6)  # as they are written
        answer = evaluator.evaluate(chunk)
        forces = answer.forces.reshape(chunk.shape)
        for k, geometry in enumerate(chunk):
            frame = Atoms(atoms.numbers, geometry)
            frame.info["sampling_temperature_K"] = sample.temperature_K
            frame.calc = SinglePointCalculator(
                frame, energy=float(answer.energy[k]), forces=forces[k]
            )
            yield frame


def _start() -> Atoms:
    atoms = read(STRUCTURE)
    assert isinstance(atoms, Atoms)
    return atoms
