"""Effective modes and frequencies from the fluctuations of a classical run.

Quasi-harmonic analysis (R. M. Levy, M. Karplus, J. Kushick, D. Perahia, Macromolecules 17, 1370
(1984), doi:10.1021/ma00137a013): in a harmonic molecule at temperature T the mass-weighted
displacements q = M^(1/2) (r - <r>) have the covariance kT F^-1. So of any molecule, anharmonic too,
the principal modes u and their variances lambda give

    <q q^T> u = lambda u,   omega = sqrt(kT / lambda).                    (1)

Every frame is laid on the mean structure in the Eckart frame, and the modes are sought among the
motions that are orthogonal to translations and rotations. They are straight: where soft modes have
large amplitudes on curved paths, stiff ones seem softer than they are.

The principal modes follow the noise of the frames that they come from, so that their variances lie
too far apart; on modes of other frames, which miss the true ones a little, they lie too close
together. To first order in 1 / n_frames both err by the same amount, sum_l lambda_k lambda_l /
(lambda_k - lambda_l) / n_frames (D. N. Lawley, Biometrika 43, 128 (1956),
doi:10.1093/biomet/43.1-2.128). So each block of frames is judged on the modes of all frames and on
those of all others: lambda is the mean of the two, and half their difference is part of the error
bar beside the spread over blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import scipy

from md_runs.analysis.sampling.frames import block_slices, check_finite_frames, check_masses
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import standard_error_of_blocks
from md_runs.analysis.vibrations.degrees_of_freedom import degrees_of_freedom_at_rest
from md_runs.analysis.vibrations.normal_modes import wavenumbers_of_curvatures
from md_runs.analysis.vibrations.rigid_body import frames_on_their_mean
from mlpotential.errors import DataError
from mlpotential.settings_checks import check_number
from mlpotential.units import EV_PER_KELVIN

STILL = 1e-12  # A^2 amu, chosen: at 1 K a stretch of 5000 1/cm has 1e-6
FRAMES_PER_MODE = 2  # chosen: with fewer the softest modes are noise


@dataclass(frozen=True)
class QuasiHarmonicModes(AnalysisResult):
    """The principal modes of a run, softest first.

    Attributes:
        wavenumbers_per_cm: omega of (1), [n_modes].
        standard_errors_per_cm: from blocks, [n_modes]; NaN where there is one block.
        modes: mass-weighted and orthonormal, [n_modes, n_atoms, 3].
        masses: [n_atoms] (amu).
        positions: the mean structure, [n_atoms, 3] (A).
        temperature_K: of the run.
        n_frames: analysed.
        n_blocks: for the error bars.
    """

    wavenumbers_per_cm: Annotated[np.ndarray, "1/cm"]
    standard_errors_per_cm: Annotated[np.ndarray, "1/cm"]
    modes: Annotated[np.ndarray, "1"]
    masses: Annotated[np.ndarray, "amu"]
    positions: Annotated[np.ndarray, "A"]
    temperature_K: Annotated[float, "K"]
    n_frames: int
    n_blocks: int

    COLUMNS: ClassVar[tuple[str, ...]] = ("wavenumbers_per_cm", "standard_errors_per_cm")

    @property
    def fixed(self) -> None:
        """No atom is."""

    @property
    def is_free(self) -> bool:
        """Of a free molecule always."""
        return True


def quasi_harmonic_modes(
    positions: np.ndarray,
    masses: np.ndarray,
    temperature_K: float,
    reference: np.ndarray,
    n_blocks: int = 10,
) -> QuasiHarmonicModes:
    """The effective modes of a molecule from a classical run at constant temperature.

    Args:
        positions: of an isolated molecule, unwrapped, [n_frames, n_atoms, 3] (A); of a
            `Trajectory`, `positions[:, 0]`. Beads of a ring polymer do not fluctuate like a
            classical molecule, and (1) is not for them.
        masses: [n_atoms] (amu).
        temperature_K: of the run.
        reference: the structure that frames are laid on first, [n_atoms, 3] (A); if it is linear,
            so is the molecule.
        n_blocks: blocks of frames, each longer than the correlation time; 1 gives no error bars,
            and variances that lie too far apart.

    Raises:
        DataError: wrong shapes, a frame that is not finite, too few frames, or a molecule that
            does not move.
        ConfigError: a temperature that is not positive, or `n_blocks` below 1.
    """
    positions, masses = np.asarray(positions, np.float64), np.array(masses, np.float64)
    reference = np.asarray(reference, np.float64)
    _check(positions, masses, temperature_K, reference)
    free = degrees_of_freedom_at_rest(reference, masses)
    blocks = block_slices(len(positions), n_blocks)
    _check_number(len(positions), free.n_thermal, blocks)
    frames, mean = frames_on_their_mean(positions, masses, reference, free.is_linear)
    rigid = free.rigid_vectors(mean).reshape(free.n_rigid, -1)
    basis = np.linalg.svd(rigid)[2][len(rigid) :].T
    q = ((frames - mean) * np.sqrt(masses)[:, None]).reshape(len(frames), -1) @ basis
    moments = np.stack([q[block].T @ q[block] for block in blocks])
    counts = np.array([block.stop - block.start for block in blocks])
    variances, errors, axes = _variances(moments, counts)
    if variances.min(initial=np.inf) < STILL:
        raise DataError("the molecule does not move along every mode: is it a run of MD?")
    wavenumbers = wavenumbers_of_curvatures(EV_PER_KELVIN * temperature_K / variances)  # (1)
    order = np.argsort(wavenumbers)
    return QuasiHarmonicModes(
        wavenumbers_per_cm=wavenumbers[order],
        standard_errors_per_cm=(0.5 * wavenumbers * errors / variances)[order],
        modes=(basis @ axes).T[order].reshape(-1, *mean.shape),
        masses=masses,
        positions=mean,
        temperature_K=temperature_K,
        n_frames=len(positions),
        n_blocks=n_blocks,
    )


def _variances(
    moments: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variances along principal modes, their standard errors, and the modes of all frames.

    Args:
        moments: sum of q q^T over the frames of each block, [n_blocks, n_modes, n_modes].
        counts: frames of each block, [n_blocks].
    """
    total = moments.sum(axis=0)
    eigenvalues, axes = np.linalg.eigh(total / counts.sum())
    if len(moments) == 1:
        return eigenvalues, np.full(len(eigenvalues), np.nan), axes
    inside, outside = np.empty((2, len(moments), len(eigenvalues)))
    for block, (moment, count) in enumerate(zip(moments, counts, strict=True)):
        others = np.linalg.eigh(total - moment)[1]
        _, same = scipy.optimize.linear_sum_assignment((axes.T @ others) ** 2, maximize=True)
        for rows, along in ((inside, axes), (outside, others[:, same])):
            rows[block] = np.einsum("xk,xy,yk->k", along, moment / count, along)
    halves = 0.5 * (inside + outside)
    half_difference = 0.5 * (inside - outside).mean(axis=0)
    errors = np.hypot(standard_error_of_blocks(halves), half_difference)
    return halves.mean(axis=0), errors, axes


def _check(
    positions: np.ndarray, masses: np.ndarray, temperature_K: float, reference: np.ndarray
) -> None:
    """Raises as `quasi_harmonic_modes` says."""
    check_number("temperature_K", temperature_K)
    if positions.ndim != 3 or positions.shape[2] != 3 or 0 in positions.shape:
        raise DataError(
            f"positions must have shape [n_frames, n_atoms, 3], not {list(positions.shape)}: of a "
            "classical run, take trajectory.positions[:, 0]"
        )
    if reference.shape != positions.shape[1:]:
        raise DataError(
            f"the reference has shape {list(reference.shape)}, the frames "
            f"{list(positions.shape[1:])}"
        )
    check_masses(masses, len(reference))
    check_finite_frames(positions, "positions")
    check_finite_frames(reference[None], "positions of the reference")


def _check_number(n_frames: int, n_modes: int, blocks: list[slice]) -> None:
    """Raises DataError where the frames beside one block are too few for so many modes."""
    largest = max(block.stop - block.start for block in blocks) if len(blocks) > 1 else 0
    if n_frames - largest < FRAMES_PER_MODE * n_modes:
        raise DataError(
            f"{n_frames} frames in {len(blocks)} blocks are too few for {n_modes} modes: at least "
            f"{FRAMES_PER_MODE * n_modes} frames must be left beside one block"
        )
