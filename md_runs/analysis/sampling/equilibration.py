"""Where a run has forgotten its start.

Of a series of n frames, those from t on are worth N(t) = (n - t) / g(t) independent ones, g being
their statistical inefficiency. Leaving out too little lets the drift of the start inflate g, too
much wastes frames: the t of the largest N is best (J. D. Chodera, J. Chem. Theory Comput. 12, 1799
(2016), doi:10.1021/acs.jctc.5b00784). No law of the decay is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from md_runs.analysis.sampling.frames import check_finite_frames
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import Estimate, statistical_inefficiency
from mlpotential.errors import ConfigError, DataError

N_ORIGINS = 100  # chosen: resolves the end of equilibration to a percent of the run
LEAST_KEPT = 0.05  # chosen: of the frames; fewer cannot tell their correlation time
TRUSTED_SAMPLES = 20.0  # chosen: independent samples below which a run says little of itself


@dataclass(frozen=True)
class Equilibration(AnalysisResult):
    """The end of equilibration, and what the rest is worth.

    Attributes:
        n_equilibration: number of frames to leave out.
        n_frames: number of frames of the run.
        statistical_inefficiency: frames per independent frame of the rest.
        n_effective: independent frames of the rest.
        mean: of the rest, with its standard error.
        is_trustworthy: whether at least half of the run was kept, and holds 20 independent frames;
            a run that drifts to its end, or is hardly longer than its correlation, is not.
    """

    n_equilibration: int
    n_frames: int
    statistical_inefficiency: float
    n_effective: float
    mean: Estimate
    is_trustworthy: bool

    UNITS: ClassVar[dict[str, str]] = {
        "statistical_inefficiency": "frames",
        "n_effective": "frames",
        "mean": "unit of the series",
    }

    def __str__(self) -> str:
        text = (
            f"{self.n_equilibration} of {self.n_frames} frames left out, {self.n_effective:.0f} "
            f"independent ones in the rest, mean {self.mean}"
        )
        return text if self.is_trustworthy else f"{text} (too short to be trusted)"


def detect_equilibration(series: np.ndarray, n_origins: int = N_ORIGINS) -> Equilibration:
    """The start of the part of a series that is worth most independent frames.

    Args:
        series: a quantity that takes long to settle, such as the potential energy, [n_frames].
        n_origins: number of starts that are tried, evenly spaced.

    Raises:
        DataError: fewer than 60 frames, more than one axis, a frame that is not finite, or a
            constant series.
        ConfigError: if `n_origins` is below 1.
    """
    series = np.asarray(series, np.float64)
    if n_origins < 1:
        raise ConfigError(f"n_origins must be at least 1, not {n_origins}")
    if series.ndim != 1 or len(series) < 3 / LEAST_KEPT:
        raise DataError(
            f"a series of at least {3 / LEAST_KEPT:.0f} frames is needed, not {series.shape}"
        )
    check_finite_frames(series, "samples")
    if (series == series[0]).all():
        raise DataError("the series is constant: it does not tell when the run has equilibrated")
    n_frames = len(series)
    last = int((1 - LEAST_KEPT) * n_frames)
    origins = np.unique(np.linspace(0, last, n_origins, endpoint=False).astype(int))
    inefficiencies = [_inefficiency(series[origin:]) for origin in origins]
    n_effective = (n_frames - origins) / np.array(inefficiencies)
    best = int(np.argmax(n_effective))
    first, samples = int(origins[best]), float(n_effective[best])
    rest = series[first:]
    error = float(rest.std(ddof=1) / np.sqrt(samples))
    return Equilibration(
        n_equilibration=first,
        n_frames=n_frames,
        statistical_inefficiency=inefficiencies[best],
        n_effective=samples,
        mean=Estimate(float(rest.mean()), error, int(samples)),
        is_trustworthy=bool(first <= n_frames / 2 and samples >= TRUSTED_SAMPLES),
    )


def _inefficiency(rest: np.ndarray) -> float:
    """Of one part; a part that stands still is worth one frame."""
    if (rest == rest[0]).all():
        return float(len(rest))
    return statistical_inefficiency(rest)
