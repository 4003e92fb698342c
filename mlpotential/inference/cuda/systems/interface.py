"""The structures that these kernels take, field by field."""

from __future__ import annotations

import ctypes

import numpy as np

_int64, _float64, _address = ctypes.c_longlong, ctypes.c_double, ctypes.c_void_p

# `Lattice` of cells.cu.
LATTICE = np.dtype(
    [
        ("box", np.float64, (3, 3)),
        ("inverse", np.float64, (3, 3)),
        ("change", np.float64, (3, 3)),
        ("origin", np.float64, 3),
        ("scale", np.float64, 3),
        ("bins", np.int32, 3),
        ("reach", np.int32, 3),
        ("periodic", np.int32, 3),
        ("first_bin", np.int32),
    ],
    align=True,
)


class Search(ctypes.Structure):
    """A list in the making."""

    _fields_ = (
        ("positions", _address),
        ("graph_of", _address),
        ("lattices", _address),
        ("wraps", _address),
        ("bins", _address),
        ("order", _address),
        ("bin_start", _address),
        ("lengths", _address),
        ("row_start", _address),
        ("found", _address),
        ("found_images", _address),
        ("neighbors", _address),
        ("images", _address),
        ("radius", _float64),
        ("n_atoms", _int64),
    )


class Watch(ctypes.Structure):
    """How far atoms have moved."""

    _fields_ = (
        ("positions", _address),
        ("listed", _address),
        ("graph_of", _address),
        ("deformations", _address),
        ("allowed", _address),
        ("stale", _address),
        ("n_atoms", _int64),
    )


class Listed(ctypes.Structure):
    """Structures with their list."""

    _fields_ = (
        ("positions", _address),
        ("cells", _address),
        ("changes", _address),
        ("starts", _address),
        ("graph_of", _address),
        ("atomic_numbers", _address),
        ("order", _address),
        ("wraps", _address),
        ("row_start", _address),
        ("neighbors", _address),
        ("images", _address),
        ("n_atoms", _int64),
        ("n_listed", _int64),
        ("first_atom", _int64),
    )


class Work(ctypes.Structure):
    """What the kernels of an evaluation hand on."""

    _fields_ = (
        ("edges", _address),
        ("images", _address),
        ("counts", _address),
        ("x", _address),
        ("m", _address),
        ("y", _address),
        ("a", _address),
        ("g", _address),
        ("q", _address),
        ("tensions", _address),
        ("virials", _address),
    )


class Layer(ctypes.Structure):
    """An interaction."""

    _fields_ = (("number", _int64), ("blocks", _int64))
