"""Structures as tensors: what is refused, and that many as one are the same as one by one."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, graphene, molecule

from mlpotential.errors import StructureError
from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.schnet import SchNet
from mlpotential.neighbors import all_pairs, connect, split, with_pairs

CUBE = np.eye(3) * 4.0


def structure(**changes: object) -> AtomGraph:
    """Two atoms in a cube, with something else."""
    arrays: dict[str, object] = {
        "atomic_numbers": [1, 8],
        "positions": [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]],
        "cell": CUBE,
        "pbc": True,
    }
    return AtomGraph.from_arrays(**(arrays | changes))


def assert_same(one: AtomGraph, other: AtomGraph) -> None:
    for field in fields(AtomGraph):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert type(a) is type(b), field.name
        equal = torch.equal(a, b) and a.dtype == b.dtype if isinstance(a, torch.Tensor) else a == b
        assert equal, field.name


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        # Faults 1 and 2: a position that is not finite.
        ({"positions": [[0, 0, 0], [0, np.nan, 1]]}, r"position of atom 1 .* \[0\.0, nan, 1\.0\]"),
        ({"positions": [[-np.inf, 0, 0], [0, 0, 1]]}, r"position of atom 0 is not finite: \[-inf"),
        # Fault 6: no such element.
        ({"atomic_numbers": [1, 0]}, r"atom 1 has atomic number 0, outside 1\.\.\.118"),
        ({"atomic_numbers": [119, 8]}, "atom 0 has atomic number 119"),
        ({"atomic_numbers": [1, -8]}, "atom 1 has atomic number -8"),
        # Fault 7: no atoms.
        ({"atomic_numbers": [], "positions": np.zeros((0, 3))}, "the structure has no atoms"),
        # Fault 9: periodic without a cell.
        ({"cell": None}, "periodic but has no cell: set one or set pbc=False"),
        ({"cell": np.zeros((3, 3))}, "periodic but has no cell"),
        # Fault 10: a cell without volume.
        ({"cell": [[4, 0, 0], [0, 4, 0], [4, 4, 0]]}, r"the cell is singular \(volume 0 A\^3\)"),
        ({"cell": [[4, 0, 0], [0, 4, 0], [4, 4, 1e-7]]}, "the cell is singular"),
        ({"cell": [[4, 0, 0], [0, 4, 0], [0, 0, 0]]}, "the cell is singular"),
        ({"cell": [[4, 0, 0], [0, np.nan, 0], [0, 0, 4]]}, "must be 3 x 3 finite numbers"),
        ({"cell": [4.0, 4.0, 4.0]}, "must be 3 x 3 finite numbers"),
        # Fault 11: a cell of many images.
        ({"cell": np.diag([4.0, 0.4, 4.0])}, "only 0.4 A high along periodic axis 1 .at least 0.5"),
        ({"cell": [[4, 0, 0], [40, 0.3, 0], [0, 0, 4]]}, "only 0.3 A high along periodic axis"),
        # Fault 20: wrong shapes.
        ({"positions": np.zeros((3, 3))}, r"have shape \(3, 3\), but 2 atoms need \(2, 3\)"),
        ({"positions": np.zeros((2, 2))}, r"have shape \(2, 2\)"),
        ({"positions": np.zeros(6)}, r"have shape \(6,\)"),
    ],
)
def test_refusals(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(StructureError, match=problem):
        structure(**changes)


def test_a_thin_cell_matters_only_where_it_repeats() -> None:
    graph = structure(cell=np.diag([4.0, 0.4, 4.0]), pbc=[True, False, True])
    assert graph.pbc.tolist() == [[True, False, True]]


@pytest.mark.parametrize("cell", [np.zeros((3, 3)), CUBE, np.full((3, 3), np.nan)])
def test_a_molecule_has_no_cell(cell: np.ndarray) -> None:
    """Fault 16."""
    assert structure(cell=cell, pbc=False).cell is None


def test_missing_vectors_of_a_slab_are_completed() -> None:
    graph = AtomGraph.from_atoms(Atoms(graphene(), pbc=(True, True, False)))
    np.testing.assert_allclose(graph.cell[0, 2], [0.0, 0.0, 1.0], atol=1e-13)


def test_missing_periodic_vector() -> None:
    with pytest.raises(StructureError, match="the cell is singular"):
        AtomGraph.from_atoms(Atoms(graphene(), pbc=True))


def test_labels_have_names_and_shapes() -> None:
    with pytest.raises(TypeError, match="no label 'force'; known: energy, forces, stress, dip"):
        AtomGraph.from_arrays([6], np.zeros((1, 3)), force=np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"forces of 1 atoms cannot have the shape \(3,\)"):
        AtomGraph.from_arrays([6], np.zeros((1, 3)), forces=np.zeros(3))


def test_arrays_are_copied() -> None:
    positions, cell, forces = np.zeros((1, 3)), CUBE.copy(), np.ones((1, 3))
    graph = AtomGraph.from_arrays([6], positions, cell, True, energy=1.0, forces=forces)
    for array in (positions, cell, forces):
        array[:] = 7.0
    assert not graph.positions.any()
    assert graph.cell.max() == 4.0
    assert graph.forces.max() == 1.0


def test_dtypes() -> None:
    graph = AtomGraph.from_arrays(
        np.array([6], np.uint8),
        np.zeros((1, 3), np.float32),
        CUBE.astype(np.float32),
        True,
        energy=1.0,
    )
    assert graph.atomic_numbers.dtype == torch.int64
    assert graph.positions.dtype == graph.cell.dtype == graph.energy.dtype == torch.float64
    assert graph.pbc.dtype == torch.bool


def test_split_undoes_collate() -> None:
    """A molecule, a crystal and one atom, with labels."""
    rng = np.random.default_rng(1)
    graphs = [
        AtomGraph.from_arrays(
            *(a.numbers, a.positions, a.cell[:], a.pbc),
            energy=rng.normal(),
            forces=rng.normal(size=(len(a), 3)),
            dipole=rng.normal(size=3),
        )
        for a in (molecule("CO"), bulk("Cu", cubic=True), Atoms("H"))
    ]
    together = collate(graphs)
    assert together.n_graphs == 3
    assert together.atoms_per_graph().tolist() == [2, 4, 1]
    assert together.graph_index.tolist() == [0, 0, 1, 1, 1, 1, 2]
    assert not together.cell[[0, 2]].any()
    for before, after in zip(graphs, split(together), strict=True):
        assert_same(before, after)


def test_collate_of_many_with_many() -> None:
    atoms = [molecule("CO"), bulk("Cu", cubic=True), molecule("H2O"), Atoms("H")]
    graphs = [connect(AtomGraph.from_atoms(a), 4.0) for a in atoms]
    assert_same(collate([collate(graphs[:3]), graphs[3]]), collate(graphs))
    assert_same(collate([graphs[0], collate(graphs[1:])]), collate(graphs))


def test_collate_of_molecules_has_no_cell() -> None:
    graphs = [connect(AtomGraph.from_atoms(molecule(name)), None) for name in ("CO", "H2O")]
    together = collate(graphs)
    assert together.cell is None
    assert together.edge_shift is None
    assert together.pair_index.tolist() == [[0, 2, 2, 3], [1, 3, 4, 4]]


def test_second_half_of_the_edges_reverses_the_first() -> None:
    atoms = [bulk("C", "diamond", a=3.57), molecule("H2O"), bulk("Cu", cubic=True)]
    graph = collate([connect(AtomGraph.from_atoms(a), 4.0) for a in atoms])
    assert torch.equal(graph.edge_index[:, graph.n_pairs :], graph.pair_index.flip(0))
    assert torch.equal(graph.edge_shift[graph.n_pairs :], -graph.edge_shift[: graph.n_pairs])


def test_collate_refuses_what_only_some_have() -> None:
    plain = AtomGraph.from_atoms(molecule("CO"))
    labelled = replace(plain, energy=torch.zeros(1, dtype=torch.float64))
    for other, name in ((labelled, "energy"), (connect(plain, None), "edge_index")):
        with pytest.raises(ValueError, match=f"'{name}' is present in 1 of 2 structures"):
            collate([plain, other])
    with pytest.raises(ValueError, match="the list of structures is empty"):
        collate([])


def test_edges_must_be_made_first() -> None:
    with pytest.raises(RuntimeError, match=r"call neighbors\.connect"):
        structure().pair_displacements()


def test_displacements_lead_from_centre_to_neighbor() -> None:
    """r_j + shift . cell - r_i with a cell whose transpose is another."""
    cell = np.array([[4.0, 0.0, 0.0], [1.0, 5.0, 0.0], [-2.0, 0.5, 6.0]])
    graph = structure(cell=cell)
    connected = with_pairs(graph, all_pairs(2), np.array([[0.0, 1.0, -1.0]]))
    expected = np.array([0.0, 0.0, 1.0]) + cell[1] - cell[2]
    np.testing.assert_allclose(connected.pair_displacements()[0], expected)


def test_replicas_name_the_atom_not_the_row(potential: SchNet) -> None:
    """Fault 1, in the second of two replicas."""
    positions = np.tile(molecule("H2O").positions, (2, 1, 1))
    positions[1, 2, 0] = np.nan
    with pytest.raises(StructureError, match="position of atom 2 is not finite"):
        Evaluator(potential, [8, 1, 1], device="cpu").evaluate(positions)


@pytest.mark.parametrize("positions", [[[0.0, 0.0, 0.0]] * 2, [[0, 0, 0], [4.0, 0.0, -8.0]]])
def test_two_atoms_in_one_place(potential: SchNet, positions: list[list[float]]) -> None:
    """Fault 3, also through a periodic image."""
    evaluator = Evaluator(potential, [8, 1], pbc=True, device="cpu")
    with pytest.raises(StructureError, match=r"atoms [01] and [01] are in one place"):
        evaluator.evaluate(np.array([positions]), CUBE[None])


def test_unknown_element(potential: SchNet) -> None:
    """Fault 5."""
    with pytest.raises(StructureError, match="does not know N: it was trained on H, C, O"):
        Evaluator(potential, [7, 1], device="cpu")


def test_same_lattice_in_other_cells(potential: SchNet) -> None:
    """Faults 12 to 14 and 17: tiny, left-handed, skewed, far away; all are one crystal."""
    positions = np.array([[0.0, 0.0, 0.0], [0.9, 1.1, 1.3]])
    cell = np.array([[2.6, 0.1, 0.0], [0.3, 2.8, 0.0], [0.0, -0.2, 3.0]])
    skew = np.array([[1, 0, 0], [2, 1, 0], [-1, 1, 1]])
    evaluator = Evaluator(potential, [6, 8], pbc=True, device="cpu")

    def answer(positions: np.ndarray, cell: np.ndarray) -> list[np.ndarray]:
        wanted = ("energy", "forces", "stress")
        made = evaluator.evaluate(positions[None], cell[None], wanted)
        return [made.energy, made.forces, made.stress]

    expected = answer(positions, cell)
    moved = positions + np.array([[0.0, 0.0, 0.0], [4e5, -3e5, 1.0]]) @ cell
    others = [(positions, cell[[2, 1, 0]]), (positions, skew @ cell), (moved, cell)]
    for case in others:
        for ours, reference in zip(answer(*case), expected, strict=True):
            np.testing.assert_allclose(ours, reference, rtol=1e-7, atol=1e-9)


def test_slab_equals_slab_in_vacuum(potential: SchNet) -> None:
    """Fault 15."""
    sheet = graphene(size=(2, 2, 1), vacuum=10.0)
    sheet.rattle(0.05, seed=1)
    answers = [
        Evaluator(potential, sheet.numbers, pbc, device="cpu").evaluate(
            sheet.positions[None], sheet.cell[:][None]
        )
        for pbc in (True, (True, True, False))
    ]
    np.testing.assert_allclose(answers[0].energy, answers[1].energy, rtol=1e-12)
    np.testing.assert_allclose(answers[0].forces, answers[1].forces, atol=1e-12)
