"""Energies of a whole ring polymer in time, as path-integral programs record them beside frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class EnergySeries:
    """One value for each record, which may be more often than frames.

    Attributes:
        times_fs: [n_records].
        kinetic: centroid virial estimator, [n_records] (eV).
        potentials: mean over the beads, [n_records] (eV).
        primitive: primitive kinetic energy, [n_records] (eV); None where it was not recorded.
    """

    times_fs: np.ndarray
    kinetic: np.ndarray
    potentials: np.ndarray
    primitive: np.ndarray | None = None

    def between(self, first_fs: float, last_fs: float) -> EnergySeries:
        """The records from one time to another, both included to a hundredth of a fs."""
        inside = (self.times_fs >= first_fs - 0.01) & (self.times_fs <= last_fs + 0.01)
        primitive = None if self.primitive is None else self.primitive[inside]
        return EnergySeries(
            self.times_fs[inside], self.kinetic[inside], self.potentials[inside], primitive
        )

    def at_records(self, times_fs: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Values of frames at the records of the same time; NaN at others, [n_records]."""
        found = np.full(len(self.times_fs), np.nan)
        if len(self.times_fs) == 0:
            return found
        nearest = np.clip(np.searchsorted(self.times_fs, times_fs - 0.01), 0, len(found) - 1)
        same = np.abs(self.times_fs[nearest] - times_fs) < 0.01
        found[nearest[same]] = values[same]
        return found
