"""What training must know of its data: atom references, scales, shortest distances."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers as NUMBER_OF_SYMBOL
from ase.data import chemical_symbols

from mlpotential.data.declared_units import ev_per_energy
from mlpotential.data.readers.comment_line import is_number
from mlpotential.data.readers.npz_archive import open_archive, read_array
from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import DataError
from mlpotential.graph import AtomGraph
from mlpotential.neighbors import all_pairs, neighbor_pairs

PERIODIC_SEARCH_RADIUS = 6.0  # A, chosen: beyond it no two atoms are near neighbours
_NEGLIGIBLE_SPREAD = 1e-12  # relative; chosen: some thousand roundings of float64
_MOST_ELEMENTS = 119


def fit_atom_references(data: ReferenceData) -> dict[int, float]:
    """Energy per element that fits the total energies best.

    Least squares of E_k = sum_Z n_kZ e_Z, without energies of weight 0. Where the compositions do
    not determine every e_Z (one molecule only, say) the solution of least norm is taken; the total
    energies are fitted equally well by any other.

    Returns:
        Reference energy of each element (eV).

    Raises:
        DataError: if there are no structures or no energies.
    """
    known = _with_energies(data)
    return dict.fromkeys(data.elements, 0.0) | fit_element_energies(known, known.energies)


def fit_element_energies(data: ReferenceData, energies: np.ndarray) -> dict[int, float]:
    """The same for any energies, [n_frames] (eV), of the structures of `data`."""
    counts = data.element_counts
    references = np.linalg.lstsq(counts, energies, rcond=None)[0]
    return dict(zip(data.elements, references.tolist(), strict=True))


def read_atom_references(
    path: Path | str, *, energy_unit: str, key: str | None = None
) -> dict[int, float]:
    """Reads reference energies of elements.

    Either text, one element (symbol or atomic number) and one energy: a mapping in `.json`, `.yaml`
    or `.yml`, or lines such as `C, -1027.6` in any other file (`#` starts a comment); or
    SchNetPack's `.npz`, with energies by atomic number in the columns of `atom_ref`, named in
    `labels`, or in one array per name. Zeros in the latter mean that there is no reference.

    Args:
        path: the file.
        energy_unit: a name of `units.EV_PER_ENERGY_UNIT`.
        key: which column or array of an `.npz`: its name, or what follows the last `_` of it
            (`energy_U0` is `U0`); None where there is only one.

    Returns:
        Reference energy of each element (eV).

    Raises:
        DataError: if the file, an element, an energy or the unit cannot be understood.
    """
    path, unit = Path(path), ev_per_energy(energy_unit)
    try:
        if path.suffix.lower() == ".npz":
            energies = _atom_reference_column(path, key)
        else:
            energies = _named_energies(path)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    for z, energy in energies.items():
        if not np.isfinite(energy):
            raise DataError(f"{path.name}: the reference energy of element {z} is {energy}")
    return {z: energy * unit for z, energy in sorted(energies.items())}


def _named_energies(path: Path) -> dict[int, float]:
    text = path.read_text()
    if path.suffix.lower() in (".json", ".yaml", ".yml"):
        entries = _mapping_entries(path.name, text)
    else:
        lines = [line.split("#")[0].strip() for line in text.splitlines()]
        entries = [re.split(r"[\s,;:=]+", line) for line in lines if line]
    energies: dict[int, float] = {}
    for entry in entries:
        try:
            symbol, energy = entry
            z = _atomic_number(symbol)
            value = float(energy)
            if not is_number(energy):
                raise ValueError(energy)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path.name}: expected an element and its energy, such as 'C, -1027.6', "
                f"found {' '.join(map(str, entry))[:60]!r}"
            ) from error
        if z in energies:
            raise DataError(f"{path.name} gives two reference energies for {symbol}")
        energies[z] = value
    if not energies:
        raise DataError(f"{path.name} holds no reference energies")
    return energies


def _atomic_number(word: str) -> int:
    """Of a symbol or, as MACE writes it, of itself. Raises KeyError if it is neither."""
    if word.isascii() and word.isdecimal() and len(word) <= 3:
        word = {str(z): symbol for z, symbol in enumerate(chemical_symbols)}[word]
    if word == "X":
        raise KeyError(word)
    return int(NUMBER_OF_SYMBOL[word])


def _mapping_entries(name: str, text: str) -> list[list[str]]:
    """Key and value as they are written, doubled keys too (`No` is nobelium, not False)."""
    import yaml

    mapping = None
    try:
        if text.count("[") + text.count("{") <= 2:  # what is nested takes YAML very long
            mapping = yaml.compose(text, yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise DataError(f"{name} is not valid JSON or YAML: {error}") from error
    if not isinstance(mapping, yaml.MappingNode):
        raise DataError(f"{name}: expected a mapping from elements to energies, nothing nested")
    return [[str(key.value), value.value] for key, value in mapping.value]


def _atom_reference_column(path: Path, key: str | None) -> dict[int, float]:
    with open_archive(path) as archive:
        arrays = {name: read_array(archive, name, path.name) for name in archive.files}
    if {"atom_ref", "labels"} <= set(arrays) and arrays["atom_ref"].ndim == 2:
        names = arrays["labels"].astype(str).tolist()
        arrays = dict(zip(names, arrays["atom_ref"].T, strict=False))
    known = {n: a for n, a in arrays.items() if a.ndim == 1 and a.dtype.kind in "iuf"}
    if key is None and len(known) == 1:
        (key,) = known
    if key is not None and key not in known:
        key = key.rpartition("_")[2]
    if key not in known:
        raise DataError(
            f"{path.name}: say with `key` which reference energies to read: "
            f"{', '.join(known) or 'there are none'} (not {key!r})"
        )
    return {z: float(energy) for z, energy in enumerate(known[key]) if energy != 0.0}


def energy_statistics(
    data: ReferenceData, atom_references: Mapping[int, float]
) -> tuple[float, float]:
    """Mean and standard deviation of (E - sum of atom references) / n_atoms.

    Energies of weight 0 do not count.

    Args:
        data: with energies.
        atom_references: reference energy of each element (eV).

    Returns:
        mean_per_atom (eV) and std_per_atom (eV); the latter is 1.0 where all are equal.

    Raises:
        DataError: if there are no structures or no energies, or a reference is missing.
    """
    missing = sorted(set(data.elements) - set(atom_references))
    if missing:
        raise DataError(f"no reference energy for the elements {missing} of {data.source}")
    known = _with_energies(data)
    counts = known.element_counts
    n_atoms = counts.sum(axis=1)
    references = np.array([atom_references[z] for z in known.elements])
    per_atom = (known.energies - counts @ references) / n_atoms
    spread = float(per_atom.std())
    resolution = _NEGLIGIBLE_SPREAD * float(np.abs(known.energies / n_atoms).max())
    return float(per_atom.mean()), spread if spread > resolution else 1.0


def _with_energies(data: ReferenceData) -> ReferenceData:
    """The structures whose energies count. Raises DataError if there are none."""
    if not len(data):
        raise DataError(f"{data.source}: statistics of no structures")
    return data.with_label("energy")


def shortest_distances(data: ReferenceData) -> dict[tuple[int, int], float]:
    """The shortest distance between each two elements over the whole set.

    Periodic structures are searched within `PERIODIC_SEARCH_RADIUS`, images included; pairs that
    never come so near are absent.

    Returns:
        Distance (A) by (Z1, Z2), Z1 <= Z2.
    """
    shortest: dict[tuple[int, int], float] = {}
    arrays = data.arrays
    for k in np.flatnonzero(arrays.is_periodic).tolist():
        _keep_shorter(shortest, *_periodic_distances(arrays[k]))
    molecules = arrays.select(np.flatnonzero(~arrays.is_periodic))
    for _, numbers, positions in molecules.by_size(numbers_per_atom_pair=4):
        i, j = all_pairs(numbers.shape[1])
        distances = np.linalg.norm(positions[:, j] - positions[:, i], axis=2)
        elements = np.stack([numbers[:, i].ravel(), numbers[:, j].ravel()])
        _keep_shorter(shortest, elements, distances.ravel())
    return shortest


def _periodic_distances(graph: AtomGraph) -> tuple[np.ndarray, np.ndarray]:
    """Elements [2, n_pairs] and distances [n_pairs] (A) of one periodic structure."""
    assert graph.cell is not None  # a periodic structure has one
    positions, cell = graph.positions.numpy(), graph.cell[0].numpy()
    pairs, shifts = neighbor_pairs(positions, PERIODIC_SEARCH_RADIUS, cell, graph.pbc[0].numpy())
    vectors = positions[pairs[1]] + shifts @ cell - positions[pairs[0]]
    return graph.atomic_numbers.numpy()[pairs], np.linalg.norm(vectors, axis=1)


def _keep_shorter(
    shortest: dict[tuple[int, int], float], elements: np.ndarray, distances: np.ndarray
) -> None:
    """Enters elements [2, n_pairs] with distances [n_pairs] (A) into the table."""
    low, high = np.sort(elements, axis=0)
    nearest = np.full(_MOST_ELEMENTS**2, np.inf)
    np.minimum.at(nearest, low * _MOST_ELEMENTS + high, distances)
    for kind in np.flatnonzero(np.isfinite(nearest)).tolist():
        pair = divmod(kind, _MOST_ELEMENTS)
        shortest[pair] = min(float(nearest[kind]), shortest.get(pair, np.inf))
