"""How many beads are enough: one quantity from runs with 1, 2, 4, ... beads.

The error of P beads falls with 1 / P^2 (Trotter's splitting; M. Takahashi, M. Imada, J. Phys. Soc.
Jpn. 53, 3765 (1984)) once P > beta hbar omega of the stiffest vibration. From the two runs with the
most beads, P and Q < P, the limit of infinitely many is

    v = v_P + (v_P - v_Q) / ((P / Q)^2 - 1)   (1)

(L. F. Richardson's extrapolation), and the remaining error of each run is v_P - v. The verdict asks
for the fewest beads whose remaining error, and that of every run with more, is below a tolerance
with 95 % confidence. It presumes that the largest runs are in the regime of 1 / P^2: the series
shows that, or `md_runs.analysis.path_integrals.perturbed_path_integrals` for a single run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import Estimate
from mlpotential.errors import DataError
from mlpotential.settings_checks import check_number

CONFIDENCE = 1.96  # standard errors, 95 %


@dataclass(frozen=True)
class BeadConvergence(AnalysisResult):
    """A quantity against the number of beads, in its own unit.

    Attributes:
        label: what the quantity is.
        unit: of the quantity.
        n_beads: ascending, [n_runs].
        values: [n_runs].
        standard_errors: [n_runs].
        limit: extrapolated to infinitely many beads, equation (1).
        remaining_errors: values minus the limit, [n_runs].
        errors_of_remaining: their standard errors, [n_runs].
        tolerance: what the remaining error is compared with.
        verdicts: of each run "converged", "not converged" or "undecided" (longer runs needed).
        n_beads_needed: fewest beads that are converged, as all runs with more are; None where there
            are none.
    """

    label: str
    unit: str
    n_beads: np.ndarray
    values: np.ndarray
    standard_errors: np.ndarray
    limit: Estimate
    remaining_errors: np.ndarray
    errors_of_remaining: np.ndarray
    tolerance: float
    verdicts: tuple[str, ...]
    n_beads_needed: int | None

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "n_beads",
        "values",
        "standard_errors",
        "remaining_errors",
        "errors_of_remaining",
        "verdicts",
    )

    def __post_init__(self) -> None:
        numbers = ("values", "standard_errors", "limit", "remaining_errors", "errors_of_remaining")
        units = dict.fromkeys((*numbers, "tolerance"), self.unit)
        # The class knows no unit: the instance has its own.
        object.__setattr__(self, "UNITS", {"n_beads": "1", **units, "verdicts": "1"})

    @property
    def verdict(self) -> str:
        """One sentence for a reader."""
        if self.n_beads_needed is not None:
            return (
                f"{self.n_beads_needed} beads are enough for {self.label} within "
                f"{self.tolerance:g} {self.unit}"
            )
        if self.verdicts[-1] == "undecided":
            return f"the error bars of {self.label} are too large to tell: run longer"
        return f"{self.n_beads[-1]} beads are not enough for {self.label}: run with more"


def bead_convergence(
    estimates: Mapping[int, Estimate], label: str, unit: str, tolerance: float
) -> BeadConvergence:
    """Compares independent runs of one system with different numbers of beads.

    Args:
        estimates: by number of beads, each a number with its error bar.
        label: what the quantity is.
        unit: of the quantity.
        tolerance: the largest remaining error that does not matter, in the same unit.

    Raises:
        DataError: fewer than two runs, or one without an error bar.
        ConfigError: if the tolerance is not positive.
    """
    check_number("the tolerance", tolerance)
    n_beads = np.array(sorted(estimates))
    if len(n_beads) < 2:
        raise DataError(f"convergence needs runs with at least two numbers of beads: {n_beads}")
    values = np.array([estimates[p].value for p in n_beads], float)
    errors = np.array([estimates[p].standard_error for p in n_beads], float)
    if not np.isfinite([values, errors]).all():
        raise DataError(f"every run of {label} needs a value and an error bar (n_blocks > 1)")
    share = 1 / ((n_beads[-1] / n_beads[-2]) ** 2 - 1)
    # Weights of each run in the limit (1), and in each remaining error.
    weights = np.zeros(len(n_beads))
    weights[-1], weights[-2] = 1 + share, -share
    remaining_weights = np.eye(len(n_beads)) - weights
    remaining = remaining_weights @ values
    errors_of_remaining = np.sqrt(remaining_weights**2 @ errors**2)
    verdicts = tuple(map(lambda e, s: _verdict(e, s, tolerance), remaining, errors_of_remaining))
    n_trailing = len(verdicts) - max(
        (k + 1 for k, verdict in enumerate(verdicts) if verdict != "converged"), default=0
    )
    return BeadConvergence(
        label=label,
        unit=unit,
        n_beads=n_beads,
        values=values,
        standard_errors=errors,
        limit=Estimate(
            float(weights @ values), float(np.sqrt(weights**2 @ errors**2)), len(n_beads)
        ),
        remaining_errors=remaining,
        errors_of_remaining=errors_of_remaining,
        tolerance=tolerance,
        verdicts=verdicts,
        n_beads_needed=int(n_beads[-n_trailing]) if n_trailing else None,
    )


def _verdict(error: float, standard_error: float, tolerance: float) -> str:
    if abs(error) + CONFIDENCE * standard_error < tolerance:
        return "converged"
    if abs(error) - CONFIDENCE * standard_error > tolerance:
        return "not converged"
    return "undecided"
