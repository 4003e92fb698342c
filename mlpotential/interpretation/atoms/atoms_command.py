"""`interpret atoms`. Free of torch until the files are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlpotential.command_line import Command
from mlpotential.errors import ConfigError
from mlpotential.interpretation.model_groups import model_groups
from mlpotential.interpretation.options import AskedStructures, as_text
from mlpotential.interpretation.result_files import save_npz
from mlpotential.run_folder import csv_text, write_atomically
from mlpotential.settings_checks import check_count

if TYPE_CHECKING:
    from mlpotential.data.reference_data import ReferenceData
    from mlpotential.interpretation.atoms.contributions import AtomicContributions

TILT = 18.0  # degrees; chosen: hydrogen atoms in pairs do not hide each other
LESS_REFERENCES = "energies are less the reference energies of elements of the first model"


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
        options: fields of `AskedStructures`.
    """
    asked = AskedStructures(**options)
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
    picture = contributions_figure(flat_molecule(numbers, positions, tilt_degrees=TILT), panels)
    save_picture(picture, folder / "molecule.png")
    print(LESS_REFERENCES)
    print(as_text(rows) + "\n\n" + as_text(sums) + f"\nwritten: {folder}")
    return 0


ATOMS = Command.of(
    atoms,
    "  mlpotential interpret atoms model.safetensors --data qm9 --folder atoms\n"
    "  mlpotential interpret atoms 'SchNet=schnet_*/model.safetensors' "
    "'BP=bp_*/model.safetensors' --data qm9 --folder atoms\n"
    "  mlpotential interpret atoms model.safetensors --data ethanol.xyz --length-unit Angstrom "
    "--fragments 0,3-5 1,6,7 2,8 --folder ethanol",
    more=[AskedStructures],
)
