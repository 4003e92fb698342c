"""Against `i-pi-getacf` of i-PI on the same frames, and where it deviates, why.

The program bends each block of frames into a ring, so that its sums over products k frames apart
also hold those block_length - k apart. With C(k) known, that is a bias of

    C_ring(k) = ((b - k) C(k) + k C(b - k)) / b,   b = block_length.   (1)

Numbers: `tests/reference/make_ipi_getacf_reference.py`.
"""

from pathlib import Path

import numpy as np
import pytest

from md_runs.analysis.sampling.correlation import autocorrelation
from md_runs.analysis.sampling.correlation_stream import correlation_function
from md_runs.analysis.spectra.spectrum import cosine_transform
from mlpotential.units import WAVENUMBER_PER_INVERSE_FS

REFERENCE = Path(__file__).parents[3] / "reference" / "ipi_getacf.npz"


@pytest.fixture(scope="module")
def peer() -> dict[str, np.ndarray]:
    with np.load(REFERENCE, allow_pickle=False) as file:
        found = dict(file)
    return found | {"samples": 1e-6 * found["micro_samples"]}


def test_its_numbers_are_our_sums_bent_into_a_ring(peer: dict[str, np.ndarray]) -> None:
    n_lags = int(peer["maximum_lag"])
    b = 2 * n_lags  # the default block length
    blocks = peer["samples"].reshape(-1, b, 3)
    n_products = b - np.arange(b)
    sums = np.mean([autocorrelation(x).sum(axis=1) * n_products for x in blocks], axis=0)
    k = np.arange(1, n_lags)
    ring = np.append(sums[0], sums[k] + sums[b - k]) / b
    # The time step (1) over 2 pi is its own factor.
    assert np.allclose(ring / (2 * np.pi), peer["acf"], rtol=0, atol=1e-12 * peer["acf"].max())


def test_its_bias_is_that_of_the_ring_and_ours_is_none(peer: dict[str, np.ndarray]) -> None:
    n_lags, relaxation = int(peer["maximum_lag"]), float(peer["relaxation"])
    b, k = 2 * n_lags, np.arange(n_lags)
    ours = correlation_function(peer["samples"][None], 1.0, n_lags)
    truth = 3 * np.exp(-k / relaxation)
    ring = ((b - k) * truth + 3 * k * np.exp(-(b - k) / relaxation)) / b  # (1)
    for lag, bias in ((50, -0.14), (100, -0.21)):
        assert ring[lag] / truth[lag] - 1 == pytest.approx(bias, abs=0.01)
        found = 2 * np.pi * peer["acf"][lag]
        # Of the same frames, so that most of the noise is common to both estimates.
        assert found / ours.values[lag] - 1 == pytest.approx(bias, abs=0.06)
    assert np.all(np.abs(ours.values - truth) < 2.5 * ours.standard_errors)


def test_its_error_column_is_the_spread_of_blocks(peer: dict[str, np.ndarray]) -> None:
    """Not the standard error of their mean, which is sqrt(20) smaller."""
    blocks = peer["samples"].reshape(20, -1, 3)
    mean_squares = (blocks**2).mean(axis=1).sum(axis=1)
    assert 2 * np.pi * peer["acf_spread"][0] == pytest.approx(mean_squares.std())
    ours = correlation_function(peer["samples"][None], 1.0, int(peer["maximum_lag"]))
    assert 3 < 2 * np.pi * peer["acf_spread"][0] / ours.standard_errors[0] < 6


def test_the_transform_of_its_correlation_function_is_its_spectrum(
    peer: dict[str, np.ndarray],
) -> None:
    """Hann window and sum over both signs of the lag are the same; ours has a finer grid."""
    k, transform = cosine_transform(peer["acf"], 1.0)
    omega = 2 * np.pi * k / WAVENUMBER_PER_INVERSE_FS
    n_points = len(peer["omega"])
    assert np.allclose(omega[::2][:n_points], peer["omega"], atol=1e-12)
    found = 0.5 * WAVENUMBER_PER_INVERSE_FS * transform[::2][:n_points]
    assert np.allclose(found, peer["spectrum"], rtol=0, atol=1e-12 * peer["spectrum"].max())
