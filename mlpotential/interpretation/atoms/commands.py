"""`interpret atoms`, `rings`, `dimers` and `map`. Free of torch until the files are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlpotential.command_line import Command
from mlpotential.data.sets.named import files_of
from mlpotential.errors import ConfigError
from mlpotential.input_files import require_data_files
from mlpotential.interpretation.model_groups import model_groups, one_model
from mlpotential.interpretation.result_files import made_folder, save_npz
from mlpotential.run_folder import csv_text, write_atomically
from mlpotential.settings_checks import check_count, named_values, require

if TYPE_CHECKING:
    import numpy as np

    from mlpotential.data.reference_data import ReferenceData
    from mlpotential.interpretation.atoms.contributions import AtomicContributions
    from mlpotential.interpretation.atoms.feature_map import FeatureMap
    from mlpotential.interpretation.atoms.rings import Rings

LESS_REFERENCES = "energies are less the reference energies of elements of the first model"
N_MINIMA = 3  # of dimers, printed
COMPUTED = ("element", "neighbors", "energy", "charge")  # what `interpret map` knows by itself


@dataclass(frozen=True)
class Asked:
    """About which structures, and where results go.

    Attributes:
        data: structures, as for `evaluate --unlabelled`: any file that ASE reads, or a published
            set such as qm9.
        folder: of tables, arrays and pictures.
        length_unit: e.g. Angstrom, Bohr; published sets and files of ASE need none.
        seed: of the choice of structures.
        device: auto, cpu, cuda or cuda:N.
        batch_size: structures at once.
    """

    data: str
    folder: str
    length_unit: str | None = None
    seed: int = 0
    device: str = "auto"
    batch_size: int = 32

    def check(self) -> Path:
        """The folder, made; raises InputError if the data is not there or it cannot be made."""
        require_data_files(files_of([self.data]))
        return made_folder(self.folder)


def atoms(
    models: Sequence[str],
    *,
    n_structures: int = 2000,
    fragments: Sequence[str] = (),
    **options: Any,
) -> int:
    """Distributions over a set; a table and a picture of a single structure.

    Args:
        models: model files, patterns of them, or NAME=MODEL; those of one pattern are one group.
        n_structures: so many of the set, by chance.
        fragments: of a single structure: sums over these atoms, such as 0-2,7 3-6 (default: what
            is bonded together).
        options: fields of `Asked`.
    """
    asked = Asked(**options)
    check_count("n_structures", n_structures)
    groups, folder = model_groups(models), asked.check()
    from mlpotential.interpretation.atoms.contributions import contributions_of_group
    from mlpotential.interpretation.structures import chosen_structures

    data = chosen_structures(asked.data, asked.length_unit, n_structures, asked.seed)
    if fragments and len(data) > 1:
        raise ConfigError(f"fragments are of one structure, and {asked.data} has {len(data)}")
    found: list[AtomicContributions] = []
    for group in groups:
        first = found[0].references if found else None
        found.append(contributions_of_group(group, data, asked.device, asked.batch_size, first))
    if len(data) == 1:
        return _one_structure(found, data, fragments, folder)
    return _distributions(found, data, folder)


def _distributions(found: Sequence[AtomicContributions], data: ReferenceData, folder: Path) -> int:
    from mlpotential.interpretation.atoms.contributions import UNITS
    from mlpotential.interpretation.figures.atomic_histograms import histogram_figure
    from mlpotential.training.pictures import save_picture

    rows = [row for contributions in found for row in contributions.summary()]
    write_atomically(folder / "atoms.csv", csv_text(rows))
    frames = [data.frame_number(k) for k in range(len(data))]
    for number, contributions in enumerate(found):
        name = "atoms.npz" if len(found) == 1 else f"atoms_{number}.npz"
        named = contributions.arrays | {"group": contributions.name, "frame_numbers": frames}
        save_npz(folder / name, named)
    for quantity in UNITS:
        having = [contributions for contributions in found if quantity in contributions.values]
        if having:
            save_picture(histogram_figure(having, quantity), folder / f"{quantity}.png")
    print(f"{len(data)} structures; {LESS_REFERENCES}")
    print(as_text(rows))
    print(f"written: {folder}")
    return 0


def _one_structure(
    found: Sequence[AtomicContributions],
    data: ReferenceData,
    fragments: Sequence[str],
    folder: Path,
) -> int:
    from ase.data import chemical_symbols

    from mlpotential.interpretation.atoms.bonds import bonds_of, fragments_of
    from mlpotential.interpretation.atoms.contributions import (
        UNITS,
        fragment_sums,
        parsed_fragments,
    )
    from mlpotential.interpretation.figures.molecules import contributions_figure
    from mlpotential.interpretation.projection import flat_molecule
    from mlpotential.training.pictures import save_picture

    graph = data[0]
    numbers, positions = graph.atomic_numbers.numpy(), graph.positions.numpy()
    cell, pbc = None if graph.cell is None else graph.cell[0].numpy(), graph.pbc[0].numpy()
    if fragments:
        parts = parsed_fragments(fragments, len(numbers))
    else:
        parts = fragments_of(len(numbers), bonds_of(numbers, positions, cell, pbc))
    means = {
        (contributions.name, quantity): values.mean(axis=0)
        for contributions in found
        for quantity, values in contributions.values.items()
    }
    columns = {f"{name} {what}_{UNITS[what]}": v for (name, what), v in means.items()}
    rows = [
        {"atom": k, "element": chemical_symbols[z]} | {name: v[k] for name, v in columns.items()}
        for k, z in enumerate(numbers)
    ]
    sums = [
        {"group": contributions.name} | row
        for contributions in found
        for row in fragment_sums(contributions, parts)
    ]
    write_atomically(folder / "atoms.csv", csv_text(rows))
    write_atomically(folder / "fragments.csv", csv_text(sums))
    panels = {f"{name}: {what} ({UNITS[what]})": v for (name, what), v in means.items()}
    picture = contributions_figure(flat_molecule(numbers, positions), panels)
    save_picture(picture, folder / "molecule.png")
    print(LESS_REFERENCES)
    print(as_text(rows) + "\n\n" + as_text(sums) + f"\nwritten: {folder}")
    return 0


def rings(
    models: Sequence[str],
    *,
    n_structures: int | None = None,
    n_shown: int = 10,
    **options: Any,
) -> int:
    """Ranks six-membered carbon rings by the energies of their own atoms, lowest first.

    Args:
        models: model files, patterns of them, or NAME=MODEL; energies of one pattern are averaged.
        n_structures: so many of the set, by chance (default: all).
        n_shown: of the most stable rings, in the picture.
        options: fields of `Asked`.
    """
    asked = Asked(**options)
    check_count("n_shown", n_shown)
    groups, folder = model_groups(models), asked.check()
    from mlpotential.interpretation.atoms.contributions import contributions_of_group
    from mlpotential.interpretation.figures.rings import rings_figure
    from mlpotential.interpretation.structures import chosen_structures
    from mlpotential.training.pictures import save_picture

    data = chosen_structures(asked.data, asked.length_unit, n_structures, asked.seed)
    data, found = _molecules_with_rings(data)
    drawn, table, references = [], [], None
    for group in groups:
        contributions = contributions_of_group(
            group, data, asked.device, asked.batch_size, references
        )
        references = contributions.references
        if "energies" not in contributions.values:
            raise ConfigError(f"rings have energies by models with energies: {group.name} has none")
        energies, order = _ranked(contributions, found)
        table += _ring_rows(group.name, data, found, energies, order)
        drawn.append((group.name, _most_stable(data, found, energies, order[:n_shown])))
    write_atomically(folder / "rings.csv", csv_text(table))
    save_picture(rings_figure(drawn), folder / "rings.png")
    shown = [row for row in table if row["rank"] <= n_shown]
    print(f"{len(found)} rings in {len(data)} molecules; E_ring is less the references of 6 C")
    print(as_text(shown) + f"\nwritten: {folder}")
    return 0


def _molecules_with_rings(data: ReferenceData) -> tuple[ReferenceData, Rings]:
    """What has a ring, and the rings of these molecules."""
    import numpy as np

    from mlpotential.errors import DataError
    from mlpotential.interpretation.atoms.rings import Rings, find_rings
    from mlpotential.interpretation.structures import require_molecules_only

    require_molecules_only(data, "rings")
    found = find_rings(data)
    if not len(found):
        raise DataError(f"{data.source}: no six-membered carbon ring in {len(data)} structures")
    with_rings, places = np.unique(found.structures, return_inverse=True)
    return data.select(with_rings), Rings(places, found.atoms)


def _ranked(contributions: AtomicContributions, found: Rings) -> tuple[np.ndarray, np.ndarray]:
    """Energies of rings (eV) and their order, each [n_rings]."""
    import numpy as np

    from mlpotential.interpretation.atoms.rings import ring_energies

    energies = ring_energies(found, contributions.by_structure("energies"))
    return energies, np.argsort(energies, kind="stable")


def _ring_rows(
    name: str, data: ReferenceData, found: Rings, energies: np.ndarray, order: np.ndarray
) -> list[dict[str, Any]]:
    return [
        {
            "group": name,
            "rank": rank,
            "energy_eV": energies[k],
            "frame": data.frame_number(int(found.structures[k])),
            "formula": _formula(data, int(found.structures[k])),
            "ring_atoms": " ".join(map(str, found.atoms[k])),
        }
        for rank, k in enumerate(order.tolist(), start=1)
    ]


def _most_stable(
    data: ReferenceData, found: Rings, energies: np.ndarray, order: np.ndarray
) -> list[Any]:
    """For the picture: molecules on the planes of their rings."""
    from mlpotential.interpretation.projection import flat_molecule

    shown = []
    for rank, k in enumerate(order.tolist(), start=1):
        place = int(found.structures[k])
        graph, ring = data[place], found.atoms[k]
        molecule = flat_molecule(graph.atomic_numbers.numpy(), graph.positions.numpy(), ring)
        words = f"{rank}. {_formula(data, place)} ({data.frame_number(place)})"
        shown.append((molecule, ring, f"{words}\n{energies[k]:.2f} eV"))
    return shown


def _formula(data: ReferenceData, place: int) -> str:
    from ase.symbols import Symbols

    return str(Symbols(data[place].atomic_numbers.numpy()).get_chemical_formula())


def dimers(
    models: Sequence[str],
    *,
    elements: Sequence[str],
    folder: str,
    from_A: float = 0.8,
    to_A: float = 8.0,
    n_points: int = 361,
    zero: Literal["atoms", "none"] = "atoms",
    device: str = "auto",
) -> int:
    """Energies of a pair of atoms alone, with the spread over the models of a group.

    Args:
        models: model files, patterns of them, or NAME=MODEL; those of one pattern are one line.
        elements: of the two atoms, such as C C.
        folder: of the table and the picture.
        from_A: shortest distance (A).
        to_A: longest distance (A).
        n_points: equidistant.
        zero: energies are relative to the two atoms by themselves, as the model has them, or to
            none: as it gives them.
        device: auto, cpu, cuda or cuda:N.
    """
    pair = _pair_of(elements)
    check_count("n_points", n_points, smallest=3)
    require(0.0 < from_A < to_A, "from_A", f"positive and below to_A = {to_A:g} A", from_A)
    groups, path = model_groups(models), made_folder(folder)
    import numpy as np
    from tqdm import tqdm

    from mlpotential.interpretation.atoms.dimers import (
        ZERO_IN_WORDS,
        DimerCurves,
        dimer_energies,
    )
    from mlpotential.interpretation.figures.dimers import plot_dimers
    from mlpotential.training.evaluation.batches import loaded_potential
    from mlpotential.training.pictures import panels_beside, save_picture

    r, curves = np.linspace(from_A, to_A, n_points), []
    for group in tqdm(groups, "dimers", disable=None):
        energies = np.stack(
            [
                dimer_energies(loaded_potential(file, device, "float64", 1), pair, r, zero)
                for file in group.paths
            ]
        )
        curves.append(DimerCurves(group.name, group.model_names, pair, zero, r, energies))
    write_atomically(path / "dimers.csv", csv_text([row for c in curves for row in c.rows()]))
    figure, (panel,) = panels_beside(1, 5.6, 3.8)
    plot_dimers(curves, panel)
    save_picture(figure, path / "dimers.png")
    print(f"energies {ZERO_IN_WORDS[zero]}; spreads are standard deviations over models")
    for curve in curves:
        minima = [f"{at:.3f} A ({depth:.3f} eV)" for at, depth in curve.minima[:N_MINIMA]]
        words = f"deepest minima: {', '.join(minima)}" if minima else "no minimum"
        print(f"{curve.name} ({len(curve.models)} models): {words}")
    print(f"written: {path}")
    return 0


def _pair_of(elements: Sequence[str]) -> tuple[int, int]:
    from ase.data import atomic_numbers

    if unknown := [symbol for symbol in elements if symbol not in atomic_numbers]:
        raise ConfigError(f"there is no element {unknown[0]!r}: write symbols such as C or Na")
    if len(elements) != 2:
        raise ConfigError(f"a dimer has two atoms: --elements takes two, not {len(elements)}")
    first, second = (atomic_numbers[symbol] for symbol in elements)
    return first, second


def map_features(
    model: str,
    *,
    n_structures: int = 500,
    color: str = "element",
    element: str | None = None,
    **options: Any,
) -> int:
    """Principal components of what the readout sees of each atom.

    Args:
        model: model file (.safetensors).
        n_structures: so many of the set, by chance.
        color: element, neighbors (number of bonds), energy or charge of the atom by the model, or
            a scalar of its structure in the data with its unit, such as gap=eV.
        element: map atoms of this element alone, such as C.
        options: fields of `Asked`.
    """
    asked = Asked(**options)
    check_count("n_structures", n_structures)
    if color not in COMPUTED:
        named_values([color], f"--color takes {', '.join(COMPUTED)}, or a scalar such as gap=eV")
    of_element = None if element is None else _pair_of([element, element])[0]
    path, folder = one_model(model), asked.check()
    from mlpotential.interpretation.atoms.feature_map import feature_map, final_features
    from mlpotential.interpretation.figures.feature_maps import class_names, plot_feature_map
    from mlpotential.interpretation.structures import chosen_structures
    from mlpotential.training.evaluation.batches import loaded_potential
    from mlpotential.training.pictures import panels_beside, save_picture

    data = chosen_structures(asked.data, asked.length_unit, n_structures, asked.seed)
    potential = loaded_potential(path, asked.device, None, asked.batch_size)
    colors = _colors(color, potential, data, asked)
    found = feature_map(final_features(potential, data, asked.batch_size), data, of_element)
    kept = slice(None) if of_element is None else data.arrays.all_numbers == of_element
    frames = [data.frame_number(k) for k in range(len(data))]
    named = _map_arrays(found) | {color.partition("=")[0]: colors[kept], "frame_numbers": frames}
    save_npz(folder / "map.npz", named)
    figure, (panel,) = panels_beside(1, 5.6, 4.4)
    names = class_names(color, colors[kept]) if color in ("element", "neighbors") else None
    plot_feature_map(found, colors[kept], _color_label(color), panel, names)
    save_picture(figure, folder / "map.png")
    parts = " and ".join(f"{part:.1%}" for part in found.explained)
    print(f"{len(found.features)} atoms of {len(data)} structures; two components hold {parts}")
    print(f"written: {folder}")
    return 0


def _map_arrays(found: FeatureMap) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(found)


def _color_label(color: str) -> str:
    if color in ("element", "neighbors"):
        return color
    units = {"energy": "atomic energy less reference (eV)", "charge": "latent charge (e)"}
    name, _, unit = color.partition("=")
    return units.get(color, f"{name} ({unit})")


def _colors(color: str, potential: Any, data: ReferenceData, asked: Asked) -> np.ndarray:
    """A number for each atom, [n_atoms]. Raises InputError where there is none."""
    from mlpotential.interpretation.atoms.contributions import atomic_contributions
    from mlpotential.interpretation.atoms.feature_map import neighbor_counts

    if color == "element":
        return data.arrays.all_numbers
    if color == "neighbors":
        return neighbor_counts(data)
    if color in COMPUTED:
        values = atomic_contributions(potential, data, asked.batch_size)
        name = {"energy": "energies", "charge": "charges"}[color]
        if name not in values:
            raise ConfigError(f"the model gives no {name}: choose another --color")
        return values[name]
    return _scalar_of_structures(color, data, asked)[data.arrays.structure_of_atom]


def _scalar_of_structures(color: str, data: ReferenceData, asked: Asked) -> np.ndarray:
    """[n_structures]."""
    from mlpotential.data.read import read_reference_data

    ((name, unit),) = named_values([color], "gap=eV").items()
    frames = [data.frame_number(k) for k in range(len(data))]
    of_file = files_of([asked.data])
    units = {"energy_unit": "eV", "length_unit": asked.length_unit} if of_file else {}
    declared = {"energy_unit": unit} if name == "energy" else {f"{name}_unit": unit}
    labelled = read_reference_data(asked.data, properties=(name,), index=frames, **units | declared)
    values = labelled.values(name)
    require(values.ndim == 1, "the label of --color", "one number of a structure", name)
    return values


def as_text(rows: Sequence[dict[str, Any]]) -> str:
    """A table for the screen."""
    words = [list(rows[0]), *([_word(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[k]) for line in words) for k in range(len(words[0]))]
    return "\n".join(
        "  ".join(word.rjust(width) for word, width in zip(line, widths, strict=True))
        for line in words
    )


def _word(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


ATOMS = Command.of(
    atoms,
    "  mlpotential interpret atoms model.safetensors --data qm9 --folder atoms\n"
    "  mlpotential interpret atoms 'SchNet=schnet_*/model.safetensors' "
    "'BP=bp_*/model.safetensors' --data qm9 --folder atoms\n"
    "  mlpotential interpret atoms model.safetensors --data ethanol.xyz --length-unit Angstrom "
    "--fragments 0,3-5 1,6,7 2,8 --folder ethanol",
    more=[Asked],
)
RINGS = Command.of(
    rings,
    "  mlpotential interpret rings model.safetensors --data qm9 --folder rings",
    more=[Asked],
)
DIMERS = Command.of(
    dimers,
    "  mlpotential interpret dimers 'QM9=qm9_*/model.safetensors' "
    "'aspirin=aspirin_*/model.safetensors' --elements C C --folder dimers",
)
MAP = Command.of(
    map_features,
    "  mlpotential interpret map model.safetensors --data qm9 --folder map\n"
    "  mlpotential interpret map model.safetensors --data qm9 --element C --color neighbors "
    "--folder carbon\n"
    "  mlpotential interpret map model.safetensors --data qm9 --color gap=eV --folder gap",
    more=[Asked],
)
