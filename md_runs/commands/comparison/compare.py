"""`md-runs compare`: what two potentials say of the same structure, modes or run.

Of two runs, a quantity is the same if the difference is within two standard errors of it, which are
those of blocks of both runs. Structures and modes have no such errors: they are the same within
what a relaxation leaves, and the tolerances are printed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_masses

from md_runs.analysis.sampling.results import plain
from md_runs.analysis.sampling.uncertainty import Estimate
from md_runs.analysis.spectra.peaks import PeakTable, find_spectrum_peaks
from md_runs.analysis.structure.angle_distributions import angle_distribution
from md_runs.analysis.structure.distances import DistanceDistribution, distance_distribution
from md_runs.analysis.structure.distribution_difference import distribution_difference
from md_runs.analysis.structure.internal_coordinates import angles, distances, every_pair
from md_runs.analysis.vibrations.mode_comparison import compare_modes
from md_runs.analysis.vibrations.normal_modes import NormalModes, read_normal_modes
from md_runs.commands.comparison.bonds import angle_triples, atoms_name, bonded
from md_runs.commands.comparison.quantities import MOST_SHOWN, SAME, Comparison, Quantity
from md_runs.commands.prepared_run import PreparedRun, open_runs
from md_runs.commands.vdos import density_of_states_of
from md_runs.run_folders import RUN_SUFFIXES
from mlpotential.command_line import Command
from mlpotential.errors import ConfigError, DataError
from mlpotential.input_files import check_output_file
from mlpotential.run_folder import write_json

if TYPE_CHECKING:
    from ase import Atoms

EXAMPLES = """  md-runs compare relaxed_model.xyz relaxed_reference.xyz
  md-runs compare modes_model.json modes_reference.json --json compared.json
  md-runs compare nvt_model nvt_reference --resolution-per-cm 20"""

SURE_OVERLAP = 0.5  # of matched modes; below, it is said that they are different motions
MANY_ATOMS = 200  # chosen: above, h(r) of all pairs is passed over
BIN_WIDTH = 0.02  # A
SMALLEST_PEAK = 0.1  # of the highest; chosen: below is much noise


def run(
    first: Path,
    second: Path,
    *,
    json_file: Path | None = None,
    skip_ps: float | None = None,
    resolution_per_cm: float | None = None,
) -> int:
    """Compares them, quantity by quantity.

    Args:
        first: A: folder of a run, file of md-runs modes --json, or a structure.
        second: B, of the same kind and the same atoms.
        json_file: write all quantities, JSON.
        skip_ps: of runs, left out at the start, ps (until equilibrated, as detected).
        resolution_per_cm: of spectra, 1/cm (10 to 30, as the run allows).
    """
    check_output_file(json_file)
    kinds = [_kind(path) for path in (first, second)]
    if kinds[0] != kinds[1]:
        raise ConfigError(f"{first} is {kinds[0]}, and {second} is {kinds[1]}: give two of a kind")
    comparison = Comparison((str(first), str(second)))
    if kinds[0] == "a run":
        runs = [
            open_runs([path], skip_ps=skip_ps, temperature_K=None)[0] for path in (first, second)
        ]
        compare_runs(comparison, runs[0], runs[1], resolution_per_cm)
    elif kinds[0] == "a file of modes":
        compare_mode_files(comparison, read_normal_modes(first), read_normal_modes(second))
    else:
        from md_runs.trajectories.structure_file import read_structure

        compare_structures(comparison, read_structure(first), read_structure(second))
    print(comparison)
    if json_file is not None:
        write_json(json_file, plain(comparison.record()))
    return 0


def _kind(path: Path) -> str:
    if not path.exists():
        raise DataError(f"there is no {path}")
    if path.is_dir() or path.suffix in RUN_SUFFIXES:
        return "a run"
    return "a file of modes" if path.suffix == ".json" else "a structure"


def compare_structures(comparison: Comparison, first: Atoms, second: Atoms) -> None:
    """Bonds and angles. Raises DataError for other atoms."""
    if not np.array_equal(first.numbers, second.numbers):
        raise DataError("the structures have other atoms, or in another order")
    cells: list[Any] = [None, None]
    pbc = tuple(bool(x) for x in first.pbc)
    if any(pbc):
        cells = [atoms.cell.array for atoms in (first, second)]
        for k, name in enumerate("abc"):
            lengths = [float(atoms.cell.lengths()[k]) for atoms in (first, second)]
            comparison.quantities.append(
                Quantity("cell", name, "A", (lengths[0], lengths[1]), tolerance=SAME["A"])
            )
    _compare_geometry(
        comparison, first.numbers, (first.positions, second.positions), (cells[0], cells[1]), pbc
    )


def _compare_geometry(
    comparison: Comparison,
    numbers: np.ndarray,
    positions: tuple[np.ndarray, np.ndarray],
    cells: tuple[Any, Any] = (None, None),
    pbc: Any = (False, False, False),
) -> None:
    both = [bonded(numbers, r, cell, pbc) for r, cell in zip(positions, cells, strict=True)]
    only = sorted({*both[0]} ^ {*both[1]})
    if only:
        names = ", ".join(atoms_name(numbers, pair) for pair in only[:MOST_SHOWN])
        comparison.passed_over.append(f"bonds that one structure alone has: {names}")
    pairs = [pair for pair in both[0] if pair in both[1]]
    for kind, groups, measure, unit in (
        ("bonds", pairs, distances, "A"),
        ("angles", angle_triples(pairs), angles, "degree"),
    ):
        if not groups:
            comparison.passed_over.append(f"{kind}: there are none in both structures")
            continue
        chosen = np.array(groups)
        values = [
            np.asarray(measure(r[None, None], chosen, cell, pbc))[0, 0]
            for r, cell in zip(positions, cells, strict=True)
        ]
        comparison.quantities += [
            Quantity(
                kind, atoms_name(numbers, group), unit, (float(a), float(b)), tolerance=SAME[unit]
            )
            for group, a, b in zip(groups, *values, strict=True)
        ]


def compare_mode_files(comparison: Comparison, first: NormalModes, second: NormalModes) -> None:
    """Geometries and wavenumbers of modes that are matched by their overlap.

    Raises:
        DataError: for modes of other molecules.
    """
    if not (any(first.pbc) or any(second.pbc)):
        known = np.arange(1, len(atomic_masses))
        numbers = known[np.abs(atomic_masses[1:] - first.masses[:, None]).argmin(axis=1)]
        _compare_geometry(comparison, numbers, (first.positions, second.positions))
    else:
        comparison.passed_over.append("bonds and angles: files of modes have no cell")
    matched = compare_modes(second, first)
    for k, reference in enumerate(matched.reference_per_cm):
        overlap = float(matched.overlaps[k])
        remark = f"overlap {overlap:.2f}"
        if overlap < SURE_OVERLAP:
            remark += ", another motion"
        comparison.quantities.append(
            Quantity(
                "modes",
                f"mode {k + 1} (B: {matched.matches[k] + 1})",
                "1/cm",
                (float(reference), float(matched.wavenumbers_per_cm[k])),
                tolerance=SAME["1/cm"],
                remark=remark,
            )
        )


def compare_runs(
    comparison: Comparison, first: PreparedRun, second: PreparedRun, resolution: float | None
) -> None:
    """Distributions of bonds, angles and all distances, and peaks of densities of states.

    Raises:
        DataError: for runs of other atoms.
    """
    runs = (first, second)
    numbers = np.asarray(first.segments[0].atomic_numbers)
    if not np.array_equal(numbers, second.segments[0].atomic_numbers):
        raise DataError("the runs have other atoms, or in another order")
    for name, one in zip("AB", runs, strict=True):
        comparison.passed_over += [f"{name}: ATTENTION: {text}" for text in one.warnings]
    if first.n_beads != second.n_beads:
        comparison.passed_over.append(
            f"ATTENTION: A has {first.n_beads} beads, B {second.n_beads}: what differs need not be "
            "due to the potential"
        )
    kelvin = [one.temperature_K for one in runs]
    if None not in kelvin and kelvin[0] != kelvin[1]:
        comparison.passed_over.append(f"ATTENTION: the temperatures are {kelvin[0]}, {kelvin[1]} K")
    _compare_distributions(comparison, runs, numbers)
    _compare_spectra(comparison, runs, resolution)


def _compare_distributions(
    comparison: Comparison, runs: tuple[PreparedRun, PreparedRun], numbers: np.ndarray
) -> None:
    if any(len(one.segments) > 1 for one in runs):
        comparison.passed_over.append("distributions: of runs in segments, take the run before")
        return
    options: list[dict[str, Any]] = []
    for one in runs:
        found: dict[str, Any] = {"n_blocks": one.n_blocks}
        if one.is_periodic:
            found |= {"cells": one.trajectory.cells, "pbc": one.trajectory.pbc}
        options.append(found)
    start = np.asarray(runs[0].trajectory.positions[0]).mean(axis=0)
    cell = np.asarray(runs[0].trajectory.cells[0]) if runs[0].is_periodic else None  # type: ignore[index]
    pairs = bonded(numbers, start, cell, runs[0].trajectory.pbc)
    groups: list[tuple[str, tuple[int, ...], Any, str]] = [
        ("mean bonds", pair, distance_distribution, "A") for pair in pairs
    ]
    groups += [("mean angles", t, angle_distribution, "degree") for t in angle_triples(pairs)]
    if not groups:
        comparison.passed_over.append("bonds and angles: there are none in the first frame of A")
    for kind, group, measure, unit in groups:
        name = atoms_name(numbers, group)
        both = [
            measure(one.trajectory.positions, np.array([group]), name, **how)
            for one, how in zip(runs, options, strict=True)
        ]
        comparison.quantities.append(_of_estimates(kind, name, unit, [d.mean for d in both]))
        widths = [d.standard_deviation for d in both]
        comparison.quantities.append(
            _of_estimates(kind.replace("mean", "widths of"), name, unit, widths)
        )
    if runs[0].is_periodic or not 1 < len(numbers) <= MANY_ATOMS:
        comparison.passed_over.append("h(r) of all pairs: of molecules of up to 200 atoms alone")
        return
    every = every_pair(len(numbers))
    radial = [
        distance_distribution(one.trajectory.positions, every, "h(r)", BIN_WIDTH, **how)
        for one, how in zip(runs, options, strict=True)
    ]
    _compare_radial(comparison, radial[0], radial[1])


def _compare_radial(
    comparison: Comparison, first: DistanceDistribution, second: DistanceDistribution
) -> None:
    """The area between two h(r), beside that of noise alone: the mean of |x| is s sqrt(2 / pi)."""
    found = distribution_difference(second, first)
    area = 0.5 * float(np.abs(found.difference).sum() * found.bin_width)
    noise = 0.5 * float(found.standard_error.sum() * found.bin_width) * math.sqrt(2.0 / math.pi)
    comparison.quantities.append(
        Quantity(
            "h(r)",
            "share that lies elsewhere",
            "",
            (0.0, area),
            (0.0, noise) if math.isfinite(noise) else (math.nan, math.nan),
            remark=f"noise alone makes {noise:.2g}",
        )
    )


def _of_estimates(kind: str, name: str, unit: str, both: Sequence[Estimate]) -> Quantity:
    values = (float(both[0].value), float(both[1].value))
    errors = (float(both[0].standard_error), float(both[1].standard_error))
    remark = "" if math.isfinite(sum(errors)) else "no error bars"
    return Quantity(kind, name, unit, values, errors, SAME[unit], remark)


def _compare_spectra(
    comparison: Comparison, runs: tuple[PreparedRun, PreparedRun], resolution: float | None
) -> None:
    """In one resolution: that which was asked for, or the coarser of those that the runs allow."""
    try:
        peaks = [_peaks(one, resolution) for one in runs]
        reached = [table.resolution_per_cm for table in peaks]
        if resolution is None and reached[0] != reached[1]:
            peaks = [_peaks(one, max(reached)) for one in runs]
    except (DataError, ConfigError) as error:
        comparison.passed_over.append(f"spectra: {error}")
        return
    coarsest = max(table.resolution_per_cm for table in peaks)
    pairs, alone = matched_peaks(peaks[0], peaks[1])
    for i, j in pairs:
        values = (float(peaks[0].wavenumbers_per_cm[i]), float(peaks[1].wavenumbers_per_cm[j]))
        errors = (
            float(peaks[0].wavenumber_errors_per_cm[i]),
            float(peaks[1].wavenumber_errors_per_cm[j]),
        )
        remark = "" if math.isfinite(sum(errors)) else "no error bars: too short for them"
        comparison.quantities.append(
            Quantity("peaks", f"peak {i + 1}", "1/cm", values, errors, coarsest, remark)
        )
    comparison.passed_over += alone


def _peaks(run: PreparedRun, resolution: float | None) -> PeakTable:
    """Of the density of states."""
    found = density_of_states_of(run, None, None, resolution, None, True)[0]
    return find_spectrum_peaks(found.total, smallest_share=SMALLEST_PEAK)


def matched_peaks(first: PeakTable, second: PeakTable) -> tuple[list[tuple[int, int]], list[str]]:
    """Peaks that are each other's nearest, and words on those without a partner."""
    a, b = first.wavenumbers_per_cm, second.wavenumbers_per_cm
    if not (len(a) and len(b)):
        return [], ["peaks: one of the spectra has none"]
    apart = np.abs(a[:, None] - b)
    pairs = [
        (i, int(apart[i].argmin()))
        for i in range(len(a))
        if apart[:, apart[i].argmin()].argmin() == i
    ]
    alone = []
    for name, numbers, paired in (("A", a, {i for i, _ in pairs}), ("B", b, {j for _, j in pairs})):
        left = [f"{k:.0f}" for n, k in enumerate(numbers) if n not in paired]
        if left:
            alone.append(f"peaks of {name} without one of the other (1/cm): {', '.join(left)}")
    return pairs, alone


COMMAND = Command.of(run, EXAMPLES, aliases={"json_file": "--json"})
