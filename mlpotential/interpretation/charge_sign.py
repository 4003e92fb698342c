"""The sign of charges that were learned from lengths of dipoles alone, as those of QM9 are.

They fit as well with every sign turned. The one is taken that makes hydrogen positive on average
over water, ammonia, methane and hydrogen fluoride: one sign for all that a model ever sees.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.build import molecule

from mlpotential.graph import AtomGraph
from mlpotential.models.potential import Potential
from mlpotential.neighbors import connect

HYDRIDES = ("H2O", "NH3", "CH4", "HF")  # chosen: polar alike, and of the elements of QM9


class ChargeSign(NamedTuple):
    """What charges of a model are multiplied with: 1 or -1, and why."""

    factor: float
    rule: str


def charge_sign(model: Potential) -> ChargeSign | None:
    """Of a model with charges; None where it cannot be told."""
    if "dipole" in model.outputs:
        return ChargeSign(1.0, "as trained on dipole vectors")
    known = [atoms for atoms in map(molecule, HYDRIDES) if {*atoms.numbers} <= {*model.elements}]
    if not known:
        return None
    mean = np.mean([charges_of(model, atoms)[atoms.numbers == 1].mean() for atoms in known])
    names = ", ".join(atoms.get_chemical_formula() for atoms in known)
    return ChargeSign(float(np.sign(mean)) or 1.0, f"mean charge of H in {names} taken positive")


def charges_of(model: Potential, structure: Atoms) -> np.ndarray:
    """As the network has them, [n_atoms] (e)."""
    graph = connect(AtomGraph.from_atoms(structure), model.cutoff)
    return np.asarray(model(graph, ["charges"]).charges.numpy())
