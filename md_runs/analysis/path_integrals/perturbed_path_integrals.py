"""What infinitely many beads would give, from a run with P beads: perturbed path integrals (PPI).

I. Poltavsky, A. Tkatchenko, Chem. Sci. 7, 1368 (2016), doi:10.1039/C5SC03443D. The leading error of
P beads is a term that the fourth-order splitting of M. Takahashi, M. Imada, J. Phys. Soc. Jpn. 53,
3765 (1984), doi:10.1143/JPSJ.53.3765, adds to the exponent of the weight, -W, with

    W = beta^3 hbar^2 / (24 P^3) sum_j sum_i |f_ij|^2 / m_i,   (1)

for the forces f on beads j of atoms i. It is kept to first order, ln Z = ln Z_P - < W >, and
everything follows by differentiation. With E = K + V the primitive estimators of a frame, < > the
mean over the run, cov its covariance and k3(W, E, E) the third joint cumulant,

    K:    kT < W > - cov(W, K)                                                              (2)
    V:  2 kT < W > - cov(W, V)                                                              (3)
    E:  3 kT < W > - cov(W, E)                                                              (4)
    C / k:  -6 < W > + 6 beta cov(W, E) - 2 beta cov(W, K) - beta^2 k3(W, E, E)             (5)
    A(x):  -cov(A, W) - beta^2 hbar^2 / (12 P^2) < f . grad A / m >                         (6)

are added to the plain means over P beads; A and the last term of (6) are means over the beads. The
derivatives of < W > are with respect to the mass (2), the temperature (4) and a term lambda A in
the potential (3, 6). For the histogram of a distance r, grad A in (6) becomes a derivative,

    p(r):  -cov(p(r), W) + beta^2 hbar^2 / (12 P^2) d/dr [ p(r) < f . grad r / m >_r ],     (7)

which is taken by central differences over the bins.

Departure: the plain means are those of the centroid virial estimators, which have the same mean as
the primitive ones and less noise. The corrections need the primitive ones; (5) is a third cumulant
and noisy, so look at its error bar.

How far it carries: harmonic oscillators with beta hbar omega of 1 to 9 get an energy within 1 %
wherever two beads or more leave at most a third of it to the correction (`TRUSTED_ERROR`), and
within 6 % with one bead at beta hbar omega = 3. Their heat capacity converges later: with 8 beads
at beta hbar omega = 14.4 it is -0.1 k a mode instead of 0, and the energy within 0.1 %. Where at
most a third of it comes from the correction, it is within 0.5 %.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from md_runs.analysis.path_integrals.energies import (
    HBAR,
    EnergySums,
    check_beads,
    covariance,
    estimates_of_energies,
    means,
    perturbations,
    thermal_energy,
)
from md_runs.analysis.sampling.block_sums import Frames, Sums, sum_blocks
from md_runs.analysis.sampling.histograms import bin_counts, filled_bins
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import Estimate
from md_runs.analysis.structure.internal_coordinates import check_atoms, displacements, every_pair
from mlpotential.settings_checks import check_number

TRUSTED_ERROR = 1 / 3  # chosen: see above
CONFIDENCE = 1.96  # standard errors, 95 %


@dataclass(frozen=True)
class PerturbedEnergies(AnalysisResult):
    """Energies and heat capacity of infinitely many beads, and what a run with P beads lacks.

    Attributes:
        kinetic_energy, potential_energy, total_energy: corrected (eV).
        heat_capacity: corrected (k_B).
        kinetic_correction, potential_correction, total_correction: what was added (eV).
        heat_capacity_correction: what was added (k_B).
        bead_error: the share of the corrected kinetic energy that P beads lack.
        mean_perturbation: < W >.
        temperature_K: of the ensemble.
        n_beads: P.
        n_frames: number of frames.
    """

    kinetic_energy: Annotated[Estimate, "eV"]
    potential_energy: Annotated[Estimate, "eV"]
    total_energy: Annotated[Estimate, "eV"]
    heat_capacity: Annotated[Estimate, "k_B"]
    kinetic_correction: Annotated[Estimate, "eV"]
    potential_correction: Annotated[Estimate, "eV"]
    total_correction: Annotated[Estimate, "eV"]
    heat_capacity_correction: Annotated[Estimate, "k_B"]
    bead_error: Annotated[Estimate, "1"]
    mean_perturbation: Annotated[Estimate, "1"]
    temperature_K: Annotated[float, "K"]
    n_beads: int
    n_frames: int

    @property
    def are_energies_trustworthy(self) -> bool:
        """Whether the correction of energies is small enough for first order (`TRUSTED_ERROR`)."""
        return bool(abs(self.bead_error.value) <= TRUSTED_ERROR)

    @property
    def is_heat_capacity_trustworthy(self) -> bool:
        """Whether that of the heat capacity is, too, which converges later."""
        corrected, correction = self.heat_capacity.value, self.heat_capacity_correction.value
        return self.are_energies_trustworthy and bool(abs(correction) <= TRUSTED_ERROR * corrected)

    @property
    def is_trustworthy(self) -> bool:
        """Whether everything in here is, energies and heat capacity."""
        return self.is_heat_capacity_trustworthy

    def are_beads_enough(self, tolerance: float = 0.01) -> Literal["yes", "no", "undecided"]:
        """Whether P beads lack less than this share of the kinetic energy, at 95 % confidence."""
        error, margin = abs(self.bead_error.value), CONFIDENCE * self.bead_error.standard_error
        if error + margin < tolerance:
            return "yes"
        return "no" if error - margin > tolerance else "undecided"


@dataclass(frozen=True)
class PerturbedDistribution(AnalysisResult):
    """The distribution of distances of infinitely many beads, beside that of P beads.

    Attributes:
        label: what the distances are.
        distances: centres of the bins, [n_bins] (A).
        density: corrected, integral over distance 1; it may be negative where the correction is
            too large for first order, [n_bins] (1/A).
        standard_error: of the corrected density, [n_bins] (1/A).
        plain_density: of P beads, [n_bins] (1/A).
        plain_error: its standard error, [n_bins] (1/A).
        correction_error: standard error of their difference; they come from the same frames,
            [n_bins] (1/A).
        mean, standard_deviation: corrected (A).
        plain_mean, plain_standard_deviation: of P beads (A).
        mean_correction: their difference (A).
        bin_width: (A).
        n_pairs: number of pairs.
        n_beads: P.
        n_frames: number of frames.
    """

    label: str
    distances: Annotated[np.ndarray, "A"]
    density: Annotated[np.ndarray, "1/A"]
    standard_error: Annotated[np.ndarray, "1/A"]
    plain_density: Annotated[np.ndarray, "1/A"]
    plain_error: Annotated[np.ndarray, "1/A"]
    correction_error: Annotated[np.ndarray, "1/A"]
    mean: Annotated[Estimate, "A"]
    standard_deviation: Annotated[Estimate, "A"]
    plain_mean: Annotated[Estimate, "A"]
    plain_standard_deviation: Annotated[Estimate, "A"]
    mean_correction: Annotated[Estimate, "A"]
    bin_width: Annotated[float, "A"]
    n_pairs: int
    n_beads: int
    n_frames: int

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "distances",
        "density",
        "standard_error",
        "plain_density",
        "plain_error",
        "correction_error",
    )


def perturbed_energies(
    positions: Frames,
    forces: Frames,
    potentials: Frames,
    masses: np.ndarray,
    temperature_K: float,
    n_blocks: int = 10,
) -> PerturbedEnergies:
    """Energies and heat capacity corrected by (2) to (5), with error bars.

    Arguments and errors are those of `energies.path_integral_energies`.
    """
    sources = (positions, forces, potentials)
    return PerturbedEnergies(
        **estimates_of_energies(_corrected, *sources, masses, temperature_K, n_blocks)
    )


def _corrected(measure: EnergySums, sums: Sums) -> dict[str, Any]:
    """Estimates of `PerturbedEnergies`; cumulants do not depend on the origins of the sums."""
    kT, mean, plain = measure.kT, means(sums), measure.energies(sums)
    W = mean["W"] + measure.origin["W"]
    with_K, with_V, with_E = (covariance(mean, "W", name) for name in ("K_p", "V", "E_p"))
    cumulant = (
        mean["W E_p E_p"]
        - 2 * mean["W E_p"] * mean["E_p"]
        - mean["W"] * mean["E_p E_p"]
        + 2 * mean["W"] * mean["E_p"] ** 2
    )
    kinetic = kT * W - with_K  # (2)
    potential = 2 * kT * W - with_V  # (3)
    total = 3 * kT * W - with_E  # (4)
    capacity = -6 * W + (6 * with_E - 2 * with_K) / kT - cumulant / kT**2  # (5)
    return {
        "kinetic_energy": plain["kinetic_energy"] + kinetic,
        "potential_energy": plain["potential_energy"] + potential,
        "total_energy": plain["total_energy"] + total,
        "heat_capacity": plain["heat_capacity"] + capacity,
        "kinetic_correction": kinetic,
        "potential_correction": potential,
        "total_correction": total,
        "heat_capacity_correction": capacity,
        "bead_error": kinetic / (plain["kinetic_energy"] + kinetic),
        "mean_perturbation": W,
    }


def perturbed_distance_distribution(
    positions: Frames,
    forces: Frames,
    masses: np.ndarray,
    temperature_K: float,
    label: str,
    pairs: np.ndarray | None = None,
    bin_width: float = 0.02,
    n_blocks: int = 10,
) -> PerturbedDistribution:
    """The distribution of distances corrected by (7), its mean and spread by (6).

    Args:
        positions: not wrapped, [n_frames, n_beads, n_atoms, 3] (A), or an iterable of chunks.
        forces: of the physical potential on every bead, of the same shape (eV/A).
        masses: [n_atoms] (amu).
        temperature_K: of the ensemble.
        label: what the distances are.
        pairs: atoms i, j, [n_pairs, 2]; None for every pair, whose distribution is h(r).
        bin_width: several must make up the width of a peak, as (7) is a difference of bins (A).
        n_blocks: blocks of frames for the error bars; 1 goes without.

    Raises:
        DataError: wrong shapes, atoms that are not there, frames that are not finite, fewer frames
            than blocks.
        ConfigError: if the temperature or the bin width is not positive.
    """
    check_number("bin_width", bin_width)
    measure = _DistanceSums(
        np.asarray(masses, np.float64), thermal_energy(temperature_K), pairs, bin_width
    )
    sources = {"positions": positions, "forces": forces}
    blocks = sum_blocks(measure, sources, n_blocks, lambda s: 4 * s[0] * measure.n_pairs(s[1]))
    histograms = {
        name: np.pad(blocks.sums[name], ((0, 0), (0, 1))) for name in ("counts", "W counts", "pull")
    }
    kept = filled_bins(histograms["counts"])
    trimmed = {name: values[:, kept] for name, values in histograms.items()}
    found = replace(blocks, sums=blocks.sums | trimmed).estimates(measure.estimates)
    density, plain = found.pop("density"), found.pop("plain_density")
    n_beads, n_atoms, _ = blocks.frame_shape
    return PerturbedDistribution(
        label=label,
        distances=(np.arange(kept.start, kept.stop) + 0.5) * bin_width,
        density=density.value,
        standard_error=density.standard_error,
        plain_density=plain.value,
        plain_error=plain.standard_error,
        correction_error=found.pop("correction").standard_error,
        **found,
        bin_width=bin_width,
        n_pairs=measure.n_pairs(n_atoms),
        n_beads=n_beads,
        n_frames=blocks.n_frames,
    )


@dataclass
class _DistanceSums:
    """A measure for `sum_blocks`: histograms and moments of distances s about an origin.

    Each is a mean over beads and pairs; "W counts" are counts weighted with W, "pull" are counts
    weighted with f . grad r / m.
    """

    masses: np.ndarray
    kT: float
    pairs: np.ndarray | None
    bin_width: float
    origin: dict[str, float] = field(default_factory=dict, init=False)
    shift: float = field(default=np.nan, init=False)  # beta^2 hbar^2 / (12 P^2)

    def n_pairs(self, n_atoms: int) -> int:
        """Number of pairs."""
        return n_atoms * (n_atoms - 1) // 2 if self.pairs is None else len(self.pairs)

    def __call__(self, positions: np.ndarray, forces: np.ndarray) -> dict[str, Any]:
        """Sums over some frames."""
        check_beads(positions, forces, positions[..., 0, 0])
        n_beads, n_atoms = positions.shape[1:3]
        self.shift = (HBAR / (self.kT * n_beads)) ** 2 / 12
        W = perturbations(forces, self.masses, self.kT)
        pairs = every_pair(n_atoms) if self.pairs is None else self.pairs
        i, j = check_atoms(pairs, 2, n_atoms).T
        vectors = displacements(positions, pairs)
        r = np.linalg.norm(vectors, axis=-1)
        accelerations = forces / self.masses[:, None]
        pull = np.einsum("fbpx,fbpx->fbp", accelerations[:, :, j] - accelerations[:, :, i], vectors)
        pull /= r
        if not self.origin:
            self.origin = {"r": float(r.mean()), "W": float(W.mean())}
        s, W = r - self.origin["r"], W - self.origin["W"]
        of_frame = {"s": s.mean(axis=(1, 2)), "s s": np.mean(s**2, axis=(1, 2))}
        share = 1 / (n_beads * len(pairs))
        weights = np.broadcast_to(W[:, None, None], r.shape)
        return {
            "frames": len(positions),
            "W": W.sum(),
            "counts": share * bin_counts(r, self.bin_width),
            "W counts": share * bin_counts(r, self.bin_width, weights),
            "pull": share * bin_counts(r, self.bin_width, pull),
            **{name: values.sum() for name, values in of_frame.items()},
            **{f"W {name}": np.sum(W * values) for name, values in of_frame.items()},
            "pull s": share * pull.sum(),
            "pull s s": share * np.sum(2 * s * pull),
        }

    def estimates(self, sums: Sums) -> dict[str, Any]:
        """Densities (1/A) and moments (A), plain and corrected."""
        mean = means(sums)
        pull = np.pad(mean["pull"], [(0, 0)] * (mean["pull"].ndim - 1) + [(1, 1)])
        slope = (pull[..., 2:] - pull[..., :-2]) / (2 * self.bin_width)
        covariances = mean["W counts"] - mean["W"][..., None] * mean["counts"]
        correction = (self.shift * slope - covariances) / self.bin_width  # (7)
        plain = mean["counts"] / self.bin_width
        moments = {
            name: mean[name] - covariance(mean, "W", name) - self.shift * mean[f"pull {name}"]
            for name in ("s", "s s")
        }  # (6)
        return {
            "density": plain + correction,
            "plain_density": plain,
            "correction": correction,
            "mean": self.origin["r"] + moments["s"],
            "standard_deviation": _spread(moments["s"], moments["s s"]),
            "plain_mean": self.origin["r"] + mean["s"],
            "plain_standard_deviation": _spread(mean["s"], mean["s s"]),
            "mean_correction": moments["s"] - mean["s"],
        }


def _spread(mean: np.ndarray, mean_square: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(0.0, mean_square - mean**2))
