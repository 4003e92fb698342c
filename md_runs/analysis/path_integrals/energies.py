"""Energies and heat capacity of a path-integral run, from positions and forces of all beads.

P beads x_j of N atoms, centroid x_c, at 1 / beta = kT are sampled with the weight
exp(-beta (S + V)), where V is the mean potential of the beads and S the energy of the springs
S = sum_j P / (2 (beta hbar)^2) m |x_j+1 - x_j|^2. Kinetic energies of every frame:

    primitive         K_p  = 3 N P / (2 beta) - S   (J. A. Barker, J. Chem. Phys. 70, 2914 (1979)),
                                                                                             (1)
    centroid virial   K_cv = 3 N / (2 beta) - 1 / (2 P) sum_j (x_j - x_c) . f_j
                      (M. F. Herman, E. J. Bruskin, B. J. Berne, J. Chem. Phys. 76, 5150 (1982),
                      doi:10.1063/1.442815; J. Cao, B. J. Berne, ibid. 91, 6359 (1989)).     (2)

Both have one mean, but the noise of (1) grows with P. With E_p = K_p + V and E_cv = K_cv + V, the
heat capacity at constant volume is the derivative of < E_cv >,

    C / k = 3 N / 2 + beta^2 cov(E_cv, E_p)   (3)

(K. R. Glaesemann, L. E. Fried, J. Chem. Phys. 117, 3020 (2002), doi:10.1063/1.1493184, the centroid
virial estimator). It needs no second derivatives, which their double virial estimator does, and its
noise grows with sqrt(P), where that of the primitive estimator grows with P.

A center of mass that was held fixed is counted as a free one: 3 / 2 kT and 3 / 2 k, as i-PI does.
Beads must not be wrapped into a cell: springs know no periodic images, and steps between beads
that no spring would allow are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np

from md_runs.analysis.sampling.block_sums import Frames, Sums, sum_blocks, sums_of_series
from md_runs.analysis.sampling.frames import check_masses
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import Estimate, block_bootstrap
from mlpotential.errors import DataError
from mlpotential.settings_checks import check_number
from mlpotential.units import (
    ASE_TIME_PER_FS,
    EV_PER_KELVIN,
    EV_PER_WAVENUMBER,
    WAVENUMBER_PER_INVERSE_FS,
)

# eV times ASE's unit of time, A sqrt(amu / eV)
HBAR = EV_PER_WAVENUMBER * WAVENUMBER_PER_INVERSE_FS / (2 * np.pi) * ASE_TIME_PER_FS

FRAMES_AT_ONCE = 1_000  # chosen: read at once for a series
# chosen: steps of a free particle between beads have this width at most once in 1e80
LONGEST_STEP = 20.0


@dataclass(frozen=True)
class PathIntegralEnergies(AnalysisResult):
    """Means over the frames of a path-integral run.

    Attributes:
        kinetic_energy: centroid virial estimator (2) (eV).
        kinetic_energy_primitive: estimator (1), of the same mean where the run is right (eV).
        kinetic_energy_of_atoms: estimator (2), [n_atoms] (eV).
        potential_energy: mean over the beads (eV).
        total_energy: kinetic, centroid virial, and potential (eV).
        heat_capacity: at constant volume, of all atoms, estimator (3) (k_B).
        temperature_K: of the ensemble.
        n_beads: number of beads.
        n_frames: number of frames.
    """

    kinetic_energy: Annotated[Estimate, "eV"]
    kinetic_energy_primitive: Annotated[Estimate, "eV"]
    kinetic_energy_of_atoms: Annotated[Estimate, "eV"]
    potential_energy: Annotated[Estimate, "eV"]
    total_energy: Annotated[Estimate, "eV"]
    heat_capacity: Annotated[Estimate, "k_B"]
    temperature_K: Annotated[float, "K"]
    n_beads: int
    n_frames: int


def path_integral_energies(
    positions: Frames,
    forces: Frames,
    potentials: Frames,
    masses: np.ndarray,
    temperature_K: float,
    n_blocks: int = 10,
) -> PathIntegralEnergies:
    """Kinetic, potential and total energy and heat capacity with error bars.

    Args:
        positions: not wrapped, [n_frames, n_beads, n_atoms, 3] (A), or an iterable of chunks.
        forces: of the physical potential on every bead, of the same shape (eV/A).
        potentials: of every bead, [n_frames, n_beads] (eV).
        masses: [n_atoms] (amu).
        temperature_K: of the ensemble.
        n_blocks: blocks of frames for the error bars; 1 goes without.

    Raises:
        DataError: wrong shapes, frames that are not finite, fewer frames than blocks.
        ConfigError: if the temperature is not positive.
    """
    sources = (positions, forces, potentials)
    return PathIntegralEnergies(
        **estimates_of_energies(EnergySums.energies, *sources, masses, temperature_K, n_blocks)
    )


def estimates_of_energies(
    statistic: Callable[[EnergySums, Sums], dict[str, Any]],
    positions: Frames,
    forces: Frames,
    potentials: Frames,
    masses: np.ndarray,
    temperature_K: float,
    n_blocks: int,
) -> dict[str, Any]:
    """Fields of a result: what follows from sums over frames, and what they are of.

    Args:
        statistic: named estimates from `EnergySums` and its sums.
        positions, forces, potentials, masses, temperature_K, n_blocks: as of
            `path_integral_energies`, and so are the errors.
    """
    sources = {"positions": positions, "forces": forces, "potentials": potentials}
    measure = EnergySums(np.asarray(masses, np.float64), thermal_energy(temperature_K))
    blocks = sum_blocks(measure, sources, n_blocks, lambda shape: 6 * shape[0] * shape[1])
    return {
        **blocks.estimates(lambda sums: statistic(measure, sums)),
        "temperature_K": temperature_K,
        "n_beads": blocks.frame_shape[0],
        "n_frames": blocks.n_frames,
    }


@dataclass(frozen=True)
class RecordedEnergies(AnalysisResult):
    """Means of the energies that a path-integral program has recorded in time.

    Attributes:
        kinetic_energy: centroid virial estimator (2) (eV).
        potential_energy: mean over the beads (eV).
        total_energy: their sum (eV).
        heat_capacity: at constant volume, of all atoms, estimator (3), from the records whose
            primitive kinetic energy is known; None where it is of none (k_B).
        temperature_K: of the ensemble.
        n_records: number of records.
    """

    kinetic_energy: Annotated[Estimate, "eV"]
    potential_energy: Annotated[Estimate, "eV"]
    total_energy: Annotated[Estimate, "eV"]
    heat_capacity: Annotated[Estimate | None, "k_B"]
    temperature_K: Annotated[float, "K"]
    n_records: int


def recorded_energies(
    kinetic: np.ndarray,
    potentials: np.ndarray,
    temperature_K: float,
    n_blocks: int = 10,
    primitive: np.ndarray | None = None,
    n_atoms: int = 0,
) -> RecordedEnergies:
    """Energies and heat capacity from series, which need no forces.

    Args:
        kinetic: K_cv by (2), [n_records] (eV).
        potentials: V, mean over the beads, [n_records] (eV).
        temperature_K: of the ensemble.
        n_blocks: blocks of records for the error bars; 1 goes without.
        primitive: K_p by (1), NaN where it is not known, [n_records] (eV); None without, and
            without a heat capacity.
        n_atoms: number of atoms, for the heat capacity.

    Raises:
        DataError: fewer records than blocks, or records that are not finite.
        ConfigError: if the temperature is not positive.
    """
    kT, V = thermal_energy(temperature_K), np.asarray(potentials) - np.mean(potentials)
    series = {"K": np.asarray(kinetic), "V": V, "E": kinetic + V}

    def energies(sums: Sums) -> dict[str, np.ndarray]:
        mean = means(sums)
        return mean | {name: mean[name] + np.mean(potentials) for name in ("V", "E")}

    found = block_bootstrap(sums_of_series(series, n_blocks), energies)
    capacity = None
    if primitive is not None:
        known = np.isfinite(primitive)
        E = series["E"][known] - series["E"].mean()
        E_p = (primitive + V)[known] - np.nanmean(primitive + V)
        sums = sums_of_series({"E": E, "E_p": E_p, "E E_p": E * E_p}, n_blocks)
        capacity = block_bootstrap(
            sums,
            lambda s: {"C": 1.5 * n_atoms + covariance(means(s), "E", "E_p") / kT**2},  # (3)
        )["C"]
    return RecordedEnergies(
        kinetic_energy=found["K"],
        potential_energy=found["V"],
        total_energy=found["E"],
        heat_capacity=capacity,
        temperature_K=temperature_K,
        n_records=len(V),
    )


def primitive_kinetic_series(
    positions: Frames, masses: np.ndarray, temperature_K: float
) -> np.ndarray:
    """Estimator (1) of every frame, all atoms together, [n_frames] (eV).

    Arguments and errors are those of `path_integral_energies`.
    """
    masses, kT = np.asarray(masses, np.float64), thermal_energy(temperature_K)
    found = [np.empty(0)]
    for start in range(0, positions.shape[0], FRAMES_AT_ONCE):
        piece = np.asarray(positions[start : start + FRAMES_AT_ONCE], np.float64)
        found.append(primitive_kinetic_energies(piece, masses, kT).sum(axis=1))
    return np.concatenate(found)


def primitive_kinetic_energy(
    positions: Frames, masses: np.ndarray, temperature_K: float, n_blocks: int = 10
) -> Estimate:
    """The mean of estimator (1) (eV), which needs neither forces nor potentials.

    Arguments and errors are those of `path_integral_energies`: positions
    [n_frames, n_beads, n_atoms, 3] (A), masses [n_atoms] (amu).
    """
    masses, kT = np.asarray(masses, np.float64), thermal_energy(temperature_K)
    blocks = sum_blocks(
        lambda chunk: {
            "frames": len(chunk),
            "K_p": primitive_kinetic_energies(chunk, masses, kT).sum(),
        },
        {"positions": positions},
        n_blocks,
        lambda shape: 6 * shape[0] * shape[1],
    )
    return blocks.estimates(lambda sums: {"K_p": means(sums)["K_p"]})["K_p"]


@dataclass
class EnergySums:
    """A measure for `sum_blocks`: sums of energies and of the products estimators need.

    Energies are summed about those of the first frames, so that differences keep their digits
    where a potential energy is -20,000 eV.

    Attributes:
        masses: [n_atoms] (amu).
        kT: thermal energy (eV).
        origin: of potential, primitive total energy (eV) and perturbation.
    """

    masses: np.ndarray
    kT: float
    origin: dict[str, float] = field(default_factory=dict, init=False)

    def __call__(
        self, positions: np.ndarray, forces: np.ndarray, potentials: np.ndarray
    ) -> dict[str, Any]:
        """Sums over some frames."""
        check_beads(positions, forces, potentials)
        atoms = centroid_virial_kinetic_energies(positions, forces, self.masses, self.kT)
        K = atoms.sum(axis=1)
        K_p = primitive_kinetic_energies(positions, self.masses, self.kT).sum(axis=1)
        V = potentials.mean(axis=1)
        W = perturbations(forces, self.masses, self.kT)
        if not self.origin:
            self.origin = {"V": V.mean(), "E_p": (K_p + V).mean(), "W": W.mean()}
        E = K + V - self.origin["V"]
        E_p = K_p + V - self.origin["E_p"]
        V, W = V - self.origin["V"], W - self.origin["W"]
        return {
            "frames": len(positions),
            "atoms": atoms.sum(axis=0),
            **{name: values.sum() for name, values in (("K", K), ("K_p", K_p), ("V", V))},
            **{name: values.sum() for name, values in (("E", E), ("E_p", E_p), ("W", W))},
            "E E_p": np.sum(E * E_p),
            "E_p E_p": np.sum(E_p**2),
            "W E_p": np.sum(W * E_p),
            "W K_p": np.sum(W * K_p),
            "W V": np.sum(W * V),
            "W E_p E_p": np.sum(W * E_p**2),
        }

    def energies(self, sums: Sums) -> dict[str, Any]:
        """Estimates of `PathIntegralEnergies`."""
        mean = means(sums)
        n_atoms = len(self.masses)
        return {
            "kinetic_energy": mean["K"],
            "kinetic_energy_primitive": mean["K_p"],
            "kinetic_energy_of_atoms": mean["atoms"],
            "potential_energy": mean["V"] + self.origin["V"],
            "total_energy": mean["E"] + self.origin["V"],
            "heat_capacity": 1.5 * n_atoms + covariance(mean, "E", "E_p") / self.kT**2,  # (3)
        }


def means(sums: Sums) -> Sums:
    """Sums over frames divided by their number."""
    n_frames = sums["frames"]
    return {
        name: total / n_frames[(..., *[None] * (total.ndim - n_frames.ndim))]
        for name, total in sums.items()
    }


def covariance(mean: Mapping[str, np.ndarray], first: str, second: str) -> np.ndarray:
    """< a b > - < a > < b > of means over frames, of all blocks or of resampled ones, [...]."""
    return mean[f"{first} {second}"] - mean[first] * mean[second]


def thermal_energy(temperature_K: float) -> float:
    """kT (eV). Raises ConfigError unless the temperature is positive."""
    check_number("temperature_K", temperature_K)
    return temperature_K * EV_PER_KELVIN


def check_beads(positions: np.ndarray, forces: np.ndarray, potentials: np.ndarray) -> None:
    """Raises DataError unless every bead of every atom has a force, every bead a potential.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A).
        forces: of the same shape (eV/A).
        potentials: [n_frames, n_beads] (eV).
    """
    if forces.shape != positions.shape:
        raise DataError(
            f"positions {list(positions.shape)} need forces of every bead of the same shape, not "
            f"{list(forces.shape)}"
        )
    if potentials.shape != positions.shape[:2]:
        raise DataError(
            f"{positions.shape[1]} beads need potentials of shape [n_frames, n_beads], not "
            f"{list(potentials.shape)}: the mean over the beads is not enough"
        )


def primitive_kinetic_energies(positions: np.ndarray, masses: np.ndarray, kT: float) -> np.ndarray:
    """Estimator (1) of each frame and atom.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A).
        masses: [n_atoms] (amu).
        kT: thermal energy (eV).

    Returns:
        [n_frames, n_atoms] (eV).
    """
    n_beads = positions.shape[1]
    return 1.5 * n_beads * kT - spring_energies(positions, masses, kT)  # (1)


def spring_energies(positions: np.ndarray, masses: np.ndarray, kT: float) -> np.ndarray:
    """S of each frame and atom, [n_frames, n_atoms] (eV), as `primitive_kinetic_energies`."""
    return kT * 0.5 * squared_steps(positions, masses, kT).sum(axis=1)


def squared_steps(positions: np.ndarray, masses: np.ndarray, kT: float) -> np.ndarray:
    """|x_j+1 - x_j|^2 over the mean square hbar^2 / (P m kT) of a free particle in one direction.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A).
        masses: [n_atoms] (amu).
        kT: thermal energy (eV).

    Returns:
        [n_frames, n_beads, n_atoms].

    Raises:
        DataError: masses that are not those of the atoms, or a step beyond `LONGEST_STEP`.
    """
    check_masses(masses, positions.shape[2])
    steps = np.roll(positions, -1, axis=1) - positions
    squares = np.einsum("fbax,fbax->fba", steps, steps)
    relative = squares * (positions.shape[1] * kT / HBAR**2) * np.asarray(masses)
    if relative.max() > LONGEST_STEP**2:
        frame, bead, atom = np.unravel_index(int(np.argmax(relative)), relative.shape)
        raise DataError(
            f"atom {atom} is {np.sqrt(squares[frame, bead, atom]):.3g} A from itself in the next "
            "bead, farther than the temperature and its mass allow: are beads wrapped into a cell, "
            "or is the temperature another?"
        )
    return relative


def centroid_virial_kinetic_energies(
    positions: np.ndarray, forces: np.ndarray, masses: np.ndarray, kT: float
) -> np.ndarray:
    """Estimator (2) of each frame and atom.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A).
        forces: of the physical potential, of the same shape (eV/A).
        masses: [n_atoms], for its length only (amu).
        kT: thermal energy (eV).

    Returns:
        [n_frames, n_atoms] (eV).
    """
    check_masses(masses, positions.shape[2])
    from_centroid = positions - positions.mean(axis=1, keepdims=True)
    virials = np.einsum("fbax,fbax->fa", from_centroid, forces)
    return 1.5 * kT - 0.5 / positions.shape[1] * virials  # (2)


def perturbations(forces: np.ndarray, masses: np.ndarray, kT: float) -> np.ndarray:
    """W of each frame, equation (1) of `perturbed_path_integrals`, [n_frames].

    Args:
        forces: of the physical potential, [n_frames, n_beads, n_atoms, 3] (eV/A).
        masses: [n_atoms] (amu).
        kT: thermal energy (eV).
    """
    check_masses(masses, forces.shape[2])
    squares = np.einsum("fbax,fbax->fa", forces, forces) @ (1 / masses)
    return HBAR**2 / (24 * (kT * forces.shape[1]) ** 3) * squares
