"""Latent charges of atoms and the dipole moment they make.

M. Gastegger, J. Behler, P. Marquetand, Chem. Sci. 8, 6924 (2017), doi:10.1039/C7SC02267K, and
K. T. Schuett et al., J. Chem. Theory Comput. 15, 448 (2019), doi:10.1021/acs.jctc.8b00908: charges
q_i that depend on the surroundings of an atom, and are fitted to dipoles alone,

    mu = sum_i q_i (r_i - R),   R = sum_i m_i r_i / sum_i m_i.   (1)

Where they add up to zero, R does not matter; where not, mu is that about the centre of mass. A
known total charge Q is kept by spreading the excess evenly over the atoms,

    q_i = q'_i + (Q - sum_j q'_j) / n_atoms.                     (2)

The functions are of NumPy arrays and of tensors alike: `per_graph` sums, over the atoms of each
structure, [n_atoms, ...] -> [n_graphs, ...].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PerGraph = Callable[[Any], Any]


def with_total_charge(charges: Any, total: float, graph_index: Any, per_graph: PerGraph) -> Any:
    """Eq. (2).

    Args:
        charges: q', [n_atoms] (e).
        total: Q of each structure (e).
        graph_index: the structure of each atom, [n_atoms].
        per_graph: as above.

    Returns:
        [n_atoms] (e).
    """
    n_atoms = per_graph(charges * 0.0 + 1.0)
    excess = (total - per_graph(charges)) / n_atoms
    return charges + excess[graph_index]  # (2)


def dipole(charges: Any, positions: Any, masses: Any, graph_index: Any, per_graph: PerGraph) -> Any:
    """Eq. (1).

    Args:
        charges: [n_atoms] (e).
        positions: [n_atoms, 3] (A).
        masses: [n_atoms] (amu).
        graph_index, per_graph: as for `with_total_charge`.

    Returns:
        [n_graphs, 3] (e A).
    """
    masses = masses[:, None]
    centers = per_graph(masses * positions) / per_graph(masses)
    return per_graph(charges[:, None] * (positions - centers[graph_index]))  # (1)
