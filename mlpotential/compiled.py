"""Libraries that were compiled once per instruction set when the package was installed.

Each lies beside the module that uses it, `_STEM_SET` with the suffix of an extension module.
Without a C++ compiler there are none.
"""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Literal

InstructionSet = Literal["portable", "avx2", "avx512"]
INSTRUCTION_SETS: tuple[InstructionSet, ...] = ("portable", "avx2", "avx512")  # by their demands


def library_names(stem: str, instruction_set: InstructionSet) -> list[str]:
    """What the file of a library may be called here."""
    return [f"_{stem}_{instruction_set}{suffix}" for suffix in EXTENSION_SUFFIXES]


def find_library(folder: Path, stem: str, instruction_set: InstructionSet) -> Path | None:
    """Where a library was compiled to; None where it was not."""
    paths = [folder / name for name in library_names(stem, instruction_set)]
    return next((path for path in paths if path.is_file()), None)
