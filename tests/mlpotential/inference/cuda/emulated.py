"""Runs the kernels of `mlpotential.inference.cuda` on a CPU: every CUDA thread is a fiber.

The same sources as on a GPU, built by g++ with the words of `emulator/device.h`.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
import torch
from random_models import CAN_EMULATE

from mlpotential.inference.cuda import compiler, executors
from mlpotential.inference.cuda.executor import Limits, Macros

EMULATOR = Path(__file__).with_name("emulator")
SOURCES = Path(compiler.__file__).parent
FLAGS = ["-std=c++17", "-O1", "-fPIC", "-shared", "-U_FORTIFY_SOURCE", "-w", "-Wl,-Bsymbolic"]
FLAGS += ["-fsanitize=bounds", "-fsanitize-undefined-trap-on-error"]
KERNEL = re.compile(r'extern "C" __global__[^{;]*?\bvoid (\w+)\(')
LAUNCH = """
extern "C" void run_KERNEL(void** arguments) { emulated::call(KERNEL, arguments); }
"""
SIZE = """
extern "C" long long size_of_shared() { return sizeof(Shared); }
"""
ORDERS = (0, 1, 100, 101)  # of threads: ascending, descending, two depth-first; see emulator.cpp
LIKE_SM_90 = Limits(shared_bytes=232_448, cluster=8)

needs_compiler = pytest.mark.skipif(not CAN_EMULATE, reason="g++ on Linux is needed")


@cache
def build_folder() -> Path:
    """Where builds are kept, from one run of the tests to the next."""
    folder = Path(tempfile.gettempdir()) / f"mlpotential-emulated-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} is of somebody else")
    return folder


def built(texts: dict[str, str], source: str, *options: str) -> Path:
    """A library of one of these texts, by file name; built once."""
    key = hashlib.sha256(
        repr((texts, source, options, FLAGS, version_of_compiler())).encode()
    ).hexdigest()
    library = build_folder() / f"{key}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=build_folder()) as folder:
            for name, text in texts.items():
                (Path(folder) / name).write_text(text)
            made = Path(folder) / "made.so"
            command = ["g++", *FLAGS, *options, "-x", "c++", source, "-o", str(made)]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            made.replace(library)
    return library


@cache
def version_of_compiler() -> str:
    return subprocess.run(["g++", "--version"], capture_output=True, text=True).stdout


@cache
def emulator() -> ctypes.CDLL:
    texts = {name: (EMULATOR / name).read_text() for name in ("device.h", "emulator.cpp")}
    return ctypes.CDLL(
        str(built(texts, "emulator.cpp", "-DM_CLUSTER=1", "-O2")), ctypes.RTLD_GLOBAL
    )


class EmulatedExecutor:
    """As the executor of a device.

    Args:
        order: of threads, see `emulator.cpp`.
        limits: of the device that is emulated.
        texts: sources in place of those of the package, by file name.
    """

    name = "emulated"
    device = torch.device("cpu")

    def __init__(
        self, order: int = 0, limits: Limits = LIKE_SM_90, texts: dict[str, str] | None = None
    ) -> None:
        self.order, self.limits, self.texts = order, limits, texts or {}

    def kernel(self, name: str, macros: Macros, source: str | None = None) -> EmulatedKernel:
        source = source or name
        file = f"{Path(source).name}.cu"
        texts = compiler.headers() | {file: compiler.source_of(source)} | self.texts
        for kernel in KERNEL.findall(texts[file]):
            texts[file] += LAUNCH.replace("KERNEL", kernel)
        if has_shared(texts, file):
            texts[file] += SIZE
        texts["device.h"] = (EMULATOR / "device.h").read_text()
        run = emulator().emulated_launch
        options = [f"-D{macro}={value}" for macro, value in macros.items()]
        library = ctypes.CDLL(str(built(texts, file, *options)))
        return EmulatedKernel(self, run, library, name, int(macros["M_CLUSTER"]))


def has_shared(texts: dict[str, str], file: str) -> bool:
    """Whether a source, or a header it includes, says what its blocks have in shared memory."""
    included = re.findall(r'#include "(.*?)"', texts[file])
    return "struct Shared {" in texts[file] or any(has_shared(texts, name) for name in included)


def install(monkeypatch: pytest.MonkeyPatch, emulating: EmulatedExecutor | None = None) -> None:
    """Lets the CUDA backend evaluate on the CPU."""
    found = emulating or EmulatedExecutor()
    find = executors.find_executor
    monkeypatch.setattr(
        executors, "find_executor", lambda device: found if device.type == "cpu" else find(device)
    )


class EmulatedKernel:
    def __init__(
        self, own: EmulatedExecutor, run, library: ctypes.CDLL, name: str, cluster: int
    ) -> None:
        self.own, self.run, self.cluster = own, run, cluster
        self.kernel = getattr(library, f"run_{name}")
        self.size = getattr(library, "size_of_shared", None)
        if self.size is not None:
            self.size.restype = ctypes.c_longlong

    def __call__(
        self, grid: int, block: int, shared: int, arguments: Sequence[ctypes.Structure]
    ) -> None:
        assert grid % self.cluster == 0
        assert shared <= self.own.limits.shared_bytes
        if self.size is not None and shared:
            assert shared == self.size(), "plans.py counts other bytes"
        pointers = (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
        self.run(
            self.kernel,
            grid,
            block,
            self.cluster,
            ctypes.c_longlong(shared),
            self.own.order,
            pointers,
        )
