"""What the driver is told, in which order: a driver of our own stands in for NVIDIA's."""

import ctypes
import types

import pytest
import torch

from mlpotential.errors import RunError
from mlpotential.inference.backend import Obstacle
from mlpotential.inference.cuda import compiler, driver, executors
from mlpotential.inference.cuda.driver import CudaExecutor
from mlpotential.inference.cuda.executor import Limits
from mlpotential.inference.cuda.interface import Batch

ATTRIBUTES = {16: 132, 75: 9, 76: 0, 97: 232_448, 120: 1}
STREAM, CONTEXT, MODULE, FUNCTION = 77, 11, 22, 33


class FakeDriver:
    """Answers as a device would, and remembers; `failing` names a function that fails."""

    def __init__(self):
        self.calls, self.names, self.failing, self.depth = [], [], None, 0

    def __getattr__(self, name):
        def call(*given):
            self.calls.append(name)
            if name == self.failing:
                return 700
            return getattr(self, f"_{name}", lambda *_: 0)(*given)

        if name.startswith("_"):
            raise AttributeError(name)
        return call

    def _cuDeviceGetAttribute(self, value, number, handle):
        value._obj.value = ATTRIBUTES[number]
        return 0

    def _cuDevicePrimaryCtxRetain(self, context, handle):
        context._obj.value = CONTEXT
        return 0

    def _cuCtxPushCurrent_v2(self, context):
        assert context.value == CONTEXT
        self.depth += 1
        return 0

    def _cuCtxPopCurrent_v2(self, context):
        self.depth -= 1
        return 0

    def _cuModuleLoadData(self, module, cubin):
        assert (self.depth, cubin) == (1, b"cubin")
        module._obj.value = MODULE
        return 0

    def _cuModuleGetFunction(self, function, module, name):
        assert (self.depth, module.value) == (1, MODULE)
        self.names.append(name)
        function._obj.value = FUNCTION
        return 0

    def _cuFuncSetAttribute(self, function, attribute, value):
        assert (self.depth, function.value, attribute) == (1, FUNCTION, 8)
        self.shared = value
        return 0

    def _cuLaunchKernel(self, function, *given):
        *sizes, stream, pointers, extra = given
        assert (self.depth, function.value, stream.value, extra) == (1, FUNCTION, STREAM, None)
        self.sizes = [size.value for size in sizes]
        content = ctypes.string_at(pointers[0], ctypes.sizeof(Batch))
        self.batch = Batch.from_buffer_copy(content)
        return 0

    def _cuGetErrorString(self, status, text):
        text._obj.value = b"an illegal memory access was encountered"
        return 0


@pytest.fixture
def fake(monkeypatch):
    fake = FakeDriver()
    monkeypatch.setattr(driver, "driver_library", lambda: fake)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda device: types.SimpleNamespace(cuda_stream=STREAM)
    )
    monkeypatch.setattr(driver, "kept_cubin", lambda *given: b"cubin")
    return fake


def test_a_device_is_asked_what_it_can(fake):
    executor = CudaExecutor(torch.device("cuda"), None)
    assert executor.device == torch.device("cuda", 0)
    assert (executor.architecture, executor.name) == (90, "sm_90")
    assert executor.limits == Limits(shared_bytes=232_448, cluster=8, multiprocessors=132)
    assert executor.limits.in_words == "227 kB of shared memory a block, clusters of 8"


def test_a_launch(fake):
    """On torch's stream, in its context, with shared memory that was asked for once."""
    kernel = CudaExecutor(torch.device("cuda"), None).kernel("molecule", {})
    for _ in range(2):
        kernel(16, 256, 80_000, [Batch(graphs=5, trace=6)])
    assert fake.sizes == [16, 1, 1, 256, 1, 1, 80_000]
    assert (fake.batch.graphs, fake.batch.positions, fake.batch.trace) == (5, None, 6)
    assert fake.names == [b"molecule"]
    assert fake.shared == 80_000
    assert fake.calls.count("cuFuncSetAttribute") == 1
    assert fake.depth == 0


def test_functions_of_one_source_are_loaded_once(fake):
    executor = CudaExecutor(torch.device("cuda"), None)
    for name in ("convolve", "pull"):
        executor.kernel(name, {}, "systems/edges")
    assert fake.names == [b"convolve", b"pull"]
    assert fake.calls.count("cuModuleLoadData") == 1


@pytest.mark.parametrize("failing", ["cuInit", "cuModuleLoadData", "cuLaunchKernel"])
def test_failures_are_told(failing, fake):
    fake.failing = failing
    with pytest.raises(RunError, match=f"{failing} of the CUDA driver fails on cuda:0: an illegal"):
        CudaExecutor(torch.device("cuda"), None).kernel("molecule", {})(1, 32, 1, [Batch()])
    assert fake.depth == 0


@pytest.fixture
def fresh(monkeypatch, fake):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    executors._executor.cache_clear()
    yield fake
    executors._executor.cache_clear()


def nvrtc(*architectures):
    return types.SimpleNamespace(architectures=architectures, version=(12, 4))


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "there is no NVRTC, which compiles the CUDA kernel and comes with torch for CUDA"),
        (nvrtc(80, 86), "NVRTC 12.4 does not compile for this device (sm_90)"),
    ],
)
def test_what_a_kernel_lacks_on_a_device(found, why, fresh, monkeypatch):
    monkeypatch.setattr(compiler, "find_compiler", lambda version: found)
    obstacle = executors.find_executor(torch.device("cuda"))
    assert isinstance(obstacle, Obstacle)
    assert obstacle.error.startswith(why)
    assert obstacle.notice.endswith("models are evaluated by the {backend} backend")


def test_a_driver_that_fails_is_told(fresh, monkeypatch):
    monkeypatch.setattr(compiler, "find_compiler", lambda version: nvrtc(90))
    fresh.failing = "cuInit"
    obstacle = executors.find_executor(torch.device("cuda"))
    assert obstacle.error.startswith("the CUDA kernel cannot be run: cuInit of the CUDA driver")


def test_one_executor_for_each_device(fresh, monkeypatch):
    monkeypatch.setattr(compiler, "find_compiler", lambda version: nvrtc(90))
    one = executors.find_executor(torch.device("cuda"))
    assert isinstance(one, CudaExecutor)
    assert executors.find_executor(torch.device("cuda", 0)) is one


def test_structures_are_passed_as_c_lays_them_out():
    assert ctypes.sizeof(Batch) == 5 * 8
