"""Activations against torch, the bond of H2 against its constants."""

import numpy as np
import pytest
import torch
from ase import units
from numpy.testing import assert_allclose

from mlpotential.interpretation.network import activations, distance_basis
from mlpotential.nn.activations import shifted_softplus


@pytest.mark.parametrize(
    ("curves_of", "function"),
    [
        (activations.shifted_softplus_curves, shifted_softplus),
        (activations.elu_curves, torch.nn.functional.elu),
    ],
)
def test_derivatives_are_those_of_torch(curves_of, function):
    x = torch.linspace(-3.95, 4.0, 54, dtype=torch.float64, requires_grad=True)
    value = function(x)
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    found = curves_of(x.detach().numpy())
    for own, other in ((found.value, value), (found.first, first), (found.second, second)):
        assert_allclose(own, other.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_the_morse_potential_has_the_constants_of_hydrogen():
    r, h = distance_basis.BOND_LENGTH, 1e-3
    below, at, above = distance_basis.hydrogen_energy(np.array([r - h, r, r + h]))
    force_constant = (below - 2.0 * at + above) / h**2  # eV/A^2
    mass = 0.5 * distance_basis.HYDROGEN_MASS  # amu, with eV and A: the units of ASE
    wavenumber = np.sqrt(force_constant / mass) * units._hbar * 1e10
    wavenumber *= np.sqrt(units._e / units._amu) / units._e / units.invcm
    assert wavenumber == pytest.approx(4401.213, rel=1e-4)
    assert at == pytest.approx(-4.747, abs=1e-3)  # D_0 and the zero-point energy
    assert distance_basis.hydrogen_energy(np.array([30.0]))[0] == pytest.approx(0.0, abs=1e-9)


def test_only_gaussians_fit():
    fit = distance_basis.fit_bond()
    of_distance, of_gaussians = fit.errors
    assert of_distance > 0.3
    assert of_gaussians < 1e-4
    slope, constant = np.polyfit(fit.sampled, distance_basis.hydrogen_energy(fit.sampled), 1)
    assert_allclose(fit.of_distance, slope * fit.distances + constant, rtol=1e-9)
