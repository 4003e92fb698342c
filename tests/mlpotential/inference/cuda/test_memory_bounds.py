"""The kernels touch no memory but their own: each tensor ends where a page begins that ends us."""

import subprocess
import sys
from pathlib import Path

import pytest
from emulated import needs_compiler

pytestmark = [needs_compiler, pytest.mark.slow]

GUARDS = """
import ctypes
import math
import sys

sys.path[:0] = {folders!r}

import torch
from emulated import LIKE_SM_90, EmulatedExecutor
from guard_findings import random_domain
from kernels import Packed, PackedSystems, molecules
from random_models import crystal, energy_and_dipole, molecule, random_schnet

from mlpotential.graph import collate
from mlpotential.inference.cuda import answers, packing, schnet
from mlpotential.inference.cuda.executor import Limits
from mlpotential.inference.cuda.systems import neighbor_list
from mlpotential.inference.cuda.systems import schnet as systems

PAGE, NOTHING, READ_AND_WRITE, PRIVATE_AND_ANONYMOUS = 4096, 0, 3, 0x22
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def guarded(shape, dtype):
    n_bytes = math.prod(shape) * dtype.itemsize
    n_pages = -(-n_bytes // PAGE)
    size = (n_pages + 2) * PAGE
    first = libc.mmap(None, size, READ_AND_WRITE, PRIVATE_AND_ANONYMOUS, -1, 0)
    last = first + (n_pages + 1) * PAGE
    for page in (first, last):
        assert libc.mprotect(page, PAGE, NOTHING) == 0
    memory = (ctypes.c_char * n_bytes).from_address(last - n_bytes)
    return torch.frombuffer(memory, dtype=dtype).reshape(shape)


class GuardedTorch:
    def __getattr__(self, name):
        return getattr(torch, name)

    def empty(self, shape, dtype, device):
        return guarded(shape if isinstance(shape, tuple) else (shape,), dtype)


placed = packing.PackedNetwork._placed


def placed_guarded(self, tensor, dtype=None):
    own = placed(self, tensor, dtype)
    return guarded(own.shape, own.dtype).copy_(own)


schnet.torch = answers.torch = systems.torch = neighbor_list.torch = GuardedTorch()
packing.PackedNetwork._placed = placed_guarded
"""

MOLECULES = """
for n_features, limits in ((32, LIKE_SM_90), (128, LIKE_SM_90), (64, Limits(101_376, 1))):
    outputs = energy_and_dipole(None)
    model = random_schnet("hard", outputs=outputs, n_features=n_features, n_interactions=3)
    executor, domain = EmulatedExecutor(limits=limits), random_domain(n_features=n_features)
    packed = Packed(model, {dtype!r}, None, executor, domain)
    graph = molecules((1, 8, 16, 20, 3, 13), model.cutoff)
    wanted = ("energy", "forces", "virial", "atomic_energies", "charges")
    packed(graph, wanted, monitored=True)
if {beyond}:
    packed.network._n_interactions -= 1  # the trace is too short now
    packed(graph, wanted)
"""

SYSTEMS = """
for n_features, limits in ((32, LIKE_SM_90), (64, Limits(24_000, 1, 4))):
    outputs = energy_and_dipole(None)
    model = random_schnet("hard", outputs=outputs, n_features=n_features, n_interactions=3)
    executor, domain = EmulatedExecutor(limits=limits), random_domain(n_features=n_features)
    packed = PackedSystems(model, {dtype!r}, executor, domain)
    graph = collate([molecule(1), crystal((3.3, 1.7, 1.9), skew=0.2), molecule(37)])
    wanted = ("energy", "forces", "virial", "atomic_energies", "charges")
    packed(graph, wanted, monitored=True)
if {beyond}:
    packed.network._n_interactions -= 1  # the trace is too short now
    (group,) = packed.network._groups
    memory = packed.network._memory(group.plan, graph.n_atoms, group.pairs.n_listed)
    packed.network._n_interactions += 1
    packed.network._memory = lambda *given: memory
    packed(graph, wanted)
"""


def run(what: str, dtype: str, beyond: bool) -> int:
    here = Path(__file__).parent
    folders = [str(here), str(here.parent)]
    program = (GUARDS + what).format(folders=folders, dtype=dtype, beyond=beyond)
    return subprocess.run([sys.executable, "-c", program], capture_output=True).returncode


@pytest.mark.parametrize("what", [MOLECULES, SYSTEMS], ids=["molecules", "systems"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_memory_but_its_own(dtype, what):
    assert run(what, dtype, beyond=False) == 0


@pytest.mark.parametrize("what", [MOLECULES, SYSTEMS], ids=["molecules", "systems"])
def test_memory_beyond_is_noticed(what):
    assert run(what, "float32", beyond=True) < 0
