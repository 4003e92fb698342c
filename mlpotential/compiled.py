"""Libraries that were compiled once per instruction set when the package was installed.

Each lies beside the module that uses it, `_STEM_SET` with the suffix of an extension module.
Without a C++ compiler there are none.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Literal

from mlpotential.errors import RunError

InstructionSet = Literal["portable", "avx2", "avx512"]
INSTRUCTION_SETS: tuple[InstructionSet, ...] = ("portable", "avx2", "avx512")  # by their demands


def library_names(stem: str, instruction_set: InstructionSet) -> list[str]:
    """What the file of a library may be called here."""
    return [f"_{stem}_{instruction_set}{suffix}" for suffix in EXTENSION_SUFFIXES]


def find_library(folder: Path, stem: str, instruction_set: InstructionSet) -> Path | None:
    """Where a library was compiled to; None where it was not."""
    paths = [folder / name for name in library_names(stem, instruction_set)]
    return next((path for path in paths if path.is_file()), None)


def open_library(path: Path, stem: str, interface: int, what: str) -> ctypes.CDLL:
    """A library whose `STEM_interface` and `STEM_processor` are declared and can be called.

    Args:
        path: of `find_library`.
        stem: begins the names of its functions.
        interface: version that the package speaks with.
        what: it is, for the message.

    Raises:
        RunError: for a library of another version.
    """
    library = ctypes.CDLL(str(path))
    for name in ("interface", "processor"):
        getattr(library, f"{stem}_{name}").restype = ctypes.c_int64
    if getattr(library, f"{stem}_interface")() != interface:
        raise RunError(
            f"the compiled {what} {path.name} is of another version than the package: "
            "install the package anew"
        )
    return library


def best_library(
    loaded: Callable[[InstructionSet], ctypes.CDLL | None], processor: str
) -> ctypes.CDLL | None:
    """The one of the most demanding instruction set that this processor runs; None without any.

    Args:
        loaded: opens a library; None where it was not compiled.
        processor: name of its function that tells how demanding instructions may be.
    """
    portable = loaded("portable")
    if portable is None:
        return None
    level = int(getattr(portable, processor)())
    better = (loaded(instruction_set) for instruction_set in INSTRUCTION_SETS[level:0:-1])
    return next((found for found in better if found is not None), portable)
