"""What the pair style reads: a kernel file, made of a model file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from mlpotential.inference.schnet.kernel_file import kernel_file
from mlpotential.models.model_file import load_model
from mlpotential.run_folder import write_atomically

Dtype = Literal["float32", "float64"]


@dataclass(frozen=True)
class Exported:
    """A kernel file that was written.

    Attributes:
        path: of it.
        megabytes: its size.
        symbols: elements the model knows.
        cutoff: of the model (A); None without.
        dtype: of the evaluation.
    """

    path: Path
    megabytes: float
    symbols: tuple[str, ...]
    cutoff: float | None
    dtype: Dtype


def export(model: Path, output: Path, dtype: Dtype = "float32") -> Exported:
    """Writes the kernel file of a model file.

    Args:
        model: to read.
        output: to write.
        dtype: of the evaluation in LAMMPS.

    Raises:
        ModelFileError: for a file that is no model, or a model that the kernel does not evaluate.
        RunError: if the output cannot be written.
    """
    from ase.data import chemical_symbols

    loaded = load_model(model)
    content = kernel_file(loaded, model, getattr(torch, dtype))
    write_atomically(output, content)
    return Exported(
        path=output,
        megabytes=len(content) / 1e6,
        symbols=tuple(chemical_symbols[z] for z in loaded.potential.elements),
        cutoff=loaded.potential.cutoff,
        dtype=dtype,
    )
