"""Constant temperature and pressure: the cell moves with the atoms in it.

    G. J. Martyna, D. J. Tobias, M. L. Klein, J. Chem. Phys. 101, 4177 (1994),
    doi:10.1063/1.467468; the step is that of G. J. Martyna, M. E. Tuckerman, D. J. Tobias,
    M. L. Klein, Mol. Phys. 87, 1117 (1996), doi:10.1080/00268979600100761.

With positions r, momenta p and lattice vectors h (as rows), the rate of strain D = p_g / W, a
symmetric matrix (so the cell does not turn), the stress s = dU/dstrain / V, N_f degrees of freedom
and a Nose-Hoover chain each on p and on p_g,

    dr/dt   = p / m + D r                                                       (1)
    dp/dt   = F - (D + Tr(D) / N_f) p                                           (2)
    dh/dt   = h D                                                               (3)
    dp_g/dt = sum p p / m - V s - P V + (2 K / N_f)                             (4)
    W       = (N_f + 3) kT t^2 / 3,   t the time constant of the barostat       (5)

conserve K + U + P V + Tr(p_g p_g) / 2W and the energies of the chains.   (6)
Where the cell keeps its shape (4) is replaced by its trace over three: one degree of freedom, else
the six of a symmetric matrix.

A crystal's momentum is zero and stays zero, so that N_f = 3N - 3 in the chain, in (2), (4) and (5).
ASE's `IsotropicMTKNPT` and `MTKNPT` count 3N there, and the latter nine of a cell that does not
turn: 32 atoms would be 3 % too hot, and the cell half as hot again as the atoms. With the right
counts volumes have the weight V^(N - 1) exp(-P V / kT) of N atoms in a cell without its translation
(an ideal gas has the mean volume N kT / P), and the mean of the pressure is P.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.units import kB
from scipy.special import exprel

from md_runs.classical.chains import HeatBath
from md_runs.trajectories.structure_file import check_volume_change, check_wider_than_cutoff
from mlpotential.errors import StructureError

N_OF_SHAPE, N_OF_VOLUME = 6, 1  # degrees of freedom of a cell


class MartynaTobiasKlein:
    """One time step of atoms and cell, (1) to (5).

    Args:
        atoms: with a calculator that gives the stress, and momenta without that of the whole.
        timestep: in ASE's unit of time.
        temperature_K: of both baths.
        pressure: from outside (eV/A^3).
        time_constants: of the thermostat and of the barostat, in ASE's unit of time.
        n_dof: degrees of freedom of the momenta, N_f.
        keeps_shape: the cell changes its volume alone.
    """

    def __init__(
        self,
        atoms: Atoms,
        timestep: float,
        temperature_K: float,
        pressure: float,
        time_constants: tuple[float, float],
        n_dof: int,
        keeps_shape: bool,
    ) -> None:
        self.atoms, self._timestep, self._pressure = atoms, timestep, pressure
        self._n_dof, self._keeps_shape = n_dof, keeps_shape
        self._masses = atoms.get_masses()[:, None]
        of_atoms, of_cell = time_constants
        self._cell_mass = (n_dof + 3) * kB * temperature_K * of_cell**2 / 3  # (5)
        self._cell_momentum = np.zeros((3, 3))
        self._bath = HeatBath(self._masses, temperature_K, of_atoms, n_dof)
        n_of_cell = N_OF_VOLUME if keeps_shape else N_OF_SHAPE
        cell_mass = np.array(self._cell_mass)
        self._cell_bath = HeatBath(cell_mass, temperature_K, of_cell, n_of_cell)

    def step(self, forces: np.ndarray) -> np.ndarray:
        """From the forces before the step to those after it, [n_atoms, 3] (eV/A).

        Raises:
            StructureError: the cell has become smaller than the cutoff, or bursts.
        """
        atoms, half = self.atoms, 0.5 * self._timestep
        with np.errstate(over="ignore", invalid="ignore"):  # an explosion is found after the step
            self._cell_momentum = self._cell_bath.heated(self._cell_momentum, half)
            momenta = self._bath.heated(atoms.get_momenta(), half)
            self._push_cell(momenta, half)
            momenta = self._pushed(momenta, forces, half)
            self._move(momenta)
            check_wider_than_cutoff(atoms)
            forces = np.asarray(atoms.get_forces(md=True))
            momenta = self._pushed(momenta, forces, half)
            self._push_cell(momenta, half)
            atoms.set_momenta(self._bath.heated(momenta, half))
            self._cell_momentum = self._cell_bath.heated(self._cell_momentum, half)
        return forces

    def _push_cell(self, momenta: np.ndarray, time: float) -> None:
        """Changes the momentum of the cell by (4)."""
        volume, kinetic = self.atoms.get_volume(), momenta.T @ (momenta / self._masses)
        stress = self.atoms.get_stress(voigt=False)
        inward = self._pressure * volume - np.trace(kinetic) / self._n_dof
        rate = kinetic - volume * stress - inward * np.eye(3)  # (4)
        if self._keeps_shape:
            rate = np.trace(rate) / 3 * np.eye(3)
        self._cell_momentum = self._cell_momentum + time * rate
        if not np.isfinite(self._cell_momentum).all():
            raise StructureError("the motion of the cell is not finite")

    def _pushed(self, momenta: np.ndarray, forces: np.ndarray, time: float) -> np.ndarray:
        """The exact solution of (2) at constant force and rate of strain."""
        rates, axes = np.linalg.eigh(self._cell_momentum / self._cell_mass)
        x = -time * (rates + rates.sum() / self._n_dof)
        pushed: np.ndarray = (momenta @ axes) * np.exp(x) + time * (forces @ axes) * exprel(x)
        return pushed @ axes.T

    def _move(self, momenta: np.ndarray) -> None:
        """The exact solution of (1) and (3) at constant momenta."""
        time = self._timestep
        rates, axes = np.linalg.eigh(self._cell_momentum / self._cell_mass)
        check_volume_change(time * rates.sum())
        x = time * rates
        along = (self.atoms.positions @ axes) * np.exp(x)
        along = along + time * ((momenta / self._masses) @ axes) * exprel(x)
        self.atoms.set_cell((self.atoms.cell.array @ axes) * np.exp(x) @ axes.T)
        self.atoms.set_positions(along @ axes.T)

    @property
    def pressure(self) -> float:
        """Of the atoms now, kinetic and of the stress (eV/A^3)."""
        volume, twice_kinetic = self.atoms.get_volume(), 2 * self.atoms.get_kinetic_energy()
        stress = self.atoms.get_stress(voigt=False)
        return float(twice_kinetic / volume - np.trace(stress)) / 3

    def conserved_energy(self) -> float:
        """Of atoms, cell and baths together, (6) (eV)."""
        atoms = self.atoms.get_potential_energy() + self.atoms.get_kinetic_energy()
        of_cell = np.sum(self._cell_momentum**2) / (2 * self._cell_mass)
        of_volume = self._pressure * self.atoms.get_volume()
        return float(atoms + of_cell + of_volume + self._bath.energy + self._cell_bath.energy)

    @property
    def state(self) -> dict[str, object]:
        """Momentum of the cell, [3, 3] (eV ASE time), and the chains."""
        return {
            "cell momentum": self._cell_momentum.tolist(),
            "chain": self._bath.state,
            "chain of the cell": self._cell_bath.state,
        }

    @state.setter
    def state(self, state: dict[str, object]) -> None:
        self._cell_momentum = np.array(state["cell momentum"])
        self._bath.state = state["chain"]  # type: ignore[assignment]
        self._cell_bath.state = state["chain of the cell"]  # type: ignore[assignment]
