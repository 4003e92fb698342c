"""Where and how a model is evaluated, as settings that a command line can fill. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Names of `prepared_model.BACKENDS`, the fastest first; `auto` takes the first that can.
Backend = Literal["auto", "native", "tabulated", "reference"]
GuardMode = Literal["warn", "stop", "off"]


@dataclass(frozen=True)
class Execution:
    """What an `Evaluator` takes by the same names: `Evaluator(..., **asdict(execution))`.

    Attributes:
        device: auto (CUDA where there is one), cpu, cuda or cuda:N.
        dtype: float32 or float64; None for the model's own.
        backend: auto (the fastest there is), native, tabulated or reference.
        threads: of the native backend.
        guard: what happens outside the training data: warn (once a run), stop or off.
    """

    device: str = "auto"
    dtype: str | None = None
    backend: Backend = "auto"
    threads: int = 1
    guard: GuardMode = "warn"


DEFAULT_EXECUTION = Execution()
