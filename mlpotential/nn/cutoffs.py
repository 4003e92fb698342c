"""Functions that end an interaction at a cutoff radius."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cosine_cutoff(distances: Tensor, cutoff: float) -> Tensor:
    """0.5 [cos(pi r / cutoff) + 1] inside, 0 outside.

    Behler, J. Chem. Phys. 134, 074106 (2011), Eq. (4).

    [n_pairs] (A) -> [n_pairs].
    """
    return cosine_taper(distances, cutoff) * (distances < cutoff)


def cosine_taper(distances: Tensor, cutoff: float) -> Tensor:
    """The same formula without its end, smooth up to the cutoff itself. [n_pairs] -> [n_pairs]."""
    return 0.5 * (torch.cos(distances * (math.pi / cutoff)) + 1.0)


def hard_cutoff(distances: Tensor, cutoff: float) -> Tensor:
    """1 inside, 0 outside: discontinuous at the cutoff. [n_pairs] (A) -> [n_pairs]."""
    return (distances < cutoff).to(distances.dtype)
