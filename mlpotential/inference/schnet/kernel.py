"""The C interface of the compiled SchNet kernel, `csrc/schnet.h`, field by field.

The source in `csrc/` is compiled once per instruction set when the package is installed, where
there is a C++ compiler. Which of these libraries a processor can run is asked and answered here.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mlpotential.compiled import (
    INSTRUCTION_SETS,
    InstructionSet,
    find_library,
    library_names,
    open_library,
)

INTERFACE = 6  # of csrc/schnet.h
STEM = "schnet"
HEADER = Path(__file__).parent / "csrc/schnet.h"
SOURCE = "csrc/schnet.cpp"  # beside this file in the sources of the package
NO_MEMORY, NO_THREADS = 1, 2


def _structure(name: str, **fields: Any) -> type[ctypes.Structure]:
    return type(name, (ctypes.Structure,), {"_fields_": list(fields.items())})


_int64, _float64 = ctypes.c_int64, ctypes.c_double
_int32_array = _int64_array = _float64_array = ctypes.c_void_p  # see `pair_graph.address`
FETCH = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, _int64)

SchNetModel = _structure(
    "SchNetModel",
    n_interactions=_int64,
    n_features=_int64,
    n_hidden=_int64,
    n_elements=_int64,
    n_intervals=_int64,
    spacing=_float64,
    last=_float64,
    cutoff=_float64,
    averages=_int64,
    energy_scale=_float64,
    readout_bias=_float64,
    readout_activation=_int64,
    table=_float64_array,
    embedding=_float64_array,
    first_products=_float64_array,
    atom_energies=_float64_array,
    in_to_filter=_float64_array,
    filter_to_out=_float64_array,
    filter_to_out_bias=_float64_array,
    output=_float64_array,
    output_bias=_float64_array,
    readout_hidden=_float64_array,
    readout_hidden_bias=_float64_array,
    readout_output=_float64_array,
    charge_bias=_float64,
    charge_hidden=_float64_array,
    charge_hidden_bias=_float64_array,
    charge_output=_float64_array,
    shortest=_float64_array,
    feature_centers=_float64_array,
    feature_scales=_float64_array,
    bond_lengths=_float64_array,
    neighborhoods=_float64_array,
)
SchNetHalo = _structure("SchNetHalo", n_owned=_int64, context=ctypes.c_void_p, fetch=FETCH)
SchNetGraph = _structure(
    "SchNetGraph",
    n_graphs=_int64,
    n_atoms=_int64,
    graph_start=_int64_array,
    atomic_numbers=_int32_array,
    positions=_float64_array,
    row_start=_int64_array,
    neighbors=_int32_array,
    shift_index=_int32_array,
    translations=_float64_array,
    halo=ctypes.c_void_p,
)
SchNetResult = _structure(
    "SchNetResult",
    atomic_energies=_float64_array,
    charges=_float64_array,
    forces=_float64_array,
    virial=_float64_array,
    closest=_float64,
    closest_pair=_int64 * 2,
    distance_deficit=_float64,
    feature_deviation=_float64,
    nearest_ratio=_float64,
    coordination_deficit=_int64,
    findings=ctypes.c_void_p,
)
FINDING = np.dtype(  # SchNetFinding
    [
        ("distance_deficit", np.float64),
        ("feature_deviation", np.float64),
        ("nearest_ratio", np.float64),
        ("coordination_deficit", np.int64),
        ("partner", np.int64),
    ]
)


def available_instruction_sets() -> tuple[InstructionSet, ...]:
    """Those that were compiled and that this processor can run, best last."""
    portable = library_path("portable")
    if portable is None:
        return ()
    level = int(load(portable).schnet_processor())
    return tuple(s for s in INSTRUCTION_SETS[: level + 1] if library_path(s) is not None)


@cache
def library_path(instruction_set: InstructionSet) -> Path | None:
    """Where the kernel for it was compiled to; None where it was not."""
    return find_library(Path(__file__).parent, STEM, instruction_set)


def why_there_is_none() -> str:
    """Why no kernel lies here, as far as that can be seen, and what to do."""
    here = Path(__file__).parent
    if not (here / SOURCE).is_file():  # an installed copy comes without them
        return (
            "the package was installed where no C++ compiler worked: install g++ or clang++, then "
            "the package anew"
        )
    root = here.parents[2]
    found = f"Python takes the package from the source folder {root}, where none is compiled"
    if (place := _place_with_kernels(here)) is not None:
        return (
            f"{found}, and not from {place}, where there is one: start Python in another folder or "
            f"as python -P, or run pip install -e {root}"
        )
    return f"{found}: run pip install -e {root}, where g++ or clang++ is installed"


def _place_with_kernels(here: Path) -> Path | None:
    """The folder with an installed copy of the package that has kernels; None without one."""
    for distribution in importlib.metadata.distributions(name="mlpotential"):
        for file in distribution.files or ():
            path = Path(str(file.locate()))
            is_kernel = path.name in library_names(STEM, "portable")
            if is_kernel and path.parent != here and path.is_file():
                return path.parents[3]
    return None


@cache
def load(path: Path) -> ctypes.CDLL:
    """The kernel, its functions declared. Raises RunError for one of another version."""
    library = open_library(path, STEM, INTERFACE, "kernel")
    library.schnet_create.restype = ctypes.c_void_p
    library.schnet_create.argtypes = [ctypes.POINTER(SchNetModel), _int64]
    library.schnet_destroy.restype = None
    library.schnet_destroy.argtypes = [ctypes.c_void_p]
    library.schnet_evaluate.restype = _int64
    library.schnet_evaluate.argtypes = [
        ctypes.c_void_p,
        ctypes.POINTER(SchNetGraph),
        _int64,
        ctypes.POINTER(SchNetResult),
    ]
    return library
