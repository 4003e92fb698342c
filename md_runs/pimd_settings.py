"""What a path-integral run is: settings only, importable without torch or i-PI."""

from __future__ import annotations

from dataclasses import dataclass

from md_runs.settings_checks import check_count, check_number
from mlpotential.errors import ConfigError


@dataclass(frozen=True)
class PimdRun:
    """A path-integral run at constant temperature.

    The thermostat is PILE-L (Ceriotti et al., J. Chem. Phys. 133, 124104 (2010)): optimally damped
    Langevin on the internal modes of the ring polymer, and on the centroid of every degree of
    freedom by itself. The global variant PILE-G disturbs the centroid less, but leaves it to the
    potential to spread energy among the modes, which a small stiff molecule does too slowly.

    Attributes:
        n_steps: length of the run; the only setting that may grow in a folder with a run.
        n_beads: replicas of the ring polymer; 1 is classical.
        temperature_K: of the quantum ensemble.
        timestep_fs: of the integrator.
        thermostat_time_fs: friction time of the centroid; chosen: 100 fs, a few vibrations.
        stride: steps between stored positions of all beads.
        properties_stride: steps between stored energies and temperatures.
        checkpoint_stride: steps between checkpoints: what is lost at most when the run is killed.
        seed: of initial velocities and thermostat.
        fix_center_of_mass: remove its motion; temperatures count 3 degrees of freedom less.

    Raises:
        ConfigError: for a value of the wrong type or out of range.
    """

    n_steps: int
    n_beads: int = 8
    temperature_K: float = 300.0
    timestep_fs: float = 0.5
    thermostat_time_fs: float = 100.0
    stride: int = 10
    properties_stride: int = 10
    checkpoint_stride: int = 1000
    seed: int = 0
    fix_center_of_mass: bool = True

    def __post_init__(self) -> None:
        for name in ("n_steps", "n_beads", "stride", "properties_stride", "checkpoint_stride"):
            check_count(name, getattr(self, name))
        check_count("seed", self.seed, smallest=0)
        for name in ("temperature_K", "timestep_fs", "thermostat_time_fs"):
            check_number(name, getattr(self, name))
        if not isinstance(self.fix_center_of_mass, bool):
            raise ConfigError(
                f"fix_center_of_mass must be true or false, not {self.fix_center_of_mass!r}"
            )
