"""ASE's integrators, told the degrees of freedom that they heat, and what a restart needs of them.

    Langevin:    E. Vanden-Eijnden and G. Ciccotti, Chem. Phys. Lett. 429, 310 (2006),
                 doi:10.1016/j.cplett.2006.07.086
    Bussi:       G. Bussi, D. Donadio, M. Parrinello, J. Chem. Phys. 126, 014101 (2007),
                 doi:10.1063/1.2408420
    Nose-Hoover: a chain of three, G. J. Martyna, M. L. Klein, M. E. Tuckerman, J. Chem. Phys. 97,
                 2635 (1992), doi:10.1063/1.463940

Langevin friction and noise act on every atom, and ASE's `FixCom` holds the centre of mass: 3N - 3
(its `fixcm=True` does not sample the canonical distribution). Bussi and Nose-Hoover rescale all
momenta by one factor, so the momentum and, for a molecule, the angular momentum stay zero if they
begin at zero: 3N - 6, linear 3N - 5 (see `analysis.vibrations.degrees_of_freedom`). ASE counts 3N
there, which would heat 20 atoms to 111 % of the temperature. Where atoms are fixed (`FixAtoms`) the
others have no centre of mass to hold. What also holds the pressure is in `constant_pressure`.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import numpy as np
from ase import Atoms
from ase.constraints import FixCom
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet

from md_runs.classical.chains import HeatBath, ThermostatState
from md_runs.classical.constant_pressure import MartynaTobiasKlein
from md_runs.classical.settings import ClassicalRun
from md_runs.thermal_velocities import LINEAR_KEY, without_rigid_motion
from mlpotential.units import ASE_TIME_PER_FS, EV_PER_ANGSTROM3_PER_PRESSURE_UNIT


class Integrator(Protocol):
    """Moves its atoms by one time step."""

    atoms: Atoms

    def step(self, forces: np.ndarray) -> np.ndarray:
        """From the forces before the step to those after it, [n_atoms, 3] (eV/A)."""
        ...


class _BussiOfLinear(Bussi):
    """Without the end over end rotation of a linear molecule."""

    def step(self, forces: np.ndarray | None = None) -> np.ndarray:
        forces = super().step(forces)
        atoms = self.atoms
        atoms.set_momenta(without_rigid_motion(atoms, atoms.get_momenta(), rotates=False))
        return forces


class NoseHooverChain:
    """Velocity Verlet between two half steps of ASE's chain, which is told its degrees of freedom.

    ASE's own `NoseHooverChainNVT` counts 3N, and the forces on fixed atoms heat its chain.

    Args:
        atoms: with a calculator and momenta without rigid motion.
        timestep: in ASE's unit of time.
        temperature_K: of the bath.
        time_constant: of the chain, in ASE's unit of time.
        n_dof: degrees of freedom of the momenta.
    """

    def __init__(
        self, atoms: Atoms, timestep: float, temperature_K: float, time_constant: float, n_dof: int
    ) -> None:
        self.atoms, self._timestep = atoms, timestep
        self._masses = atoms.get_masses()[:, None]
        self._bath = HeatBath(self._masses, temperature_K, time_constant, n_dof)

    def step(self, forces: np.ndarray) -> np.ndarray:
        """As of every `Integrator`."""
        atoms, half = self.atoms, 0.5 * self._timestep
        momenta = self._heated(atoms.get_momenta())
        atoms.set_momenta(momenta + half * forces)  # zero of fixed atoms
        velocities = atoms.get_momenta() / self._masses
        atoms.set_positions(atoms.positions + self._timestep * velocities)
        forces = atoms.get_forces(md=True)
        atoms.set_momenta(atoms.get_momenta() + half * forces)
        atoms.set_momenta(self._heated(atoms.get_momenta()))
        if atoms.info.get(LINEAR_KEY):
            atoms.set_momenta(without_rigid_motion(atoms, atoms.get_momenta(), rotates=False))
        return np.asarray(forces)

    def _heated(self, momenta: np.ndarray) -> np.ndarray:
        """After half a time step of the chain."""
        return self._bath.heated(momenta, 0.5 * self._timestep)

    def conserved_energy(self) -> float:
        """Of atoms and bath together (eV)."""
        atoms = self.atoms.get_potential_energy() + self.atoms.get_kinetic_energy()
        return float(atoms) + self._bath.energy

    @property
    def state(self) -> ThermostatState:
        """Of the chain."""
        return self._bath.state

    @state.setter
    def state(self, state: ThermostatState) -> None:
        self._bath.state = state


def make_integrator(
    atoms: Atoms, settings: ClassicalRun, generator: np.random.Generator, n_dof: int
) -> Integrator:
    """Of the ensemble that the settings name.

    Args:
        atoms: with a calculator and momenta without rigid motion; a Langevin run puts a constraint
            on them.
        settings: of the run.
        generator: of a stochastic thermostat's random numbers.
        n_dof: degrees of freedom that the thermostat heats.
    """
    timestep = settings.timestep_fs * ASE_TIME_PER_FS
    temperature_K = settings.temperature_K
    time_constant = settings.time_constant_fs * ASE_TIME_PER_FS
    if settings.ensemble == "nve":
        return VelocityVerlet(atoms, timestep)
    if settings.ensemble == "langevin":
        if not atoms.constraints:  # fixed atoms hold the others
            atoms.set_constraint(FixCom())
        friction = settings.friction_per_fs / ASE_TIME_PER_FS
        return Langevin(
            atoms,
            timestep,
            temperature_K=temperature_K,
            friction=friction,
            fixcm=False,
            rng=generator,
        )
    if settings.pressure_GPa is not None:
        return MartynaTobiasKlein(
            atoms,
            timestep,
            temperature_K,
            settings.pressure_GPa * EV_PER_ANGSTROM3_PER_PRESSURE_UNIT["GPa"],
            (time_constant, settings.barostat_fs * ASE_TIME_PER_FS),
            n_dof,
            keeps_shape=settings.ensemble == "npt-isotropic",
        )
    if settings.ensemble == "nose-hoover":
        return NoseHooverChain(atoms, timestep, temperature_K, time_constant, n_dof)
    bussi = (_BussiOfLinear if atoms.info.get(LINEAR_KEY) else Bussi)(
        atoms, timestep, temperature_K=temperature_K, taut=time_constant, rng=generator
    )
    bussi.ndof = n_dof  # ASE counted 3N
    bussi.target_kinetic_energy = 0.5 * bussi.temp * n_dof
    return bussi


def thermostat_state(integrator: Integrator) -> dict[str, Any]:
    """What a thermostat remembers besides momenta and random numbers; of Bussi the heat (eV)."""
    if isinstance(integrator, NoseHooverChain | MartynaTobiasKlein):
        return integrator.state
    if isinstance(integrator, Bussi):
        return {"transferred_energy": float(integrator.transferred_energy)}
    return {}


def restore_thermostat(integrator: Integrator, state: dict[str, Any]) -> None:
    """Puts what `thermostat_state` told back; nothing where a run begins."""
    if state and isinstance(integrator, NoseHooverChain | MartynaTobiasKlein):
        integrator.state = state
    if state and isinstance(integrator, Bussi):
        integrator.transferred_energy = cast(float, state["transferred_energy"])
