"""What a path-integral run is: settings only, importable without torch or i-PI."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

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
        for field in fields(self):
            _check(field.name, str(field.type), getattr(self, field.name))


def _check(name: str, kind: str, value: object) -> None:
    """Whole numbers from 1 (the seed from 0), positive finite numbers, true or false."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "bool":
        expected, good = "true or false", isinstance(value, bool)
    elif kind == "int":
        least = 0 if name == "seed" else 1
        expected = f"a whole number from {least}"
        good = is_number and isinstance(value, int) and value >= least
    else:
        expected = "a positive number"
        good = is_number and math.isfinite(value) and value > 0  # type: ignore[arg-type, operator]
    if not good:
        raise ConfigError(f"{name} must be {expected}, not {value!r}")
