"""The functions of one number that symmetry functions are products of: ends, Gaussians, angles.

Equation numbers of types are those of `notation`. Each formula is written so that its first two
derivatives by autograd are right and finite wherever the function itself has them: at the centre of
a compact function, at either end, and for atoms in a line.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

# 1 - x^2 below which exp(1 - 1 / (1 - x^2)) is below the least number of either precision
DEAD_END = 1e-3


def _p1(x: Tensor) -> Tensor:
    return 1.0 + x * x * (2.0 * x.abs() - 3.0)


def _p2(x: Tensor) -> Tensor:
    a = x.abs()
    return 1.0 + x * x * a * (a * (15.0 - 6.0 * a) - 10.0)


def _p3(x: Tensor) -> Tensor:
    a, squared = x.abs(), x * x
    return 1.0 + squared * squared * (a * (a * (20.0 * a - 70.0) + 84.0) - 35.0)


def _p4(x: Tensor) -> Tensor:
    a, squared = x.abs(), x * x
    inner = a * (a * (a * (315.0 - 70.0 * a) - 540.0) + 420.0) - 126.0
    return 1.0 + squared * squared * a * inner


def _exponential(x: Tensor) -> Tensor:
    """exp(1 - 1 / (1 - x^2))."""
    rest = 1.0 - x * x
    alive = rest > DEAD_END
    return torch.where(alive, torch.exp(1.0 - 1.0 / torch.where(alive, rest, 1.0)), 0.0)


# From 1 at x = 0 to 0 at |x| = 1, even, for |x| <= 1.
CORES: dict[str, Callable[[Tensor], Tensor]] = {
    "e": _exponential,
    "p1": _p1,
    "p2": _p2,
    "p3": _p3,
    "p4": _p4,
}
CORE_CURVATURES = {  # second derivatives at x = 0 and at |x| = 1
    "e": (-2.0, 0.0),
    "p1": (-6.0, 6.0),
    "p2": (0.0, 0.0),
    "p3": (0.0, 0.0),
    "p4": (0.0, 0.0),
}
CUTOFF_CORES = {4: "e", 5: "p1", 6: "p2", 7: "p3", 8: "p4"}
CUTOFF_TYPES = range(9)


def cutoff_function(kind: int, distances: Tensor, cutoff: float, inner: float = 0.0) -> Tensor:
    """fc of n2p2's `cutoff_type`: 0 from `cutoff` on. [n] (length unit) -> [n].

    With x = (r - inner rc) / (rc - inner rc), and 1 up to r = inner rc:

        0 1 (hard)        1 (cos(pi x) + 1) / 2          2 tanh^3(1 - r/rc)
        3 tanh^3(1 - r/rc) / tanh^3(1)                   4 exp(1 - 1 / (1 - x^2))
        5 (2x - 3) x^2 + 1     6 ((15 - 6x) x - 10) x^3 + 1
        7 (x (x (20x - 70) + 84) - 35) x^4 + 1
        8 (x (x ((315 - 70x) x - 540) + 420) - 126) x^5 + 1

    Args:
        kind: 0 to 8.
        distances: [n] (length unit).
        cutoff: rc (length unit).
        inner: alpha, share of rc where the function leaves 1; of no effect for 0, 2 and 3.
    """
    if kind == 0:
        return (distances < cutoff).to(distances.dtype)
    if kind in (2, 3):
        fall = torch.tanh((1.0 - distances / cutoff).clamp(min=0.0)) ** 3
        return fall / math.tanh(1.0) ** 3 if kind == 3 else fall
    x = ((distances - inner * cutoff) / (cutoff - inner * cutoff)).clamp(0.0, 1.0)
    if kind == 1:
        return 0.5 * (torch.cos(math.pi * x) + 1.0)
    return CORES[CUTOFF_CORES[kind]](x)


def compact_function(subtype: str, values: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """C(r; rl, rc) of Eq. (4): 1 in the middle, 0 outside. [n], [m], [m] -> [n, m].

    f(|x|), x = (r - centre) / halfwidth; subtypes that end in `a` have (2 - |x|) |x| instead of
    |x|, and so lie nearer to the centre.
    """
    x = ((values[:, None] - 0.5 * (first + last)) / (0.5 * (last - first))).clamp(-1.0, 1.0)
    if subtype.endswith("a"):
        x = (2.0 - x.abs()) * x
    return CORES[subtype.removesuffix("a")](x)


def angular_window(subtype: str, cosines: Tensor, left: float, right: float) -> Tensor:
    """A(theta; left, right) of Eq. (5), window in degrees. [n] -> [n].

    theta = arccos(c) has no derivative at c = 1 and -1. There, with |c| within eps^(2/3) of 1,
    theta^2 = 2 (1 - |c|) to the precision eps of the numbers, and

        A = A(end) + A''(end) (1 - |c|).

    The subtype is taken without its `a`: windows are symmetric.
    """
    core = subtype.removesuffix("a")
    center, half = math.radians(0.5 * (left + right)), math.radians(0.5 * (right - left))
    aligned = 1.0 - cosines.abs() < torch.finfo(cosines.dtype).eps ** (2.0 / 3.0)
    angles = torch.acos(torch.where(aligned, 0.0, cosines))
    values = CORES[core](((angles - center) / half).clamp(-1.0, 1.0))
    if not bool(aligned.any()):
        return values
    at_0, at_180 = (_end_of_window(core, end, left, right) for end in (0.0, 180.0))
    value, curvature = (
        torch.where(cosines > 0.0, zero, straight)
        for zero, straight in zip(
            map(cosines.new_tensor, at_0), map(cosines.new_tensor, at_180), strict=True
        )
    )
    return torch.where(aligned, value + curvature * (1.0 - cosines.abs()), values)


def _end_of_window(core: str, end: float, left: float, right: float) -> tuple[float, float]:
    """A and its second derivative by theta (rad) where theta is 0 or 180 degrees."""
    half = math.radians(0.5 * (right - left))
    in_middle, at_edge = CORE_CURVATURES[core]
    if end == 0.5 * (left + right):
        return 1.0, in_middle / half**2
    if end in (left, right):
        return 0.0, at_edge / half**2
    return 0.0, 0.0


def angular_power(cosines: Tensor, sign: float, zeta: float) -> Tensor:
    """2^(1-zeta) (1 + lambda cos theta)^zeta of Eq. (2). [n] -> [n]."""
    base = 1.0 + sign * cosines
    if zeta == int(zeta):  # a polynomial, whose derivatives rounding does not spoil
        return 2.0 ** (1.0 - zeta) * base ** int(zeta)
    # Below it the function, its slope and its curvature by position are zero to all digits.
    return 2.0 ** (1.0 - zeta) * base.clamp(min=torch.finfo(base.dtype).eps ** 1.5) ** zeta
