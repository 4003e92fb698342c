"""What path-integral runs of every engine give, and what they say and refuse alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from tqdm import tqdm

from md_runs.analysis.sampling.uncertainty import Estimate, block_average
from md_runs.pimd.settings import PimdRun
from md_runs.trajectories.trajectory import Trajectory
from mlpotential.errors import ConfigError
from mlpotential.inference.guard import GuardReport
from mlpotential.messages import bar_hidden

N_BLOCKS = 10


@dataclass(frozen=True)
class PimdProperties:
    """Quantities of the whole ring polymer in time; of i-PI by its constants.

    Attributes:
        steps: [n_records].
        times_fs: [n_records].
        conserved: energy of the extended system, constant up to the integrator's error, [n_records]
            (eV).
        temperature_K: kinetic temperature of the ring polymer, [n_records].
        potential: mean over the beads, [n_records] (eV).
        kinetic_cv: quantum kinetic energy, centroid virial estimator, [n_records] (eV). A fixed
            center of mass is counted as a free one: + 3/2 kT.
        volume: of a run at constant pressure, [n_records] (A^3); None of others.
        pressure_GPa: as well, centroid virial estimator, [n_records].
    """

    steps: np.ndarray
    times_fs: np.ndarray
    conserved: np.ndarray
    temperature_K: np.ndarray
    potential: np.ndarray
    kinetic_cv: np.ndarray
    volume: np.ndarray | None = None
    pressure_GPa: np.ndarray | None = None


@dataclass(frozen=True)
class PimdResult:
    """A finished run.

    Attributes:
        trajectory: positions of every bead, and what else was recorded.
        properties: energies and temperatures in time.
        steps_per_second: of what was computed in this call; None where that was too short to tell.
        extrapolation: how much of the run was outside the training data of the model; what an i-PI
            that was killed did is missing. None where nobody counted.
    """

    trajectory: Trajectory
    properties: PimdProperties
    steps_per_second: float | None
    extrapolation: GuardReport | None = None

    def __str__(self) -> str:
        frames = f"{self.trajectory.n_frames} frames of {self.trajectory.n_beads} beads"
        found, speed = self.properties, self.steps_per_second
        text = f"{frames}, mean temperature of the second half {_late_mean(found.temperature_K)} K"
        if found.volume is not None and found.pressure_GPa is not None:
            text += f", pressure {_late_mean(found.pressure_GPa)} GPa"
            text += f", volume {_late_mean(found.volume)} A^3"
        return text + ("" if speed is None else f", {speed:.1f} steps/s")


def _late_mean(series: np.ndarray) -> Estimate:
    """Of the second half, which is nearer to equilibrium."""
    late = series[len(series) // 2 :]
    return block_average(late, min(N_BLOCKS, len(late)))


def check_movable(atoms: Atoms, settings: PimdRun) -> None:
    """Raises ConfigError where nothing can move."""
    if len(atoms) == 1 and settings.fix_center_of_mass:
        raise ConfigError("a single atom with a fixed center of mass cannot move: free it")


def progress_bar(title: str, settings: PimdRun, n_done: int, shown: bool) -> tqdm[Any]:
    """Steps done of all, silent unless standard error is a terminal."""
    return tqdm(
        total=settings.n_steps,
        initial=n_done,
        desc=f"{title}, {settings.n_beads} beads",
        unit="step",
        disable=bar_hidden(not shown),
    )
