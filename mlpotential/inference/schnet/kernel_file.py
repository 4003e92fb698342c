"""A SchNet as the compiled kernel reads it, in one file: for programs without Python.

The file is derived from a model file, whose sha256 it carries. It begins with lines of text,

    mlpotential kernel file 1            the format
    interface 6                          of csrc/schnet.h
    bytes_per_number 4                   of the network; 8 in float64
    elements H 1 C 6                     symbols and their rows in the embedding
    n_interactions 6                     and so on: every scalar of SchNetModel
    array table float32 180000           and so on: every array, its type and its length
    end 2774038351                       crc32 of all the rest

and ends with the arrays, in the order of their lines, little-endian. The table of a float32 network
is float32 here, too: the kernel would round it. Reading the file executes nothing.
"""

from __future__ import annotations

import ctypes
import zlib
from pathlib import Path

import numpy as np
import torch
from ase.data import chemical_symbols

from mlpotential.errors import ModelFileError
from mlpotential.inference.backend import SMALLEST_DISTANCE
from mlpotential.inference.schnet import kernel
from mlpotential.inference.schnet.filter_polynomials import filter_polynomials
from mlpotential.inference.schnet.filter_table import obstacle_to_tables, table_of
from mlpotential.inference.schnet.native import describe
from mlpotential.inference.training_domain import (
    DISTANCE_TOLERANCE,
    MAX_FEATURE_DEVIATION,
    NEAREST_MARGIN,
    TrainingDomain,
)
from mlpotential.models.model_file import LoadedModel
from mlpotential.models.potential import Potential
from mlpotential.models.schnet import SchNet
from mlpotential.nn.activations import READOUT_ACTIVATIONS

MAGIC = "mlpotential kernel file 1"
SCALARS = {ctypes.c_int64, ctypes.c_double}
# What a guard and its checks compare findings with, by the names they have in the file.
LIMITS = {
    "distance_tolerance": DISTANCE_TOLERANCE,
    "max_feature_deviation": MAX_FEATURE_DEVIATION,
    "max_nearest_ratio": 1.0 + NEAREST_MARGIN,
    "smallest_distance": SMALLEST_DISTANCE,
}


def kernel_file(model: LoadedModel, origin: Path, dtype: torch.dtype) -> bytes:
    """The content of the file.

    Args:
        model: the content of a model file.
        origin: that file; whoever reads the kernel file can see there whether it is of today.
        dtype: float32 or float64, of the evaluation.

    Raises:
        ModelFileError: for a model that the kernel does not evaluate, or not all of it.
    """
    potential = model.potential
    if (lack := _lack(potential)) is not None:
        raise ModelFileError(f"{origin} cannot be evaluated by the kernel alone: {lack}")
    assert isinstance(potential, SchNet)  # or it would lack something
    domain = TrainingDomain.of_record(model.record, potential)
    potential = potential.to(device="cpu", dtype=dtype).eval()
    table = table_of(potential)
    filters = filter_polynomials(table, dtype)
    description, arrays = describe(potential, table.last, filters, domain)
    total_charge = None if (charges := potential.charge_readout) is None else charges.total_charge
    lines = [
        MAGIC,
        f"interface {kernel.INTERFACE}",
        f"bytes_per_number {dtype.itemsize}",
        f"model_sha256 {model.sha256}",
        f"model_path {origin.resolve()}",
        "elements " + " ".join(f"{chemical_symbols[z]} {z}" for z in potential.elements),
        *(f"{name} {limit!r}" for name, limit in LIMITS.items()),
        f"total_charge {np.nan if total_charge is None else float(total_charge)!r}",
    ]
    for part in kernel.SchNetModel._fields_:
        if part[1] in SCALARS:
            lines.append(f"{part[0]} {getattr(description, part[0])!r}")
    parts = []
    for name, array in arrays.items():
        if array is None:
            continue
        stored = array.astype("<f4" if (name, dtype.itemsize) == ("table", 4) else "<f8")
        lines.append(f"array {name} float{8 * stored.itemsize} {stored.size}")
        parts.append(stored.tobytes())
    text = "".join(f"{line}\n" for line in lines).encode()
    body = b"".join(parts)
    return text + f"end {zlib.crc32(body, zlib.crc32(text))}\n".encode() + body


def _lack(potential: Potential) -> str | None:
    """What the kernel does not do of a model; None where it does everything."""
    if type(potential) is not SchNet:
        return f"it evaluates SchNet, and this is a {type(potential).__name__}"
    if potential.terms:
        names = ", ".join(potential.terms)
        return f"the model adds physical terms ({names}) to its network, which it does not know"
    if (obstacle := obstacle_to_tables(potential)) is not None:
        return obstacle.error.partition(": use")[0]
    for name in ("energy", "dipole"):
        output = potential.outputs.get(name)
        activation = None if output is None else output.activation
        if activation and READOUT_ACTIVATIONS[activation].kernel_number is None:
            return f"it has no readouts with {activation}"
    return None
