"""Filters as the kernel reads them, against the network and the table they are of."""

import numpy as np
import pytest
import torch
from random_models import random_schnet

from mlpotential.inference.schnet.filter_polynomials import SHORTEST_SPACING, filter_polynomials
from mlpotential.inference.schnet.filter_table import tabulate_filters

CUTOFFS = pytest.mark.parametrize("cutoff", ["cosine", "none"])


def evaluated(found, distances):
    """Filters and slopes by the coefficients."""
    scaled = distances / found.spacing
    interval = scaled.floor().clamp(max=len(found.coefficients) - 1)
    t = (scaled - interval)[:, None]
    rows = found.coefficients[interval.long()]
    powers = range(rows.shape[1])
    values = sum(rows[:, n] * t**n for n in powers)
    return values, sum(n * rows[:, n] * t ** (n - 1) for n in powers if n) / found.spacing


@CUTOFFS
def test_float32_reads_quartics_as_exact_as_they_say(cutoff):
    model = random_schnet(cutoff).double()
    table = tabulate_filters(model, 1e-5)
    found = filter_polynomials(table, torch.float32)
    assert found.coefficients.shape[1] == 5
    assert found.error.slopes <= max(5e-6, table.error.slopes + 2e-6)
    distances = torch.linspace(0.0, 0.999 * table.last, 4321, dtype=torch.float64)
    exact, values = model.filter_jet(distances), evaluated(found, distances)
    for off, of, error in (
        (values[0] - exact.value, exact.value, found.error.filters),
        (values[1] - exact.slope, exact.slope, found.error.slopes),
    ):
        assert float(off.detach().abs().max()) <= 1.2 * error * float(of.detach().abs().max())


@CUTOFFS
def test_slopes_are_continuous(cutoff):
    model = random_schnet(cutoff).double()
    found = filter_polynomials(tabulate_filters(model, 1e-5), torch.float32)
    before, after = found.coefficients[:-1], found.coefficients[1:]
    ends = before.sum(dim=1), torch.einsum("inf,n->if", before, torch.arange(5.0).double())
    scale = float(found.coefficients[:, 1].abs().max())
    np.testing.assert_allclose(ends[0], after[:, 0], atol=1e-10 * scale)
    np.testing.assert_allclose(ends[1], after[:, 1], atol=1e-10 * scale)


def test_float64_reads_the_table_itself():
    model = random_schnet("cosine").double()
    table = tabulate_filters(model, 1e-8)
    found = filter_polynomials(table, torch.float64)
    assert (found.spacing, found.error) == (table.spacing, table.error)
    distances = torch.linspace(0.0, 0.999 * table.last, 999, dtype=torch.float64)
    for actual, expected in zip(evaluated(found, distances), table(distances), strict=True):
        scale = float(expected.abs().max())
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12 * scale)


def test_a_table_that_cannot_be_met_ends_at_the_shortest_spacing(monkeypatch):
    from mlpotential.inference.schnet import filter_polynomials as module

    monkeypatch.setattr(module, "TOLERANCE", 0.0)
    monkeypatch.setattr(module, "SHORTEST_SPACING", 0.02)
    found = filter_polynomials(tabulate_filters(random_schnet("cosine"), 1e-3), torch.float32)
    assert SHORTEST_SPACING < found.spacing <= 0.02
