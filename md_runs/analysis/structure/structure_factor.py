"""What a structure scatters: static structure factors, of periodic cells and of molecules.

With the density rho_A(q) = sum over the atoms of sort A of exp(i q r), summed directly over wave
vectors that the cell allows, the partial structure factors of N. W. Ashcroft, D. C. Langreth, Phys.
Rev. 156, 685 (1967), doi:10.1103/PhysRev.156.685, and of T. E. Faber, J. M. Ziman, Philos. Mag. 11,
153 (1965), doi:10.1080/14786436508211931, are, with the shares c_A = N_A / N,

    S_AB(q) = < rho_A(q) rho_B(-q) > / sqrt(N_A N_B),                                       (1)
    a_AB(q) = 1 + (S_AB(q) - delta_AB) / sqrt(c_A c_B)                                      (2)
            = 1 + (N / V) integral (g_AB(r) - 1) exp(i q r) d^3 r,

so that of an ideal gas S_AB is 1 or 0 and all a_AB are 1. Of all atoms alike, S(q) = <|rho|^2> / N.
Averages are over frames, beads and the directions of q.

A molecule turns freely, and scatters by the formula of P. Debye, Ann. Phys. 351, 809 (1915),
doi:10.1002/andp.19153510606,

    S_AB(q) = sum_(i in A, j in B) < sin(q r_ij) / (q r_ij) > / sqrt(N_A N_B),              (3)

i = j counting 1. It has no density, so (2) is not for it.

No form factors are in these numbers: a diffraction pattern weights the partials with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from ase.data import chemical_symbols

from md_runs.analysis.sampling.block_sums import BlockSums, Frames, Sums, sum_blocks, with_cells
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.structure.internal_coordinates import distances, every_pair
from md_runs.analysis.structure.neighbor_counts import chosen_pairs
from md_runs.analysis.structure.periodic_images import checked_cells
from md_runs.analysis.structure.wave_vectors import WaveVectors, allowed_wave_vectors
from mlpotential.errors import DataError
from mlpotential.settings_checks import check_count, check_number

ALL = "all"  # atoms alike
VALUES_AT_ONCE = 100_000  # chosen: waves of atoms and vectors together, 1.6 MB: in the cache


@dataclass(frozen=True)
class StructureFactor(AnalysisResult):
    """A partial structure factor, or that of all atoms alike.

    Attributes:
        label: "O-H", or "all".
        wavevectors: |q|, mean of a shell of vectors, [n_points] (1/A).
        ashcroft_langreth: S of (1) or (3), [n_points].
        standard_error: of S, from blocks, [n_points].
        faber_ziman: a of (2), [n_points]; of all atoms S itself; NaN of a molecule.
        faber_ziman_error: likewise, [n_points].
        n_vectors: directions that are averaged over, [n_points]; 0 where all are (3).
        n_first, n_second: atoms of each sort.
        n_beads: number of beads.
        n_frames: number of frames.
        n_blocks: number of blocks the standard errors come from.
    """

    label: str
    wavevectors: Annotated[np.ndarray, "1/A"]
    ashcroft_langreth: Annotated[np.ndarray, "1"]
    standard_error: Annotated[np.ndarray, "1"]
    faber_ziman: Annotated[np.ndarray, "1"]
    faber_ziman_error: Annotated[np.ndarray, "1"]
    n_vectors: Annotated[np.ndarray, "1"]
    n_first: int
    n_second: int
    n_beads: int
    n_frames: int
    n_blocks: int

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "wavevectors",
        "ashcroft_langreth",
        "standard_error",
        "faber_ziman",
        "faber_ziman_error",
        "n_vectors",
    )

    @property
    def is_of_molecule(self) -> bool:
        """By Debye's formula, without a density."""
        return not self.n_vectors.any()


def structure_factors(
    positions: Frames,
    atomic_numbers: np.ndarray,
    cells: Frames,
    element_pairs: Sequence[tuple[str, str]] | None = None,
    max_wavevector: float = 10.0,
    shell_width: float = 0.1,
    most_vectors: int = 50,
    n_blocks: int = 10,
) -> tuple[StructureFactor, ...]:
    """Equations (1) and (2) of a system that is periodic in all directions.

    Args:
        positions: wrapped or not, [n_frames, n_beads, n_atoms, 3] (A).
        atomic_numbers: [n_atoms].
        cells: lattice vectors as rows, [3, 3] or [n_frames, 3, 3] (A); where they vary, wave
            vectors follow the cell, and |q| is that in the mean cell.
        element_pairs: symbols, ("O", "H"); None for all pairs.
        max_wavevector: largest |q| (1/A).
        shell_width: of |q| (1/A).
        most_vectors: of each shell, see `wave_vectors`.
        n_blocks: blocks of frames for the error bars; 1 goes without.

    Returns:
        That of all atoms, then one for each pair of elements, unless there is but one element.

    Raises:
        DataError: elements that are not there, wrong shapes, frames that are not finite, or fewer
            frames than blocks.
        ConfigError: settings out of range.
        StructureError: for a cell that is flat or thin.
    """
    for name, value in (("max_wavevector", max_wavevector), ("shell_width", shell_width)):
        check_number(name, value)
    check_count("most_vectors", most_vectors)
    numbers = np.asarray(atomic_numbers)
    pairs = _sorts(numbers, element_pairs)
    mean_cell = checked_cells(np.asarray(cells), (True, True, True)).reshape(-1, 3, 3).mean(axis=0)
    vectors = allowed_wave_vectors(mean_cell, max_wavevector, shell_width, most_vectors)
    masks = {sort: _mask(numbers, sort) for pair in pairs for sort in pair}

    def measure(chunk: np.ndarray, cells: np.ndarray) -> Sums:
        inverse = np.linalg.inv(np.broadcast_to(cells, (len(chunk), 3, 3)))
        products = np.zeros((len(pairs), len(vectors.lengths)))
        for bead in range(chunk.shape[1]):
            for r, to_fractional in zip(chunk[:, bead], inverse, strict=True):
                densities = _densities(r @ to_fractional, vectors.numbers, masks)
                for row, (first, second) in zip(products, pairs, strict=True):
                    row += (densities[first] * densities[second].conj()).real
        means = vectors.shell_means(products) / chunk.shape[1]
        return {"frames": np.array(len(chunk)), "products": means}

    sources, constant = with_cells(positions, cells)
    blocks = sum_blocks(
        (lambda chunk: measure(chunk, constant)) if constant is not None else measure,
        sources,
        n_blocks,
        lambda shape: shape[0] * shape[1] * len(vectors.lengths),
    )
    places = vectors.shell_means(vectors.lengths)
    return _results(blocks, numbers, pairs, places, vectors)


def debye_structure_factors(
    positions: Frames,
    atomic_numbers: np.ndarray,
    wavevectors: np.ndarray,
    element_pairs: Sequence[tuple[str, str]] | None = None,
    n_blocks: int = 10,
) -> tuple[StructureFactor, ...]:
    """Equation (3) of a molecule, whole in all frames.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A).
        atomic_numbers: [n_atoms].
        wavevectors: |q|, [n_points] (1/A).
        element_pairs, n_blocks: as of `structure_factors`.

    Raises:
        DataError: as `structure_factors`.
    """
    numbers, q = np.asarray(atomic_numbers), np.asarray(wavevectors, np.float64)
    pairs = _sorts(numbers, element_pairs)
    bonds = every_pair(len(numbers)) if len(numbers) > 1 else np.zeros((0, 2), int)
    i, j = bonds.T
    counted = np.zeros((len(pairs), len(bonds)))
    alone = np.zeros(len(pairs))
    for place, (first, second) in enumerate(pairs):
        a, b = _mask(numbers, first), _mask(numbers, second)
        counted[place] = (a[i] & b[j]).astype(float) + (a[j] & b[i])
        alone[place] = np.sum(a & b)

    def measure(chunk: np.ndarray) -> Sums:
        r = distances(chunk, bonds) if len(bonds) else np.zeros((*chunk.shape[:2], 0))
        sums = np.repeat(len(chunk) * alone[:, None], len(q), axis=1)
        for point, length in enumerate(q):
            sinc = np.sinc(length * r / np.pi).mean(axis=1).sum(axis=0)  # sin(x) / x
            sums[:, point] += counted @ sinc
        return {"frames": np.array(len(chunk)), "products": sums}

    blocks = sum_blocks(
        measure, {"positions": positions}, n_blocks, lambda shape: shape[0] * shape[1] ** 2
    )
    return _results(blocks, numbers, pairs, q, None)


def _sorts(
    numbers: np.ndarray, element_pairs: Sequence[tuple[str, str]] | None
) -> list[tuple[int, int]]:
    """Pairs of sorts, all atoms (0) first."""
    pairs = chosen_pairs(numbers, element_pairs)
    is_pure = len(np.unique(numbers)) == 1
    return [(0, 0), *([] if is_pure else pairs)]


def _mask(numbers: np.ndarray, sort: int) -> np.ndarray:
    return np.ones(len(numbers), bool) if sort == 0 else numbers == sort


def _densities(
    fractional: np.ndarray, numbers: np.ndarray, masks: dict[int, np.ndarray]
) -> dict[int, np.ndarray]:
    """rho of each sort in one frame, [n_vectors].

    exp(i q r) is a product of three powers, one for each axis of the cell, which are few.
    """
    sorts = np.stack(list(masks.values()), axis=1).astype(complex)
    least = numbers.min(axis=0)
    powers = [
        np.exp(2j * np.pi * np.outer(np.arange(low, high + 1), s))
        for low, high, s in zip(least, numbers.max(axis=0), fractional.T, strict=True)
    ]
    found = np.empty((len(numbers), len(masks)), complex)
    step = max(1, VALUES_AT_ONCE // len(fractional))
    for start in range(0, len(numbers), step):
        x, y, z = (numbers[start : start + step] - least).T
        found[start : start + step] = (powers[0][x] * powers[1][y] * powers[2][z]) @ sorts
    return dict(zip(masks, found.T, strict=True))


def _results(
    blocks: BlockSums,
    numbers: np.ndarray,
    pairs: Sequence[tuple[int, int]],
    places: np.ndarray,
    vectors: WaveVectors | None,
) -> tuple[StructureFactor, ...]:
    """Normalised, [n_points] each; vectors None of a molecule."""
    counts = np.array([[_mask(numbers, sort).sum() for sort in pair] for pair in pairs])
    if not counts.all():
        raise DataError("a structure factor of elements that are not there was asked for")
    norms = np.sqrt(counts.prod(axis=1))[:, None]
    found = blocks.estimates(
        lambda sums: {"S": sums["products"] / sums["frames"][..., None, None] / norms}
    )["S"]
    results = []
    for place, (first, second) in enumerate(pairs):
        s, error = found.value[place], found.standard_error[place]
        weight = norms[place, 0] / len(numbers)  # sqrt(c_A c_B)
        a, a_error = 1 + (s - (first == second)) / weight, error / weight  # (2)
        if vectors is None:
            a, a_error = np.full((2, len(s)), np.nan)
        label = "-".join(chemical_symbols[z] for z in (first, second)) if first else ALL
        results.append(
            StructureFactor(
                label=label,
                wavevectors=places,
                ashcroft_langreth=s,
                standard_error=error,
                faber_ziman=a,
                faber_ziman_error=a_error,
                n_vectors=np.zeros(len(s), int) if vectors is None else vectors.counts,
                n_first=int(counts[place, 0]),
                n_second=int(counts[place, 1]),
                n_beads=blocks.frame_shape[0],
                n_frames=blocks.n_frames,
                n_blocks=blocks.n_blocks,
            )
        )
    return tuple(results)
