"""Runs kernels on a CUDA device: the few functions of NVIDIA's driver that this takes.

Memory and streams are those of torch; kernels run in torch's context of the device and on its
current stream, so they wait for torch's work and torch for theirs.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import torch

from mlpotential.errors import RunError
from mlpotential.inference.cuda.compiler import Compiler, kept_cubin
from mlpotential.inference.cuda.executor import Limits, Macros
from mlpotential.inference.cuda.plans import CLUSTERS

LIBRARY = "libcuda.so.1"

# CUdevice_attribute and CUfunction_attribute of cuda.h.
MULTIPROCESSORS, MAJOR, MINOR, SHARED_BYTES, CLUSTER_LAUNCH = 16, 75, 76, 97, 120
MAX_DYNAMIC_SHARED_BYTES = 8


@cache
def driver_library() -> ctypes.CDLL:
    """Raises OSError where there is no driver."""
    return ctypes.CDLL(LIBRARY)


class CudaExecutor:
    """A CUDA device.

    Args:
        device: of torch, with or without its number.
        compiler: NVRTC.

    Raises:
        RunError: if the driver fails.
    """

    def __init__(self, device: torch.device, compiler: Compiler) -> None:
        index = torch.cuda.current_device() if device.index is None else device.index
        self.device = torch.device("cuda", index)
        self._compiler, self._library = compiler, driver_library()
        torch.cuda.synchronize(self.device)  # torch makes its context
        self._call("cuInit", 0)
        handle, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(handle), index)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), handle)
        self._context = context

        def attribute(number: int) -> int:
            value = ctypes.c_int()
            self._call("cuDeviceGetAttribute", ctypes.byref(value), number, handle)
            return value.value

        self.architecture = 10 * attribute(MAJOR) + attribute(MINOR)
        self.name = f"sm_{self.architecture}"
        clusters = CLUSTERS[-1] if attribute(CLUSTER_LAUNCH) else 1
        self.limits = Limits(attribute(SHARED_BYTES), clusters, attribute(MULTIPROCESSORS))
        self._modules: dict[bytes, ctypes.c_void_p] = {}  # by what they are loaded from

    def kernel(self, name: str, macros: Macros, source: str | None = None) -> CudaKernel:
        """As every executor."""
        cubin = kept_cubin(self._compiler, source or name, macros, self.architecture)
        function = ctypes.c_void_p()
        with self._in_context():
            if cubin not in self._modules:
                module = ctypes.c_void_p()
                self._call("cuModuleLoadData", ctypes.byref(module), cubin)
                self._modules[cubin] = module
            module = self._modules[cubin]
            self._call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
        return CudaKernel(self, function)

    def launch(
        self,
        function: ctypes.c_void_p,
        grid: int,
        block: int,
        shared: int,
        arguments: Sequence[ctypes.Structure],
    ) -> None:
        """Runs a kernel on torch's current stream of the device."""
        stream = ctypes.c_void_p(torch.cuda.current_stream(self.device).cuda_stream)
        pointers = (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
        sizes = [ctypes.c_uint(n) for n in (grid, 1, 1, block, 1, 1, shared)]
        with self._in_context():
            self._call("cuLaunchKernel", function, *sizes, stream, pointers, None)

    def allow_shared_bytes(self, function: ctypes.c_void_p, n_bytes: int) -> None:
        """Lets a kernel have so much shared memory; more than 48 kB it must be told."""
        with self._in_context():
            self._call("cuFuncSetAttribute", function, MAX_DYNAMIC_SHARED_BYTES, n_bytes)

    @contextlib.contextmanager
    def _in_context(self) -> Iterator[None]:
        """In whatever thread this is."""
        self._call("cuCtxPushCurrent_v2", self._context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def _call(self, function: str, *arguments: Any) -> None:
        if status := getattr(self._library, function)(*arguments):
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(status, ctypes.byref(text))
            what = text.value.decode() if text.value else f"error {status}"
            raise RunError(f"{function} of the CUDA driver fails on {self.device}: {what}")


class CudaKernel:
    """A kernel that the driver has loaded; it stays to the end of the process."""

    def __init__(self, executor: CudaExecutor, function: ctypes.c_void_p) -> None:
        self._executor, self._function = executor, function
        self._shared = 0

    def __call__(
        self, grid: int, block: int, shared: int, arguments: Sequence[ctypes.Structure]
    ) -> None:
        """As every kernel."""
        if shared > self._shared:
            self._executor.allow_shared_bytes(self._function, shared)
            self._shared = shared
        self._executor.launch(self._function, grid, block, shared, arguments)
