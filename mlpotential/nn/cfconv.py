"""Continuous-filter convolution, the layer that gives SchNet its name.

Schuett et al., J. Chem. Phys. 148, 241722 (2018), Eq. (4).
"""

from __future__ import annotations

from torch import Tensor


def continuous_filter_convolution(features: Tensor, filters: Tensor, pair_index: Tensor) -> Tensor:
    """x'_i = sum_j x_j o W(r_ij), each unordered pair's filter serving both directions. Eq. (4).

    Args:
        features: x, [n_atoms, n_features].
        filters: W(r_ij) of each unordered pair, [n_pairs, n_features].
        pair_index: atoms i and j of each pair, [2, n_pairs].

    Returns:
        Messages, [n_atoms, n_features]; zero for an atom without neighbours.
    """
    i, j = pair_index
    messages = features.new_zeros(features.shape)
    messages = messages.index_add(0, i, features[j] * filters)
    return messages.index_add(0, j, features[i] * filters)


def pair_product(first: Tensor, second: Tensor, pair_index: Tensor) -> Tensor:
    """a_i o b_j + a_j o b_i of each pair: the derivative of a convolution by its filters.

    Args:
        first, second: a and b, [n_atoms, n_features].
        pair_index: [2, n_pairs].

    Returns:
        [n_pairs, n_features].
    """
    i, j = pair_index
    return first[i] * second[j] + first[j] * second[i]


def neighbor_counts(inside: Tensor, pair_index: Tensor, n_atoms: int) -> Tensor:
    """How many neighbours each atom has inside the cutoff, [n_atoms].

    Args:
        inside: 1 for a pair inside the cutoff, else 0, [n_pairs].
        pair_index: atoms i and j of each pair, [2, n_pairs].
        n_atoms: number of atoms.
    """
    counts = inside.new_zeros(n_atoms)
    return counts.index_add(0, pair_index[0], inside).index_add(0, pair_index[1], inside)
