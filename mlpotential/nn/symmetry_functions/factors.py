"""Factors that symmetry functions share: of a distance, and of an angle.

A function is a sum over pairs of g(rij), or over triples of g(rij) g(rik) A(theta), for narrow
types times g(rjk): exp(-eta [(rij - rs)^2 + (rik - rs)^2]) fc(rij) fc(rik) falls apart that way.
So g is evaluated once for each pair and A once for each triple, however many functions have them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlpotential.nn.symmetry_functions.notation import SymmetryFunction
from mlpotential.nn.symmetry_functions.shapes import (
    angular_power,
    angular_window,
    compact_function,
    cutoff_function,
)


@dataclass(frozen=True)
class Radial:
    """g(r): exp(-eta (r - rs)^2) fc(r) or, with a subtype, C(r; rl, rc).

    Attributes:
        cutoff: rc (length unit).
        eta, shift: of the Gaussian.
        inner, subtype: of compact functions.
    """

    cutoff: float
    eta: float
    shift: float
    inner: float
    subtype: str

    @classmethod
    def of(cls, function: SymmetryFunction) -> Radial:
        """That of a function."""
        f = function
        return cls(f.cutoff, f.eta, f.shift, f.inner, f.subtype)


@dataclass(frozen=True)
class Angular:
    """A(theta): 2^(1-zeta) (1 + lambda cos theta)^zeta or, with a subtype, a window (degrees)."""

    sign: float
    zeta: float
    left: float
    right: float
    subtype: str

    @classmethod
    def of(cls, function: SymmetryFunction) -> Angular:
        """That of a function."""
        f = function
        return cls(f.sign, f.zeta, f.left, f.right, f.subtype)

    def __call__(self, cosines: Tensor) -> Tensor:
        """[n] -> [n]."""
        if self.subtype:
            return angular_window(self.subtype, cosines, self.left, self.right)
        return angular_power(cosines, self.sign, self.zeta)


class RadialFactors:
    """Many g at once.

    Args:
        factors: each different.
        cutoff_type, inner_cutoff: of the Gaussian ones, see `shapes.cutoff_function`.
    """

    def __init__(self, factors: Sequence[Radial], cutoff_type: int, inner_cutoff: float) -> None:
        self.cutoff = max(factor.cutoff for factor in factors)
        self._cutoff_type, self._inner_cutoff = cutoff_type, inner_cutoff
        by_family: dict[tuple[str, float], list[int]] = {}
        for k, factor in enumerate(factors):
            family = (factor.subtype, 0.0 if factor.subtype else factor.cutoff)
            by_family.setdefault(family, []).append(k)
        self._families = [
            (subtype, [factors[k] for k in numbers]) for (subtype, _), numbers in by_family.items()
        ]
        order = [k for numbers in by_family.values() for k in numbers]
        self._order = None if order == sorted(order) else [order.index(k) for k in sorted(order)]

    def __call__(self, distances: Tensor) -> Tensor:
        """[n] (length unit) -> [n, n_factors]; zero from `cutoff` on."""
        parts = [self._of_family(*family, distances) for family in self._families]
        values = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return values if self._order is None else values[:, self._order]

    def _of_family(self, subtype: str, factors: list[Radial], distances: Tensor) -> Tensor:
        """Those of one subtype; Gaussian ones of one cutoff."""

        def column(values: list[float]) -> Tensor:
            return distances.new_tensor(values)

        if subtype:
            first, last = column([f.inner for f in factors]), column([f.cutoff for f in factors])
            return compact_function(subtype, distances, first, last)
        etas, shifts = column([f.eta for f in factors]), column([f.shift for f in factors])
        gaussians = torch.exp(-etas * (distances[:, None] - shifts) ** 2)
        end = cutoff_function(self._cutoff_type, distances, factors[0].cutoff, self._inner_cutoff)
        return gaussians * end[:, None]


class AngularFactors:
    """Many A at once. Args: factors, each different."""

    def __init__(self, factors: Sequence[Angular]) -> None:
        self._factors: list[Callable[[Tensor], Tensor]] = list(factors)

    def __call__(self, cosines: Tensor) -> Tensor:
        """[n] -> [n, n_factors]."""
        return torch.stack([factor(cosines) for factor in self._factors], dim=1)
