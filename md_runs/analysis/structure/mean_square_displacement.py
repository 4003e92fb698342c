"""How far atoms travel: mean square displacements and Einstein's diffusion coefficient.

    msd(t) = < |r_i(t_0 + t) - r_i(t_0)|^2 >   over atoms and origins t_0,   (1)
    D = lim d msd / dt / 6   (A. Einstein, Ann. Phys. 322, 549 (1905), doi:10.1002/andp.19053220806)

With S(k) the mean of |r(t)|^2 + |r(t + k)|^2 over the frames t of a lag k, and C the correlation
function of positions, msd(k) = S(k) - 2 C(k) (V. Calandrini et al., Coll. SFN 12, 201 (2011),
doi:10.1051/sfn/201112010).                                                              (2)

D is the slope of a line through a range of lags. The exponent d ln msd / d ln t of the same range
tells what the motion is: 2 flies, 1 diffuses, 0 is bound. Error bars are those of blocks of frames,
each analysed by itself, so no lag is longer than half a block.

Positions must be unwrapped. In a periodic cell D depends on its size: a fluid of viscosity eta in a
cube of side L lacks kT 2.837297 / (6 pi eta L) (I.-C. Yeh, G. Hummer, J. Phys. Chem. B 108, 15873
(2004), doi:10.1021/jp0477147), which is not added here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from md_runs.analysis.sampling.correlation import autocorrelation
from md_runs.analysis.sampling.frame_pieces import check_timestep
from md_runs.analysis.sampling.frames import block_slices, check_finite_frames, check_masses
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import Estimate, mean_of_blocks
from md_runs.analysis.vibrations.rigid_body import centered
from mlpotential.errors import ConfigError, DataError
from mlpotential.units import EV_PER_KELVIN

FIT_FROM = 0.2  # chosen: of the longest lag; where a line begins unless that is asked for
LEAST_LAGS = 4  # chosen: of a line
VALUES_AT_ONCE = 2_000_000  # chosen: coordinates transformed together, 50 MB
CUBIC = 2.837297  # of Yeh and Hummer: the Wigner sum of a cubic lattice
EV_PER_PA_ANGSTROM3 = 1e-30 / 1.602176634e-19  # SI: the elementary charge is exact
PS_PER_S = 1e12


@dataclass(frozen=True)
class MeanSquareDisplacement(AnalysisResult):
    """The motion of one sort of atoms.

    Attributes:
        label: element, or "all".
        times_fs: lags, from 0, [n_lags].
        mean_squares: (1), [n_lags] (A^2).
        standard_error: of (1), from blocks, [n_lags] (A^2).
        diffusion_coefficient: D, from the line (A^2/ps; 1e-5 cm^2/s are 0.1 A^2/ps).
        exponent: d ln msd / d ln t of the same lags.
        fit_from_fs, fit_to_fs: the lags of the line.
        is_drift_removed: displacements are relative to the centre of mass.
        n_atoms: of the sort.
        n_frames: number of frames.
        n_blocks: number of blocks the standard errors come from.
    """

    label: str
    times_fs: Annotated[np.ndarray, "fs"]
    mean_squares: Annotated[np.ndarray, "A^2"]
    standard_error: Annotated[np.ndarray, "A^2"]
    diffusion_coefficient: Annotated[Estimate, "A^2/ps"]
    exponent: Annotated[Estimate, "1"]
    fit_from_fs: Annotated[float, "fs"]
    fit_to_fs: Annotated[float, "fs"]
    is_drift_removed: bool
    n_atoms: int
    n_frames: int
    n_blocks: int

    COLUMNS: ClassVar[tuple[str, ...]] = ("times_fs", "mean_squares", "standard_error")


def mean_square_displacements(
    segments: Sequence[np.ndarray],
    labels: Sequence[str],
    masses: np.ndarray,
    timestep_fs: float,
    *,
    longest_lag_fs: float | None = None,
    fit_from_fs: float | None = None,
    fit_to_fs: float | None = None,
    remove_drift: bool = True,
    fixed: np.ndarray | None = None,
    n_blocks: int = 10,
) -> tuple[MeanSquareDisplacement, ...]:
    """Equations (1) and (2) for each sort of atoms.

    Args:
        segments: positions of independent runs of one system, unwrapped, each
            [n_frames, n_atoms, 3] (A); of several, each is a block of its own.
        labels: the sort of each atom, [n_atoms].
        masses: [n_atoms] (amu).
        timestep_fs: between frames.
        longest_lag_fs: at most half a block; None for that.
        fit_from_fs, fit_to_fs: lags of the line; None for the last four fifths.
        remove_drift: take displacements relative to the centre of mass; left alone beside fixed
            atoms.
        fixed: atoms that never move, which are left out, [n_atoms] of bool; None for none.
        n_blocks: of one run, for the error bars; 1 gives none.

    Raises:
        DataError: wrong shapes, frames that are not finite, too few frames, one atom whose drift
            is all its motion, or fixed atoms alone.
        ConfigError: lags that do not fit the run.
    """
    check_timestep(timestep_fs)
    blocks = _blocks(segments, np.asarray(masses), n_blocks)
    is_free = np.ones(len(masses), bool) if fixed is None else ~np.asarray(fixed, bool)
    remove_drift = remove_drift and bool(is_free.all())
    if not is_free.any():
        raise DataError("all atoms are fixed: nothing travels")
    if remove_drift and len(masses) == 1:
        raise DataError(
            "one atom does not move relative to its own centre of mass: keep the drift "
            "(--keep-drift)"
        )
    n_lags = _number_of_lags(longest_lag_fs, timestep_fs, min(len(block) for block in blocks))
    times_fs = timestep_fs * np.arange(n_lags)
    fitted = _fitted_lags(times_fs, fit_from_fs, fit_to_fs)
    sorts = {label: np.flatnonzero(is_free & (np.array(list(labels)) == label)) for label in labels}
    sums = np.zeros((len(blocks), len(sorts), n_lags))
    for row, block in zip(sums, blocks, strict=True):
        r = centered(block, masses) if remove_drift else block
        for place, atoms in enumerate(sorts.values()):
            row[place] = _mean_squares(r, atoms, n_lags)
    return tuple(
        MeanSquareDisplacement(
            label=label,
            times_fs=times_fs,
            mean_squares=mean_of_blocks(sums[:, place]).value,
            standard_error=mean_of_blocks(sums[:, place]).standard_error,
            diffusion_coefficient=_diffusion_coefficient(times_fs[fitted], sums[:, place, fitted]),
            exponent=_exponent(times_fs[fitted], sums[:, place, fitted]),
            fit_from_fs=float(times_fs[fitted][0]),
            fit_to_fs=float(times_fs[fitted][-1]),
            is_drift_removed=remove_drift,
            n_atoms=len(atoms),
            n_frames=sum(len(segment) for segment in segments),
            n_blocks=len(blocks),
        )
        for place, (label, atoms) in enumerate(sorts.items())
        if len(atoms)
    )


def finite_size_correction(temperature_K: float, side: float, viscosity_mPa_s: float) -> float:
    """What Yeh and Hummer add to D of a fluid in a cubic cell (A^2/ps).

    Args:
        temperature_K: of the fluid.
        side: of the cell (A).
        viscosity_mPa_s: of the fluid; 0.9 of water at 298 K.
    """
    viscosity = 1e-3 * viscosity_mPa_s * EV_PER_PA_ANGSTROM3 * PS_PER_S  # eV ps / A^3
    return EV_PER_KELVIN * temperature_K * CUBIC / (6 * np.pi * viscosity * side)


def _blocks(segments: Sequence[np.ndarray], masses: np.ndarray, n_blocks: int) -> list[np.ndarray]:
    """Blocks of one run, or the runs. Raises DataError as `mean_square_displacements`."""
    check_masses(masses, len(masses))
    for segment in segments:
        if np.ndim(segment) != 3 or np.shape(segment)[1:] != (len(masses), 3):
            raise DataError(
                f"positions must have shape [n_frames, {len(masses)}, 3], not "
                f"{list(np.shape(segment))}"
            )
        check_finite_frames(segment, "positions")
    if len(segments) > 1:
        return list(segments)
    return [segments[0][block] for block in block_slices(len(segments[0]), n_blocks)]


def _number_of_lags(longest_lag_fs: float | None, timestep_fs: float, n_frames: int) -> int:
    """Raises DataError for blocks that are too short, ConfigError for a lag they do not hold."""
    n_most = n_frames // 2
    if n_most < LEAST_LAGS:
        raise DataError(
            f"blocks of {n_frames} frames are too short for displacements: run longer, or ask for "
            "fewer blocks"
        )
    if longest_lag_fs is None:
        return n_most + 1
    n_lags = round(longest_lag_fs / timestep_fs) + 1
    if not LEAST_LAGS < n_lags <= n_most + 1:
        raise ConfigError(
            f"lags up to {longest_lag_fs:g} fs are asked for, but blocks of {n_frames} frames hold "
            f"{LEAST_LAGS * timestep_fs:g} to {n_most * timestep_fs:g} fs: ask for others, or for "
            "fewer blocks"
        )
    return n_lags


def _fitted_lags(
    times_fs: np.ndarray, fit_from_fs: float | None, fit_to_fs: float | None
) -> np.ndarray:
    """Which lags the line goes through, 0 never. Raises ConfigError where they are too few."""
    start = FIT_FROM * times_fs[-1] if fit_from_fs is None else fit_from_fs
    stop = times_fs[-1] if fit_to_fs is None else fit_to_fs
    rounding = 1e-9 * times_fs[-1]
    chosen = np.flatnonzero(
        (times_fs >= start - rounding) & (times_fs <= stop + rounding) & (times_fs > 0)
    )
    if len(chosen) < LEAST_LAGS - 1 or stop > times_fs[-1] + rounding:
        raise ConfigError(
            f"a line from {start:g} to {stop:g} fs does not fit into lags up to {times_fs[-1]:g} "
            f"fs, {times_fs[1]:g} fs apart"
        )
    return chosen


def _mean_squares(positions: np.ndarray, atoms: np.ndarray, n_lags: int) -> np.ndarray:
    """Equation (2) of some atoms in one block, [n_lags] (A^2)."""
    n_frames = len(positions)
    n_products = n_frames - np.arange(n_lags)
    total = np.zeros(n_lags)
    step = max(1, VALUES_AT_ONCE // (3 * n_frames))
    for start in range(0, len(atoms), step):
        r = positions[:, atoms[start : start + step]]
        r = r - r.mean(axis=0)  # squares of small numbers: less rounding
        before = np.concatenate([[0.0], np.cumsum(np.einsum("fix,fix->f", r, r))])
        squares = before[n_frames : n_frames - n_lags : -1] + before[-1] - before[:n_lags]
        total += squares / n_products - 2 * autocorrelation(r, n_lags).sum(axis=(1, 2))  # (2)
    total[0] = 0.0
    return total / max(1, len(atoms))


def _diffusion_coefficient(times_fs: np.ndarray, blocks: np.ndarray) -> Estimate:
    """A sixth of the slope in each block, [n_blocks, n_lags] (A^2), in A^2/ps."""
    slopes = np.polynomial.polynomial.polyfit(times_fs, blocks.T, 1)[1]
    return mean_of_blocks(1000.0 * slopes / 6)


def _exponent(times_fs: np.ndarray, blocks: np.ndarray) -> Estimate:
    """The slope of logarithms in each block; NaN where nothing moves."""
    if (blocks <= 0).any():
        return Estimate(np.nan, np.nan, len(blocks))
    slopes = np.polynomial.polynomial.polyfit(np.log(times_fs), np.log(blocks).T, 1)[1]
    return mean_of_blocks(slopes)
