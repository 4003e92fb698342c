"""Whether frames follow each other closely enough for the motion that they hold.

Frames h apart tell wavenumbers up to the Nyquist limit

    k_N = 1 / (2 c h);   (1)

a line beyond is folded back to where nothing vibrates, and every other check passes. Three signs of
that are looked for. The spectrum has not ended where it must end. Velocities and positions
contradict each other: central differences of the positions hold a share of the kinetic energy of

    sum_k D(k) sinc(2 pi c k h)^2 / sum_k D(k),   sinc(y) = sin(y) / y,   (2)

D being the density of states, if its lines are where the atoms vibrate, and less if these are
faster (velocities in another unit give any number). Or atoms are bonded whose stretch

    k = sqrt(f / mu) / (2 pi c)   (3)

lies beyond, with a force constant f that single bonds of light elements at least have.
"""

from __future__ import annotations

import numpy as np
from ase.data import covalent_radii

from md_runs.analysis.sampling.uncertainty import Estimate, mean_of_blocks
from md_runs.analysis.spectra.spectrum_checks import Check, check
from md_runs.analysis.vibrations.degrees_of_freedom import DegreesOfFreedom
from mlpotential.units import WAVENUMBER_PER_INVERSE_FS

END_SHARE = 0.05  # chosen: of the range below the limit, where no line should lie
END_TOLERANCE = 0.01  # chosen: of the integral; noise without any line has 0.05
DIFFERENCES_TOLERANCE = 0.1  # chosen: exact for small steps; velocity Verlet itself gives up to 1
N_WINDOWS, WINDOW_FRAMES = 20, 50  # chosen: to know (2) to a few per cent
LIGHT_ELEMENTS = (1, 6, 7, 8, 9)
# mdyn/A; chosen: what single bonds have at least, hydrogen bonds or not. With hydrogen, by partner.
FORCE_CONSTANT = 4.5
FORCE_CONSTANTS_OF_HYDRIDES = {6: 4.6, 7: 5.8, 8: 6.4, 9: 8.0}  # 2900, 3200, 3400, 3800 1/cm
PER_CM_OF_FORCE_CONSTANT = 1302.79  # sqrt(mdyn/A/amu) / (2 pi c)
LONGEST_BOND = 1.25  # chosen: of the sum of covalent radii


def nyquist_limit_per_cm(timestep_fs: float) -> float:
    """Equation (1) for frames `timestep_fs` apart."""
    return WAVENUMBER_PER_INVERSE_FS / (2 * timestep_fs)


def limit_check(
    wavenumbers_per_cm: np.ndarray, blocks: np.ndarray, timestep_fs: float
) -> Check | None:
    """A spectrum has ended before the limit; None for one that was cut off before.

    Args:
        wavenumbers_per_cm: [n_points].
        blocks: of the intensity, [n_blocks, n_points].
        timestep_fs: between frames.
    """
    k, limit = wavenumbers_per_cm, nyquist_limit_per_cm(timestep_fs)
    end = k >= (1 - END_SHARE) * k[-1]
    if k[-1] < 0.75 * limit or end.sum() < 2:
        return None
    shares = np.trapezoid(blocks[:, end], k[end], axis=1)
    whole = np.trapezoid(blocks, k, axis=1).mean()
    found = mean_of_blocks(shares / whole)
    # An intensity may scatter below 0.
    found = Estimate(max(0.0, float(found.value)), found.standard_error, found.n_blocks)
    remark = (
        f"share of the intensity just below the limit of {limit:.0f} 1/cm: lines beyond it are "
        "folded back, or positions are rounded; record frames more often"
    )
    return check("sampling (end of the spectrum)", found, 0.0, END_TOLERANCE, remark)


def differences_check(
    velocities: np.ndarray,
    positions: np.ndarray,
    freedom: DegreesOfFreedom,
    timestep_fs: float,
    wavenumbers_per_cm: np.ndarray,
    density: np.ndarray,
) -> Check:
    """Central differences of positions hold the kinetic energy that (2) leaves them.

    Args:
        velocities: as recorded, [n_frames, n_atoms, 3] (A/fs).
        positions: unwrapped, of the same frames (A).
        freedom: whose rigid motion is taken off both.
        timestep_fs: between frames.
        wavenumbers_per_cm: [n_points].
        density: of states, [n_points].
    """
    starts = np.linspace(0, max(0, len(velocities) - WINDOW_FRAMES - 2), N_WINDOWS).astype(int)
    energies = np.zeros((len(starts), 2))
    for window, start in enumerate(starts):
        r = np.asarray(positions[start : start + WINDOW_FRAMES + 2], np.float64)
        v = np.asarray(velocities[start + 1 : start + len(r) - 1], np.float64)
        differences = (r[2:] - r[:-2]) / (2 * timestep_fs)
        for column, motion in enumerate((differences, v)):
            relative = freedom.without_rigid_motion(motion, r[1:-1])
            energies[window, column] = np.einsum("i,fix,fix->", freedom.masses, relative, relative)
    share = float(energies[:, 0].sum() / energies[:, 1].sum())
    phase = 2 * wavenumbers_per_cm * timestep_fs / WAVENUMBER_PER_INVERSE_FS
    expected = float(np.sum(density * np.sinc(phase) ** 2) / density.sum())  # (2)
    passed = expected - DIFFERENCES_TOLERANCE <= share <= 1 + DIFFERENCES_TOLERANCE
    return Check(
        name="sampling (velocities against positions)",
        value=share,
        standard_error=float("nan"),
        expected=expected,
        tolerance=DIFFERENCES_TOLERANCE,
        unit="1",
        passed=passed,
        remark="share of the kinetic energy in differences of positions: atoms vibrate faster than "
        "frames are recorded, or velocities are in another unit"
        if not passed
        else "",
    )


def fastest_stretch(
    positions: np.ndarray, atomic_numbers: np.ndarray, masses: np.ndarray
) -> tuple[float, int, int] | None:
    """The highest wavenumber (3) (1/cm) of two bonded atoms and these; None without such a bond.

    Args:
        positions: of one frame, [n_atoms, 3] (A).
        atomic_numbers: [n_atoms].
        masses: [n_atoms] (amu).
    """
    light = np.flatnonzero(np.isin(atomic_numbers, LIGHT_ELEMENTS))
    if not 1 < len(light) <= 2000:  # distances of all pairs take 32 MB
        return None
    r, m, radii = positions[light], masses[light], covalent_radii[atomic_numbers[light]]
    distances = np.linalg.norm(r[:, None] - r, axis=-1)
    np.fill_diagonal(distances, np.inf)
    bonded = distances < LONGEST_BOND * (radii[:, None] + radii)
    if not bonded.any():
        return None
    z = np.asarray(atomic_numbers)[light]
    constants = np.full(bonded.shape, FORCE_CONSTANT)
    for partner, constant in FORCE_CONSTANTS_OF_HYDRIDES.items():
        is_hydride = (z[:, None] == 1) & (z == partner)
        constants[is_hydride | is_hydride.T] = constant
    stretches = PER_CM_OF_FORCE_CONSTANT * np.sqrt(constants * (1 / m[:, None] + 1 / m))  # (3)
    stretches[~bonded] = 0.0
    i, j = (int(k) for k in np.unravel_index(int(stretches.argmax()), stretches.shape))
    return float(stretches[i, j]), int(light[i]), int(light[j])
