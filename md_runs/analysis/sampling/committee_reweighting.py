"""What the members of a committee would have found: the model error of averages.

The mean energy V of a committee moved the atoms. Of its member k, whose energy is V_k = V + d_k,
the average of A is, to first order in d_k (the cumulant expansion of G. Imbalzano et al., J. Chem.
Phys. 154, 074102 (2021), doi:10.1063/5.0036522, Sec. II D),

    <A>_k = <A> - beta (<A d_k> - <A> <d_k>),   beta = 1 / kT,   (1)

with d_k the mean over the beads of a ring polymer. The standard deviation of <A>_k over members is
the model error. A calibrated committee counts its d_k times the scale of its energies.

Reweighting proper would weigh frames with w = exp(-beta d_k), of which so many count,

    n_k = (sum w)^2 / sum w^2.   (2)

Where that is a small part of all frames, the member would go elsewhere than the run, and Eq. (1)
does not tell where.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from ase.units import kB

from md_runs.analysis.sampling.block_sums import Sums, sums_of_series
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import (
    Estimate,
    block_bootstrap,
    statistical_inefficiency,
)
from mlpotential.errors import DataError

LEAST_SHARE = 0.1  # of frames, Eq. (2); chosen: there beta d_k has a spread of 1.5, no longer small
LEAST_EFFECTIVE = 20.0  # independent frames; chosen: their covariance is known to a quarter


@dataclass(frozen=True)
class ModelError(AnalysisResult):
    """How much an average depends on which member of a committee it is of.

    Attributes:
        label: of the quantity.
        unit: of its mean.
        mean: by the committee, with its sampling error.
        error: standard deviation over members, with its own sampling error.
        member_means: Eq. (1), [n_members].
        scale: of the energies of the members; 1 for a committee that is not calibrated.
        effective_share: Eq. (2) over the number of frames, of the worst member.
        n_effective: independent frames that it leaves.
        temperature_K: of the run.
    """

    label: str
    unit: str
    mean: Estimate
    error: Estimate
    member_means: np.ndarray
    scale: Annotated[float, "1"]
    effective_share: Annotated[float, "1"]
    n_effective: float
    temperature_K: Annotated[float, "K"]

    @property
    def is_trustworthy(self) -> bool:
        """Whether the members stay near enough to the run."""
        return self.effective_share >= LEAST_SHARE and self.n_effective >= LEAST_EFFECTIVE


def model_error(
    series: np.ndarray,
    member_energies: np.ndarray,
    temperature_K: float,
    label: str,
    unit: str,
    n_blocks: int = 10,
    scale: float = 1.0,
) -> ModelError:
    """Eqs. (1) and (2) for one quantity of a run.

    Args:
        series: the quantity in each frame, mean over beads, [n_frames].
        member_energies: mean over beads, [n_frames, n_members] (eV).
        temperature_K: of the run.
        label, unit: of the quantity.
        n_blocks: blocks of frames for error bars.
        scale: of the spread of energies of a calibrated committee.

    Raises:
        DataError: for less than two members, series of different lengths, or fewer frames than
            blocks or than 3.
    """
    series, energies = np.asarray(series, np.float64), np.asarray(member_energies, np.float64)
    if energies.ndim != 2 or energies.shape[1] < 2 or len(energies) != len(series):
        raise DataError(
            f"energies of at least two members are needed for {len(series)} frames, not "
            f"{energies.shape}"
        )
    beta = 1.0 / (kB * temperature_K)
    difference = scale * (energies - energies.mean(axis=1, keepdims=True))
    difference -= difference.mean(axis=0)  # keeps digits; Eq. (1) does not change
    middle = series.mean()
    centered = series - middle
    names = [str(k) for k in range(energies.shape[1])]
    columns = {"A": centered}
    for k, name in enumerate(names):
        columns |= {f"d{name}": difference[:, k], f"Ad{name}": centered * difference[:, k]}

    def statistic(sums: Sums) -> dict[str, np.ndarray]:
        mean = {name: total / sums["frames"] for name, total in sums.items()}
        members = [mean["A"] - beta * (mean[f"Ad{k}"] - mean["A"] * mean[f"d{k}"]) for k in names]
        return {  # (1)
            "mean": mean["A"],
            "members": np.stack(members, axis=-1),
            "error": np.std(members, axis=0, ddof=1),
        }

    found = block_bootstrap(sums_of_series(columns, n_blocks), statistic)
    logarithms = -beta * difference
    weights = np.exp(logarithms - logarithms.max(axis=0))
    shares = weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0) / len(series)  # (2)
    worst = float(shares.min())
    n_independent = len(series) / statistical_inefficiency(series) if centered.any() else 1.0
    return ModelError(
        label=label,
        unit=unit,
        mean=Estimate(middle, found["mean"].standard_error, found["mean"].n_blocks),
        error=found["error"],
        member_means=middle + found["members"].value,
        scale=scale,
        effective_share=worst,
        n_effective=worst * n_independent,
        temperature_K=temperature_K,
    )
