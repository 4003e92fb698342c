"""Nose-Hoover chains of three that are told how many degrees of freedom they heat.

G. J. Martyna, M. L. Klein, M. E. Tuckerman, J. Chem. Phys. 97, 2635 (1992), doi:10.1063/1.463940.
The chain is ASE's, which by itself counts 3N.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from ase.md.nose_hoover_chain import NoseHooverChainThermostat

ThermostatState = dict[str, float | list[float]]


class HeatBath:
    """A chain on some momenta.

    Args:
        masses: of the momenta, of a shape that divides them (amu, or eV ASE time^2 of a cell).
        temperature_K: of the bath.
        time_constant: of the chain, in ASE's unit of time.
        n_dof: degrees of freedom of the momenta.
    """

    def __init__(
        self, masses: np.ndarray, temperature_K: float, time_constant: float, n_dof: int
    ) -> None:
        self._chain = NoseHooverChainThermostat(
            num_atoms_global=cast(int, n_dof / 3),  # enters as 3 n_atoms alone
            masses=masses,
            temperature_K=temperature_K,
            tdamp=time_constant,
        )

    def heated(self, momenta: np.ndarray, time: float) -> np.ndarray:
        """The momenta after some time of the chain (ASE time); the array itself is changed."""
        with np.errstate(over="ignore", invalid="ignore"):  # an explosion is found after the step
            return np.asarray(self._chain.integrate_nhc(momenta, time))

    @property
    def energy(self) -> float:
        """Of the chain: what it has taken out of the momenta (eV)."""
        return float(self._chain.get_thermostat_energy())

    @property
    def state(self) -> ThermostatState:
        """Positions (1) and momenta (eV ASE time) of the thermostats."""
        return {"positions": self._chain._eta.tolist(), "momenta": self._chain._p_eta.tolist()}

    @state.setter
    def state(self, state: ThermostatState) -> None:
        self._chain._eta = np.array(state["positions"])
        self._chain._p_eta = np.array(state["momenta"])
