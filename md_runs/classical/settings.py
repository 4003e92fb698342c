"""What a classical run is told, as plain settings. Free of torch and of ASE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from md_runs.analysis.spectra.dynamics import NAME_OF_SETTING, Ensemble
from mlpotential.errors import ConfigError
from mlpotential.settings_checks import check_choice, check_count, check_number

ENSEMBLES = get_args(Ensemble)
SHORTEST = 8  # time steps; chosen: a period of the chain is 2 pi time constants


@dataclass(frozen=True)
class ClassicalRun:
    """Settings of a classical run.

    Attributes:
        ensemble: langevin, bussi and nose-hoover are thermostats (constant temperature), nve keeps
            the energy.
        temperature_K: of the thermostat and of the velocities drawn at the start (K); 0 starts an
            NVE or Langevin run at rest.
        timestep_fs: time step of the integrator (fs).
        n_steps: length of the run (time steps); the same folder can be continued with more.
        stride: time steps from one recorded frame to the next.
        friction_per_fs: of the Langevin thermostat (1/fs).
        time_constant_fs: in which a Bussi or Nose-Hoover thermostat relaxes the temperature (fs).
        seed: of the random numbers of first velocities and thermostat.
        checkpoint_stride: time steps from one checkpoint to the next: what a killed run repeats.
    """

    ensemble: Ensemble = "langevin"
    temperature_K: float = 300.0
    timestep_fs: float = 0.5
    n_steps: int = 2000
    stride: int = 10
    friction_per_fs: float = 0.01
    time_constant_fs: float = 100.0
    seed: int = 0
    checkpoint_stride: int = 5000

    def __post_init__(self) -> None:
        check_choice("ensemble", self.ensemble, ENSEMBLES)
        for name in ("timestep_fs", "friction_per_fs", "time_constant_fs"):
            check_number(name, getattr(self, name))
        check_number("temperature_K", self.temperature_K, zero_allowed=not self.rescales)
        for name in ("n_steps", "stride", "checkpoint_stride"):
            check_count(name, getattr(self, name))
        check_count("seed", self.seed, smallest=0)
        if self.ensemble == "langevin" and self.friction_per_fs * self.timestep_fs >= 1.0:
            raise ConfigError(
                f"friction_per_fs times timestep_fs is "
                f"{self.friction_per_fs * self.timestep_fs:g}; the integrator needs it below 1: "
                "lower the friction or the time step"
            )
        if self.ensemble == "nose-hoover" and self.time_constant_fs < SHORTEST * self.timestep_fs:
            raise ConfigError(
                f"time_constant_fs is {self.time_constant_fs:g}; a Nose-Hoover chain needs "
                f"at least {SHORTEST} time steps, {SHORTEST * self.timestep_fs:g} fs (usual: 100)"
            )

    @property
    def rescales(self) -> bool:
        """Whether the thermostat multiplies all momenta by one factor (Bussi, Nose-Hoover)."""
        return self.ensemble in ("bussi", "nose-hoover")

    @property
    def rotates(self) -> bool:
        """Whether a molecule's rotation is thermal (Langevin) or absent (all others)."""
        return self.ensemble == "langevin"

    @property
    def recorded(self) -> dict[str, Any]:
        """Of the settings those that readers of its frames want to know, as of `FrameHeader`."""
        is_nve, has_friction = self.ensemble == "nve", self.ensemble == "langevin"
        return {
            "dynamics": NAME_OF_SETTING[self.ensemble],
            "temperature_K": None if is_nve else self.temperature_K,
            "friction_per_fs": self.friction_per_fs if has_friction else None,
        }
