"""`md-runs path-integrals`: quantum energies, spread, isotope effects, and: enough beads?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase.data import chemical_symbols

from md_runs.analysis.path_integrals.energies import (
    RecordedEnergies,
    means,
    path_integral_energies,
    primitive_kinetic_series,
    recorded_energies,
)
from md_runs.analysis.path_integrals.imaginary_time import (
    ImaginaryTimeSpread,
    imaginary_time_spread,
)
from md_runs.analysis.path_integrals.isotope_effects import isotope_effect_from_springs
from md_runs.analysis.path_integrals.perturbed_path_integrals import (
    PerturbedDistribution,
    PerturbedEnergies,
    perturbed_distance_distribution,
    perturbed_energies,
)
from md_runs.analysis.sampling.block_sums import sums_of_series
from md_runs.analysis.sampling.uncertainty import (
    Estimate,
    block_bootstrap,
    estimate_text,
    number_text,
)
from md_runs.commands.analysis_report import AnalysisReport, ReportBuilder, Table, analysis_command
from md_runs.commands.options import isotope_masses, parse_isotopes
from md_runs.commands.prepared_run import PreparedRun, beads_text
from md_runs.commands.structure.distances import convergence_with_beads, of_one_molecule
from md_runs.commands.structure.rdf import blocks_sentence
from md_runs.figures.path_integrals import (
    imaginary_time_figure,
    plot_bead_convergence,
    plot_perturbed_distribution,
)
from md_runs.figures.style import figure_of
from mlpotential.errors import DataError

TOLERANCE = 0.01  # chosen: of the kinetic energy
LARGEST_PAIRS = 5_000  # chosen: pairs of the corrected h(r); more take too long

EXAMPLES = """  md-runs path-integrals pimd
  md-runs path-integrals pimd --isotope C=13.003
  md-runs path-integrals pimd_4 pimd_8 pimd_16 --output beads"""


def path_integral_report(
    runs: Sequence[PreparedRun],
    *,
    isotope: Sequence[str] = (),
    tolerance: float = TOLERANCE,
) -> AnalysisReport:
    """Quantum statistics of all runs.

    Args:
        runs: of ring polymers.
        isotope: element or number of the atom (from 0) and new mass, amu, C=13.003, H=D.
        tolerance: share of the kinetic energy that beads may lack.

    Raises:
        DataError, ConfigError: a run without beads or temperature, isotopes of atoms that are not
            there.
    """
    isotopes = parse_isotopes(isotope)
    builder = ReportBuilder()
    kinetic: dict[str, Estimate] = {}

    def analyse(run: PreparedRun) -> ImaginaryTimeSpread | None:
        has_positions = run.trajectory.has_positions
        if run.n_beads < 2 and has_positions:
            raise DataError(f"{run.path} has one bead: a path-integral run is needed")
        temperature_K, source = run.known_temperature_K()
        builder.assumptions.append(
            f"{run.name}: {temperature_K:g} K, {source}; a centre of mass that is held fixed "
            f"counts as a free one (3/2 kT); {blocks_sentence(run.n_blocks)}"
        )
        kinetic[run.name] = _energies(builder, run, temperature_K, tolerance)
        if not has_positions:
            builder.assumptions.append(f"{run.name}: no positions, so there are energies only")
            return None
        spread = _spread(builder, run, temperature_K)
        if isotopes:
            _isotopes(builder, run, temperature_K, isotopes)
        return spread

    found = builder.for_each(runs, analyse)
    spreads = {name: spread for name, spread in found.items() if spread is not None}
    if spreads:
        builder.tables.insert(0, _spread_table(spreads))
        builder.figures["imaginary_time"] = imaginary_time_figure(spreads)
    _bead_convergence(builder, runs, kinetic, tolerance)
    return builder.report("path-integrals", "statistics of quantum nuclei from ring polymers")


def _energies(
    builder: ReportBuilder, run: PreparedRun, temperature_K: float, tolerance: float
) -> Estimate:
    """All energies the run allows, as a table; the kinetic energy (eV)."""
    trajectory, n_blocks = run.trajectory, run.n_blocks
    masses = np.asarray(trajectory.masses, np.float64)
    if trajectory.forces is None or trajectory.energies is None:
        return _energies_without_forces(builder, run, temperature_K)
    sources = (trajectory.positions, trajectory.forces, trajectory.energies, masses)
    plain = path_integral_energies(*sources, temperature_K, n_blocks)
    perturbed = perturbed_energies(*sources, temperature_K, n_blocks)
    builder.results |= {f"{run.name}_energies": plain, f"{run.name}_perturbed": perturbed}
    rows = tuple(
        (f"{name} ({unit})", estimate_text(getattr(plain, field)), _corrected(perturbed, field))
        for name, field, unit in (
            ("kinetic energy, centroid virial", "kinetic_energy", "eV"),
            ("kinetic energy, primitive", "kinetic_energy_primitive", "eV"),
            ("potential energy", "potential_energy", "eV"),
            ("total energy", "total_energy", "eV"),
            ("heat capacity", "heat_capacity", "k_B"),
        )
    )
    columns = ("quantity", f"{plain.n_beads} beads", "infinitely many (PPI)")
    builder.tables.append(Table(f"{run.name}: energies of all atoms", columns, rows))
    builder.tables.append(_kinetic_by_element(run, plain.kinetic_energy_of_atoms))
    _check_beads(builder, run, perturbed, tolerance)
    _perturbed_distances(builder, run, temperature_K)
    return plain.kinetic_energy


def _energies_without_forces(
    builder: ReportBuilder, run: PreparedRun, temperature_K: float
) -> Estimate:
    """From the series that i-PI records beside frames; the kinetic energy (eV)."""
    trajectory, n_blocks = run.trajectory, run.n_blocks
    masses = np.asarray(trajectory.masses, np.float64)
    from md_runs.reading import read_energy_series

    rows: list[tuple[str, str]] = []

    series = read_energy_series(run.path)
    times_fs = np.asarray(trajectory.times_fs)
    if series is not None:
        series = series.between(times_fs[0], times_fs[-1])
    if trajectory.has_positions:
        frames = primitive_kinetic_series(trajectory.positions, masses, temperature_K)
        kinetic = block_bootstrap(sums_of_series({"K": frames}, n_blocks), means)["K"]
        rows.append(("kinetic energy, primitive (eV)", estimate_text(kinetic)))
    if series is None or len(series.times_fs) < n_blocks:
        if not rows:
            raise DataError(
                f"{run.path} has neither positions nor the columns kinetic_cv and potential"
            )
        builder.assumptions.append(
            f"{run.name}: forces and energies of the beads were not recorded, nor kinetic_cv and "
            "potential: only the primitive kinetic energy, and nothing on what more beads would "
            "change"
        )
    else:
        primitive = series.primitive
        if primitive is None and trajectory.has_positions:
            primitive = series.at_records(times_fs, frames)
        found = recorded_energies(
            series.kinetic,
            series.potentials,
            temperature_K,
            n_blocks,
            primitive if _is_enough(primitive, n_blocks) else None,
            trajectory.n_atoms,
        )
        builder.results[f"{run.name}_energies"], kinetic = found, found.kinetic_energy
        _note_recorded(builder, run, found)
        rows.insert(0, ("kinetic energy, centroid virial (eV)", estimate_text(kinetic)))
        rows += [
            ("potential energy (eV)", estimate_text(found.potential_energy)),
            ("total energy (eV)", estimate_text(found.total_energy)),
        ]
        if found.heat_capacity is not None:
            rows.append(("heat capacity (k_B)", estimate_text(found.heat_capacity)))
    title = f"{run.name}: energies of all atoms"
    builder.tables.append(Table(title, ("quantity", beads_text(run.n_beads)), tuple(rows)))
    return kinetic


def _is_enough(primitive: np.ndarray | None, n_blocks: int) -> bool:
    return primitive is not None and bool(np.isfinite(primitive).sum() >= max(2, n_blocks))


def _note_recorded(builder: ReportBuilder, run: PreparedRun, found: RecordedEnergies) -> None:
    text = (
        f"{run.name}: energies from the columns kinetic_cv and potential at {found.n_records} "
        "steps; forces of the beads were not recorded, so nothing is said on what more beads would "
        "change (--record-forces)"
    )
    if found.heat_capacity is None:
        text += (
            "; no heat capacity, whose estimator takes the primitive kinetic energy, too: of "
            "positions of all beads at these steps, or of a column kinetic_td"
        )
    builder.assumptions.append(text)


def _corrected(perturbed: PerturbedEnergies, field: str) -> str:
    estimate = getattr(perturbed, field, None)
    if estimate is None:
        return ""
    if field == "heat_capacity" and not perturbed.is_heat_capacity_trustworthy:
        return f"{estimate_text(estimate)}, not to be trusted"
    return estimate_text(estimate)


def _kinetic_by_element(run: PreparedRun, energies: Estimate) -> Table:
    """Mean over the atoms of each element; errors as of independent atoms."""
    numbers = np.asarray(run.trajectory.atomic_numbers)
    rows = []
    for z in np.unique(numbers):
        of_element = numbers == z
        error = np.sqrt(np.sum(energies.standard_error[of_element] ** 2)) / of_element.sum()
        mean = float(energies.value[of_element].mean())
        rows.append((chemical_symbols[int(z)], number_text(1000 * mean, 1000 * float(error))))
    columns = ("element", "kinetic energy (meV)")
    return Table(f"{run.name}: kinetic energy of one atom", columns, tuple(rows))


def _check_beads(
    builder: ReportBuilder, run: PreparedRun, perturbed: PerturbedEnergies, tolerance: float
) -> None:
    verdict = perturbed.are_beads_enough(tolerance)
    share = number_text(
        100 * float(perturbed.bead_error.value), 100 * float(perturbed.bead_error.standard_error)
    )
    meaning = {
        "yes": f"enough for {100 * tolerance:g} %",
        "no": f"NOT enough for {100 * tolerance:g} %",
        "undecided": "longer runs are needed to tell",
    }[verdict]
    builder.remarks.append(
        f"{run.name}: {perturbed.n_beads} beads lack {share} % of the kinetic energy: {meaning} "
        "(perturbed path integrals, 95 % confidence)"
    )
    if not perturbed.is_trustworthy:
        what = "heat capacity" if perturbed.are_energies_trustworthy else "energies"
        builder.warnings.append(
            f"{run.name}: the correction of the {what} is so large that its first order is not to "
            "be trusted: run with more beads"
        )


def _perturbed_distances(builder: ReportBuilder, run: PreparedRun, temperature_K: float) -> None:
    """The corrected h(r) of a molecule."""
    trajectory = run.trajectory
    n_pairs = trajectory.n_atoms * (trajectory.n_atoms - 1) // 2
    if run.is_periodic or not 0 < n_pairs <= LARGEST_PAIRS:
        return
    found: PerturbedDistribution = perturbed_distance_distribution(
        trajectory.positions,
        trajectory.forces,
        np.asarray(trajectory.masses, np.float64),
        temperature_K,
        "distance r",
        n_blocks=run.n_blocks,
    )
    builder.results[f"{run.name}_distances"] = found
    figure = figure_of(plot_perturbed_distribution(found))
    builder.figures[f"path-integrals_distances_{run.name}"] = figure


def _spread(builder: ReportBuilder, run: PreparedRun, temperature_K: float) -> ImaginaryTimeSpread:
    trajectory = run.trajectory
    spread = imaginary_time_spread(
        trajectory.positions,
        trajectory.atomic_numbers,
        np.asarray(trajectory.masses, np.float64),
        temperature_K,
        run.n_blocks,
    )
    builder.results[f"{run.name}_imaginary_time"] = spread
    return spread


def _spread_table(spreads: Mapping[str, ImaginaryTimeSpread]) -> Table:
    rows = []
    for name, spread in spreads.items():
        radii = spread.gyration_radius_of_elements
        for element, radius, error in zip(
            spread.elements, radii.value, radii.standard_error, strict=True
        ):
            rows.append((name, element, number_text(float(radius), float(error))))
    columns = ("run", "element", "radius of gyration (A)")
    return Table("spread of the ring polymers", columns, tuple(rows))


def _isotopes(
    builder: ReportBuilder, run: PreparedRun, temperature_K: float, isotopes: Mapping[str, float]
) -> None:
    """The free energy of exchanging isotopes."""
    trajectory = run.trajectory
    masses = np.asarray(trajectory.masses, np.float64)
    numbers = np.asarray(trajectory.atomic_numbers)
    new_masses = isotope_masses(masses, numbers, isotopes, run.path)
    effect = isotope_effect_from_springs(
        trajectory.positions, masses, new_masses, temperature_K, run.n_blocks
    )
    builder.results[f"{run.name}_isotopes"] = effect
    n_changed = int(np.sum(new_masses != masses))
    names = ", ".join(f"{who} = {mass:g} amu" for who, mass in isotopes.items())
    rows = (
        ("free energy, new minus old (eV)", estimate_text(effect.free_energy)),
        ("quantum part of it (eV)", estimate_text(effect.quantum_part)),
        ("ln of partition functions, new over old", estimate_text(effect.log_partition_ratio)),
        ("share of frames that carry the mean", estimate_text(effect.effective_share)),
    )
    title = f"{run.name}: isotopes {names} ({n_changed} atoms)"
    builder.tables.append(Table(title, ("quantity", "value"), rows))
    builder.assumptions.append(
        f"{run.name}: isotope effect from the springs (thermodynamic free-energy perturbation)"
    )
    if not effect.is_trustworthy:
        builder.warnings.append(
            f"{run.name}: too few frames carry the isotope effect: take a mass nearer to that of "
            "the run, or go in steps"
        )


def _bead_convergence(
    builder: ReportBuilder,
    runs: Sequence[PreparedRun],
    kinetic: Mapping[str, Estimate],
    tolerance: float,
) -> None:
    """Kinetic energy against the number of beads, where runs differ in it."""
    if len({run.n_beads for run in runs}) < 2 or not of_one_molecule(runs):
        return
    of_most = kinetic[max(runs, key=lambda run: run.n_beads).name]
    within = float(f"{tolerance * of_most.value:.2g}")
    found = convergence_with_beads(builder, runs, kinetic, "kinetic energy", "eV", within)
    if found is not None:
        builder.figures["bead_convergence"] = figure_of(plot_bead_convergence(found))


COMMAND = analysis_command(
    "path-integrals", path_integral_report, EXAMPLES, leading=lambda _: ("energies",)
)
