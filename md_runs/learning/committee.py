"""A committee of small SchNets: its training, its answers, and what its disagreement is worth.

The disagreement s of force components, Eq. (1) of `inference.committee`, becomes an error by

    a^2 = sum (F - F_ref)^2 / sum s^2   (1)

over held-out components: the ratio of means, for in a committee of three the mean of ratios is
ruled by the components where all members happen to agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from md_runs.learning.folders import RoundFolder, positions_of
from md_runs.learning.settings import LearningRun
from mlpotential.data.read import read_reference_data
from mlpotential.inference.calibration import LEAST_LABELS
from mlpotential.inference.calibration import Calibration as FileCalibration
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.schnet_config import SchNetConfig
from mlpotential.training.config import DataConfig, RunConfig, TrainingConfig
from mlpotential.training.evaluation.calibrate import calibrate_committee
from mlpotential.training.run import MODEL_NAME, run_training

CUTOFF = 5.0  # A
VALIDATION_SHARE = 0.1
BATCH_SIZE = 8
RATES = {"first": 2e-3, "later": 1e-3}  # chosen: a warm start begins lower
EVALUATED_AT_ONCE = 128


def train_committee(
    round_: RoundFolder, n_structures: int, settings: LearningRun, progress: bool
) -> list[Path]:
    """Trains, or goes on; each network with seed and split of its own, from that of the last round.

    Returns:
        The model files.
    """
    members = range(settings.members)
    models = [round_.training / f"seed_{member}" / MODEL_NAME for member in members]
    if all(path.exists() for path in models):
        return models  # as they were when the runs of the round began, to the last byte
    results = [
        run_training(_config(round_, n_structures, member, settings), progress)
        for member in members
    ]
    round_.took("training", sum(result.wall_s for result in results))
    return models


def _config(
    round_: RoundFolder, n_structures: int, member: int, settings: LearningRun
) -> RunConfig:
    earlier = RoundFolder(round_.learning, round_.number - 1).training / f"seed_{member}"
    start = str(earlier / MODEL_NAME) if round_.number > 1 else None
    n_validation = max(1, round(VALIDATION_SHARE * n_structures))
    visits = 1000.0 * settings.training_visits
    return RunConfig(
        data=DataConfig(
            path=str(round_.path / "training.extxyz"),
            energy_unit="eV",
            length_unit="Angstrom",
            n_validation=n_validation,
            split_seed=1000 * settings.seed + member,
            drop_repeats=True,
        ),
        model=SchNetConfig(
            n_features=settings.n_features,
            n_interactions=settings.n_interactions,
            rbf_stop=CUTOFF,
            rbf_spacing=0.1,
            rbf_gamma=None,
            cutoff_function="cosine",
            cutoff=CUTOFF,
            max_atomic_number=_largest_number(round_),
        ),
        training=TrainingConfig(
            batch_size=BATCH_SIZE,
            learning_rate=RATES["first" if start is None else "later"],
            schedule="cosine",
            max_epochs=max(1, round(visits / (n_structures - n_validation))),
            start_from=start,
            ema_decay=0.99,
            tabulated_filters=True,
            device="cpu",
            seed=1000 * settings.seed + member,
        ),
        folder=str(round_.training / f"seed_{member}"),
    )


def _largest_number(round_: RoundFolder) -> int:
    from ase.io import read

    atoms = read(round_.path / "training.extxyz", index=0)
    assert isinstance(atoms, Atoms)
    return int(atoms.numbers.max())


@dataclass(frozen=True)
class Answers:
    """Of a committee for some structures.

    Attributes:
        forces: means, [n_structures, n_atoms, 3] (eV/A).
        spreads: disagreement of components, [n_structures, n_atoms, 3] (eV/A).
    """

    forces: np.ndarray
    spreads: np.ndarray

    @property
    def of_structures(self) -> np.ndarray:
        """Disagreement of each, that of its components in the root mean square (eV/A)."""
        return np.asarray(np.sqrt((self.spreads**2).mean(axis=(1, 2))))

    @property
    def worst(self) -> np.ndarray:
        """That of the worst atom of each structure (eV/A)."""
        return np.asarray(np.sqrt((self.spreads**2).mean(axis=2)).max(axis=1))


def answers_of(models: Sequence[Path], numbers: np.ndarray, positions: np.ndarray) -> Answers:
    """The committee's, all structures, [n_structures, n_atoms, 3] (A)."""
    evaluator = Evaluator(list(models), numbers, device="cpu", guard="off")
    forces, spreads = np.zeros((2, *positions.shape))
    for start in range(0, len(positions), EVALUATED_AT_ONCE):
        part = slice(start, start + EVALUATED_AT_ONCE)
        found = evaluator.evaluate(positions[part], None, ("energy", "forces", "forces_std"))
        forces[part] = np.asarray(found.forces).reshape(positions[part].shape)
        spreads[part] = np.asarray(found.forces_std).reshape(positions[part].shape)
    return Answers(forces, spreads)


@dataclass(frozen=True)
class Calibration:
    """What the disagreement of a committee is worth, by held-out labels.

    Attributes:
        scale: a of Eq. (1).
        error: of force components, root mean square (eV/A).
        n_structures: that it comes from.
    """

    scale: float
    error: float
    n_structures: int


def calibrated(models: Sequence[Path], held_out: Sequence[Atoms]) -> Calibration:
    """Eq. (1) over labelled structures that no member was trained on."""
    found = answers_of(models, held_out[0].numbers, positions_of(held_out))
    squares = (found.forces - np.array([a.get_forces() for a in held_out])) ** 2
    scale = np.sqrt(squares.sum() / (found.spreads**2).sum())
    return Calibration(float(scale), float(np.sqrt(squares.mean())), len(held_out))


def calibrate_files(models: Sequence[Path], held_out: Path) -> FileCalibration | None:
    """Writes error bars into the model files; None where there are too few labels for them."""
    data = read_reference_data(held_out, energy_unit="eV", length_unit="Angstrom")
    return None if len(data) < LEAST_LABELS else calibrate_committee(models, data, device="cpu")
