"""Errors by the number of structures to train on.

The training sets are nested: the first so many of one random order of the structures that
`data.n_train` draws. Validation and test set are the same for all. Errors of machine-learned
potentials fall as a power of the number of structures,

    error = a n^(-b),                                                                       (1)

C. Cortes, L. D. Jackel, S. A. Solla, V. Vapnik, J. S. Denker, "Learning curves: asymptotic values
and rate of convergence", NIPS 6, 327 (1993), until the network or noise of the labels limits them;
a and b are fitted to the means over seeds, log(error) = log a - b log n, by least squares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mlpotential.errors import ConfigError
from mlpotential.settings_checks import check_count
from mlpotential.training.config import RunConfig
from mlpotential.training.studies.members import Member
from mlpotential.training.studies.table import SEED

N_TRAIN = "n_train"


@dataclass(frozen=True)
class PowerLaw:
    """Eq. (1).

    Attributes:
        prefactor: a, in the unit of the error.
        exponent: b.
        exponent_error: its standard error from the scatter about the line; NaN for two points.
    """

    prefactor: float
    exponent: float
    exponent_error: float

    def at(self, n: np.ndarray) -> np.ndarray:
        """The error at numbers of structures, [n_points]."""
        return self.prefactor * n ** (-self.exponent)  # Eq. (1)


def fit_power_law(n: Sequence[float], errors: Sequence[float]) -> PowerLaw | None:
    """Least squares on logarithms; None for less than two points.

    Args:
        n: numbers of structures, all different.
        errors: above zero.
    """
    if len(n) < 2:
        return None
    x, y = np.log(n), np.log(errors)
    deviations = x - x.mean()
    slope = float(deviations @ y / (deviations @ deviations))
    intercept = float(y.mean() - slope * x.mean())
    error = math.nan
    if len(n) > 2:
        residuals = y - intercept - slope * x
        variance = residuals @ residuals / (len(n) - 2)
        error = math.sqrt(variance / (deviations @ deviations))
    return PowerLaw(math.exp(intercept), -slope, error)


def learning_curve_members(
    config: RunConfig, sizes: Sequence[int], seeds: Sequence[int] | None, folder: Path
) -> list[Member]:
    """The trainings, small sets first.

    Args:
        config: what all have in common. Where it gives no `data.n_train`, the largest size is it,
            so that what is left over is the test set.
        sizes: numbers of structures to train on.
        seeds: of initial weights and order; None for that of the configuration.
        folder: of the study.

    Raises:
        ConfigError: for sizes or seeds that are given twice, or sizes beyond `data.n_train`.
    """
    seeds = [config.training.seed] if seeds is None else seeds
    for name, numbers in (("--n-train", sizes), ("--seeds", seeds)):
        for number in numbers:
            check_count(name, number, smallest=0 if name == "--seeds" else 1)
            if numbers.count(number) > 1:
                raise ConfigError(f"{name} names {number} twice")
    drawn = config.data.n_train or max(sizes)
    if max(sizes) > drawn:
        raise ConfigError(
            f"--n-train goes up to {max(sizes)}, but data.n_train draws {drawn} structures, of "
            "which the smaller sets are parts: raise it"
        )
    members = []
    for size in sorted(sizes):
        data = replace(config.data, n_train=drawn, train_subset=size)
        for seed in seeds:
            training = replace(config.training, seed=seed)
            place = str(folder / f"{N_TRAIN}_{size}_seed_{seed}")
            one = replace(config, data=data, training=training, folder=place)
            members.append(Member({N_TRAIN: size, SEED: seed}, one))
    return members
