"""Compiles the kernels of this folder with NVRTC, and keeps what came out.

NVRTC is a library that every build of torch for CUDA brings along, so a user needs no compiler. A
compiled kernel (a cubin) is kept below `mlpotential` in the user's cache folder. Its name holds a
hash of all that it depends on: sources, macros, architecture and version of NVRTC.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mlpotential.data.sets.array_cache import VARIABLE, cache_folder
from mlpotential.errors import RunError
from mlpotential.inference.cuda.executor import Macros

FOLDER = "cuda-kernels"  # in the cache folder
DIGEST = hashlib.sha256
VERSION_IN_NAME = re.compile(r"libnvrtc[^/]*\.so\.(\d+)")

_log = logging.getLogger("mlpotential")


def source_of(kernel: str) -> str:
    """The text of a kernel's file, which is named from this folder on."""
    return (Path(__file__).parent / f"{kernel}.cu").read_text(encoding="utf-8")


def headers() -> dict[str, str]:
    """The texts of what kernels include, by the names of their files, here and in folders below."""
    files = sorted(Path(__file__).parent.rglob("*.h"))
    return {path.name: path.read_text(encoding="utf-8") for path in files}


@dataclass(frozen=True)
class Compiled:
    """What NVRTC gives.

    Attributes:
        cubin: what a driver loads.
        log: what the assembler says of registers and memory.
    """

    cubin: bytes
    log: str


class Compiler:
    """NVRTC.

    Args:
        path: of its library, or a bare name that the system knows.

    Attributes:
        version: (major, minor).
        architectures: compute capabilities it compiles for, as 90 for 9.0.

    Raises:
        OSError: if it cannot be loaded.
    """

    def __init__(self, path: Path) -> None:
        companions = path.parent.glob("libnvrtc-builtins*.so.*") if path.is_absolute() else ()
        for companion in sorted(companions):
            if ".alt." not in companion.name:  # of another variant of the library
                ctypes.CDLL(str(companion), ctypes.RTLD_GLOBAL)
        self._library = ctypes.CDLL(str(path))
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = major.value, minor.value
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", numbers)
        self.architectures = tuple(numbers)

    def compile(self, kernel: str, macros: Macros, architecture: int) -> Compiled:
        """Compiles the file of a kernel.

        Args:
            kernel: its name, and that of its file.
            macros: to be defined.
            architecture: one of `architectures`.

        Raises:
            RunError: with what NVRTC says, if it cannot.
        """
        options = [
            f"--gpu-architecture=sm_{architecture}",
            "--std=c++17",
            "--ptxas-options=-v",
            *(f"-D{name}={value}" for name, value in macros.items()),
        ]
        with self._program(kernel) as program:
            given = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
            status = self._library.nvrtcCompileProgram(program, len(options), given)
            log = self._text(program, "ProgramLog").decode(errors="replace").strip("\0\n")
            if status != 0:
                raise RunError(
                    f"the CUDA kernel {kernel!r} cannot be compiled for sm_{architecture}, use "
                    f"backend='tabulated': {self._error(status)}\n{log}"
                )
            return Compiled(self._text(program, "CUBIN"), log)

    @contextlib.contextmanager
    def _program(self, kernel: str) -> Iterator[ctypes.c_void_p]:
        program, included = ctypes.c_void_p(), headers()
        texts = [text.encode() for text in included.values()]
        names = [name.encode() for name in included]
        self._call(
            "nvrtcCreateProgram",
            ctypes.byref(program),
            source_of(kernel).encode(),
            f"{kernel}.cu".encode(),
            len(texts),
            (ctypes.c_char_p * len(texts))(*texts),
            (ctypes.c_char_p * len(names))(*names),
        )
        try:
            yield program
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _text(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, text)
        return text.raw

    def _call(self, function: str, *arguments: Any) -> None:
        if status := getattr(self._library, function)(*arguments):
            raise RunError(f"{function} of NVRTC fails: {self._error(status)}")

    def _error(self, status: int) -> str:
        return str(self._library.nvrtcGetErrorString(status).decode())


@cache
def find_compiler(cuda_version: str | None) -> Compiler | None:
    """NVRTC of the installed packages, else of the system; None where there is none that loads.

    Args:
        cuda_version: of torch, whose own is taken first; None for any.
    """
    paths = libraries()
    if cuda_version is not None:
        own = cuda_version.split(".")[0]
        paths.sort(key=lambda path: _major(path) != own)
        paths.append(Path(f"libnvrtc.so.{own}"))
    for path in paths:
        with contextlib.suppress(OSError):
            return Compiler(path)
    return None


def libraries() -> list[Path]:
    """Files that may be NVRTC: of packages by NVIDIA, and as torch may bundle it."""
    folders = [Path(entry) for entry in sys.path if entry]
    patterns = ("nvidia/*/lib/libnvrtc.so.*", "torch/lib/libnvrtc*.so.*")
    found = [path for folder in folders for pattern in patterns for path in folder.glob(pattern)]
    return sorted(
        path for path in set(found) if "builtins" not in path.name and ".alt." not in path.name
    )


def _major(path: Path) -> str:
    match = VERSION_IN_NAME.search(path.name)
    return match[1] if match else ""


def kept_cubin(compiler: Compiler, kernel: str, macros: Macros, architecture: int) -> bytes:
    """A compiled kernel, from the cache folder where it is there and whole.

    Args: as for `Compiler.compile`, and so are the errors.
    """
    facts = (source_of(kernel), headers(), sorted(macros.items()), architecture, compiler.version)
    key = DIGEST(repr(facts).encode()).hexdigest()[:32]
    path = cache_folder() / FOLDER / f"{Path(kernel).name}-sm_{architecture}-{key}"
    cubin = _read(path)
    if cubin is None:
        _log.info("compiling the CUDA kernel %s for sm_%d: %s", kernel, architecture, macros)
        cubin = compiler.compile(kernel, macros, architecture).cubin
        try:
            _write(path, cubin)
        except OSError as error:
            _say_uncached(path.parent, error.strerror)
    return cubin


def _read(path: Path) -> bytes | None:
    """What was written there; None where nothing was, or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, cubin = content[: DIGEST().digest_size], content[DIGEST().digest_size :]
    return cubin if digest == DIGEST(cubin).digest() else None


def _write(path: Path, cubin: bytes) -> None:
    """In one step: of two processes that compile the same, the later one replaces an equal file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix="partial-")
    try:
        with open(handle, "wb") as file:
            file.write(DIGEST(cubin).digest() + cubin)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


@cache
def _say_uncached(folder: Path, why: str | None) -> None:
    _log.warning(
        "compiled CUDA kernels cannot be kept in %s (%s), so each process compiles them for some "
        "seconds: set %s to a folder that can be written",
        folder,
        why,
        VARIABLE,
    )
