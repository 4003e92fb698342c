"""What a run leaves behind: positions (of every bead) in time, with whatever else was recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Trajectory:
    """A run of one structure; a classical run has one bead. Quantities not recorded are None.

    Attributes:
        atomic_numbers: [n_atoms].
        masses: [n_atoms] (amu).
        times_fs: [n_frames], ascending.
        positions: unwrapped, [n_frames, n_beads, n_atoms, 3] (A).
        velocities_angstrom_per_fs: [n_frames, n_beads, n_atoms, 3].
        forces: [n_frames, n_beads, n_atoms, 3] (eV/A).
        energies: potential energies, [n_frames, n_beads] (eV).
        cells: lattice vectors as rows, [n_frames, 3, 3] (A); None for a molecule.
        pbc: periodic directions, [3].
        dipoles: [n_frames, n_beads, 3] (e A).
        temperature_K: of the thermostat, or that velocities were drawn at.
        dynamics: what moved the atoms, a method of `analysis.dynamics`, or "PIMD" (thermostatted
            beads: statistics only); None where it is not known.
        integration_timestep_fs: step of the integrator, where it is known.
    """

    atomic_numbers: np.ndarray
    masses: np.ndarray
    times_fs: np.ndarray
    positions: np.ndarray
    velocities_angstrom_per_fs: np.ndarray | None = None
    forces: np.ndarray | None = None
    energies: np.ndarray | None = None
    cells: np.ndarray | None = None
    pbc: tuple[bool, bool, bool] = (False, False, False)
    dipoles: np.ndarray | None = None
    temperature_K: float | None = None
    dynamics: str | None = None
    integration_timestep_fs: float | None = None

    @property
    def n_frames(self) -> int:
        """Number of recorded frames."""
        return self.positions.shape[0]

    @property
    def n_beads(self) -> int:
        """Number of beads; 1 for a classical run."""
        return self.positions.shape[1]

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return self.positions.shape[2]
