"""What tests of the CUDA kernels share."""

import pytest
import torch
from emulated import EmulatedExecutor, needs_compiler

from mlpotential.inference.backend import Obstacle
from mlpotential.inference.cuda.executors import find_executor


@pytest.fixture(
    params=[
        pytest.param("emulated", marks=needs_compiler),
        pytest.param(
            "driver",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
            ],
        ),
    ]
)
def executor(request):
    """What runs the kernel: fibers on a CPU, or a device."""
    if request.param == "emulated":
        return EmulatedExecutor()
    found = find_executor(torch.device("cuda"))
    assert not isinstance(found, Obstacle), found
    return found
