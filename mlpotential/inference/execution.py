"""Where and how a model is evaluated: settings that command lines take by these names, see
`command_line.add_arguments`. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlpotential.errors import ConfigError

# Names of `prepared_model.BACKENDS`, the fastest first; `auto` takes the first that can.
Backend = Literal["auto", "cuda", "native", "tabulated", "reference"]
GuardMode = Literal["warn", "stop", "off"]


@dataclass(frozen=True)
class Execution:
    """What an `Evaluator` takes by the same names: `Evaluator(..., **asdict(execution))`.

    Attributes:
        device: where the model is evaluated: auto (CUDA where there is one), cpu, cuda or cuda:N.
        dtype: precision of the network, float32 or float64; that of the model where none is given.
        backend: what evaluates: auto takes the fastest there is; cuda and native are compiled
            kernels, for a CUDA device and for the CPU; tabulated and reference are in torch.
        threads: number of threads of the native backend; more than 1 pays for many beads.
        guard: what happens outside the training data of the model: warn (once a run), stop or off.

    Raises:
        ConfigError: for another dtype.
    """

    device: str = "auto"
    dtype: str | None = None
    backend: Backend = "auto"
    threads: int = 1
    guard: GuardMode = "warn"

    def __post_init__(self) -> None:
        if self.dtype not in (None, "float32", "float64"):
            raise ConfigError(f"dtype must be float32 or float64, not {self.dtype!r}")


DEFAULT_EXECUTION = Execution()
