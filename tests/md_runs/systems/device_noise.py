"""The noise of a CUDA device on the host: NumPy's Philox, and the equation of Box and Muller."""

from __future__ import annotations

import numpy as np

from md_runs.pimd.ring_polymer.thermostats import THERMOSTAT, CountedNoise


class SameNoise(CountedNoise):
    """That of the device, by NumPy's own Philox."""

    def at(self, step, stream=THERMOSTAT):
        generator = super().at(step, stream)
        return Normals(self._philox) if stream == THERMOSTAT else generator


class Normals:
    def __init__(self, philox):
        self.philox, self.left = philox, None

    def standard_normal(self, out):
        if self.left is None:
            words = self.philox.random_raw(-(-2 * out.size // 4) * 4).reshape(-1, 2)
            u = ((words >> np.uint64(11)) + 0.5) * 2.0**-53
            length, angle = np.sqrt(-2 * np.log(u[:, 0])), 2 * np.pi * u[:, 1]
            self.left = np.stack([length * np.cos(angle), length * np.sin(angle)], 1).ravel()
        out[:] = self.left[: out.size].reshape(out.shape)
        self.left = self.left[out.size :]
