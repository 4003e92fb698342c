"""The C interface of the compiled sums over pairs, `csrc/convolution.h`."""

from __future__ import annotations

import ctypes
import logging
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from mlpotential.compiled import InstructionSet, best_library, find_library, open_library

INTERFACE = 1  # of csrc/convolution.h
STEM = "convolution"
NUMBERS_OF_A_THREAD = 2**18  # chosen: less work than this costs less than to start a thread
NAMES = {torch.float32: "float32", torch.float64: "float64"}

log = logging.getLogger("mlpotential")
_pointer, _int64 = ctypes.c_void_p, ctypes.c_int64


class _Pairs(ctypes.Structure):
    _fields_ = (("n_pairs", _int64), ("i", _pointer), ("j", _pointer))


@cache
def library() -> ctypes.CDLL | None:
    """The best one that this processor runs; None, which is said once, where none was compiled.

    Raises:
        RunError: if it is of another version than the package.
    """
    best = best_library(_loaded, "convolution_processor")
    if best is None:
        log.warning(
            "there is no compiled convolution: steps of training take up to twice as long. Install "
            "g++ or clang++, then the package anew"
        )
    return best


def _loaded(instruction_set: InstructionSet) -> ctypes.CDLL | None:
    path = find_library(Path(__file__).parent, STEM, instruction_set)
    if path is None:
        return None
    loaded = open_library(path, STEM, INTERFACE, "library")
    rows = [_pointer, _int64]
    for name in NAMES.values():
        for function in (f"convolve_{name}", f"product_{name}"):
            getattr(loaded, function).restype = None
            getattr(loaded, function).argtypes = [
                ctypes.POINTER(_Pairs), *rows, *rows, _pointer, _int64, _int64
            ]  # fmt: skip
    return loaded


def convolve(features: Tensor, filters: Tensor, pair_index: Tensor) -> Tensor:
    """m_i = sum over pairs of W o b_j, and likewise m_j, [n_atoms, width]; Eq. (1) of the source.

    Args:
        features: b, [n_atoms, width].
        filters: W, [n_pairs, width], of the same dtype.
        pair_index: [2, n_pairs].
    """
    messages = torch.zeros_like(features, memory_format=torch.contiguous_format)
    _call("convolve", pair_index, features, filters, messages)
    return messages


def product(first: Tensor, second: Tensor, pair_index: Tensor) -> Tensor:
    """a_i o b_j + a_j o b_i of each pair, [n_pairs, width]; Eq. (2) of the source.

    Args:
        first, second: a and b, [n_atoms, width], of the same dtype.
        pair_index: [2, n_pairs].
    """
    products = first.new_empty(pair_index.shape[1], first.shape[1])
    _call("product", pair_index, first, second, products)
    return products


def _call(name: str, pair_index: Tensor, first: Tensor, second: Tensor, answer: Tensor) -> None:
    used = library()
    assert used is not None  # or the caller would not have come here
    i, j = pair_index[0].contiguous(), pair_index[1].contiguous()
    pairs = _Pairs(len(i), i.data_ptr(), j.data_ptr())
    first, second = _rows(first), _rows(second)
    width = answer.shape[1]
    n_threads = min(torch.get_num_threads(), 1 + len(i) * width // NUMBERS_OF_A_THREAD)
    getattr(used, f"{name}_{NAMES[answer.dtype]}")(
        pairs,
        first.data_ptr(),
        first.stride(0),
        second.data_ptr(),
        second.stride(0),
        answer.data_ptr(),
        width,
        n_threads,
    )


def _rows(tensor: Tensor) -> Tensor:
    """The same with the numbers of a row side by side, copied only where they are not."""
    tensor = tensor.detach()
    return tensor if tensor.stride(1) == 1 else tensor.contiguous()
