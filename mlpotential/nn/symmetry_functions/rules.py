"""Symmetry functions proposed for any set of elements. Free of torch.

Radial grids of M. Gastegger, L. Schwiedrzik, M. Bittermann, F. Berzsenyi, P. Marquetand, J. Chem.
Phys. 148, 241709 (2018), doi:10.1063/1.5019667: N distances r_k, equidistant from FIRST to LAST
before the cutoff, make

    shifted functions,  rs = r_k, eta = 1 / (2 Delta^2) with the spacing Delta;               (1)
    centred functions,  rs = 0,   eta = 1 / (2 r_k^2).                                        (2)

Radial functions are shifted, angular ones centred with lambda = -1 and 1 and zeta = 1. The paper's
balance for organic molecules is 22 radial and 10 angular functions (5 distances, two lambda each).
`wacsf` makes them for all neighbours at once, weighted by atomic number, so that their number does
not grow with that of elements; `acsf` makes them for each element and pair of elements among the
neighbours, of Behler's types 2 and 9 and fewer of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

from mlpotential.nn.symmetry_functions.notation import SymmetryFunction

FIRST, LAST = 0.5, 0.5  # A, from the atom and from the cutoff, as in the paper's grids
RULES = ("acsf", "wacsf")
N_RADIAL = {"wacsf": 22, "acsf": 12}  # acsf chosen: as many as n2p2's published potentials have
N_ANGULAR = {"wacsf": 5, "acsf": 3}  # distances
ZETA = 1.0
DIGITS = 6  # of parameters: all that is needed, and short lines


def proposed_functions(
    rule: str, elements: Sequence[int], cutoff: float, n_radial: int, n_angular: int
) -> tuple[SymmetryFunction, ...]:
    """Functions of about any environment that atoms of these elements have, in A.

    Args:
        rule: of RULES.
        elements: atomic numbers.
        cutoff: of all functions (A), beyond FIRST + LAST.
        n_radial: distances of the radial grid, at least 2.
        n_angular: distances of the angular grid; 0 for none.
    """
    radial, angular = grid(cutoff, n_radial), grid(cutoff, n_angular)
    spacing = radial[1] - radial[0]
    kinds = (12, 13)
    ones: list[tuple[int, ...]] = [()]
    twos: list[tuple[int, ...]] = [()]
    if rule == "acsf":
        kinds = (2, 9)
        ones = [(z,) for z in sorted(elements)]
        twos = [*combinations_with_replacement(sorted(elements), 2)]
    functions = []
    for element in elements:
        for neighbors in ones:
            functions += [
                SymmetryFunction(
                    element,
                    kinds[0],
                    neighbors,
                    cutoff,
                    eta=_rounded(0.5 / spacing**2),  # Eq. (1)
                    shift=_rounded(r),
                )
                for r in radial
            ]
        for neighbors in twos:
            functions += [
                SymmetryFunction(
                    element,
                    kinds[1],
                    neighbors,
                    cutoff,
                    eta=_rounded(0.5 / r**2),  # Eq. (2)
                    sign=sign,
                    zeta=ZETA,
                )
                for r in angular
                for sign in (-1.0, 1.0)
            ]
    return tuple(sorted(functions, key=lambda function: function.order))


def grid(cutoff: float, n_distances: int) -> list[float]:
    """Equidistant from FIRST to LAST before the cutoff (A); a single one is the middle."""
    first, last = FIRST, cutoff - LAST
    if n_distances == 1:
        return [0.5 * (first + last)]
    return [first + (last - first) * k / (n_distances - 1) for k in range(n_distances)]


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
