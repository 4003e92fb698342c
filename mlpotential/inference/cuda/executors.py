"""Which executor there is for a device. Where there is no CUDA device, nothing of it is looked for.

The tests put another function in the place of `find_executor`, and with it everything else runs on
a CPU.
"""

from __future__ import annotations

from functools import cache

import torch

from mlpotential.errors import RunError
from mlpotential.inference.backend import Obstacle
from mlpotential.inference.cuda.executor import Executor


def find_executor(device: torch.device) -> Executor | Obstacle:
    """The executor of a device, or why there is none."""
    if device.type != "cuda":
        return Obstacle(
            f"the cuda backend is for CUDA devices, not for {device}: use device='cuda', or "
            "backend='auto'"
        )
    if not torch.cuda.is_available():
        return Obstacle("there is no CUDA device: use device='cpu'")
    index = torch.cuda.current_device() if device.index is None else device.index
    return _executor(index)


@cache
def _executor(index: int) -> Executor | Obstacle:
    # These load libraries of NVIDIA.
    from mlpotential.inference.cuda.compiler import find_compiler
    from mlpotential.inference.cuda.driver import CudaExecutor

    compiler = find_compiler(torch.version.cuda)
    if compiler is None:
        return _obstacle(
            "there is no NVRTC, which compiles the CUDA kernel and comes with torch for CUDA "
            "(or by `pip install nvidia-cuda-nvrtc`)"
        )
    try:
        executor = CudaExecutor(torch.device("cuda", index), compiler)
    except (OSError, RunError) as error:
        return _obstacle(f"the CUDA kernel cannot be run: {error}")
    if executor.architecture not in compiler.architectures:
        version = ".".join(map(str, compiler.version))
        return _obstacle(f"NVRTC {version} does not compile for this device ({executor.name})")
    return executor


def _obstacle(why: str) -> Obstacle:
    return Obstacle(
        error=f"{why}: use backend='tabulated'",
        notice=f"{why}: models are evaluated by the {{backend}} backend",
    )
