"""Vibrational density of states from velocities: in all, by element, atom or normal mode.

With the mass-weighted velocity autocorrelation function of the vibrations,

    C(t) = < sum_i m_i v_i(0) . v_i(t) >,   (1)
    D(k) = n_modes S(k) / C(0),   (2)

S being the cosine transform of `spectrum`, so that the integral of D over k > 0 is the number of
modes: each mode of a classical run at temperature T_kin counts once, since C(0) = n_modes k_B
T_kin. Parts, sums over some of the atoms or one mode, add up to the whole.

For path integrals (RPMD, TRPMD, CMD) velocities are those of the centroid; its Kubo-transformed
correlation function is normalised the same way, k_B T for each mode.

Velocities of atoms stay in the laboratory frame: in a molecule that turns by W rad/fs, lines split
by W / (pi c), so start segments without angular momentum. Modes are followed in the Eckart frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np

from md_runs.analysis.sampling.correlation_stream import BlockedCorrelation, correlate
from md_runs.analysis.sampling.frame_pieces import (
    Segments,
    check_timestep,
    frame_pieces,
    window_lags,
)
from md_runs.analysis.sampling.frames import check_masses
from md_runs.analysis.sampling.uncertainty import Estimate, mean_of_blocks
from md_runs.analysis.spectra.dynamics import Dynamics
from md_runs.analysis.spectra.spectrum import (
    CURVE_FIELDS,
    Spectrum,
    cosine_transform,
    curve_fields,
    sampling_fields,
)
from md_runs.analysis.spectra.spectrum_checks import (
    SMALLEST_GROUP,
    Check,
    check_temperature,
    equipartition_check,
    harmonic_check,
    modes_check,
    rotation_check,
    thermostat_check,
)
from md_runs.analysis.spectra.spectrum_parts import PARTS_FIELDS, SpectrumParts
from md_runs.analysis.spectra.vibrational_motion import ModeProjection, Removed, VibrationalMotion
from mlpotential.errors import DataError
from mlpotential.units import ASE_TIME_PER_FS, EV_PER_KELVIN

HARMONIC_RANGE = 1.5  # chosen: times the largest harmonic wavenumber; beyond there is noise only


@dataclass(frozen=True)
class VibrationalSpectrum(Spectrum):
    """A vibrational density of states, in modes per 1/cm.

    Attributes:
        n_modes: number of vibrations, 3N of the N atoms that move less what was removed.
        removed: motions of the molecule as a whole that were taken off the velocities.
        mass_weighted: False for the plain velocity autocorrelation function.
        kinetic_temperature_K: of the vibrations, by equipartition; NaN without mass weighting.
    """

    n_modes: int
    removed: str
    mass_weighted: bool
    kinetic_temperature_K: Annotated[Estimate, "K"]

    UNITS: ClassVar[dict[str, str]] = {**dict.fromkeys(CURVE_FIELDS, "cm"), "integral": "1"}


@dataclass(frozen=True, kw_only=True)
class DecomposedSpectrum(SpectrumParts[VibrationalSpectrum]):
    """A vibrational density of states and its parts, whose integrals are numbers of modes.

    Attributes:
        expected_modes: number of modes each part should hold, [n_parts].
    """

    expected_modes: Annotated[np.ndarray, "1"]

    UNITS: ClassVar[dict[str, str]] = {**dict.fromkeys(PARTS_FIELDS, "cm"), "integrals": "1"}


def vibrational_density_of_states(
    velocities: Segments,
    positions: Segments | None,
    masses: np.ndarray,
    timestep_fs: float,
    n_lags: int | None = None,
    removed: Removed = "translation and rotation",
    **options: Any,
) -> VibrationalSpectrum:
    """The vibrational density of states (2), all atoms together.

    Arguments, options and errors are those of `decomposed_density_of_states`.
    """
    labels = [f"atoms of {mass:.6g} amu" for mass in np.ravel(masses)]
    return decomposed_density_of_states(
        velocities, positions, masses, timestep_fs, labels, n_lags, removed, **options
    ).total


def decomposed_density_of_states(
    velocities: Segments,
    positions: Segments | None,
    masses: np.ndarray,
    timestep_fs: float,
    parts: Sequence[str] | ModeProjection,
    n_lags: int | None = None,
    removed: Removed = "translation and rotation",
    *,
    temperature_K: float | None = None,
    dynamics: Dynamics = Dynamics(),  # noqa: B008
    harmonic_per_cm: np.ndarray | None = None,
    mass_weighted: bool = True,
    contiguous: bool = False,
    fixed: np.ndarray | None = None,
) -> DecomposedSpectrum:
    """The vibrational density of states (2) and what each part adds to it.

    Args:
        velocities: segments [n_frames, n_atoms, 3] (A/fs): a sequence, an array or an iterator.
        positions: at the same times, unwrapped, alike (A); None where rotation is not removed.
        masses: [n_atoms] (amu).
        timestep_fs: time between frames, see `frames.uniform_timestep_fs`.
        parts: a label for each atom, those of one label adding up (its element; "C1", "C2", ... for
            single atoms), or the modes to project on.
        n_lags: length of the window in frames, which sets the resolution (see
            `spectrum.lags_for_resolution`); None for half of the shortest segment.
        removed: motions of the molecule as a whole to take off; "translation" in a crystal.
        temperature_K: of the run, which the kinetic energy is then checked against.
        dynamics: what moved the atoms.
        harmonic_per_cm: wavenumbers of the normal modes, to check the harmonic limit.
        mass_weighted: False for the plain velocity autocorrelation function, hydrogens foremost.
        contiguous: the items are pieces of one trajectory, in order, not segments of their own.
        fixed: atoms that do not move and have no vibrations, [n_atoms] of bool; None for none.

    Raises:
        DataError: segments that do not belong together, a frame that is not finite, positions that
            are wrapped, a mass, time step or temperature that is not positive, atoms that do not
            move.
        ConfigError: a window longer than the segments or shorter than 2 frames.
    """
    check_timestep(timestep_fs)
    check_temperature(temperature_K)
    check_masses(masses, len(np.ravel(masses)))
    motion = VibrationalMotion(masses, parts, removed, mass_weighted, fixed)
    n_lags = window_lags(n_lags, velocities, contiguous)
    correlation = _correlate(velocities, positions, motion, n_lags, contiguous)
    expected = motion.expected_modes()
    wavenumbers, part_blocks, integrals, twice_kinetic = _normalised(
        correlation, timestep_fs, motion.n_modes
    )
    temperature = _temperature(twice_kinetic, motion)
    total = VibrationalSpectrum(
        quantity="vibrational density of states",
        **curve_fields(wavenumbers, part_blocks.sum(axis=0)),
        **sampling_fields(correlation, timestep_fs, dynamics),
        n_modes=motion.n_modes,
        removed=removed,
        mass_weighted=mass_weighted,
        kinetic_temperature_K=temperature,
    )
    checks = _checks(total, motion, integrals, expected, temperature_K, dynamics, harmonic_per_cm)
    means = [mean_of_blocks(part) for part in part_blocks]
    return DecomposedSpectrum(
        total=replace(total, checks=checks),
        labels=motion.labels,
        intensities=np.stack([mean.value for mean in means]),
        standard_errors=np.stack([mean.standard_error for mean in means]),
        integrals=integrals,
        expected_modes=expected,
        blocks=part_blocks,
    )


def _correlate(
    velocities: Segments,
    positions: Segments | None,
    motion: VibrationalMotion,
    n_lags: int,
    contiguous: bool,
) -> BlockedCorrelation:
    """Equation (1) of each part, in blocks."""
    if motion.needs_positions and positions is None:
        raise DataError("rotation can only be removed with the positions: removed='translation'")
    quantities = {"velocities": velocities}
    if positions is not None:
        quantities["positions"] = positions
    moves = False

    def columns() -> Iterator[tuple[bool, np.ndarray]]:
        nonlocal moves
        expected = (len(motion.masses), 3)
        for piece in frame_pieces(contiguous, **quantities):
            if any(array.shape[1:] != expected for array in piece.arrays):
                raise DataError(
                    f"{expected[0]} atoms need masses ({expected[0]}), velocities and positions "
                    f"[n_frames, {expected[0]}, 3], not {[list(a.shape) for a in piece.arrays]}"
                )
            moves = moves or bool(piece.arrays[0].any())
            yield piece.starts_segment, motion.columns(*piece.arrays)

    correlation = correlate(columns(), n_lags, motion.channels)
    if not moves:
        raise DataError("no atom moves: all velocities are zero")
    if motion.n_modes <= 0:
        n_free = int(np.sum(~motion.fixed))
        raise DataError(
            f"{n_free} atom{'' if n_free == 1 else 's'} that can move: no vibrations are left "
            f"once {motion.removed} are removed"
        )
    return correlation


def _normalised(
    correlation: BlockedCorrelation, timestep_fs: float, n_modes: int
) -> tuple[np.ndarray, np.ndarray, Estimate, np.ndarray]:
    """Equation (2) for each part.

    Returns:
        Wavenumbers, [n_points]; blocks of the density, [n_parts, n_blocks, n_points]; number of
        modes in each part, [n_parts]; C(0) of each block, [n_blocks] (amu A^2/fs^2).
    """
    mean_squares = correlation.blocks[:, :, 0]
    whole = mean_squares.sum(axis=1)
    c0 = whole.mean()
    # A ratio of means: to first order its error is that of numerator - ratio * denominator.
    excess = (whole - c0) / c0
    densities = []
    for part in range(correlation.blocks.shape[1]):
        wavenumbers, transform = cosine_transform(correlation.blocks[:, part], timestep_fs)
        density = n_modes * transform / c0  # (2)
        density -= density.mean(axis=0) * excess[:, None]
        densities.append(density)
    shares = n_modes * mean_squares / c0
    shares -= shares.mean(axis=0) * excess[:, None]
    return wavenumbers, np.stack(densities), mean_of_blocks(shares), whole


def _temperature(twice_kinetic: np.ndarray, motion: VibrationalMotion) -> Estimate:
    """Of the vibrations, from C(0) in each block, [n_blocks] (amu A^2/fs^2)."""
    if not motion.mass_weighted:
        return Estimate(float("nan"), float("nan"), len(twice_kinetic))
    return mean_of_blocks(twice_kinetic / (ASE_TIME_PER_FS**2 * motion.n_modes * EV_PER_KELVIN))


def _checks(
    total: VibrationalSpectrum,
    motion: VibrationalMotion,
    integrals: Estimate,
    expected: np.ndarray,
    temperature_K: float | None,
    dynamics: Dynamics,
    harmonic_per_cm: np.ndarray | None,
) -> tuple[Check, ...]:
    """Everything the density of states can be held against."""
    checks = [thermostat_check(dynamics, total.resolution_per_cm)]
    if temperature_K is not None and motion.mass_weighted:  # else normalised by what is found
        checks.append(modes_check(total.kinetic_temperature_K, temperature_K, total.n_modes))
    if motion.mass_weighted and np.sum(expected > SMALLEST_GROUP) > 1:
        checks.append(equipartition_check(motion.labels, integrals, expected))
    splitting = motion.line_splitting_per_cm()
    if splitting is not None:
        checks.append(rotation_check(splitting, total.resolution_per_cm))
    if harmonic_per_cm is not None and motion.mass_weighted:
        harmonic = np.asarray(harmonic_per_cm, np.float64)
        checks.append(harmonic_check(_root_mean_square(total, harmonic.max()), harmonic))
    return tuple(checks)


def _root_mean_square(total: VibrationalSpectrum, largest_per_cm: float) -> Estimate:
    """Root mean square wavenumber of a density of states (1/cm)."""
    inside = total.wavenumbers_per_cm <= HARMONIC_RANGE * largest_per_cm
    k = total.wavenumbers_per_cm[inside]
    squares = np.trapezoid(total.blocks[:, inside] * k**2, k, axis=1)
    norms = np.trapezoid(total.blocks[:, inside], k, axis=1)
    ratio = squares.mean() / norms.mean()
    deviations = (squares - ratio * norms) / norms.mean()
    window = total.resolution_per_cm**2 / 8  # the curvature of the Hann window at lag 0
    root = float(np.sqrt(max(0.0, ratio - window)))
    error = mean_of_blocks(deviations).standard_error
    return Estimate(root, error / (2 * root) if root else float("nan"), total.n_blocks)
