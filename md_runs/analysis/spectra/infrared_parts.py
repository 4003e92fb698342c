"""Which elements, atoms or modes absorb: an infrared spectrum in parts that add up to it.

The flux of the dipole is a sum over parts, J = sum_g J_g, and the absorption of a part that of its
share in the correlation function, which is made of autocorrelation functions,

    C_g(t) = < J_g(0) . J(t) >, even in t, = (C of J + C of J_g - C of (J - J_g)) / 2.   (1)

A part is negative where it moves against the rest: charges that screen others.

Atoms (and elements) have the flux of their Born charges. Modes have, in the Eckart frame and for
Born charges that do not change, dQ_k/dt d mu / dQ_k; their sum is the absorption of the vibrations,
without that of the rotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from md_runs.analysis.sampling.frame_pieces import Segments
from md_runs.analysis.sampling.uncertainty import mean_of_blocks
from md_runs.analysis.spectra.dynamics import Dynamics
from md_runs.analysis.spectra.infrared import UNIT, InfraredSpectrum, spectrum_of_response
from md_runs.analysis.spectra.response_spectra import response
from md_runs.analysis.spectra.spectrum_checks import thermostat_check
from md_runs.analysis.spectra.spectrum_parts import PARTS_FIELDS, SpectrumParts
from md_runs.analysis.spectra.vibrational_motion import ModeProjection, Removed, VibrationalMotion
from md_runs.analysis.vibrations.mode_intensities import KM_PER_MOL, infrared_intensities
from md_runs.analysis.vibrations.normal_modes import ModeSet
from mlpotential.errors import DataError


@dataclass(frozen=True)
class InfraredParts(SpectrumParts[InfraredSpectrum]):
    """An infrared spectrum and its parts, whose integrals are in km/mol."""

    UNITS: ClassVar[dict[str, str]] = {**dict.fromkeys(PARTS_FIELDS, UNIT), "integrals": "km/mol"}


def infrared_parts(
    fluxes: Segments,
    labels: Sequence[str],
    timestep_fs: float,
    temperature_K: float,
    n_lags: int | None = None,
    *,
    dynamics: Dynamics = Dynamics(),  # noqa: B008
    contiguous: bool = False,
) -> InfraredParts:
    """The infrared spectrum of a run in parts, by (1).

    Args:
        fluxes: segments [n_frames, n_fluxes, 3] (e A/fs), see `infrared.dipole_flux_of_atoms` and
            `dipole_flux_of_modes`: a sequence, an array or an iterator.
        labels: of each flux, [n_fluxes]; those of one label (an element) add up.
        timestep_fs, temperature_K, n_lags, dynamics, contiguous: as of
            `infrared.infrared_spectrum`, and so are the errors.
    """
    names = tuple(dict.fromkeys(labels))
    groups = np.array([[label == name for label in labels] for name in names], np.float64)

    def columns(samples: np.ndarray) -> np.ndarray:
        if samples.ndim != 3 or samples.shape[1:] != (len(labels), 3):
            raise DataError(
                f"{len(labels)} labels need fluxes [n_frames, {len(labels)}, 3], not "
                f"{list(samples.shape)}"
            )
        parts = np.einsum("gi,fix->fgx", groups, samples)
        whole = parts.sum(axis=1, keepdims=True)
        return np.concatenate([whole, parts, whole - parts], axis=1).reshape(len(samples), -1)

    n_parts = len(names)
    channels = np.repeat(np.arange(1 + 2 * n_parts), 3)
    found = response(
        fluxes,
        "fluxes",
        columns,
        channels,
        timestep_fs,
        temperature_K,
        n_lags,
        contiguous,
        are_rates=True,
    )
    total = spectrum_of_response(found, timestep_fs, temperature_K, dynamics)
    of_parts, of_rest = found.blocks[1 : n_parts + 1], found.blocks[n_parts + 1 :]
    blocks = 0.5 * KM_PER_MOL * (found.blocks[0] + of_parts - of_rest)  # (1)
    mean = mean_of_blocks(blocks.swapaxes(0, 1))
    integrals = np.trapezoid(blocks, found.wavenumbers_per_cm, axis=2)
    return InfraredParts(
        total=replace(total, checks=(thermostat_check(dynamics, total.resolution_per_cm),)),
        labels=names,
        intensities=mean.value,
        standard_errors=mean.standard_error,
        integrals=mean_of_blocks(integrals.T),
        blocks=blocks,
    )


def dipole_flux_of_modes(
    velocities: np.ndarray, positions: np.ndarray, modes: ModeSet, born_charges: np.ndarray
) -> np.ndarray:
    """What each mode adds to the flux of one segment, in the frame of the modes.

    Args:
        velocities: [n_frames, n_atoms, 3] (A/fs).
        positions: at the same times, unwrapped, [n_frames, n_atoms, 3] (A).
        modes: of the molecule.
        born_charges: at the structure of the modes, as of `infrared.dipole_flux_of_atoms`,
            [n_atoms, 3, 3] (e).

    Returns:
        [n_frames, n_modes, 3] (e A/fs).

    Raises:
        DataError: shapes that do not belong together, or positions that are wrapped.
    """
    derivatives = infrared_intensities(modes, born_charges).dipole_derivatives
    shape = (len(velocities), *np.shape(modes.positions))
    if np.shape(velocities) != shape or np.shape(positions) != shape:
        raise DataError(
            f"velocities and positions [n_frames, {shape[1]}, 3] are needed, not "
            f"{list(np.shape(velocities))} and {list(np.shape(positions))}"
        )
    removed: Removed = "translation and rotation" if modes.is_free else "translation"
    projection = ModeProjection(modes.modes, modes.positions)
    motion = VibrationalMotion(modes.masses, projection, removed, fixed=modes.fixed)
    rates = motion.columns(np.asarray(velocities, float), np.asarray(positions, float))
    flux: np.ndarray = rates[:, :, None] * derivatives
    return flux
