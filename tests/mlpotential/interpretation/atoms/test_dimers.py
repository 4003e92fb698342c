"""Dimers against an evaluator, minima of a known curve."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mlpotential.errors import ConfigError, StructureError
from mlpotential.inference.evaluator import Evaluator
from mlpotential.interpretation.atoms.dimers import DimerCurves, dimer_energies
from mlpotential.models.model_file import load_model
from mlpotential.testing import tiny_schnet

DISTANCES = np.linspace(0.8, 6.0, 27)


def energy_of(model, numbers, positions):
    evaluator = Evaluator(model, numbers, device="cpu", backend="reference", guard="off")
    return evaluator.evaluate(np.array([positions]), None, ("energy",)).energy[0]


def test_energies_are_those_of_the_model():
    model = tiny_schnet()
    raw = dimer_energies(model, (6, 8), DISTANCES, "none")
    for k in (0, 13, 26):
        expected = energy_of(model, [6, 8], [[0.0, 0.0, 0.0], [DISTANCES[k], 0.0, 0.0]])
        assert raw[k] == pytest.approx(expected, rel=1e-12)
    atoms = sum(energy_of(model, [z], [[0.0, 0.0, 0.0]]) for z in (6, 8))
    relative = dimer_energies(model, (6, 8), DISTANCES, "atoms")
    assert_allclose(relative, raw - atoms, atol=1e-9)
    beyond = model.cutoff < DISTANCES
    assert_allclose(relative[beyond], 0.0, atol=1e-12 * abs(atoms))
    assert np.abs(relative[~beyond]).max() > 1e-6


def test_minima_and_spread():
    energies = 0.5 * (DISTANCES - 2.03) ** 2 - 1.0
    curves = DimerCurves(
        "x", ("a", "b"), (6, 6), "none", DISTANCES, np.stack([energies, energies + 1.0])
    )
    ((at, depth),) = curves.minima
    assert (at, depth) == pytest.approx((2.03, -0.5), rel=1e-9)
    assert_allclose(curves.spread, 0.5**0.5)
    rising = DimerCurves("x", ("a",), (6, 6), "none", DISTANCES, DISTANCES[None])
    assert rising.minima == []
    assert rising.spread is None
    waves = DimerCurves(
        "x", ("a",), (6, 6), "none", DISTANCES, np.sin(2 * DISTANCES)[None] + DISTANCES
    )
    assert [depth for _, depth in waves.minima] == sorted(depth for _, depth in waves.minima)
    assert len(waves.minima) == 1 + (4 * np.pi / 3 + 2 * np.pi < 2 * DISTANCES[-1])


def test_what_has_no_curve(model_files):
    with pytest.raises(StructureError, match="not trained on N, but on H, C, O"):
        dimer_energies(tiny_schnet(), (6, 7), DISTANCES)
    with pytest.raises(ConfigError, match="gives none"):
        dimer_energies(load_model(model_files["gaps"]).potential, (6, 6), DISTANCES)
