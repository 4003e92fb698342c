"""How far a quantum nucleus spreads: ring polymers in imaginary time.

The beads x_j of an atom stand for imaginary times tau_j = j beta hbar / P around a closed path with
the centroid x_c. The correlation of the displacements u_j = x_j - x_c,

    G(tau_k) = < 1 / P sum_j u_j . u_(j + k) >,   G(0) = R_g^2,   (1)

is circular, as the path is; R_g is the radius of gyration of the ring polymer, and

    < |x(tau) - x(0)|^2 > = 2 (G(0) - G(tau))   (2)

(D. Chandler, P. G. Wolynes, J. Chem. Phys. 74, 4078 (1981), doi:10.1063/1.441588, of the measure
R^2(tau)). A free particle has 3 hbar tau / m (1 - tau / (beta hbar)) at any number of beads; bound
ones spread less, the stiffer the less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from ase.data import chemical_symbols

from md_runs.analysis.path_integrals.energies import HBAR, means, squared_steps, thermal_energy
from md_runs.analysis.sampling.block_sums import Frames, Sums, sum_blocks
from md_runs.analysis.sampling.frames import check_masses
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import Estimate
from mlpotential.errors import DataError
from mlpotential.units import ASE_TIME_PER_FS


@dataclass(frozen=True)
class ImaginaryTimeSpread(AnalysisResult):
    """The spread of ring polymers, by atom and by element.

    Attributes:
        elements: symbols, in ascending order of atomic number.
        gyration_radius_of_elements: root of the mean square over the atoms of an element,
            [n_elements] (A).
        gyration_radius_of_atoms: [n_atoms] (A).
        imaginary_times_fs: tau_k, up to half the path, [n_beads // 2 + 1].
        correlation: G of equation (1), mean over the atoms of an element, [n_elements, n_times]
            (A^2).
        mean_square_displacement: equation (2), [n_elements, n_times] (A^2).
        free_particle: equation (2) of free particles with the mean mass of the element,
            [n_elements, n_times] (A^2).
        temperature_K: of the ensemble.
        n_beads: number of beads.
        n_frames: number of frames.
    """

    elements: tuple[str, ...]
    gyration_radius_of_elements: Annotated[Estimate, "A"]
    gyration_radius_of_atoms: Annotated[Estimate, "A"]
    imaginary_times_fs: Annotated[np.ndarray, "fs"]
    correlation: Annotated[Estimate, "A^2"]
    mean_square_displacement: Annotated[Estimate, "A^2"]
    free_particle: Annotated[np.ndarray, "A^2"]
    temperature_K: Annotated[float, "K"]
    n_beads: int
    n_frames: int


def imaginary_time_spread(
    positions: Frames,
    atomic_numbers: np.ndarray,
    masses: np.ndarray,
    temperature_K: float,
    n_blocks: int = 10,
) -> ImaginaryTimeSpread:
    """Radii of gyration and correlation in imaginary time, with error bars.

    Args:
        positions: not wrapped, [n_frames, n_beads, n_atoms, 3] (A), or an iterable of chunks.
        atomic_numbers: [n_atoms].
        masses: [n_atoms] (amu).
        temperature_K: of the ensemble.
        n_blocks: blocks of frames for the error bars; 1 goes without.

    Raises:
        DataError: wrong shapes, a single bead, frames that are not finite, fewer frames than
            blocks.
        ConfigError: if the temperature is not positive.
    """
    kT, numbers = thermal_energy(temperature_K), np.asarray(atomic_numbers)
    masses = np.asarray(masses, np.float64)
    check_masses(masses, len(numbers))
    present = np.unique(numbers)
    blocks = sum_blocks(
        lambda chunk: {"frames": len(chunk), "G": _correlations(chunk, masses, kT).sum(axis=0)},
        {"positions": positions},
        n_blocks,
        lambda shape: 6 * shape[0] * shape[1],
    )

    def statistic(sums: Sums) -> dict[str, Any]:
        G = means(sums)["G"]  # [..., n_times, n_atoms]
        of_elements = np.stack([G[..., numbers == z].mean(axis=-1) for z in present], axis=-2)
        return {
            "gyration_radius_of_elements": np.sqrt(of_elements[..., 0]),
            "gyration_radius_of_atoms": np.sqrt(G[..., 0, :]),
            "correlation": of_elements,
            "mean_square_displacement": 2 * (of_elements[..., :1] - of_elements),  # (2)
        }

    n_beads = blocks.frame_shape[0]
    share = np.arange(n_beads // 2 + 1) / n_beads
    mass_of_elements = np.array([masses[numbers == z].mean() for z in present])
    return ImaginaryTimeSpread(
        elements=tuple(chemical_symbols[z] for z in present),
        imaginary_times_fs=share * HBAR / kT / ASE_TIME_PER_FS,
        free_particle=3 * HBAR**2 / kT * share * (1 - share) / mass_of_elements[:, None],
        **blocks.estimates(statistic),
        temperature_K=temperature_K,
        n_beads=n_beads,
        n_frames=blocks.n_frames,
    )


def _correlations(positions: np.ndarray, masses: np.ndarray, kT: float) -> np.ndarray:
    """G of each frame by equation (1), [n_frames, n_beads // 2 + 1, n_atoms] (A^2)."""
    n_beads = positions.shape[1]
    squared_steps(positions, masses, kT)  # refuses wrapped beads
    if n_beads < 2:
        raise DataError(
            "a single bead has no extent in imaginary time: a path-integral run is needed"
        )
    from_centroid = positions - positions.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.fft(from_centroid, axis=1)) ** 2
    correlations = np.fft.ifft(power, axis=1).real / n_beads  # (1)
    return correlations[:, : n_beads // 2 + 1].sum(axis=-1)
