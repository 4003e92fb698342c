"""Numbers that look as if a file declared another unit than it has.

A length in bohr or nm that is taken for A, or a velocity in A/ps taken for A/fs, makes every result
wrong without an error. Two things are known of any run: atoms that are neighbours are about a bond
apart, and they are not hotter than a star.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from ase.data import chemical_symbols, covalent_radii

from md_runs.trajectories.trajectory import Trajectory
from mlpotential.errors import RunError
from mlpotential.units import ASE_TIME_PER_FS, EV_PER_KELVIN

SHORTEST_BOND, LONGEST_BOND = 0.5, 1.75  # chosen: times the sum of covalent radii; bohr taken for A
# makes 1.89 of a bond, nm 0.1
SMALLEST_MOLECULE = 0.08  # chosen: of a bond, the longest distance of all; nm makes 0.1 of one
NOBLE_GASES = (2, 10, 18, 36, 54, 86)  # no bonds
MAX_TEMPERATURE_K = 1e5  # chosen: A/ps taken for A/fs makes 3e8 K of 300 K
MAX_ATOMS_ALL_PAIRS = 2000  # chosen: distances of all pairs take 32 MB


def warn_of_wrong_units(trajectory: Trajectory, run: Any) -> None:
    """Looks at the first frame of what was read of `run`, its path.

    Raises:
        RunError: atoms that are nearly on one point: what was read are no positions.

    Warns:
        UserWarning: a shortest distance that is no bond, or a temperature out of this world.
    """
    numbers = trajectory.atomic_numbers
    if trajectory.has_positions and 1 < len(numbers) <= MAX_ATOMS_ALL_PAIRS:
        first = np.asarray(trajectory.positions[0:1][0, 0], np.float64)
        _check_distances(first, numbers, not np.isin(numbers, NOBLE_GASES).any(), run)
    velocities = trajectory.velocities_angstrom_per_fs
    if velocities is not None:
        first = np.asarray(velocities[0:1][0, 0], np.float64) / ASE_TIME_PER_FS
        twice_kinetic = np.einsum("i,ix,ix->", trajectory.masses, first, first)
        temperature_K = twice_kinetic / (3 * len(numbers) * EV_PER_KELVIN)
        if temperature_K > MAX_TEMPERATURE_K:
            warnings.warn(
                f"the velocities of the first frame are those of {temperature_K:.2g} K: are they "
                "in the unit that the file declares?",
                stacklevel=3,
            )


def _check_distances(positions: np.ndarray, numbers: np.ndarray, has_bonds: bool, run: Any) -> None:
    distances = np.linalg.norm(positions[:, None] - positions, axis=-1)
    if not np.isfinite(distances).all():
        return  # not finite: the analysis names the frame
    bonds = covalent_radii[numbers][:, None] + covalent_radii[numbers]
    longest = distances.max()
    np.fill_diagonal(distances, np.inf)
    ratios = distances / bonds
    i, j = np.unravel_index(int(np.argmin(ratios)), ratios.shape)
    found = (
        f"the shortest distance in the first frame is {distances[i, j]:.3g} A, of "
        f"{chemical_symbols[numbers[i]]} and {chemical_symbols[numbers[j]]}, whose bond has "
        f"{bonds[i, j]:.2g} A"
    )
    if longest < SMALLEST_MOLECULE * bonds.min():
        raise RunError(
            f"{run}: {found}, and no atom is farther than {longest:.3g} A from another: these are "
            "no positions in A. Are they velocities or forces?"
        )
    if has_bonds and not SHORTEST_BOND < ratios[i, j] < LONGEST_BOND:
        warnings.warn(f"{found}: are lengths in the unit that the file declares?", stacklevel=4)
