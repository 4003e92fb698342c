"""The C20 study in figures, JSON and a table, beside the numbers it is measured against."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from md_runs.analysis.path_integrals.bead_convergence import BeadConvergence, bead_convergence
from md_runs.analysis.path_integrals.harmonic_beads import HarmonicBeads, harmonic_beads
from md_runs.analysis.sampling.results import plain
from md_runs.analysis.sampling.uncertainty import (
    Estimate,
    difference_of_estimates,
    estimate_text,
    ratio_of_estimates,
)
from md_runs.analysis.vibrations.irreps import ModeSymmetries, mode_symmetries
from md_runs.analysis.vibrations.normal_modes import FrequencyComparison, compare_frequencies
from md_runs.analysis.vibrations.point_groups import point_group
from md_runs.c20.settings import FULL_LENGTH_PS, REFERENCE, C20Study
from md_runs.c20.study import C20Results, Sampling
from md_runs.figures.distributions import distribution_figure
from md_runs.figures.mode_animation import write_mode_page
from md_runs.figures.modes import mode_comparison_figure
from md_runs.figures.path_integrals import bead_convergence_figure
from md_runs.figures.spectra import plot_spectrum
from md_runs.figures.style import add_banner, figure_of
from mlpotential.run_folder import write_json
from mlpotential.units import EV_PER_KCAL_PER_MOL, EV_PER_KELVIN

CARBON = 6
QUANTITIES = {
    "mean_bond": "mean bond (A)",
    "bond_standard_deviation": "bond standard deviation (A)",
    "closest_neighbour": "closest neighbour (A)",
    "antipodal_distance": "diameter, antipodal (A)",
    "largest_distance": "largest distance (A)",
}
DEGENERACY_TOLERANCE_PER_CM = 0.5
# Of converged bead numbers (A); chosen: an eighth of what zero-point motion does at 300 K.
BEAD_TOLERANCES = {"mean_bond": 5e-4, "bond_standard_deviation": 1.75e-3}


def write_report(study: C20Study, results: C20Results) -> str:
    """Writes figures, tables and `summary.json` into the study's folder; the table for the screen.

    Raises:
        RunError: if a file cannot be written.
    """
    reference = json.loads(REFERENCE.read_text())
    labelling = reference["labelling_network"]
    comparison = compare_frequencies(
        results.modes.wavenumbers_per_cm, np.array(labelling["wavenumbers_per_cm"])
    )
    _write_figures(study, results, comparison)
    folder = study.folder
    results.modes.save_json(folder / "modes.json")
    numbers = np.full(len(results.modes.masses), CARBON)
    columns = {"symmetry": symmetries_of_modes(results).labels}
    write_mode_page(folder / "modes.html", results.modes, numbers, "C20", columns)
    comparison.save_csv(folder / "modes.csv")
    results.spectrum.save_csv(folder / "vdos.csv")
    for name, sampling in (
        ("classical", results.classical),
        ("path_integral", results.path_integral),
    ):
        sampling.bonds.save_csv(folder / f"nearest_neighbours_{name}.csv")
        sampling.diameters.save_csv(folder / f"diameter_{name}.csv")
        sampling.pairs.save_csv(folder / f"pair_density_{name}.csv")
    for name, convergence in bead_convergences(results).items():
        convergence.save_csv(folder / f"bead_convergence_{name}.csv")
    summary = summarise(study, results, comparison, reference)
    write_json(folder / "summary.json", summary)
    return table(study, results, comparison, reference)


def symmetries_of_modes(results: C20Results) -> ModeSymmetries:
    """Irreducible representations of the modes in the point group of the minimum."""
    modes = results.modes
    numbers = np.full(len(modes.masses), CARBON)
    return mode_symmetries(modes, point_group(numbers, modes.positions, modes.masses))


def remark(study: C20Study) -> str | None:
    """What figures must say of short runs; None where the runs are long enough."""
    if study.is_conclusive:
        return None
    return (
        f"sampling too short for conclusions: {study.classical_ps:g} ps classical, "
        f"{study.path_integral_ps:g} ps path integral"
    )


def bead_convergences(results: C20Results) -> dict[str, BeadConvergence]:
    """Whether the beads are enough, by quantity; none without a series of bead numbers."""
    if not results.bead_series:
        return {}
    return {
        name: bead_convergence(
            {p: getattr(run.geometry, name) for p, run in results.bead_series.items()},
            QUANTITIES[name].removesuffix(" (A)"),
            "A",
            tolerance,
        )
        for name, tolerance in BEAD_TOLERANCES.items()
    }


def _write_figures(study: C20Study, results: C20Results, comparison: FrequencyComparison) -> None:
    folder, banner = study.folder, remark(study)
    figure = mode_comparison_figure(comparison, labels=("this model", "network that labelled"))
    figure.savefig(folder / "figure_7_modes.png")
    classical, quantum = results.classical, results.path_integral
    figure = distribution_figure(
        [
            (classical.bonds, quantum.bonds),
            (classical.diameters, quantum.diameters),
            (classical.pairs, quantum.pairs),
        ]
    )
    add_banner(figure, banner).savefig(folder / "figure_8_distributions.png")
    if results.bead_series:
        figure = bead_convergence_figure(
            {p: run.bonds for p, run in results.bead_series.items()},
            bead_convergences(results)["bond_standard_deviation"],
        )
        add_banner(figure, banner).savefig(folder / "figure_11_beads.png")
    axes = plot_spectrum(results.spectrum, results.modes.wavenumbers_per_cm)
    add_banner(figure_of(axes), banner).savefig(folder / "vdos.png")


def quantum_effect(results: C20Results) -> dict[str, Estimate]:
    """What zero-point motion does to the bonds: shift of the mean (A), ratio of the widths."""
    c, q = results.classical.geometry, results.path_integral.geometry
    return {
        "mean_bond_shift": difference_of_estimates(q.mean_bond, c.mean_bond),
        "bond_width_ratio": ratio_of_estimates(
            q.bond_standard_deviation, c.bond_standard_deviation
        ),
    }


def quantum_energies(results: C20Results) -> dict[str, Estimate]:
    """Of the cage with its beads; potential and total energy above the minimum (eV), C (k_B)."""
    found = results.quantum_energies
    assert found.heat_capacity is not None  # all beads have positions
    minimum = Estimate(results.energy, 0.0, found.potential_energy.n_blocks)
    return {
        "kinetic_energy_eV": found.kinetic_energy,
        "potential_energy_eV": difference_of_estimates(found.potential_energy, minimum),
        "total_energy_eV": difference_of_estimates(found.total_energy, minimum),
        "heat_capacity_k_B": found.heat_capacity,
    }


def projected_hours(steps_per_second: float, study: C20Study) -> float:
    """Time for the 1.25 ns of path-integral MD in the paper (h)."""
    return FULL_LENGTH_PS * 1000.0 / study.timestep_fs / steps_per_second / 3600.0


def summarise(
    study: C20Study, results: C20Results, comparison: FrequencyComparison, reference: dict[str, Any]
) -> dict[str, Any]:
    """Everything in numbers, with units in the names."""
    speed = results.pimd_steps_per_second
    symmetries = symmetries_of_modes(results)
    settings = asdict(study) | {"model": str(study.model), "folder": str(study.folder)}
    del settings["calculator"]  # told by name below
    content = {
        "settings": settings,
        "remark": remark(study),
        "model": _model_record(study, results),
        "minimum": {
            "energy_eV": results.energy,
            "bonds_A": results.bonds_of_minimum,
            "geometry_A": {name: getattr(results.static, name).value for name in QUANTITIES},
        },
        "modes": {
            "wavenumbers_per_cm": results.modes.wavenumbers_per_cm,
            "n_imaginary": results.modes.n_imaginary,
            "point_group": symmetries.schoenflies,
            "symmetry_labels": symmetries.labels,
            "degenerate_groups": results.modes.degenerate_groups(DEGENERACY_TOLERANCE_PER_CM),
            "zero_point_energy_eV": results.modes.zero_point_energy,
            "mean_relative_deviation": comparison.mean_relative_deviation,
            "max_relative_deviation": comparison.max_relative_deviation,
        },
        "classical": _sampling_summary(results.classical),
        "path_integral": _sampling_summary(results.path_integral),
        "quantum_effect": quantum_effect(results),
        "quantum_energies": quantum_energies(results),
        "harmonic_vibrations": dict(
            zip(("with_beads", "infinitely_many"), harmonic_limits(study, results), strict=True)
        ),
        "bead_series": {str(p): _sampling_summary(run) for p, run in results.bead_series.items()},
        "bead_convergence": {
            name: {
                "limit_A": convergence.limit,
                "remaining_errors_A": convergence.remaining_errors,
                "tolerance_A": convergence.tolerance,
                "n_beads_needed": convergence.n_beads_needed,
                "verdict": convergence.verdict,
            }
            for name, convergence in bead_convergences(results).items()
        },
        "vdos": {
            "resolution_per_cm": results.spectrum.resolution_per_cm,
            "n_segments": results.spectrum.n_segments,
            "n_lags": results.spectrum.n_lags,
            "window": results.spectrum.window,
        },
        "pimd_steps_per_second": speed,
        "projected_hours_for_1250_ps": None if speed is None else projected_hours(speed, study),
        "reference": reference,
    }
    plainly: dict[str, Any] = plain(content)
    return plainly


def _sampling_summary(sampling: Sampling) -> dict[str, Any]:
    return {
        "length_ps": sampling.length_ps,
        "temperature_K": sampling.temperature_K,
        "geometry_A": {name: getattr(sampling.geometry, name) for name in QUANTITIES},
    }


def table(
    study: C20Study, results: C20Results, comparison: FrequencyComparison, reference: dict[str, Any]
) -> str:
    """What the study found, for the screen."""
    labelling = reference["labelling_network"]
    symmetries = symmetries_of_modes(results)
    lines = [
        "",
        f"C20 at {study.temperature_K:g} K: {results.classical.length_ps:g} ps classical, "
        f"{results.path_integral.length_ps:g} ps path integral with {study.n_beads} beads "
        "(after equilibration)",
        "in brackets: the network that labelled the training data, 20 ps and 5 ps at 300 K",
        "",
        f"{'':28}{'minimum':>18}{'classical':>30}{'path integral':>30}",
    ]
    for name, label in QUANTITIES.items():
        static = f"{getattr(results.static, name).value:.4f} [{labelling['static'][name]:.4f}]"
        cells = [
            f"{getattr(run.geometry, name)} [{labelling[kind][name][0]:.4f}]"
            for kind, run in (
                ("classical", results.classical),
                ("path_integral", results.path_integral),
            )
        ]
        lines.append(f"{label:28}{static:>18}{cells[0]:>30}{cells[1]:>30}")
    effect = quantum_effect(results)
    bonds = labelling["path_integral"]["mean_bond"][0] - labelling["classical"]["mean_bond"][0]
    widths = (
        labelling["path_integral"]["bond_standard_deviation"][0]
        / labelling["classical"]["bond_standard_deviation"][0]
    )
    shift, ratio = effect["mean_bond_shift"], effect["bond_width_ratio"]
    lines += [
        "",
        f"quantum - classical mean bond: {estimate_text(shift, 'A')} [{bonds:.4f}]",
        f"quantum / classical bond standard deviation: {ratio} [{widths:.2f}]",
        _energies(study, results),
        f"{len(comparison.wavenumbers_per_cm)} modes, {results.modes.n_imaginary} imaginary; "
        f"deviation from the network that labelled: mean "
        f"{100 * comparison.mean_relative_deviation:.2f} %, "
        f"largest {100 * comparison.max_relative_deviation:.2f} %",
        f"symmetry of the minimum and its vibrations: {symmetries.schoenflies}, {symmetries}",
        f"vibrational density of states: resolution "
        f"{results.spectrum.resolution_per_cm:.1f} 1/cm, {results.spectrum.n_segments} segments",
        _model_errors(results, reference),
    ]
    lines += [convergence.verdict for convergence in bead_convergences(results).values()]
    if results.pimd_steps_per_second is not None:
        hours = projected_hours(results.pimd_steps_per_second, study)
        lines.append(
            f"PIMD: {results.pimd_steps_per_second:.1f} steps/s, 1.25 ns would take {hours:.1f} h "
            f"(paper: {reference['paper']['hours_for_1250_ps']:g} h on a GTX 1080)"
        )
    if (text := remark(study)) is not None:
        lines += ["", text]
    return "\n".join(lines)


def _energies(study: C20Study, results: C20Results) -> str:
    """Beside what harmonic vibrations give; translation and rotation hold 3 kT and 3 k."""
    energies, kT = quantum_energies(results), study.temperature_K * EV_PER_KELVIN
    limits = harmonic_limits(study, results)
    rows = (
        ("kinetic_energy_eV", "kinetic", "eV", [0.5 * h.energy + 3 * kT for h in limits]),
        ("potential_energy_eV", "potential", "eV", [0.5 * h.energy for h in limits]),
        ("total_energy_eV", "total", "eV", [h.energy + 3 * kT for h in limits]),
        ("heat_capacity_k_B", "heat capacity", "k_B", [h.heat_capacity + 3 for h in limits]),
    )
    texts = (
        f"{label} {estimate_text(energies[name], unit)} [{of_beads:.4g}, {of_all:.4g}]"
        for name, label, unit, (of_beads, of_all) in rows
    )
    return (
        f"quantum energies above the minimum with {study.n_beads} beads [harmonic with as many, "
        f"with infinitely many]: {'; '.join(texts)}"
    )


def harmonic_limits(study: C20Study, results: C20Results) -> tuple[HarmonicBeads, HarmonicBeads]:
    """What the modes of the model give with the beads of the study, and with infinitely many."""
    wavenumbers = results.modes.wavenumbers_per_cm[results.modes.wavenumbers_per_cm > 0]
    counts = (study.n_beads, None)
    with_beads, limit = (harmonic_beads(wavenumbers, study.temperature_K, p) for p in counts)
    return with_beads, limit


def _model_record(study: C20Study, results: C20Results) -> dict[str, Any]:
    """What moved the atoms."""
    if results.model is None:
        assert study.calculator is not None
        return dict(study.calculator.named.identity)
    record = results.model.record
    return {"title": record.title, "sha256": results.model.sha256, "errors": record.errors}


def _model_errors(results: C20Results, reference: dict[str, Any]) -> str:
    if results.model is None:
        return "a calculator states no force error, and nobody watched what it is good for"
    errors = results.model.record.errors.get("test", {}).get("forces_mae")
    paper = reference["paper"]["forces_mae_kcal_per_mol_per_angstrom_by_rho"]
    by_rho = ", ".join(f"{mae} at rho = {rho}" for rho, mae in paper.items())
    if errors is None:
        return "the model file states no force error"
    return (
        f"force MAE of the model: {errors / EV_PER_KCAL_PER_MOL:.3f} kcal/mol/A on its test "
        f"frames (paper, against DFT: {by_rho})"
    )
