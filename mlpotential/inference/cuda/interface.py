"""The structures that `molecule.cu` takes, field by field."""

from __future__ import annotations

import ctypes

from torch import Tensor

_int64, _float64, _address = ctypes.c_longlong, ctypes.c_double, ctypes.c_void_p


class Readout(ctypes.Structure):
    """Of each atom alone."""

    _fields_ = (
        ("hidden", _address),
        ("hidden_transposed", _address),
        ("hidden_bias", _address),
        ("output", _address),
        ("bias", _float64),
        ("activation", _int64),
    )


class Network(ctypes.Structure):
    """A packed model."""

    _fields_ = (
        ("table", _address),
        ("embedding", _address),
        ("forward", _address),
        ("backward", _address),
        ("bias", _address),
        ("atom_energies", _address),
        ("shortest", _address),
        ("bond_lengths", _address),
        ("neighborhoods", _address),
        ("centers", _address),
        ("scales", _address),
        ("energy", Readout),
        ("charge", Readout),
        ("spacing", _float64),
        ("cutoff", _float64),
        ("energy_scale", _float64),
        ("n_interactions", _int64),
        ("n_knots", _int64),
        ("n_elements", _int64),
        ("averages", _int64),
    )


class Batch(ctypes.Structure):
    """Molecules of one launch."""

    _fields_ = (
        ("graphs", _address),
        ("starts", _address),
        ("atomic_numbers", _address),
        ("positions", _address),
        ("trace", _address),
    )


class Answer(ctypes.Structure):
    """Where the results go."""

    _fields_ = (
        ("energies", _address),
        ("atomic_energies", _address),
        ("charges", _address),
        ("forces", _address),
        ("virials", _address),
        ("closest", _address),
        ("findings", _address),
    )


def address(tensor: Tensor | None) -> int | None:
    """Of the first number of a tensor without gaps; null for None."""
    if tensor is None:
        return None
    assert tensor.is_contiguous()
    return tensor.data_ptr()
