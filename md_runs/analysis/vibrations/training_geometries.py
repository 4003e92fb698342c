"""Geometries that classical MD does not visit and a model has to know: near rest, and beads.

With many vibrations no frame of a warm run is near the minimum, where the errors of soft modes
show, and the forces there are too small for a loss to see; zero-point motion takes beads beyond any
classical run of the same temperature.
"""

from __future__ import annotations

import numpy as np
from ase.units import kB

from md_runs.analysis.vibrations.normal_modes import (
    NormalModes,
    cartesian_displacements,
    curvatures_of_wavenumbers,
)
from mlpotential.errors import ConfigError
from mlpotential.settings_checks import check_count, check_number, require


def positions_near_minimum(
    modes: NormalModes,
    n_frames: int,
    softest_per_cm: float,
    largest_angstrom: float,
    temperature_K: float,
    random: np.random.Generator,
) -> np.ndarray:
    """A stationary point, displaced far along its soft modes and little along the others.

    Soft are those below `softest_per_cm`, imaginary ones included: each is displaced uniformly by
    up to `largest_angstrom` (the length of the vector of all atoms' displacements). The others are
    those of harmonic oscillators, <q^2> = kT / omega^2 with mass-weighted q.

    Args:
        modes: at the stationary point.
        n_frames: how many.
        softest_per_cm: the wavenumber below which modes are soft (1/cm).
        largest_angstrom: of a soft mode (A).
        temperature_K: of the other modes, far below that of any run (K).
        random: the source of all numbers.

    Returns:
        [n_frames, n_atoms, 3] (A).

    Raises:
        ConfigError: senseless numbers, or no soft mode.
    """
    check_count("n_frames", n_frames)
    for name, value in (("largest_angstrom", largest_angstrom), ("temperature_K", temperature_K)):
        check_number(name, value)
    soft = modes.wavenumbers_per_cm < softest_per_cm
    if not soft.any():
        raise ConfigError(
            f"no mode is below {softest_per_cm:g} 1/cm: the softest is at "
            f"{modes.wavenumbers_per_cm[0]:.1f} 1/cm"
        )
    stiff = modes.wavenumbers_per_cm[~soft]
    widths = np.sqrt(kB * temperature_K / curvatures_of_wavenumbers(stiff))  # sqrt(amu) A
    far = random.uniform(-largest_angstrom, largest_angstrom, (n_frames, soft.sum()))
    little = widths * random.normal(size=(n_frames, len(stiff)))
    moved = np.einsum("fk,kad->fad", far, cartesian_displacements(modes)[soft])
    moved += np.einsum("fk,kad->fad", little, modes.modes[~soft]) / np.sqrt(modes.masses)[:, None]
    return modes.positions + moved


def stretched_from_centroid(ring_polymers: np.ndarray, factor: float) -> np.ndarray:
    """Beads farther from their centroid than dynamics takes them.

    A model that knows beads only as far as a run went makes up what lies just beyond, and may hold
    them there.

    Args:
        ring_polymers: [..., n_beads, n_atoms, 3] (A).
        factor: of the displacements from the centroid, more than 1.

    Returns:
        Of the same shape.
    """
    require(factor > 1.0, "factor", "more than 1", factor)
    centroid = ring_polymers.mean(axis=-3, keepdims=True)
    return np.asarray(centroid + factor * (ring_polymers - centroid))
