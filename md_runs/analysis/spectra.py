"""Vibrational density of states from the velocities of NVE segments.

With the mass-weighted velocity autocorrelation function of the vibrations, averaged over segments,

    C(t) = < sum_i m_i v_i(0) . v_i(t) >,   (1)
    D(k) = (n_modes / C(0)) 2 c integral w(t) C(t) cos(2 pi c k t) dt,   t from -T to T,   (2)

k being the wavenumber and w the Hann window (1 + cos(pi t / T)) / 2, so that the integral of D over
k > 0 is the number of modes: each mode of a classical run at temperature T_kin counts once, since
C(0) = n_modes k_B T_kin. (P. H. Berens, K. R. Wilson, J. Chem. Phys. 74, 4872 (1981),
doi:10.1063/1.441739.)

The resolution stated is that of the window, the full width at half maximum that (2) gives a pure
oscillation: 1 / (c T). Zero padding draws the curve at more points; it resolves nothing. The window
has side lobes of -2.7 % next to a line, and the estimator of (1) is unbiased, so that D can be
slightly negative; nothing is clipped.

Velocities stay in the laboratory frame: in a molecule that turns by W rad/fs, lines split by
W / (pi c), so start segments without angular momentum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from scipy import fft

from md_runs.analysis.correlation import autocorrelation
from md_runs.analysis.frames import check_finite_frames, check_masses
from md_runs.analysis.results import AnalysisResult
from md_runs.analysis.rigid_body import (
    inertia_tensors,
    without_rotation,
    without_translation,
)
from md_runs.analysis.uncertainty import Estimate, block_average
from md_runs.analysis.wavenumbers import WAVENUMBER_PER_INVERSE_FS
from mlpotential.errors import ConfigError, DataError
from mlpotential.units import ASE_TIME_PER_FS, EV_PER_KELVIN

Removed = Literal["translation and rotation", "translation", "nothing"]

LINEAR_TOLERANCE = 5e-3  # chosen: smallest to largest moment of inertia, mean over frames: CO2 at
# 300 K reaches 7e-4 by bending, HNCO, a bent molecule as slender as they come, 1e-2


@dataclass(frozen=True)
class Spectrum(AnalysisResult):
    """A vibrational density of states.

    Attributes:
        wavenumbers_per_cm: [n_points].
        density: modes per 1/cm, [n_points].
        standard_error: of the density, from the segments, [n_points]; NaN for one segment.
        resolution_per_cm: physical resolution, full width at half maximum of a sharp line.
        spacing_per_cm: distance of the points, narrower than the resolution by zero padding.
        window: name of the lag window.
        n_lags: length of the window in frames.
        timestep_fs: time between frames.
        n_segments: number of segments.
        n_frames: number of frames of each segment.
        n_modes: number of vibrations, 3N less what was removed.
        integral: of the density over all wavenumbers, to be compared with `n_modes`.
        kinetic_temperature_K: of the vibrations, by equipartition, to be compared with the run's.
        removed: motions of the molecule as a whole that were taken off the velocities.
    """

    wavenumbers_per_cm: np.ndarray
    density: np.ndarray
    standard_error: np.ndarray
    resolution_per_cm: float
    spacing_per_cm: float
    window: str
    n_lags: int
    timestep_fs: float
    n_segments: int
    n_frames: int
    n_modes: int
    integral: float
    kinetic_temperature_K: Estimate
    removed: str

    UNITS: ClassVar[dict[str, str]] = {
        "wavenumbers_per_cm": "1/cm",
        "density": "cm",
        "standard_error": "cm",
        "resolution_per_cm": "1/cm",
        "spacing_per_cm": "1/cm",
        "timestep_fs": "fs",
        "integral": "1",
        "kinetic_temperature_K": "K",
    }
    COLUMNS: ClassVar[tuple[str, ...]] = ("wavenumbers_per_cm", "density", "standard_error")


def vibrational_density_of_states(
    velocities: Sequence[np.ndarray] | np.ndarray,
    positions: Sequence[np.ndarray] | np.ndarray,
    masses: np.ndarray,
    timestep_fs: float,
    n_lags: int | None = None,
    removed: Removed = "translation and rotation",
) -> Spectrum:
    """The vibrational density of states (2) of a molecule.

    Args:
        velocities: of segments of as many frames each, [n_segments, n_frames, n_atoms, 3] (A/fs).
        positions: at the same times, unwrapped, [n_segments, n_frames, n_atoms, 3] (A).
        masses: [n_atoms] (amu).
        timestep_fs: time between frames, see `frames.uniform_timestep_fs`.
        n_lags: length of the window in frames, which sets the resolution; None for half a segment.
        removed: motions of the molecule as a whole to take off.

    Raises:
        DataError: no segment, one frame, shapes that do not belong together, a frame that is not
            finite, a mass or a time step that is not positive, or atoms that do not move.
        ConfigError: a window longer than the segments or shorter than 2 frames.
    """
    n_frames, n_atoms = _check_segments(velocities, positions, masses, timestep_fs)
    masses = np.asarray(masses, np.float64)
    n_lags = _checked_window(n_frames, n_lags, removed)
    is_linear = _is_linear(np.asarray(positions[0]), masses)
    n_modes = 3 * n_atoms - _n_removed(n_atoms, is_linear, removed)
    if n_modes <= 0:
        raise DataError(f"{n_atoms} atom has no vibrations once {removed} are removed")
    correlations, kinetic = [], []
    for v, r in zip(velocities, positions, strict=True):
        vibration = _vibrational_velocities(
            np.asarray(v), np.asarray(r), masses, is_linear, removed
        )
        weighted = vibration * np.sqrt(masses)[:, None]
        correlations.append(autocorrelation(weighted, n_lags).sum(axis=(1, 2)))  # (1)
        kinetic.append(correlations[-1][0] / ASE_TIME_PER_FS**2)  # twice the kinetic energy, eV
    wavenumbers, density, standard_error = _transform(np.stack(correlations), timestep_fs, n_modes)
    return Spectrum(
        wavenumbers_per_cm=wavenumbers,
        density=density,
        standard_error=standard_error,
        resolution_per_cm=WAVENUMBER_PER_INVERSE_FS / (n_lags * timestep_fs),
        spacing_per_cm=float(wavenumbers[1]),
        window="Hann",
        n_lags=n_lags,
        timestep_fs=timestep_fs,
        n_segments=len(correlations),
        n_frames=n_frames,
        n_modes=n_modes,
        integral=float(np.trapezoid(density, wavenumbers)),
        kinetic_temperature_K=block_average(
            np.array(kinetic) / (n_modes * EV_PER_KELVIN), len(kinetic)
        ),
        removed=removed,
    )


def _transform(
    correlations: np.ndarray, timestep_fs: float, n_modes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Equation (2) as a sum over lags, of the mean of the segments, [n_segments, n_lags].

    Returns:
        Wavenumbers (1/cm), density and its standard error (cm), all [n_points].
    """
    n_segments, n_lags = correlations.shape
    window = 0.5 * (1 + np.cos(np.pi * np.arange(n_lags) / n_lags))
    half = fft.next_fast_len(2 * n_lags, real=True)
    both_sides = np.zeros((n_segments, 2 * half))
    both_sides[:, :n_lags] = window * correlations
    both_sides[:, -(n_lags - 1) :] = both_sides[:, n_lags - 1 : 0 : -1]
    wavenumbers = fft.rfftfreq(2 * half, timestep_fs) * WAVENUMBER_PER_INVERSE_FS
    transforms = fft.rfft(both_sides, axis=1).real * 2 * timestep_fs / WAVENUMBER_PER_INVERSE_FS
    mean_square = correlations[:, 0].mean()
    density = n_modes * transforms.mean(axis=0) / mean_square  # (2)
    # A ratio of means: to first order its error is that of numerator - ratio * denominator.
    scatter = (n_modes * transforms - density * correlations[:, :1]) / mean_square
    standard_error = block_average(scatter, n_segments).standard_error
    return wavenumbers, density, standard_error


def _vibrational_velocities(
    velocities: np.ndarray,
    positions: np.ndarray,
    masses: np.ndarray,
    is_linear: bool,
    removed: Removed,
) -> np.ndarray:
    """Velocities of one segment less the motions of the molecule as a whole."""
    if removed == "nothing":
        return velocities
    velocities = without_translation(velocities, masses)
    if removed == "translation":
        return velocities
    return without_rotation(velocities, positions, masses, is_linear)


def _n_removed(n_atoms: int, is_linear: bool, removed: Removed) -> int:
    """Degrees of freedom of the motions that are taken off."""
    if removed == "nothing":
        return 0
    if removed == "translation" or n_atoms == 1:
        return 3
    return 5 if is_linear else 6


def _is_linear(positions: np.ndarray, masses: np.ndarray) -> bool:
    """Whether the molecule stays near a line, [n_frames, n_atoms, 3]."""
    moments = np.linalg.eigvalsh(inertia_tensors(positions, masses))
    return bool(moments[:, 0].mean() <= LINEAR_TOLERANCE * moments[:, 2].mean())


def _checked_window(n_frames: int, n_lags: int | None, removed: str) -> int:
    """The window in frames. Raises ConfigError as `vibrational_density_of_states` says."""
    if removed not in get_args(Removed):
        raise ConfigError(f"removed must be one of {get_args(Removed)}, not {removed!r}")
    n_lags = max(2, n_frames // 2) if n_lags is None else n_lags
    if not 2 <= n_lags <= n_frames:
        raise ConfigError(
            f"the window of {n_lags} frames does not fit into segments of {n_frames} frames: "
            f"n_lags must be within 2...{n_frames}"
        )
    return n_lags


def _check_segments(
    velocities: Sequence[np.ndarray] | np.ndarray,
    positions: Sequence[np.ndarray] | np.ndarray,
    masses: np.ndarray,
    timestep_fs: float,
) -> tuple[int, int]:
    """Numbers of frames and atoms. Raises DataError as `vibrational_density_of_states` says."""
    if len(velocities) == 0 or len(velocities) != len(positions):
        raise DataError(
            f"as many segments of velocities as of positions are needed, at least one, not "
            f"{len(velocities)} and {len(positions)}"
        )
    shape = np.shape(velocities[0])
    if len(shape) != 3 or shape[2] != 3 or shape[0] < 2:
        raise DataError(
            f"a segment of velocities must have shape [n_frames, n_atoms, 3] with at least 2 "
            f"frames, not {list(shape)}"
        )
    for index, (v, r) in enumerate(zip(velocities, positions, strict=True)):
        if np.shape(v) != shape or np.shape(r) != shape:
            raise DataError(
                f"segment {index} has velocities {list(np.shape(v))} and positions "
                f"{list(np.shape(r))}, where segment 0 has velocities {list(shape)}"
            )
        check_finite_frames(np.asarray(v), f"velocities (segment {index})")
        check_finite_frames(np.asarray(r), f"positions (segment {index})")
    if not any(np.any(v) for v in velocities):
        raise DataError("no atom moves: all velocities are zero")
    check_masses(masses, shape[1])
    if not (np.isfinite(timestep_fs) and timestep_fs > 0):
        raise DataError(f"timestep_fs must be positive, not {timestep_fs}")
    return shape[0], shape[1]
