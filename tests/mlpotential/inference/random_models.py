"""SchNets with random weights, structures of every kind, and how far two answers are apart."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import torch

from mlpotential.graph import AtomGraph, Prediction
from mlpotential.inference.schnet.kernel import available_instruction_sets
from mlpotential.models.config import PotentialConfig
from mlpotential.models.outputs import ENERGY_ALONE, Output, Outputs
from mlpotential.models.potential import ModelTraits, Potential
from mlpotential.models.readouts.atomwise import AtomwiseReadout, EnergyScale
from mlpotential.models.schnet import SchNet
from mlpotential.models.schnet_config import SchNetConfig
from mlpotential.nn.cfconv import continuous_filter_convolution

ALL = ("energy", "forces", "virial", "stress", "atomic_energies")
ELEMENTS = (1, 6, 8, 29)
BOUND = {"float64": 1e-7, "float32": 2e-5}  # what backends promise, relative to the largest force
WITHOUT = {"rbf_stop": 8.0, "rbf_spacing": 0.2}
WITHIN = {"rbf_stop": 5.0, "rbf_spacing": 0.2, "rbf_gamma": None, "cutoff": 5.0}
CUTOFFS = {
    "none": WITHOUT,
    "cosine": WITHIN | {"cutoff_function": "cosine"},
    "hard": WITHIN | {"cutoff_function": "hard"},
}
INSTRUCTION_SETS = available_instruction_sets()
CAN_EMULATE = sys.platform == "linux" and shutil.which("g++") is not None
EMULATED = ["cuda"] if CAN_EMULATE else []  # see conftest.py


def random_schnet(
    cutoff: str = "cosine", seed: int = 0, outputs: Outputs = ENERGY_ALONE, **settings
) -> SchNet:
    """Small, float64, with biases too; energies of atoms without their offsets are near one."""
    torch.manual_seed(seed)
    small = {"n_features": 16, "n_interactions": 2, "max_atomic_number": max(ELEMENTS)}
    config = SchNetConfig(**(small | CUTOFFS[cutoff] | settings))
    model = SchNet(config, outputs).double().eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.uniform_(parameter, -0.3, 0.3)
    model.scale.set(-2.0, 0.7, {1: -13.6, 6: -1030.0, 8: -2040.0})
    model.elements = ELEMENTS
    return model


def energy_and_dipole(total_charge: float | None = 0.0, activation="ssp") -> Outputs:
    output = Output(activation=activation)
    return {"energy": output, "dipole": replace(output, total_charge=total_charge)}


def molecule(n_atoms: int, seed: int = 0) -> AtomGraph:
    """Atoms near some points of a grid, 1.5 A apart."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(n_atoms ** (1 / 3)))
    grid = 1.5 * np.array(list(np.ndindex(side, side, side)))
    positions = rng.permutation(grid)[:n_atoms] + rng.normal(scale=0.1, size=(n_atoms, 3))
    return AtomGraph.from_arrays(rng.choice(ELEMENTS, n_atoms), positions)


def crystal(
    lengths: Sequence[float],
    skew: float = 0.0,
    pbc: bool | tuple[bool, bool, bool] = True,
    seed: int = 0,
) -> AtomGraph:
    """Atoms near a grid, 1.6 A apart or a little more; `skew` shears the cell."""
    rng = np.random.default_rng(seed)
    cell = np.diag(lengths) @ (np.eye(3) + skew * np.array([[0, 0, 0], [1, 0, 0], [-0.7, 1, 0]]))
    counts = np.floor(np.array(lengths) / 1.6).astype(int)
    positions = np.array(list(np.ndindex(*counts))) / counts @ cell
    positions += rng.normal(scale=0.15, size=positions.shape)
    return AtomGraph.from_arrays(rng.choice(ELEMENTS, len(positions)), positions, cell, pbc)


class SchNetOfSomeone(SchNet):
    """A subclass, which may compute anything."""


class Gathering(Potential):
    """No SchNet: each atom's feature is the sum of exp(-r) over all others."""

    cutoff, elements, n_features = None, ELEMENTS, 1
    traits = ModelTraits(
        smooth_at_cutoff=True, additive=False, radial_filters=False, periodic=False
    )

    def __init__(self) -> None:
        super().__init__(PotentialConfig())
        torch.manual_seed(0)
        self.readout, self.scale = AtomwiseReadout(1, 4), EnergyScale()
        self.double()

    def representation(self, graph: AtomGraph) -> torch.Tensor:
        near = torch.exp(-torch.linalg.vector_norm(graph.pair_displacements(), dim=-1))
        ones = torch.ones(graph.n_atoms, 1, dtype=near.dtype)
        return continuous_filter_convolution(ones, near[:, None], graph.pair_index)


CRYSTALS = {
    "slab": lambda: crystal((6.4, 5.0, 8.0), pbc=(True, True, False)),
    "wire": lambda: crystal((6.4, 5.0, 8.0), pbc=(False, False, True)),
    "skewed": lambda: crystal((6.4, 5.0, 4.8), skew=0.8),
    "smaller than the cutoff": lambda: crystal((3.3, 1.7, 1.9), skew=0.2),
}


def of_model(model: SchNet, graph: AtomGraph) -> Prediction:
    """What the model itself says of a connected graph, as arrays."""
    answer = model(graph, ALL)
    found = {f.name: getattr(answer, f.name) for f in fields(Prediction)}
    return Prediction(**{name: None if x is None else x.numpy() for name, x in found.items()})


def offsets_of(model: SchNet, graph: AtomGraph) -> np.ndarray:
    """What atoms have without any network, [n_atoms] (eV)."""
    return model.scale(torch.zeros(graph.n_atoms), graph.atomic_numbers).numpy()


def assert_within(
    bound: float, actual: Prediction, expected: Prediction, offsets: np.ndarray
) -> None:
    """Forces, virial and, without their offsets (eV), energies: to that part of the largest."""
    for name in ("forces", "virial"):
        exact = getattr(expected, name)
        error, largest = np.abs(getattr(actual, name) - exact).max(), np.abs(exact).max()
        assert error <= bound * largest, f"{name} differ by {error / largest:.1e} of the largest"
    largest = np.abs(expected.atomic_energies - offsets).max()
    for name, n_atoms in (("atomic_energies", 1), ("energy", len(offsets))):
        error = np.abs(getattr(actual, name) - getattr(expected, name)).max()
        assert error <= bound * largest * n_atoms, f"{name} differ by {error:.1e} eV"
