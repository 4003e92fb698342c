"""Where a run has forgotten its start: detected, or by a rule that was fixed before the run.

A study that states how much it leaves out keeps to that whatever its runs look like. It records the
rule in the folder of each run, and every analysis of the run follows it; runs without a rule are
left to detection.

Of a series of n frames, those from t on are worth N(t) = (n - t) / g(t) independent ones, g being
their statistical inefficiency. Leaving out too little lets the drift of the start inflate g, too
much wastes frames: the t of the largest N is best (J. D. Chodera, J. Chem. Theory Comput. 12, 1799
(2016), doi:10.1021/acs.jctc.5b00784). No law of the decay is assumed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from md_runs.analysis.sampling.frames import check_finite_frames
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import Estimate, statistical_inefficiency
from mlpotential.errors import ConfigError, DataError

RULE_NAME = "equilibration.json"
N_ORIGINS = 100  # chosen: resolves the end of equilibration to a percent of the run
LEAST_KEPT = 0.05  # chosen: of the frames; fewer cannot tell their correlation time
TRUSTED_SAMPLES = 20.0  # chosen: independent samples below which a run says little of itself


@dataclass(frozen=True)
class EquilibrationRule(AnalysisResult):
    """What the analysis of a run leaves out at its start, fixed beforehand.

    Attributes:
        share: of the length of the run; at most
        longest_ps: so much (ps).
    """

    share: Annotated[float, "1"]
    longest_ps: Annotated[float, "ps"]

    def __str__(self) -> str:
        return f"{self.share:g} of the run, at most {self.longest_ps:g} ps"

    def n_frames(self, times_fs: np.ndarray) -> int:
        """Frames to leave out of a run with frames at these times, [n_frames] (fs)."""
        span_fs = float(times_fs[-1] - times_fs[0])
        left_out_fs = min(self.share * span_fs, 1000.0 * self.longest_ps)
        return int(np.searchsorted(times_fs, times_fs[0] + left_out_fs))

    @classmethod
    def recorded(cls, folder: Path) -> EquilibrationRule | None:
        """The rule in the folder of a run; None without one. Raises DataError if it is damaged."""
        path = folder / RULE_NAME
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text())
            rule = cls(float(content["share"]), float(content["longest_ps"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} holds no rule of equilibration: {error!r}") from error
        if not (0 <= rule.share < 1 and rule.longest_ps >= 0):
            raise DataError(f"{path} must leave out less than the whole run, not {rule}")
        return rule


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
    statistical_inefficiency: Annotated[float, "frames"]
    n_effective: Annotated[float, "frames"]
    mean: Annotated[Estimate, "unit of the series"]
    is_trustworthy: bool

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
