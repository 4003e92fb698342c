"""A folder of RuNNer or n2p2 becomes a potential of ours, and one of ours a folder, verified."""

from __future__ import annotations

import copy
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from mlpotential.data.declared_units import ev_per_energy
from mlpotential.errors import ConfigError
from mlpotential.models.behler_parrinello import BehlerParrinello
from mlpotential.models.importers.n2p2.folder import (
    PROGRAM,
    USUAL_UNITS,
    feature_ranges,
    model_of,
    read_n2p2_folder,
    write_n2p2_folder,
)
from mlpotential.models.importers.n2p2.number_files import SCALING_NAME, weights_name
from mlpotential.models.importers.n2p2.settings_file import SETTINGS_NAME, N2p2Settings
from mlpotential.models.importers.refusal import refusals_of
from mlpotential.models.importers.translation import Translation
from mlpotential.models.model_file import LoadedModel
from mlpotential.neighbors import connect

USUAL_ENERGY_UNIT = {"Bohr": "Hartree"}  # beside a length unit; eV beside others
SAME = 1e-10  # of energies and forces read back, relative to the largest


def translate_folder(
    folder: Path, energy_unit: str | None = None, length_unit: str | None = None
) -> Translation:
    """The potential of a folder, in eV and A.

    Args:
        folder: with `input.nn`, `scaling.data` and the weights.
        energy_unit, length_unit: of the files; None for those that comments in `input.nn` state,
            or else Hartree and Bohr.

    Raises:
        Refusal: as `read_n2p2_folder`.
        ConfigError: if a comment states another unit than was given.
        DataError: if a unit is unknown.
    """
    files = read_n2p2_folder(folder)
    settings = files.settings
    declared = {"energy": energy_unit, "length": length_unit}
    stated = {"energy": settings.energy_unit, "length": settings.length_unit}
    units, notes = _units(folder, declared, stated)
    model = model_of(files, *units)
    if settings.unused:
        notes = (*notes, f"not used of {SETTINGS_NAME}: {', '.join(settings.unused)}")
    names = [SETTINGS_NAME, SCALING_NAME, *map(weights_name, settings.elements)]
    return Translation(
        model=model,
        source=folder,
        program=PROGRAM,
        what=_in_words(settings, files.counts, model.functions.cutoff, units[1]),
        units=units,
        files=tuple(folder / name for name in names),
        notes=notes,
        feature_ranges=feature_ranges(model),
    )


def _units(
    folder: Path, declared: dict[str, str | None], stated: dict[str, str | None]
) -> tuple[tuple[str, str], tuple[str, ...]]:
    """Energy and length unit, and what is to be said of them."""
    units, notes = [], []
    for kind, usual in USUAL_UNITS.items():
        given, found = declared[kind], stated[kind]
        if given is not None and found not in (None, given):
            raise ConfigError(
                f"{folder}: --{kind}-unit is {given}, but a comment of {SETTINGS_NAME} says "
                f"{found}: correct one"
            )
        units.append(given or found or usual)
        if given is None and found is not None:
            notes.append(f"a comment of {SETTINGS_NAME} states {found} as {kind} unit")
        elif given is None:
            notes.append(f"its files state no {kind} unit: {usual} was assumed (--{kind}-unit)")
    return (units[0], units[1]), tuple(notes)


def _in_words(
    settings: N2p2Settings, counts: tuple[int, ...], cutoff: float, length_unit: str
) -> str:
    from ase.data import chemical_symbols

    symbols = [chemical_symbols[z] for z in settings.elements]
    functions = ", ".join(f"{n} ({s})" for n, s in zip(counts, symbols, strict=True))
    layers = "-".join(map(str, settings.config.layer_sizes))
    return (
        f"{settings.config.architecture} of {PROGRAM}, symmetry functions {functions}, hidden "
        f"layers {layers}, cutoff {cutoff:g} {length_unit}"
    )


@dataclass(frozen=True)
class Export:
    """A folder that was written.

    Attributes:
        files: their names.
        units: of energy and length in them.
        deviation: of energies (per atom) and forces of the golden structures, read back, from
            those of the model, relative to the largest.
        notes: what its user should know, a sentence each.
    """

    files: tuple[str, ...]
    units: tuple[str, str]
    deviation: float
    notes: tuple[str, ...]


def export_folder(model: LoadedModel, folder: Path, energy_unit: str | None = None) -> Export:
    """Writes the potential of a model file for n2p2, read back before it is kept.

    Args:
        model: of Behler-Parrinello architecture, without dipoles.
        folder: new, or without a potential in it.
        energy_unit: of the files; None for Hartree beside Bohr, and eV beside other lengths.

    Raises:
        ConfigError: if it is of another architecture, or the folder holds a potential.
        DataError: if the unit is unknown.
        RunError: if a file cannot be written.
    """
    potential = model.potential
    if not isinstance(potential, BehlerParrinello):
        raise ConfigError(
            f"{PROGRAM} have {BehlerParrinello.__name__} potentials, the model is a "
            f"{potential.config.architecture}"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there and not empty: name a new folder")
    length_unit = potential.config.length_unit
    energy_unit = energy_unit or USUAL_ENERGY_UNIT.get(length_unit, "eV")
    ev_per_energy(energy_unit)
    exact = copy.deepcopy(potential).double().eval()
    with tempfile.TemporaryDirectory() as draft:
        write_n2p2_folder(exact, Path(draft), energy_unit)
        with refusals_of(draft):
            again = model_of(read_n2p2_folder(Path(draft)), energy_unit, length_unit)
    deviation = _deviation(exact, again, model)
    if not deviation <= SAME:
        raise RuntimeError(f"what was written gives other energies or forces, by {deviation:.1e}")
    files = write_n2p2_folder(exact, folder, energy_unit)
    return Export(tuple(files), (energy_unit, length_unit), deviation, _notes(exact, model))


def _deviation(one: BehlerParrinello, other: BehlerParrinello, model: LoadedModel) -> float:
    graph = connect(model.golden, one.cutoff)
    first, second = one(graph), other(graph)
    energies = (first.energy - second.energy).abs() / first.energy.abs().clamp(min=1.0)
    largest = first.forces.abs().max().clamp(min=1e-6)
    forces = (first.forces - second.forces).abs().max() / largest
    return float(torch.maximum(energies.max(), forces))


def _notes(potential: BehlerParrinello, model: LoadedModel) -> tuple[str, ...]:
    notes = []
    if potential.dtype != model.potential.dtype:
        notes.append("the model is in float32: n2p2 computes in float64, so energies differ")
    if model.extra_networks:
        notes.append(f"not written: the extra networks {', '.join(model.extra_networks)}")
    seen: dict[tuple[object, ...], str] = {}
    for f in potential.config.functions:
        key = (f.element, f.kind, f.neighbors, f.cutoff, f.inner)
        if f.kind in (21, 24) and seen.setdefault(key, f.subtype) != f.subtype:
            notes.append(
                "n2p2 (until 2024) mistakes functions 21 and 24 of the same limits and different "
                "subtypes unless it is built without symmetry function groups"
            )
            break
    return tuple(notes)
