"""Spectra of a property's rate of change: what infrared absorption and Raman scattering share.

Of a property P the response of classical mechanics at temperature T is, with the cosine transform S
of `spectrum` of the correlation function of dP/dt,

    I(k) = S(k) / (k_B T),   (1)

and a harmonic mode adds |dP/dQ|^2, Q being its mass-weighted coordinate, since k_B T is the mean
square of dQ/dt. Rates are differences from frame to frame, whose damping is taken back
(`spectrum_corrections`), or rates that were computed as such.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np

from md_runs.analysis.sampling.correlation_stream import BlockedCorrelation, correlate
from md_runs.analysis.sampling.frame_pieces import (
    Piece,
    Segments,
    check_timestep,
    frame_pieces,
    window_lags,
)
from md_runs.analysis.spectra.quantum_corrections import QuantumCorrection, response_factor
from md_runs.analysis.spectra.spectrum import Spectrum, cosine_transform
from md_runs.analysis.spectra.spectrum_checks import (
    JUMP_FACTOR,
    Check,
    check_temperature,
    jumps_check,
)
from mlpotential.errors import ConfigError
from mlpotential.units import ASE_TIME_PER_FS, EV_PER_KELVIN


@dataclass(frozen=True)
class ResponseSpectrum(Spectrum):
    """A spectrum that depends on the temperature of the run.

    Attributes:
        temperature_K: of the run.
    """

    temperature_K: Annotated[float, "K"]

    def with_quantum_correction(self, name: QuantumCorrection) -> Self:
        """The spectrum with another quantum correction factor, see `quantum_corrections`.

        Raises:
            ConfigError: an unknown factor; "Kubo" for classical dynamics, or another for RPMD,
                TRPMD and CMD.
            DataError: a temperature so low that the factor overflows.
        """
        k = self.wavenumbers_per_cm
        new = response_factor(name, k, self.temperature_K)
        if "Kubo" in (name, self.quantum_correction) and name != self.quantum_correction:
            raise ConfigError(
                f"{self.dynamics} has the correction {self.quantum_correction!r}, which {name!r} "
                "cannot replace: Kubo is for path integrals, the others for classical dynamics"
            )
        old = response_factor(self.quantum_correction, k, self.temperature_K)  # type: ignore[arg-type]
        return self.changed(k, self.blocks * new / old, quantum_correction=name)


@dataclass(frozen=True)
class Response:
    """What both kinds of response spectra are made of.

    Attributes:
        wavenumbers_per_cm: [n_points].
        blocks: I of equation (1), [n_channels, n_blocks, n_points] (P^2/amu cm).
        correlation: what it comes from.
        continuity: whether the property changed smoothly; None for rates.
    """

    wavenumbers_per_cm: np.ndarray
    blocks: np.ndarray
    correlation: BlockedCorrelation
    continuity: Check | None


def response(
    samples: Segments,
    name: str,
    to_columns: Callable[[np.ndarray], np.ndarray],
    channels: np.ndarray,
    timestep_fs: float,
    temperature_K: float,
    n_lags: int | None,
    contiguous: bool,
    are_rates: bool = False,
) -> Response:
    """Equation (1) of each channel.

    Args:
        samples: segments of the property, or of its rate of change per fs.
        name: of the samples, for messages.
        to_columns: from samples [n, ...] to columns [n, n_columns].
        channels: of each column, [n_columns].
        timestep_fs, temperature_K, n_lags, contiguous: as of `infrared.infrared_spectrum`.
        are_rates: whether the samples are rates already.

    Raises:
        DataError, ConfigError: as of `infrared.infrared_spectrum`.

    Warns:
        UserWarning: if the property jumps.
    """
    check_timestep(timestep_fs)
    check_temperature(temperature_K)
    differences = _Differences()

    def columns() -> Iterator[tuple[bool, np.ndarray]]:
        for piece in frame_pieces(contiguous, **{name: samples}):
            frames = to_columns(piece.arrays[0])
            if not are_rates:
                frames = differences.of(frames, piece) / timestep_fs
            yield piece.starts_segment, frames

    correlation = correlate(columns(), window_lags(n_lags, samples, contiguous), channels)
    in_ase_time = correlation.blocks / (ASE_TIME_PER_FS**2 * EV_PER_KELVIN * temperature_K)
    transforms = [
        cosine_transform(in_ase_time[:, channel], timestep_fs)
        for channel in range(in_ase_time.shape[1])
    ]
    return Response(
        wavenumbers_per_cm=transforms[0][0],
        blocks=np.stack([blocks for _, blocks in transforms]),  # (1)
        correlation=correlation,
        continuity=None if are_rates else differences.check(name),
    )


class _Differences:
    """Differences from frame to frame across pieces, and the jumps among them."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._n_seen = 0
        self._n_jumps = 0
        self._first_jump = ""

    def of(self, columns: np.ndarray, piece: Piece) -> np.ndarray:
        """[n - 1, n_columns] at the start of a segment, [n, n_columns] after it."""
        if not piece.starts_segment and self._last is not None:
            columns = np.concatenate([self._last, columns])
        self._last = columns[-1:].copy()
        steps = np.diff(columns, axis=0)
        self._count_jumps(np.linalg.norm(steps, axis=1))
        self._n_seen += len(steps)
        return steps

    def _count_jumps(self, lengths: np.ndarray) -> None:
        if len(lengths) == 0:
            return
        typical = float(np.median(lengths)) or float(np.sqrt(np.mean(lengths**2)))
        jumps = np.flatnonzero(lengths > JUMP_FACTOR * typical)
        if len(jumps) and not self._n_jumps:
            first = jumps[0]
            self._first_jump = (
                f"after {self._n_seen + first} steps, by {lengths[first]:.3g} where {typical:.2g} "
                "is usual"
            )
        self._n_jumps += len(jumps)

    def check(self, name: str) -> Check:
        """Warns of jumps, and puts them on record."""
        if self._n_jumps:
            warnings.warn(
                f"{name} jump {self._n_jumps} times from one frame to the next, first "
                f"{self._first_jump}: a periodic system changes branches of its polarization; "
                "follow one branch, or use the flux of Born charges",
                stacklevel=4,
            )
        return jumps_check(name, self._n_jumps, self._first_jump)
