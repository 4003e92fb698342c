"""From the options of a command line to the settings of an analysis, and its findings."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from md_runs.analysis.vibrations.normal_modes import read_normal_modes
from md_runs.commands.distances import (
    DistanceOptions,
    distances_findings,
    parse_atoms,
)
from md_runs.commands.findings import Findings
from md_runs.commands.infrared_and_raman import (
    ResponseOptions,
    infrared_findings,
    raman_findings,
    read_born_charges,
    read_lines,
)
from md_runs.commands.path_integrals import (
    PathIntegralOptions,
    parse_isotopes,
    path_integral_findings,
)
from md_runs.commands.prepared_run import RunView, ViewOptions, open_runs
from md_runs.commands.rdf import RdfOptions, rdf_findings
from md_runs.commands.vdos import VdosOptions, vdos_findings
from md_runs.settings_checks import check_number
from md_runs.trajectories.structure_file import read_structure
from mlpotential.errors import ConfigError

POSITIVE = (  # numbers that an analysis would not refuse by itself
    "temperature_K",
    "resolution_per_cm",
    "max_per_cm",
    "integration_timestep_fs",
    "tolerance",
    "r_max",
    "coordination_within",
)


def analyse(options: argparse.Namespace) -> Findings:
    """Runs the analysis that the command is named after. Raises InputError as it does."""
    for name in POSITIVE:
        if (value := getattr(options, name, None)) is not None:
            check_number(f"--{name.replace('_', '-')}", value)
    return ANALYSES[options.command](options)


def _views(options: argparse.Namespace) -> list[RunView]:
    return open_runs(options.runs, view_options(options))


def view_options(options: argparse.Namespace) -> ViewOptions:
    """What the user says of all runs."""
    names = ("skip_ps", "temperature_K", "frame_interval_fs", "dynamics", "friction_per_fs")
    given = {name: getattr(options, name, None) for name in names}
    given["n_blocks"] = getattr(options, "blocks", None)
    structure = read_structure(options.structure) if options.structure else None
    units = _named_units(options.extras_units) if options.extras_units else None
    return ViewOptions(**given, structure=structure, extras_units=units)


def _named_units(texts: Sequence[str]) -> dict[str, str]:
    """`dipole=debye` by name. Raises ConfigError for others."""
    pairs = [text.partition("=") for text in texts]
    for text, (name, _, unit) in zip(texts, pairs, strict=True):
        if not (name and unit):
            raise ConfigError(f"{text!r} names no unit: write it as dipole=debye")
    return {name: unit for name, _, unit in pairs}


def _vdos(options: argparse.Namespace) -> Findings:
    removed: Any = None if options.remove is None else options.remove.replace("-", " ")
    asked = VdosOptions(
        by=options.by,
        modes=read_normal_modes(options.modes) if options.modes else None,
        removed=removed,
        mass_weighted=not options.no_mass_weighting,
        **_spectrum_settings(options),
    )
    return vdos_findings(_views(options), asked)


def _infrared(options: argparse.Namespace) -> Findings:
    views, charges, lines = _views(options), options.born_charges, options.intensities
    asked = ResponseOptions(
        quantum_correction=options.quantum_correction,
        lines=read_lines(lines, "intensities_km_per_mol") if lines else None,
        born_charges=read_born_charges(charges, views[0].segments[0].n_atoms) if charges else None,
        **_spectrum_settings(options),
    )
    return infrared_findings(views, asked)


def _raman(options: argparse.Namespace) -> Findings:
    lines = options.intensities
    asked = ResponseOptions(
        quantum_correction=options.quantum_correction,
        lines=read_lines(lines, "activities") if lines else None,
        **_spectrum_settings(options),
    )
    return raman_findings(_views(options), asked)


def _rdf(options: argparse.Namespace) -> Findings:
    asked = RdfOptions(
        element_pairs=_element_pairs(options.pairs) if options.pairs else None,
        max_distance=options.r_max,
        bin_width=options.bin_width,
        reference_volume=options.reference_volume,
        coordination_distance=options.coordination_within,
    )
    return rdf_findings(_views(options), asked)


def _element_pairs(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """`O-H` as a pair. Raises ConfigError for others."""
    pairs = []
    for text in texts:
        first, separator, second = text.partition("-")
        if not (separator and first.isalpha() and second.isalpha()):
            raise ConfigError(f"{text!r} is no pair of elements: write it as O-H")
        pairs.append((first, second))
    return tuple(pairs)


def _distances(options: argparse.Namespace) -> Findings:
    asked = DistanceOptions(
        n_neighbours=options.neighbours,
        bonds=parse_atoms(options.bonds, 2),
        angles=parse_atoms(options.angles, 3),
        dihedrals=parse_atoms(options.dihedrals, 4),
        bin_width=options.bin_width,
        tolerance=options.tolerance,
    )
    return distances_findings(_views(options), asked)


def _path_integrals(options: argparse.Namespace) -> Findings:
    asked = PathIntegralOptions(parse_isotopes(options.isotope), options.tolerance)
    return path_integral_findings(_views(options), asked)


def _spectrum_settings(options: argparse.Namespace) -> dict[str, Any]:
    names = (
        "resolution_per_cm",
        "verlet_correction",
        "integration_timestep_fs",
        "max_per_cm",
    )
    return {name: getattr(options, name) for name in names}


ANALYSES: dict[str, Callable[[argparse.Namespace], Findings]] = {
    "vdos": _vdos,
    "ir": _infrared,
    "raman": _raman,
    "rdf": _rdf,
    "distances": _distances,
    "path-integrals": _path_integrals,
}
