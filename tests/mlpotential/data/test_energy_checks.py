"""Energies of a good set pass; each fault in them is told by forces, composition or repetition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import units

from mlpotential.data.declared_units import SuspiciousDataWarning
from mlpotential.data.energy_checks import (
    energies_against_forces,
    energies_per_atom,
    energy_outlier,
    equal_energies,
    repeated_structures,
)
from mlpotential.data.plausibility import warn_if_suspicious
from mlpotential.data.reference_data import ReferenceData
from mlpotential.data.same_structures import first_occurrences
from mlpotential.graph import AtomGraph

CHECKS = (equal_energies, energy_outlier, energies_per_atom, energies_against_forces)


def with_energies(
    graphs: list[AtomGraph], change: Callable[[int, float, int], float]
) -> ReferenceData:
    """Energies replaced by change(k, energy, number of atoms); frames numbered from 100."""
    changed = [
        replace(
            g, energy=torch.tensor([change(k, float(g.energy), g.n_atoms)], dtype=torch.float64)
        )
        for k, g in enumerate(graphs)
    ]
    return ReferenceData(tuple(changed), "set", tuple(range(100, 100 + len(graphs))))


def test_good_sets_pass(molecules, crystals):
    for graphs in (molecules, crystals, molecules + crystals):
        warn_if_suspicious(ReferenceData(tuple(graphs), "set"))  # a warning would be an error


def test_equal_energies(molecules):
    found = equal_energies(with_energies(molecules, lambda k, e, n: 0.0))
    assert found == "the energy of all 60 structures is 0 eV. Were they computed?"
    with pytest.warns(SuspiciousDataWarning, match="all 60 structures is 0 eV"):
        warn_if_suspicious(with_energies(molecules, lambda k, e, n: 0.0))


@pytest.mark.parametrize("error", [5000.0, -27.2])
def test_an_outlier_is_named(molecules, crystals, error):
    for graphs in (molecules, crystals):
        data = with_energies(graphs, lambda k, e, n: e + error * (k == 5))
        assert "the energy of frame 105 is" in energy_outlier(data)
        assert "eV away from what its composition suggests" in energy_outlier(data)


def test_the_only_structure_with_an_element_is_no_outlier(molecules, crystals):
    data = ReferenceData((*molecules, crystals[0]), "one of copper")
    assert energy_outlier(data) is None


def test_compositions_at_the_edge_are_no_outliers(many_molecules):
    """Hydrogen molecules are no mixture of the others."""
    hydrogen = AtomGraph.from_arrays([1, 1], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.8]], energy=-90.0)
    bare = [replace(graph, forces=None) for graph in many_molecules]
    assert energy_outlier(ReferenceData((*bare, hydrogen), "set")) is None


def test_an_outlier_among_near_frames(molecules):
    """3 eV are little beside different molecules, but not on a step of 0.2 A."""
    waters = [graph for graph in molecules if graph.n_atoms == 3]
    data = with_energies(waters, lambda k, e, n: e + 3.0 * (k == 5))
    assert "frame 105" in energies_against_forces(data)
    assert energies_against_forces(with_energies(waters, lambda k, e, n: e)) is None


def test_energies_per_atom_of_molecules_go_with_the_forces(molecules):
    data = with_energies(molecules, lambda k, e, n: e / n)
    assert "Are the energies those per atom?" in energies_against_forces(data)


def test_energies_per_atom_without_forces():
    """Clusters of 2 to 9 atoms and about one energy for each."""
    random = np.random.default_rng(2)
    graphs = [
        AtomGraph.from_arrays([29] * n, 2.5 * random.normal(size=(n, 3)), energy=-3.0 * n)
        for n in random.integers(2, 10, size=30)
    ]
    total = with_energies(graphs, lambda k, e, n: e + 0.1 * n * random.normal())
    assert energies_per_atom(total) is None
    found = energies_per_atom(with_energies(graphs, lambda k, e, n: -3.0 + 0.1 * random.normal()))
    assert "Are they energies per atom?" in found


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (-1.0, "Are the forces gradients"),
        (1.0 / units.Hartree, "One eV is 0.0367 Hartree"),
        (units.Bohr, "One Bohr is 0.529 Angstrom"),
        (1.0 / units.Bohr, "One Angstrom is 1.89 Bohr"),
        (units.Hartree / units.Bohr, "One Hartree/Bohr is 51.4 eV/A"),
        (3.7, "Are units and signs right"),
    ],
)
def test_energies_that_do_not_go_with_the_forces(molecules, factor, message):
    data = with_energies(molecules, lambda k, e, n: factor * (e - round(e)))
    assert message in energies_against_forces(data)


def test_two_references_in_one_set(molecules):
    data = with_energies(molecules, lambda k, e, n: e + 12.0 * (k % 2))
    assert "one method, one charge and one reference" in energies_against_forces(data)


def test_one_structure_with_several_energies(molecules):
    again = [molecules[0]] * 3
    data = with_energies(molecules + again, lambda k, e, n: e + 5.0 * max(k - 60, 0))
    found = repeated_structures(data, first_occurrences(data.graphs))
    assert found.startswith("2 structures occur before with another energy: frame 161 is frame 100")
    assert "5 eV away" in found
    same = with_energies(molecules + again, lambda k, e, n: e)
    assert repeated_structures(same, first_occurrences(same.graphs)) is None


def test_what_has_no_weight_is_not_judged(molecules):
    """Energies of weight 0 are none; a structure that occurs again is no further evidence."""
    wrong = with_energies(molecules, lambda k, e, n: e if k % 4 else 0.0)
    graphs = [g.with_weights({} if k % 4 else {"energy": 0.0}) for k, g in enumerate(wrong.graphs)]
    warn_if_suspicious(ReferenceData(tuple(graphs), "weighted"))
    with pytest.warns(SuspiciousDataWarning):
        warn_if_suspicious(wrong)
    odd = replace(molecules[0], forces=molecules[0].forces.flip(0))
    warn_if_suspicious(ReferenceData((odd,) * 100, "one structure"))
