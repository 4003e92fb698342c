"""What the C20 study is told. Free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from mlpotential.errors import ConfigError

HERE = Path(__file__).parent
SHIPPED_MODEL = HERE / "c20.safetensors"
STRUCTURE = HERE / "c20.xyz"
REFERENCE = HERE / "reference.json"

FULL_LENGTH_PS = 1250.0  # the path-integral run of the SchNet paper
CONCLUSIVE_CLASSICAL_PS = 20.0  # chosen: mean bond to 1e-4 A
CONCLUSIVE_PATH_INTEGRAL_PS = 5.0  # chosen: mean bond to 1e-4 A


@dataclass(frozen=True)
class C20Study:
    """Settings of one study; the same folder can be continued with a greater length.

    Attributes:
        model: model file.
        folder: for everything the study writes.
        classical_ps, path_integral_ps: lengths of the two runs (ps).
        n_beads: of the ring polymer.
        temperature_K: of all runs.
        timestep_fs: of all runs.
        segment_ps: length of each NVE segment (ps), which sets the resolution of the spectrum.
        seed: of velocities and thermostats.
        device, dtype: of the evaluator in the runs; minimum and Hessian are float64.
    """

    model: Path = SHIPPED_MODEL
    folder: Path = Path("c20_study")
    classical_ps: float = 2.0
    path_integral_ps: float = 2.0
    n_beads: int = 8
    temperature_K: float = 300.0
    timestep_fs: float = 0.5
    segment_ps: float = 3.0
    seed: int = 0
    device: str = "auto"
    dtype: str | None = None

    def __post_init__(self) -> None:
        for name in (
            "classical_ps",
            "path_integral_ps",
            "temperature_K",
            "timestep_fs",
            "segment_ps",
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ConfigError(f"{name} must be a positive number, not {value!r}")
        if self.n_beads < 1:
            raise ConfigError(f"n_beads must be at least 1, not {self.n_beads}")
        for name in ("classical_ps", "path_integral_ps"):
            if self.n_steps(getattr(self, name)) < MINIMUM_STEPS:
                raise ConfigError(
                    f"{name} is {getattr(self, name)} ps: at least "
                    f"{MINIMUM_STEPS * self.timestep_fs / 1000} ps are needed for error bars"
                )

    def n_steps(self, length_ps: float) -> int:
        """Steps of a run of that length, whole recording intervals."""
        return round(length_ps * 1000.0 / self.timestep_fs / STRIDE) * STRIDE

    @property
    def is_conclusive(self) -> bool:
        """Whether the runs are long enough for the effects the paper shows."""
        return (
            self.classical_ps >= CONCLUSIVE_CLASSICAL_PS
            and self.path_integral_ps >= CONCLUSIVE_PATH_INTEGRAL_PS
        )


STRIDE = 10  # steps between recorded frames
MINIMUM_STEPS = 40 * STRIDE  # ten blocks of frames are left when equilibration is cut off
