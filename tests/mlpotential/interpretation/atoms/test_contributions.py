"""Atomic energies add up to the energy, charges have the stated sign."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mlpotential.errors import ConfigError, StructureError
from mlpotential.inference.evaluator import Evaluator
from mlpotential.interpretation.atoms.contributions import (
    AtomicContributions,
    atomic_contributions,
    contributions_of_group,
    fragment_sums,
    parsed_fragments,
)
from mlpotential.interpretation.model_groups import ModelGroup
from mlpotential.models.model_file import load_model


def test_they_add_up_to_the_energy_less_references(model_files, molecules, frames):
    group = ModelGroup("two", (model_files["split_0"], model_files["split_1"]))
    found = contributions_of_group(group, molecules, batch_size=2)
    references = load_model(model_files["split_0"]).potential.scale.atom_references.numpy()
    for k, atoms in enumerate(frames):
        energies = []
        for row, path in enumerate(group.paths):
            evaluator = Evaluator(path, atoms.numbers, device="cpu", guard="off")
            energy = evaluator.evaluate(atoms.positions[None], None, ("energy",)).energy[0]
            energies.append(energy - references[atoms.numbers].sum())
            own = found.values["energies"][row, found.structure_of_atom == k]
            assert_allclose(own.sum(), energies[-1], atol=1e-12 * abs(energy))
        mean = found.by_structure("energies")[k].sum()
        assert_allclose(mean, np.mean(energies), atol=1e-9)


def test_all_are_less_the_references_of_the_first(model_files, molecules):
    potential = load_model(model_files["split_0"]).potential
    others = np.arange(119.0)
    own = atomic_contributions(potential, molecules)["energies"]
    found = atomic_contributions(potential, molecules, references=others)["energies"]
    z = molecules.arrays.all_numbers
    difference = (potential.scale.atom_references.numpy() - others)[z]
    assert_allclose(found - own, difference, rtol=1e-12)
    group = ModelGroup("one", (model_files["split_0"],))
    in_group = contributions_of_group(group, molecules, references=others)
    assert_allclose(in_group.values["energies"][0], found)


def test_hydrogen_is_positive_where_only_lengths_were_learned(model_files, molecules):
    hydrogen = molecules.arrays.all_numbers == 1
    for name in ("split_0", "split_1"):
        potential = load_model(model_files[name]).potential
        charges = atomic_contributions(potential, molecules)["charges"]
        assert charges[hydrogen].mean() > 0.0
        assert_allclose(charges[:3].sum(), 0.0, atol=1e-12)  # of one molecule


def test_what_a_model_does_not_give(model_files, molecules):
    group = ModelGroup("dipoles", (model_files["dipoles"],))
    assert set(contributions_of_group(group, molecules).values) == {"charges"}
    with pytest.raises(ConfigError, match="neither energies nor charges"):
        contributions_of_group(ModelGroup("gaps", (model_files["gaps"],)), molecules)


def test_an_unknown_element_is_named(model_files, frames):
    from mlpotential.data.reference_data import ReferenceData
    from mlpotential.graph import AtomGraph

    atoms = frames[0].copy()
    atoms.numbers[0] = 7
    data = ReferenceData([AtomGraph.from_atoms(atoms)], "ammonia.xyz")
    with pytest.raises(StructureError, match="not trained on N"):
        contributions_of_group(ModelGroup("x", (Path(model_files["split_0"]),)), data)


def by_hand() -> AtomicContributions:
    """Two models, three atoms of one structure."""
    energies = np.array([[1.0, 2.0, 6.0], [3.0, 2.0, 8.0]])
    return AtomicContributions(
        "hand", ("a", "b"), np.array([1, 1, 8]), np.zeros(3, int), np.zeros(119),
        {"energies": energies},
    )  # fmt: skip


def test_summary_tells_spreads_over_atoms_and_models():
    hydrogen, oxygen = by_hand().summary()
    assert (hydrogen["element"], hydrogen["n_atoms"], hydrogen["n_models"]) == ("H", 2, 2)
    assert hydrogen["mean"] == pytest.approx(2.0)
    assert hydrogen["std"] == pytest.approx(0.5)
    assert hydrogen["models_std"] == pytest.approx(1.0)  # variances 2 and 0 of the two atoms
    assert hydrogen["models_std_of_mean"] == pytest.approx(0.5 * 2**0.5)
    assert oxygen["models_std"] == pytest.approx(2**0.5)


def test_fragments():
    rows = fragment_sums(by_hand(), parsed_fragments(["0-1", "2"], 3))
    assert [row["energies_eV"] for row in rows] == pytest.approx([4.0, 7.0])
    assert [row["elements"] for row in rows] == ["HH", "O"]
    assert [x.tolist() for x in parsed_fragments(["0-2,7", "5"], 9)] == [[0, 1, 2, 7], [5]]
    for word in ("9", "1,1", "a", "2-", "3-1", ""):
        with pytest.raises(ConfigError):
            parsed_fragments([word], 9)
