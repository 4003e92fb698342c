"""Calibrated disagreement of committees: error bars that hold as often as they say.

A committee of M members has a sample standard deviation s (Eq. (1) of `committee`) for every energy
and force component. The errors e of its means on held-out labels are taken as draws of

    e / (a s) ~ t_n,   (1)

Student's t, with the scale a and degrees of freedom n of greatest likelihood. For n -> infinity
this is a^2 = mean (e / s)^2, the rule of F. Musil et al., J. Chem. Theory Comput. 15, 906 (2019),
doi:10.1021/acs.jctc.8b00959; a finite n says that s of few members is itself uncertain, which
G. Imbalzano et al., J. Chem. Phys. 154, 074102 (2021), doi:10.1063/5.0036522, Eq. (9), correct to
the same end: members and truth drawn alike from one normal distribution have n = M - 1 and
a^2 = 1 + 1/M. What is shown as the standard error is the half-width that holds 68.27 %,

    shown = c s,   c = a T_n(0.6827),   (2)

with T_n(p) the half-width of t_n that holds p; 95 % are within T_n(0.95) / T_n(0.6827) times it.

That is a model of the errors. A bound without one, by split conformal prediction (A. N.
Angelopoulos, S. Bates, arXiv:2107.07511, Sec. 1): of the scores of n_labels structures,

    r = max_i |F_i - F_i^true| / |c s_i|   over atoms i,   (3)

the ceil((n_labels + 1) level)-th smallest, q, bounds those of one more structure with probability
`level` at least, if it could as well have been any of the others (is exchangeable with them):
then |F_i - F_i^true| <= q |c s_i| for all of its atoms at once. Over draws of the labelled
structures the coverage is distributed as Beta(k, n_labels + 1 - k), k = ceil((n_labels + 1) level).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln
from scipy.stats import t as student_t

from mlpotential.errors import DataError, ModelFileError

if TYPE_CHECKING:
    from mlpotential.models.potential import Potential

LEVELS = (0.6827, 0.95)  # of coverage: one standard error of a normal distribution, and usual
# eV, eV/A; chosen: spreads below are the rounding of float32, where a symmetry fixes the value
SMALLEST_SPREAD = 1e-6
LEAST_LABELS = 20  # structures; chosen: a scale is then known within 1 / sqrt(2 * 20), 16 %
CONFORMAL_LEVEL = 0.95
MOST_DEGREES_OF_FREEDOM = 1e3  # chosen: normal to all digits that are shown
MOST_FITTED = 200_000  # components; chosen: their scale is known within 0.2 %


@dataclass(frozen=True)
class SpreadCalibration:
    """What makes the spread of a committee an error bar, of energies or of force components.

    Attributes:
        scale: c of Eq. (2): standard error over the spread of the members.
        degrees_of_freedom: n of Eq. (1).
        n_labels: energies, or force components, that it was fitted to.
        before: shares of errors within 1 and 1.96 spreads of the members, which should be 68.27 %
            and 95 %.
        after: within the calibrated half-widths of these levels.
    """

    scale: float
    degrees_of_freedom: float
    n_labels: int
    before: tuple[float, float]
    after: tuple[float, float]

    @property
    def width_95(self) -> float:
        """Half-width that holds 95 %, in standard errors."""
        widths = student_t.ppf(0.5 + 0.5 * np.array(LEVELS), self.degrees_of_freedom)
        return float(widths[1] / widths[0])

    def __str__(self) -> str:
        (b68, b95), (a68, a95) = (
            [f"{100 * x:.1f} %" for x in s] for s in (self.before, self.after)
        )
        return (
            f"spread x {self.scale:.3g}, 95 % within {self.width_95:.2f} of it ({self.n_labels} "
            f"labels): within 68.27 % {b68} before, {a68} after; within 95 % {b95} and {a95}"
        )


@dataclass(frozen=True)
class ConformalBound:
    """Of the force errors of a structure, see Eq. (3).

    Attributes:
        level: probability of the bound, at least.
        quantile: q, bound over calibrated standard error, of vectors.
        n_labels: structures.
    """

    level: float
    quantile: float
    n_labels: int

    def of(self, forces_std: np.ndarray) -> np.ndarray:
        """Bounds of the force errors of all atoms of a structure at once, [n_atoms] (eV/A).

        Args:
            forces_std: calibrated, [n_atoms, 3] (eV/A).
        """
        return self.quantile * np.linalg.norm(forces_std, axis=-1)

    def __str__(self) -> str:
        return (
            f"errors of all forces of a structure within {self.quantile:.3g} standard errors with "
            f"{100 * self.level:g} % probability (conformal, {self.n_labels} structures)"
        )


@dataclass(frozen=True)
class Calibration:
    """Of one committee: of the members named and of no other.

    Attributes:
        members: fingerprints of the weights of all members, in ascending order.
        data_sha256: of the labels.
        n_structures: labelled.
        energy: of energies.
        forces: of force components.
        bound: of forces; None where there were too few structures for it.
    """

    members: tuple[str, ...]
    data_sha256: str
    n_structures: int
    energy: SpreadCalibration
    forces: SpreadCalibration
    bound: ConformalBound | None

    @property
    def scales(self) -> dict[str, float]:
        """By the names of the spreads."""
        return {"energy_std": self.energy.scale, "forces_std": self.forces.scale}

    @property
    def record(self) -> dict[str, Any]:
        """As a model file keeps it."""
        return asdict(self)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Calibration | None:
        """None of an empty one. Raises ModelFileError where it is not that of `record`."""
        if not record:
            return None
        try:
            bound = record["bound"]
            found = cls(
                members=tuple(str(x) for x in record["members"]),
                data_sha256=str(record["data_sha256"]),
                n_structures=int(record["n_structures"]),
                energy=_spread_of(record["energy"]),
                forces=_spread_of(record["forces"]),
                bound=None if bound is None else ConformalBound(**bound),
            )
            numbers = [*found.scales.values(), *([] if bound is None else [bound["quantile"]])]
            if not all(0.0 < x < math.inf for x in numbers):
                raise ValueError(f"scales of {numbers}")
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(
                f"the calibration in the model file cannot be used: {error!r}. Calibrate again"
            ) from error
        return found

    def __str__(self) -> str:
        lines = [
            f"committee of {len(self.members)} calibrated on {self.n_structures} structures",
            f"  energies: {self.energy}",
            f"  forces:   {self.forces}",
        ]
        return "\n".join([*lines, *([] if self.bound is None else [f"  bound:    {self.bound}"])])


def _spread_of(record: Mapping[str, Any]) -> SpreadCalibration:
    (b68, b95), (a68, a95) = record["before"], record["after"]
    given = {**record, "before": (float(b68), float(b95)), "after": (float(a68), float(a95))}
    return SpreadCalibration(**given)


def weights_sha256(potential: Potential) -> str:
    """Fingerprint of a network: of its weights, whatever a file says of them."""
    digest = hashlib.sha256(potential.config.architecture.encode())
    for name, tensor in sorted(potential.state_dict().items()):
        values = tensor.detach().cpu().numpy()
        digest.update(f"{name} {values.dtype} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def common_calibration(
    calibrations: Sequence[Calibration | None], fingerprints: Sequence[str]
) -> Calibration | None:
    """That of a committee; None unless all its members agree on it, and it is of them alone.

    Args:
        calibrations: what the file of each member tells.
        fingerprints: of the weights of each.
    """
    first = calibrations[0]
    if first is None or any(other != first for other in calibrations):
        return None
    return first if first.members == tuple(sorted(fingerprints)) else None


def calibration_of(members: Sequence[Any]) -> Calibration | None:
    """`common_calibration` of potentials and loaded model files; a potential has none."""
    records = [getattr(member, "record", None) for member in members]
    found = [None if r is None else Calibration.of_record(r.calibration) for r in records]
    if any(calibration is None for calibration in found):
        return None
    return common_calibration(found, [weights_sha256(member.potential) for member in members])


def calibrated_spread(errors: np.ndarray, spreads: np.ndarray) -> SpreadCalibration:
    """Fits Eq. (1) and counts how often errors are within the half-widths.

    Args:
        errors: of the means of a committee, [n_labels] (any unit).
        spreads: sample standard deviations of its members, [n_labels] (the same).

    Raises:
        DataError: if the members agree, or no error is left to fit to.
    """
    errors, spreads = np.abs(errors).ravel(), spreads.ravel()
    tells = np.maximum(errors, spreads) > SMALLEST_SPREAD  # else a symmetry fixes the value
    errors, spreads = errors[tells], np.maximum(spreads[tells], SMALLEST_SPREAD)
    if len(errors) == 0 or not (spreads > SMALLEST_SPREAD).any() or not errors.any():
        raise DataError(
            "the members of the committee agree to the last digits, or with the labels: there is "
            "nothing to calibrate. Give models that were trained apart (train --committee)"
        )
    ratios = errors / spreads
    step = -(-len(ratios) // MOST_FITTED)
    scale, freedom = _most_likely(ratios[::step])
    widths = scale * student_t.ppf(0.5 + 0.5 * np.array(LEVELS), freedom)
    after = [float(np.mean(ratios <= width)) for width in widths]
    before = [float(np.mean(ratios <= width)) for width in (1.0, 1.96)]
    return SpreadCalibration(
        scale=float(widths[0]),  # (2)
        degrees_of_freedom=freedom,
        n_labels=len(ratios),
        before=(before[0], before[1]),
        after=(after[0], after[1]),
    )


def _most_likely(ratios: np.ndarray) -> tuple[float, float]:
    """Scale a and degrees of freedom n of Eq. (1) for e / s, [n_labels], signs left out."""
    middle = float(np.median(ratios)) or float(ratios.mean())
    squares = (ratios / middle) ** 2

    def minus_log_likelihood(logarithms: np.ndarray) -> float:
        log_a, n = logarithms[0], math.exp(logarithms[1])
        tails = np.log1p(squares * (math.exp(-2.0 * log_a) / n)).mean()
        normalization = gammaln(0.5 * (n + 1.0)) - gammaln(0.5 * n) - 0.5 * math.log(n)
        return float(log_a - normalization + 0.5 * (n + 1.0) * tails)

    bounds = [(-10.0, 10.0), (0.0, math.log(MOST_DEGREES_OF_FREEDOM))]
    found = minimize(minus_log_likelihood, (0.3, math.log(5.0)), bounds=bounds, method="L-BFGS-B")
    return middle * math.exp(float(found.x[0])), math.exp(float(found.x[1]))


def conformal_rank(n_labels: int, level: float) -> int | None:
    """k of Eq. (3), from 1; None where there are too few labels for the level."""
    rank = math.ceil((n_labels + 1) * level - 1e-12)
    return rank if rank <= n_labels else None


def conformal_bound(scores: np.ndarray, level: float = CONFORMAL_LEVEL) -> ConformalBound | None:
    """The bound of Eq. (3); None where there are too few structures for the level.

    Args:
        scores: r, [n_structures].
        level: of the bound.
    """
    rank = conformal_rank(len(scores), level)
    if rank is None:
        return None
    return ConformalBound(level, float(np.sort(scores)[rank - 1]), len(scores))


def force_score(errors: np.ndarray, forces_std: np.ndarray) -> float:
    """r of Eq. (3), of one structure.

    Args:
        errors: [n_atoms, 3] (eV/A).
        forces_std: calibrated, [n_atoms, 3] (eV/A).
    """
    widths = np.maximum(np.linalg.norm(forces_std, axis=1), SMALLEST_SPREAD)
    return float((np.linalg.norm(errors, axis=1) / widths).max())
