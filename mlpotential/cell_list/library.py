"""The C interface of the compiled cell list, `csrc/cell_list.h`."""

from __future__ import annotations

import ctypes
import logging
from functools import cache
from pathlib import Path

import numpy as np

from mlpotential.compiled import InstructionSet, best_library, find_library, open_library
from mlpotential.errors import RunError

INTERFACE = 1  # of csrc/cell_list.h
STEM = "cell_list"
NONE_HERE = "there is no compiled cell list: neighbour lists take about five times as long"
NO_MEMORY, NO_THREADS = 1, 2

log = logging.getLogger(__name__)
_pointer, _int64, _float64 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double


class _Search(ctypes.Structure):
    _fields_ = (
        ("n_atoms", _int64),
        *((name, _pointer) for name in ("positions", "cell", "inverse", "periodic")),
        *((name, _pointer) for name in ("low", "extent", "n_boxes", "reach")),
        ("radius", _float64),
    )


class _Shifts(ctypes.Structure):
    _fields_ = (("first", _int64 * 3), ("size", _int64 * 3))


@cache
def library() -> ctypes.CDLL | None:
    """The best one that this processor runs; None, which is said once, where none was compiled.

    Raises:
        RunError: if it is of another version than the package.
    """
    best = best_library(_loaded, "cell_list_processor")
    if best is None:
        log.warning(f"{NONE_HERE}. Install g++ or clang++, then the package anew")
    return best


def _loaded(instruction_set: InstructionSet) -> ctypes.CDLL | None:
    path = find_library(Path(__file__).parent, STEM, instruction_set)
    if path is None:
        return None
    loaded = open_library(path, STEM, INTERFACE, "cell list")
    for name, arguments in {
        "count": [ctypes.POINTER(_Search), _int64, _pointer, ctypes.POINTER(_Shifts), _pointer],
        "fill": [_pointer, _int64, *[_pointer] * 4],
    }.items():
        getattr(loaded, f"cell_list_{name}").restype = _int64
        getattr(loaded, f"cell_list_{name}").argtypes = arguments
    loaded.cell_list_destroy.restype = None
    loaded.cell_list_destroy.argtypes = [_pointer]
    return loaded


def sorted_pairs(
    positions: np.ndarray, radius: float, boxes: dict[str, np.ndarray], threads: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All pairs within a radius; there must be a library.

    Args:
        positions: [n_atoms, 3], float64, C-contiguous (A).
        radius: (A).
        boxes: by their names in `CellListSearch`: cell and inverse, [3, 3], low and extent, [3],
            float64, periodic, n_boxes and reach, [3], int64.
        threads: that search; the answer does not depend on them.

    Returns:
        row_start, [n_atoms + 1], int64, neighbors and shift_index, [n_pairs], int32, and shifts,
        [n_shifts, 3], float64: as in `HalfList`.
    """
    used, n_atoms = library(), len(positions)
    assert used is not None  # or the caller would not have come here
    arrays = {"positions": positions, **boxes}
    search = _Search(
        n_atoms=n_atoms, radius=radius, **{name: a.ctypes.data for name, a in arrays.items()}
    )
    row_start = np.empty(n_atoms + 1, np.int64)
    ranges, counted = _Shifts(), _pointer()
    status = used.cell_list_count(
        ctypes.byref(search),
        threads,
        row_start.ctypes.data,
        ctypes.byref(ranges),
        ctypes.byref(counted),
    )
    _check(status, n_atoms, threads)
    try:
        neighbors = np.empty(row_start[-1], np.int32)
        shift_index = np.empty(row_start[-1], np.int32)
        present = np.empty(tuple(ranges.size), np.uint8)
        written = (row_start, neighbors, shift_index, present)
        status = used.cell_list_fill(counted, threads, *(a.ctypes.data for a in written))
        _check(status, n_atoms, threads)
    finally:
        used.cell_list_destroy(counted)
    shifts = np.add(np.argwhere(present), np.array(ranges.first), order="C").astype(np.float64)
    return row_start, neighbors, shift_index, shifts


def _check(status: int, n_atoms: int, threads: int) -> None:
    if status == NO_MEMORY:
        raise MemoryError(f"not enough memory to list the neighbours of {n_atoms} atoms")
    if status == NO_THREADS:
        raise RunError(f"the system does not give {threads} threads: ask for fewer")
