"""Time correlation functions: linear (zero-padded, never circular) and unbiased.

Wiener-Khinchin theorem: the inverse Fourier transform of |X(f)|^2 of a series padded with as many
zeros as there are lags holds the sums over products of frames that really are k steps apart,

    C(k) = 1 / (n_frames - k) sum_t x(t) x(t + k).   (1)
"""

from __future__ import annotations

import numpy as np
import scipy

from md_runs.analysis.sampling.frames import check_finite_frames
from mlpotential.errors import ConfigError, DataError


def autocorrelation(samples: np.ndarray, n_lags: int | None = None) -> np.ndarray:
    """The autocorrelation function (1) of each component; the mean is not taken off.

    Args:
        samples: real numbers, [n_frames, ...].
        n_lags: number of lags, 0 included; None for `n_frames`.

    Returns:
        [n_lags, ...], in the unit of `samples` squared.

    Raises:
        DataError: if there are no frames, or one is not finite.
        ConfigError: if `n_lags` is not within 1...n_frames.
    """
    samples = np.asarray(samples, np.float64)
    if samples.ndim == 0 or len(samples) == 0:
        raise DataError(f"an autocorrelation needs samples [n_frames, ...], not {samples.shape}")
    n_frames = len(samples)
    n_lags = n_frames if n_lags is None else n_lags
    if not 1 <= n_lags <= n_frames:
        raise ConfigError(
            f"n_lags is {n_lags}, but {n_frames} frames have 1 to {n_frames} lags: "
            "run longer or ask for fewer"
        )
    check_finite_frames(samples, "samples")
    n_padded = scipy.fft.next_fast_len(n_frames + n_lags - 1, real=True)
    power = np.abs(scipy.fft.rfft(samples, n_padded, axis=0)) ** 2
    sums = scipy.fft.irfft(power, n_padded, axis=0)[:n_lags]
    n_products = (n_frames - np.arange(n_lags)).reshape(-1, *[1] * (samples.ndim - 1))
    return sums / n_products  # (1)
