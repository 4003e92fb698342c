"""Where and how a model is evaluated: settings, and their options on a command line. Free of torch.

Every command that evaluates a model takes them by the same names.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Literal, get_args

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


def add_execution_options(parser: argparse.ArgumentParser) -> None:
    """One option for each field of `Execution`, under its name."""
    default = DEFAULT_EXECUTION
    parser.add_argument("--device", default=default.device, help="auto, cpu, cuda or cuda:N (auto)")
    parser.add_argument("--dtype", choices=("float32", "float64"), help="(that of the model)")
    parser.add_argument(
        "--backend",
        choices=get_args(Backend),
        default=default.backend,
        help="(the fastest there is)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=default.threads,
        help="of the native backend, best for many beads (1)",
    )
    parser.add_argument(
        "--guard",
        choices=get_args(GuardMode),
        default=default.guard,
        help="what to do outside the training data of the model (warn)",
    )
