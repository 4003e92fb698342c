"""`interpret rings`. Free of torch until the files are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlpotential.command_line import Command
from mlpotential.errors import ConfigError, DataError
from mlpotential.interpretation.model_groups import model_groups
from mlpotential.interpretation.options import AskedStructures, as_text
from mlpotential.run_folder import csv_text, write_atomically
from mlpotential.settings_checks import check_count

if TYPE_CHECKING:
    import numpy as np

    from mlpotential.data.reference_data import ReferenceData
    from mlpotential.interpretation.atoms.contributions import AtomicContributions
    from mlpotential.interpretation.atoms.rings import Rings


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
        options: fields of `AskedStructures`.
    """
    asked = AskedStructures(**options)
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


RINGS = Command.of(
    rings,
    "  mlpotential interpret rings model.safetensors --data qm9 --folder rings",
    more=[AskedStructures],
)
