"""What a classical run is told, as plain settings. Free of torch and of ASE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from md_runs.analysis.spectra.dynamics import NAME_OF_SETTING, Ensemble
from mlpotential.errors import ConfigError
from mlpotential.settings_checks import (
    check_choice,
    check_count,
    check_number,
    is_finite_number,
    require,
)

ENSEMBLES = get_args(Ensemble)
SHORTEST = 8  # time steps; chosen: a period of the chain is 2 pi time constants
BAROSTAT_FS = 1000.0  # chosen: slow beside vibrations, as is usual


@dataclass(frozen=True)
class ClassicalRun:
    """Settings of a classical run.

    Attributes:
        ensemble: langevin, bussi and nose-hoover are thermostats (constant temperature), nve keeps
            the energy. npt-isotropic and npt hold the pressure, too, of a periodic structure: its
            cell changes its volume, or its shape as well.
        temperature_K: of the thermostat and of the velocities drawn at the start (K); 0 starts an
            NVE or Langevin run at rest.
        timestep_fs: time step of the integrator (fs).
        n_steps: length of the run (time steps); the same folder can be continued with more.
        stride: time steps from one recorded frame to the next.
        friction_per_fs: of the Langevin thermostat (1/fs).
        time_constant_fs: in which a Bussi or Nose-Hoover thermostat relaxes the temperature (fs).
        pressure_GPa: from outside, of npt-isotropic and npt (GPa); negative is tension.
        barostat_time_fs: in which their cell relaxes (fs); 1000 where none is given.
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
    pressure_GPa: float | None = None
    barostat_time_fs: float | None = None

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
        has_chain = self.rescales and self.ensemble != "bussi"
        if has_chain and self.time_constant_fs < SHORTEST * self.timestep_fs:
            raise ConfigError(
                f"time_constant_fs is {self.time_constant_fs:g}; a Nose-Hoover chain needs "
                f"at least {SHORTEST} time steps, {SHORTEST * self.timestep_fs:g} fs (usual: 100)"
            )
        self._check_pressure()

    def _check_pressure(self) -> None:
        if not self.moves_cell:
            for name in ("pressure_GPa", "barostat_time_fs"):
                if getattr(self, name) is not None:
                    raise ConfigError(
                        f"{name} is of constant pressure: choose the ensemble npt-isotropic or "
                        f"npt, not {self.ensemble}"
                    )
            return
        if self.pressure_GPa is None:
            raise ConfigError(f"{self.ensemble} needs pressure_GPa (0.0001 is one bar)")
        pressure = self.pressure_GPa
        require(is_finite_number(pressure), "pressure_GPa", "a finite number", pressure)
        check_number("barostat_time_fs", self.barostat_fs)
        if self.barostat_fs < SHORTEST * self.timestep_fs:
            raise ConfigError(
                f"barostat_time_fs is {self.barostat_fs:g}; the chain of the cell needs at least "
                f"{SHORTEST} time steps, {SHORTEST * self.timestep_fs:g} fs (usual: 1000)"
            )

    @property
    def moves_cell(self) -> bool:
        """Whether the pressure is held, and the cell moves."""
        return self.ensemble in ("npt-isotropic", "npt")

    @property
    def barostat_fs(self) -> float:
        """Time constant of the cell, also where none was given (fs)."""
        return BAROSTAT_FS if self.barostat_time_fs is None else self.barostat_time_fs

    @property
    def rescales(self) -> bool:
        """Whether the thermostat multiplies all momenta by one factor (Bussi, Nose-Hoover)."""
        return self.ensemble in ("bussi", "nose-hoover") or self.moves_cell

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
