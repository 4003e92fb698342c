"""The published C20 force network through our own relaxation, Hessian and normal modes.

The reference is another program's analysis of that network, see tests/reference/README.md. Its
frequencies are given to 0.1 1/cm, its bonds to 0.001 A.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read

from calculators import MLPotentialCalculator
from md_runs.analysis.vibrations.normal_modes import NormalModes, normal_modes
from md_runs.relax import relax
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.importers.foreign_network import translate
from mlpotential.models.importers.schnet_tensorflow import read_schnet_tensorflow
from mlpotential.models.schnet import SchNet
from mlpotential.units import EV_PER_KCAL_PER_MOL

pytestmark = [pytest.mark.public_data, pytest.mark.slow]

# Energies in kcal/mol, bonds in A, each group with its number; wavenumbers in 1/cm.
ENERGY_OF_START, ENERGY_OF_MINIMUM = -477_075.848, -477_149.777
BONDS = ((1.411, 6), (1.447, 6), (1.453, 12), (1.516, 6))
SINGLE = (
    "322.2 519.0 521.9 558.3 596.5 656.5 708.2 750.1 816.0 872.4 1063.5 1142.7 1169.7 1184.9 "
    "1190.9 1217.6 1306.6 1370.5"
)
DOUBLE = (
    "108.4 463.1 577.6 593.4 621.1 628.1 715.5 755.6 904.4 981.6 1100.5 1131.6 1203.8 1251.0 "
    "1255.5 1275.5 1315.4 1393.5"
)


@pytest.fixture(scope="module")
def folder(public_data: Path) -> Path:
    return public_data / "c20_paper_models"


@pytest.fixture(scope="module")
def network(folder: Path) -> SchNet:
    return translate(read_schnet_tensorflow(folder / "force_model"), "kcal/mol", "Angstrom")


@pytest.fixture(scope="module")
def start(folder: Path, network: SchNet) -> Atoms:
    atoms = read(folder / "C20.xyz")
    atoms.calc = MLPotentialCalculator(network, device="cpu", dtype="float64", backend="reference")
    return atoms


@pytest.fixture(scope="module")
def minimum(start: Atoms) -> Atoms:
    return relax(start, force_tolerance=1e-5)[0]


@pytest.fixture(scope="module")
def modes(network: SchNet, minimum: Atoms) -> NormalModes:
    evaluator = Evaluator(
        network, minimum.numbers, device="cpu", dtype="float64", backend="reference"
    )
    hessian = evaluator.hessian(minimum.positions)
    return normal_modes(hessian, np.full(20, 12.011), minimum.positions)


def test_energies(start: Atoms, minimum: Atoms) -> None:
    energies = np.array([start.get_potential_energy(), minimum.get_potential_energy()])
    expected = (ENERGY_OF_START, ENERGY_OF_MINIMUM)
    np.testing.assert_allclose(energies / EV_PER_KCAL_PER_MOL, expected, rtol=0, atol=1e-3)


def test_bonds(minimum: Atoms) -> None:
    distances = np.sort(minimum.get_all_distances()[np.triu_indices(20, 1)])
    assert distances[30] > 2.0
    expected = np.repeat([length for length, _ in BONDS], [n for _, n in BONDS])
    np.testing.assert_allclose(distances[:30], expected, rtol=0, atol=1e-3)


def test_frequencies(modes: NormalModes) -> None:
    single, double = (np.array(text.split(), float) for text in (SINGLE, DOUBLE))
    expected = np.sort(np.concatenate([single, double, double]))
    assert modes.n_modes == len(expected) == 54
    np.testing.assert_allclose(modes.wavenumbers_per_cm, expected, rtol=0, atol=0.1)
    assert np.abs(modes.residual_wavenumbers_per_cm).max() < 0.5


def test_degeneracies(modes: NormalModes) -> None:
    """D3d: eighteen modes A and eighteen pairs E."""
    sizes = [len(group) for group in modes.degenerate_groups(tolerance_per_cm=0.1)]
    assert (sizes.count(1), sizes.count(2)) == (18, 18)
