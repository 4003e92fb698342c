"""A structure shared by several "processes": here threads, which exchange rows by memory."""

import copy
import ctypes
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from random_models import CRYSTALS, INSTRUCTION_SETS, molecule, random_schnet

from mlpotential.inference.pair_graph import PairGraph, address
from mlpotential.inference.schnet import kernel
from mlpotential.inference.schnet.filter_polynomials import filter_polynomials
from mlpotential.inference.schnet.filter_table import table_of
from mlpotential.inference.schnet.native import describe
from mlpotential.inference.training_domain import TrainingDomain
from mlpotential.neighbors import connect

pytestmark = pytest.mark.skipif(not INSTRUCTION_SETS, reason="there is no compiled kernel")

# Of the largest force, virial component and energy without its offset: rounding, whose order of
# sums is another one.
BOUND = {"float64": 1e-11, "float32": 2e-6}


@dataclass
class Rank:
    """One process: rows of own atoms, then of copies, and the pairs of the own ones.

    Attributes:
        atoms: of each row, by their numbers in the whole structure.
        n_owned: rows of own atoms.
        row_start, neighbors, translations: as in PairGraph, each pair with its own translation.
    """

    atoms: np.ndarray
    n_owned: int
    row_start: np.ndarray
    neighbors: np.ndarray
    translations: np.ndarray

    @classmethod
    def of(cls, graph: PairGraph, own: np.ndarray) -> "Rank":
        first = np.repeat(np.arange(graph.n_atoms), np.diff(graph.row_start))
        second = graph.neighbors
        moved = np.zeros((len(second), 3))
        if graph.translations is not None:
            moved = graph.translations[graph.shift_index]
        is_own = np.isin(np.arange(graph.n_atoms), own)
        kept, turned = is_own[first], is_own[second] & ~is_own[first]
        firsts = np.concatenate([first[kept], second[turned]])
        seconds = np.concatenate([second[kept], first[turned]])
        moved = np.concatenate([moved[kept], -moved[turned]])
        atoms = np.concatenate([own, np.setdiff1d(seconds, own)]).astype(int)
        row_of = {atom: row for row, atom in enumerate(atoms)}
        rows = np.array([row_of[atom] for atom in firsts], int)
        to_copies = np.isin(seconds, own, invert=True)
        order = np.lexsort((to_copies, rows))
        counts = np.bincount(rows, minlength=len(atoms))
        return cls(
            atoms=atoms,
            n_owned=len(own),
            row_start=np.concatenate([[0], np.cumsum(counts)]),
            neighbors=np.array([row_of[atom] for atom in seconds], np.int32)[order],
            translations=np.ascontiguousarray(moved[order]),
        )


@dataclass
class World:
    """The processes and what they exchange."""

    ranks: list[Rank]
    rows: dict[int, int] = field(default_factory=dict)
    n_fetches: int = 0

    def __post_init__(self):
        self.barrier = threading.Barrier(len(self.ranks), timeout=60)
        self.owner = {
            atom: (rank, row)
            for rank, part in enumerate(self.ranks)
            for row, atom in enumerate(part.atoms[: part.n_owned])
        }

    def fetch_of(self, rank: int):
        """The callback of a rank."""
        part = self.ranks[rank]

        def fetch(context, rows, n_bytes):
            assert context is None
            self.rows[rank] = rows
            self.barrier.wait()
            for row in range(part.n_owned, len(part.atoms)):
                owner, there = self.owner[part.atoms[row]]
                source = self.rows[owner] + there * n_bytes
                ctypes.memmove(rows + row * n_bytes, source, n_bytes)
            self.n_fetches += rank == 0
            self.barrier.wait()

        return kernel.FETCH(fetch)


class Network:
    """A model packed for the kernel, called with any pairs."""

    def __init__(self, model, dtype, domain):
        self.library = kernel.load(kernel.library_path(INSTRUCTION_SETS[-1]))
        model = copy.deepcopy(model).to(getattr(torch, dtype))
        table = table_of(model)
        filters = filter_polynomials(table, model.dtype)
        description, arrays = describe(model, table.last, filters, domain)
        self.address = self.library.schnet_create(
            ctypes.byref(description), 8 if dtype == "float64" else 4
        )
        del arrays

    def __del__(self):
        self.library.schnet_destroy(self.address)

    def evaluate(self, rank: Rank, positions, numbers, fetch, threads):
        """Energies [n_rows], forces [n_rows, 3], virial [3, 3], findings [n_rows]."""
        n = len(rank.atoms)
        ends = np.array([0, n])
        own_positions = np.ascontiguousarray(positions[rank.atoms])
        elements = numbers[rank.atoms].astype(np.int32)
        shift_index = np.arange(len(rank.neighbors), dtype=np.int32)
        halo = kernel.SchNetHalo(rank.n_owned, None, fetch or kernel.FETCH())
        graph = kernel.SchNetGraph(
            n_graphs=1,
            n_atoms=n,
            graph_start=address(ends, np.int64),
            atomic_numbers=address(elements, np.int32),
            positions=address(own_positions, np.float64),
            row_start=address(rank.row_start, np.int64),
            neighbors=address(rank.neighbors, np.int32),
            shift_index=address(shift_index, np.int32),
            translations=address(rank.translations, np.float64),
            halo=None if fetch is None else ctypes.addressof(halo),
        )
        energies, forces, virial = np.empty(n), np.empty((n, 3)), np.empty((3, 3))
        findings = np.empty(n, kernel.FINDING)
        result = kernel.SchNetResult(
            atomic_energies=address(energies, np.float64),
            forces=address(forces, np.float64),
            virial=address(virial, np.float64),
            findings=address(findings, kernel.FINDING),
        )
        status = self.library.schnet_evaluate(
            self.address, ctypes.byref(graph), threads, ctypes.byref(result)
        )
        assert status == 0
        return energies, forces, virial, findings


def some_domain(model) -> TrainingDomain:
    """One that finds something of every kind."""
    n = model.config.max_atomic_number + 1
    shape = (n, model.config.n_features)
    neighborhoods = np.tile([1.5, 3.0, 0.0], (n, 1))
    return TrainingDomain(np.full((n, n), 1.4), np.zeros(shape), np.ones(shape), neighborhoods)


STRUCTURES = {
    "molecule": lambda: molecule(40),
    "slab": CRYSTALS["slab"],
    "skewed": CRYSTALS["skewed"],
    "smaller than the cutoff": CRYSTALS["smaller than the cutoff"],
}


def parts_of(n_atoms: int, n_ranks: int, rng) -> list[np.ndarray]:
    """Each atom to one of them at random."""
    owner = rng.integers(n_ranks, size=n_atoms)
    return [np.flatnonzero(owner == rank) for rank in range(n_ranks)]


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("cutoff", ["cosine", "hard", "none"])
@pytest.mark.parametrize("dtype", BOUND)
def test_shared_as_alone(dtype, cutoff, name):
    """Two processes with one and two threads, three with one; energies, forces, virial, guard."""
    if cutoff == "none" and name != "molecule":
        pytest.skip("crystals need a cutoff")
    model = random_schnet(cutoff, seed=len(name), n_interactions=3, n_features=24)
    structure = STRUCTURES[name]()
    graph = PairGraph.from_graph(connect(structure, model.cutoff))
    positions, numbers = structure.positions.numpy(), structure.atomic_numbers.numpy()
    domain, rng = some_domain(model), np.random.default_rng(1)
    whole = Rank.of(graph, np.arange(graph.n_atoms))
    alone = Network(model, dtype, domain).evaluate(whole, positions, numbers, None, 1)
    offsets = model.scale(torch.zeros(graph.n_atoms), structure.atomic_numbers).numpy()
    bound = BOUND[dtype]
    for n_ranks, threads in ((2, 1), (2, 2), (3, 1)):
        world = World([Rank.of(graph, own) for own in parts_of(graph.n_atoms, n_ranks, rng)])
        callbacks = [world.fetch_of(rank) for rank in range(n_ranks)]
        networks = [Network(model, dtype, domain) for _ in range(n_ranks)]
        with ThreadPoolExecutor(n_ranks) as pool:
            answers = list(
                pool.map(
                    lambda network, rank, fetch: network.evaluate(
                        rank,
                        positions,
                        numbers,
                        fetch,
                        threads,  # noqa: B023
                    ),
                    networks,
                    world.ranks,
                    callbacks,
                )
            )
        assert world.n_fetches == 2 * 3 - 1
        for rank, (energies, forces, _, findings) in zip(world.ranks, answers, strict=True):
            own, rows = rank.atoms[: rank.n_owned], slice(rank.n_owned)
            largest = np.abs(alone[0] - offsets).max()
            assert np.abs(energies[rows] - alone[0][own]).max(initial=0.0) <= bound * largest
            assert (
                np.abs(forces[rows] - alone[1][own]).max(initial=0.0)
                <= bound * np.abs(alone[1]).max()
            )
            assert_array_equal(findings["coordination_deficit"][rows],
                               alone[3]["coordination_deficit"][own])  # fmt: skip
            for of_guard in ("nearest_ratio", "feature_deviation"):
                expected = alone[3][of_guard][own]
                np.testing.assert_allclose(findings[of_guard][rows], expected, rtol=1e-4)
        virial = sum(answer[2] for answer in answers)
        assert np.abs(virial - alone[2]).max() <= bound * np.abs(alone[2]).max()


def test_rows_that_are_not_fetched_are_noticed():
    """The comparison above can fail: here one interaction keeps what it had."""
    model = random_schnet(n_interactions=2)
    structure = molecule(20)
    graph = PairGraph.from_graph(connect(structure, model.cutoff))
    positions, numbers = structure.positions.numpy(), structure.atomic_numbers.numpy()
    domain = some_domain(model)
    network = Network(model, "float64", domain)
    whole = Rank.of(graph, np.arange(20))
    alone = network.evaluate(whole, positions, numbers, None, 1)
    half = Rank.of(graph, np.arange(10))
    nothing = kernel.FETCH(lambda context, rows, n_bytes: ctypes.memset(
        rows + half.n_owned * n_bytes, 0, (len(half.atoms) - half.n_owned) * n_bytes))  # fmt: skip
    shared = network.evaluate(half, positions, numbers, nothing, 1)
    assert np.abs(shared[1][:10] - alone[1][:10]).max() > 1e-3 * np.abs(alone[1]).max()
