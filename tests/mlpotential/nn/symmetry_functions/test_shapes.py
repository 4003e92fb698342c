"""Cutoffs, compact functions and angles: values, ends and two derivatives."""

import math

import numpy as np
import pytest
import torch

from mlpotential.nn.symmetry_functions.shapes import (
    CORE_CURVATURES,
    CORES,
    CUTOFF_TYPES,
    angular_power,
    angular_window,
    compact_function,
    cutoff_function,
)

SUBTYPES = ["e", "p1", "p2", "p3", "p4"]


def derivative(function, x, order):
    x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    value = function(x)
    for _ in range(order):
        (value,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    return value.detach()


def differences(function, x, step=1e-3):
    """Second derivative of a function of tensors, to fourth order."""
    f = [function(torch.tensor(x, dtype=torch.float64) + k * step) for k in range(-2, 3)]
    return (-f[0] + 16 * f[1] - 30 * f[2] + 16 * f[3] - f[4]) / (12 * step**2)


@pytest.mark.parametrize("kind", CUTOFF_TYPES)
def test_cutoff_begins_and_ends(kind):
    r = torch.tensor([0.0, 1.0, 5.0, 5.999999, 6.0, 7.0], dtype=torch.float64)
    values = cutoff_function(kind, r, 6.0, inner=0.2)
    first = math.tanh(1.0) ** 3 if kind == 2 else 1.0
    assert float(values[0]) == pytest.approx(first, rel=1e-15)
    assert not values[4:].any()
    assert float(values[3]) == (1.0 if kind == 0 else pytest.approx(0.0, abs=1e-10))
    if kind not in (2, 3):
        assert float(values[1]) == 1.0, "1 up to the inner cutoff"


@pytest.mark.parametrize("kind", CUTOFF_TYPES)
def test_derivatives_of_cutoffs(kind):
    r = np.array([0.3, 2.0, 3.1, 4.7, 5.9])

    def function(x):
        return cutoff_function(kind, x, 6.0, inner=0.2)

    if kind == 0:
        return
    second = derivative(function, r, 2)
    torch.testing.assert_close(second, differences(function, r), rtol=1e-7, atol=1e-7)
    at_ends = derivative(function, np.array([1.2, 6.0, 6.5, 5.9999999]), 2)
    assert torch.isfinite(at_ends).all()
    assert float(derivative(function, np.array([6.0]), 1)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("subtype", [*SUBTYPES, "p1a", "p2a", "p3a", "p4a"])
def test_compact_functions(subtype):
    first, last = torch.tensor([1.0]), torch.tensor([5.0])

    def function(x):
        return compact_function(subtype, x, first.double(), last.double())[:, 0]

    r = torch.tensor([0.0, 1.0, 3.0, 5.0, 6.0], dtype=torch.float64)
    assert function(r).tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]
    inside = np.array([1.3, 2.1, 3.6, 4.9])
    torch.testing.assert_close(
        derivative(function, inside, 2), differences(function, inside), rtol=1e-6, atol=1e-7
    )
    middle = float(derivative(function, np.array([3.0]), 2))
    curvature = CORE_CURVATURES[subtype.removesuffix("a")][0]
    factor = 4.0 if subtype.endswith("a") else 1.0  # of (2 - |x|)^2
    assert middle == pytest.approx(factor * curvature / 2.0**2, abs=1e-12)


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_curvatures_of_cores(subtype):
    at_0, at_1 = CORE_CURVATURES[subtype]
    near_0, near_1 = derivative(CORES[subtype], np.array([1e-7, 1.0 - 1e-7]), 2)
    assert float(near_0) == pytest.approx(at_0, abs=1e-5)
    assert float(near_1) == pytest.approx(at_1, abs=1e-5)


@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("window", [(0.0, 180.0), (90.0, 270.0), (-60.0, 60.0), (20.0, 110.0)])
def test_angular_windows_up_to_straight_angles(subtype, window):
    """Across the seam to the series, and at its end, A(cos) and dA/dcos go on."""
    left, right = window
    center, half = math.radians((left + right) / 2), math.radians((right - left) / 2)
    for angle in (0.0, 1e-6, 4e-6, 2e-5, 1e-3, 0.7, 1.5, 2.9, math.pi - 1e-5, math.pi):
        cosine = np.array([math.cos(angle)])
        x = np.clip((angle - center) / half, -1.0, 1.0)
        expected = float(CORES[subtype](torch.tensor(x, dtype=torch.float64)))
        value = derivative(lambda c: angular_window(subtype, c, left, right), cosine, 0)
        assert float(value) == pytest.approx(expected, abs=3e-10)  # of arccos itself
        slope = derivative(lambda c: angular_window(subtype, c, left, right), cosine, 1)
        assert torch.isfinite(slope).all()
        at = min(max(angle, 1e-4), math.pi - 1e-4)  # dA/dcos changes little up to the end
        core_slope = derivative(
            lambda a: CORES[subtype](((a - center) / half).clamp(-1.0, 1.0)), np.array([at]), 1
        )
        assert float(slope) == pytest.approx(-float(core_slope) / math.sin(at), abs=0.01)


@pytest.mark.parametrize("zeta", [1.0, 1.5, 2.0, 3.5, 4.0])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_angular_powers(zeta, sign):
    cosines = np.array([-0.9, 0.1, 0.95])
    expected = 2.0 ** (1.0 - zeta) * (1.0 + sign * cosines) ** zeta
    value = derivative(lambda c: angular_power(c, sign, zeta), cosines, 0)
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    beyond = np.array([-1.0 - 2e-16, -1.0, 1.0, 1.0 + 2e-16])  # as rounding has it
    for order in range(3):
        assert torch.isfinite(
            derivative(lambda c: angular_power(c, sign, zeta), beyond, order)
        ).all()
