"""What moved the atoms: it decides which correlation function a run has and how wide its lines are.

Thermostatted ring polymers and centroids (RPMD: I. R. Craig, D. E. Manolopoulos, J. Chem. Phys.
121, 3368 (2004), doi:10.1063/1.1777575; TRPMD: M. Rossi, M. Ceriotti, D. E. Manolopoulos, J. Chem.
Phys. 140, 234116 (2014), doi:10.1063/1.4883861; CMD: J. Cao, G. A. Voth, J. Chem. Phys. 100, 5106
(1994)) approximate the Kubo-transformed correlation function, where classical dynamics has the
classical one.

A harmonic mode under Langevin friction gamma has a velocity spectrum of full width gamma at half
maximum (angular frequency), which is gamma / (2 pi c) in wavenumbers.   (1)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from mlpotential.errors import ConfigError
from mlpotential.settings_checks import check_choice, check_number

Method = Literal["NVE", "Bussi", "Nose-Hoover", "NPT", "Langevin", "GLE", "RPMD", "TRPMD", "CMD"]
PATH_INTEGRAL_METHODS = ("RPMD", "TRPMD", "CMD")
SAMPLING_ONLY = "PIMD"  # of a `Trajectory`: thermostatted beads, whose time has no meaning

# Of velocities in files that do not tell it; au is the atomic unit of time.
VelocityUnit = Literal["A/fs", "A/ps", "nm/ps", "bohr/au", "ASE"]

# As settings of runs spell them.
Ensemble = Literal["langevin", "bussi", "nose-hoover", "nve", "npt-isotropic", "npt"]
RingPolymerDynamics = Literal["pimd", "rpmd", "trpmd"]
NAME_OF_SETTING = {name.lower(): name for name in (*get_args(Method), SAMPLING_ONLY)}
NAME_OF_SETTING["npt-isotropic"] = "NPT"


@dataclass(frozen=True)
class Dynamics:
    """The method that produced a trajectory.

    Attributes:
        method: "NVE"; "Bussi" or "Nose-Hoover", global thermostats that leave lines as they are,
            and "NPT", with a cell that moves slowly beside vibrations;
            "Langevin" or "GLE", which broaden them; "RPMD", "TRPMD" or "CMD", whose spectra come
            from centroids (velocities, dipoles and polarizabilities averaged over beads).
        friction_per_fs: of the Langevin thermostat; None where it is not known.

    Raises:
        ConfigError: an unknown method, or a friction that is not positive or has no thermostat.
    """

    method: Method = "NVE"
    friction_per_fs: float | None = None

    def __post_init__(self) -> None:
        check_choice("the dynamics", self.method, get_args(Method))
        if self.friction_per_fs is not None:
            if self.method != "Langevin":
                raise ConfigError(f"{self.method} has no Langevin friction: leave it out")
            check_number("friction_per_fs", self.friction_per_fs)

    @property
    def is_path_integral(self) -> bool:
        """Whether the correlation function is the Kubo-transformed one."""
        return self.method in PATH_INTEGRAL_METHODS

    @property
    def quantum_correction(self) -> Literal["Kubo", "classical"]:
        """The factor that the correlation function comes with, see `quantum_corrections`."""
        return "Kubo" if self.is_path_integral else "classical"

    @property
    def broadening_per_cm(self) -> float:
        """What the thermostat adds to the width of every line (1/cm); NaN where not known."""
        if self.method == "Langevin" and self.friction_per_fs is not None:
            # Settings of runs take their names from here: no command waits for ASE to be imported.
            from mlpotential.units import WAVENUMBER_PER_INVERSE_FS

            return self.friction_per_fs * WAVENUMBER_PER_INVERSE_FS / (2 * math.pi)  # (1)
        return float("nan") if self.method in ("Langevin", "GLE") else 0.0

    def __str__(self) -> str:
        friction = self.friction_per_fs
        return self.method if friction is None else f"{self.method}, friction {friction:g}/fs"
