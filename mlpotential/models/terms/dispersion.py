"""London dispersion by the programs of its authors: D3(BJ) and D4.

S. Grimme, J. Antony, S. Ehrlich, H. Krieg, J. Chem. Phys. 132, 154104 (2010), with the damping of
J. Comput. Chem. 32, 1456 (2011); E. Caldeweyher et al., J. Chem. Phys. 150, 154122 (2019). The
packages dftd3 and dftd4 compute it, with exact forces and stress.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpotential.errors import ConfigError
from mlpotential.units import ANGSTROM_PER_BOHR, EV_PER_HARTREE

MODULES = {"d3": "dftd3.interface", "d4": "dftd4.interface"}


class Dispersion:
    """Of one functional, whatever the structure.

    Args:
        method: d3 or d4.
        functional: whose missing dispersion it is, such as pbe.

    Raises:
        ConfigError: if the package is not installed, or does not know the functional.
    """

    def __init__(self, method: str, functional: str) -> None:
        self._interface, self._damping = _parameters(method, functional)

    def evaluate(
        self,
        atomic_numbers: np.ndarray,
        positions: np.ndarray,
        cell: np.ndarray | None = None,
        pbc: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One structure.

        Args:
            atomic_numbers: [n_atoms].
            positions: [n_atoms, 3] (A).
            cell: lattice vectors as rows, [3, 3] (A); None for a molecule.
            pbc: periodic directions, [3].

        Returns:
            Atomic energies, [n_atoms] (eV), forces, [n_atoms, 3] (eV/A), and virial, [3, 3] (eV).
        """
        lattice: dict[str, Any] = {}
        if cell is not None:
            lattice = {"lattice": cell / ANGSTROM_PER_BOHR, "periodic": np.asarray(pbc, bool)}
        model = self._interface.DispersionModel(
            np.asarray(atomic_numbers), positions / ANGSTROM_PER_BOHR, **lattice
        )
        found = model.get_dispersion(self._damping, grad=True)
        pairs = sum(model.get_pairwise_dispersion(self._damping).values())
        atomic = 0.5 * (pairs.sum(axis=0) + pairs.sum(axis=1))
        return (
            atomic * EV_PER_HARTREE,
            -found["gradient"] * (EV_PER_HARTREE / ANGSTROM_PER_BOHR),
            -found["virial"] * EV_PER_HARTREE,
        )


def _parameters(method: str, functional: str) -> tuple[Any, Any]:
    """The module of the method, and its damping for the functional."""
    from importlib import import_module

    try:
        interface = import_module(MODULES[method])
    except ImportError as error:
        package = MODULES[method].partition(".")[0]
        raise ConfigError(
            f"the model has a {method} dispersion term, which the package {package} computes: "
            "pip install 'mlpotential[dispersion]'"
        ) from error
    damping = interface.RationalDampingParam if method == "d3" else interface.DampingParam
    try:
        return interface, damping(method=functional)
    except RuntimeError as error:
        raise ConfigError(f"{method} knows no functional {functional!r}: {error}") from error
