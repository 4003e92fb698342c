"""Free energies of isotope substitution from a path-integral run with the first isotopes.

M. Ceriotti, T. E. Markland, J. Chem. Phys. 138, 014112 (2013), doi:10.1063/1.4772676. For masses
m -> a m of the atoms that are substituted, the ratio of the partition functions of P beads is the
mean over the run with m of

    Q' / Q = prod a^(3 P / 2)  < exp( -beta sum_i (a_i - 1) S_i ) >   (thermodynamic, TD-FEP)   (1)
    Q' / Q = prod a^(3 / 2)    < exp( -beta (V(x') - V(x)) ) >        (scaled coordinates, SC-FEP),
             x'_j = x_c + (x_j - x_c) / sqrt(a)                                               (2)

with the spring energy S_i of an atom, the potential V as mean over the beads and the centroid x_c.
(1) needs positions only, but S fluctuates by sqrt(3 P / 2) kT: it serves for mass ratios near 1 or
few beads. (2) needs the potentials of the scaled positions, one more evaluation of each frame, and
hardly cares about P. How much of the run carries the mean is told by the effective share of frames
(L. Kish, "Survey Sampling" (1965)), (sum w)^2 / (n sum w^2): below some percent the result and its
error bar are not to be trusted.

Classical nuclei have Q' / Q = prod a^(3/2) whatever the potential, and it cancels between the two
sides of an exchange of isotopes; what is left is the quantum part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np

from md_runs.analysis.path_integrals.energies import spring_energies, thermal_energy
from md_runs.analysis.sampling.block_sums import Frames, Sums, sum_blocks
from md_runs.analysis.sampling.frames import check_masses
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import Estimate
from mlpotential.errors import DataError

SMALLEST_SHARE = 0.05  # chosen: below it a few frames decide


@dataclass(frozen=True)
class IsotopeEffect(AnalysisResult):
    """The free energy of exchanging isotopes, that of the new ones minus that of the old.

    Attributes:
        free_energy: -kT ln (Q' / Q) (eV).
        quantum_part: what of it classical nuclei would not have (eV).
        log_partition_ratio: ln (Q' / Q).
        effective_share: of the frames that carry the mean, 0 to 1.
        temperature_K: of the ensemble.
        n_beads: number of beads.
        n_frames: number of frames.
    """

    free_energy: Annotated[Estimate, "eV"]
    quantum_part: Annotated[Estimate, "eV"]
    log_partition_ratio: Annotated[Estimate, "1"]
    effective_share: Annotated[Estimate, "1"]
    temperature_K: Annotated[float, "K"]
    n_beads: int
    n_frames: int

    @property
    def is_trustworthy(self) -> bool:
        """Whether enough frames carry the mean (`SMALLEST_SHARE`)."""
        return bool(self.effective_share.value >= SMALLEST_SHARE)


def isotope_effect_from_springs(
    positions: Frames,
    masses: np.ndarray,
    new_masses: np.ndarray,
    temperature_K: float,
    n_blocks: int = 10,
) -> IsotopeEffect:
    """TD-FEP, equation (1).

    Args:
        positions: not wrapped, [n_frames, n_beads, n_atoms, 3] (A), or an iterable of chunks.
        masses: of the run, [n_atoms] (amu).
        new_masses: of the isotopes asked for, [n_atoms] (amu).
        temperature_K: of the ensemble.
        n_blocks: blocks of frames for the error bars; 1 goes without.

    Raises:
        DataError: wrong shapes, frames that are not finite, fewer frames than blocks.
        ConfigError: if the temperature is not positive.
    """
    kT, ratios = thermal_energy(temperature_K), _mass_ratios(masses, new_masses)

    def exponents(chunk: np.ndarray) -> np.ndarray:
        springs = spring_energies(chunk, np.asarray(masses, np.float64), kT)
        prefactor = 1.5 * (chunk.shape[1] - 1) * np.log(ratios).sum()
        return prefactor - springs @ (ratios - 1) / kT  # (1)

    return _effect(exponents, {"positions": positions}, ratios, temperature_K, n_blocks)


def scaled_positions(
    positions: np.ndarray, masses: np.ndarray, new_masses: np.ndarray
) -> np.ndarray:
    """x' of equation (2): where potentials are needed for `isotope_effect_from_potentials`.

    Args:
        positions: not wrapped, [n_frames, n_beads, n_atoms, 3] (A).
        masses: of the run, [n_atoms] (amu).
        new_masses: of the isotopes asked for, [n_atoms] (amu).

    Returns:
        Of the shape of `positions` (A).

    Raises:
        DataError: masses that are not those of the atoms.
    """
    check_masses(masses, positions.shape[2])
    shrinkage = _mass_ratios(masses, new_masses)[:, None] ** -0.5
    centroid = positions.mean(axis=1, keepdims=True)
    return centroid + shrinkage * (positions - centroid)


def isotope_effect_from_potentials(
    positions: Frames,
    potentials: Frames,
    scaled_potentials: Frames,
    masses: np.ndarray,
    new_masses: np.ndarray,
    temperature_K: float,
    n_blocks: int = 10,
) -> IsotopeEffect:
    """SC-FEP, equation (2).

    Args:
        positions: for their shape, [n_frames, n_beads, n_atoms, 3] (A), or an iterable of chunks.
        potentials: of every bead, [n_frames, n_beads] (eV).
        scaled_potentials: at `scaled_positions`, [n_frames, n_beads] (eV).
        masses, new_masses, temperature_K, n_blocks: as of `isotope_effect_from_springs`, and so are
            the errors.
    """
    kT, ratios = thermal_energy(temperature_K), _mass_ratios(masses, new_masses)

    def exponents(chunk: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        check_masses(masses, chunk.shape[2])
        for values in (before, after):
            if values.shape != chunk.shape[:2]:
                raise DataError(
                    f"{chunk.shape[1]} beads need potentials of shape [n_frames, n_beads], not "
                    f"{list(values.shape)}"
                )
        return (before - after).mean(axis=1) / kT  # (2)

    sources = {
        "positions": positions,
        "potentials": potentials,
        "scaled_potentials": scaled_potentials,
    }
    return _effect(exponents, sources, ratios, temperature_K, n_blocks)


@dataclass
class _WeightSums:
    """A measure for `sum_blocks`: sums of exp(e) and its square, relative to the first frames.

    Attributes:
        exponents: e of each frame, from some frames of each source.
        origin: mean exponent of the first frames.
    """

    exponents: Callable[..., np.ndarray]
    origin: float = field(default=np.nan, init=False)

    def __call__(self, *frames: np.ndarray) -> dict[str, Any]:
        """Sums over some frames."""
        exponents = self.exponents(*frames)
        if np.isnan(self.origin):
            self.origin = float(exponents.mean())
        weights = np.exp(exponents - self.origin)
        return {"frames": len(weights), "weights": weights.sum(), "squares": np.sum(weights**2)}


def _effect(
    exponents: Callable[..., np.ndarray],
    sources: dict[str, Frames],
    ratios: np.ndarray,
    temperature_K: float,
    n_blocks: int,
) -> IsotopeEffect:
    kT, classical = thermal_energy(temperature_K), 1.5 * np.log(ratios).sum()
    measure = _WeightSums(exponents)
    blocks = sum_blocks(measure, sources, n_blocks, lambda shape: 3 * shape[0] * shape[1])

    def statistic(sums: Sums) -> dict[str, Any]:
        quantum = measure.origin + np.log(sums["weights"] / sums["frames"])
        return {
            "free_energy": -kT * (classical + quantum),
            "quantum_part": -kT * quantum,
            "log_partition_ratio": classical + quantum,
            "effective_share": sums["weights"] ** 2 / (sums["frames"] * sums["squares"]),
        }

    return IsotopeEffect(
        **blocks.estimates(statistic),
        temperature_K=temperature_K,
        n_beads=blocks.frame_shape[0],
        n_frames=blocks.n_frames,
    )


def _mass_ratios(masses: np.ndarray, new_masses: np.ndarray) -> np.ndarray:
    """a, [n_atoms]. Raises DataError for masses that do not belong together."""
    check_masses(masses, len(masses))
    check_masses(new_masses, len(masses))
    return np.asarray(new_masses, np.float64) / np.asarray(masses, np.float64)
