"""What n2p2 says of structures, as its reference files keep it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from mlpotential.graph import AtomGraph
from mlpotential.models.behler_parrinello import BehlerParrinello
from mlpotential.models.importers.n2p2.folder import model_of, read_n2p2_folder
from mlpotential.neighbors import connect
from mlpotential.units import ANGSTROM_PER_LENGTH_UNIT, EV_PER_ENERGY_UNIT

FOLDER = Path(__file__).parents[3] / "reference" / "n2p2"
RANDOM = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
UNITS = {
    "hartree": "Hartree",
    "bohr": "Bohr",
    "ev": "eV",
    "angstrom": "Angstrom",
    "ang": "Angstrom",
}


@dataclass(frozen=True)
class Answer:
    """Of one structure, in native units; symmetry functions padded with NaN."""

    name: str
    graph: AtomGraph
    raw: np.ndarray
    scaled: np.ndarray
    energy: float
    atomic_energies: np.ndarray
    forces: np.ndarray
    strain_derivative: np.ndarray | None


@dataclass(frozen=True)
class Reference:
    """A potential of ours and what n2p2 says of it; eV and A per native unit."""

    model: BehlerParrinello
    energy_unit: str
    ev: float
    angstrom: float
    functions: dict[str, list[str]]
    answers: tuple[Answer, ...]


def reference(folder: Path) -> Reference:
    with np.load(folder / "reference.npz", allow_pickle=False) as file:
        values = dict(file)
    length, energy = (UNITS[str(values[f"{kind}_unit"]).lower()] for kind in ("length", "energy"))
    model = model_of(read_n2p2_folder(folder), energy, length)
    angstrom, ev = ANGSTROM_PER_LENGTH_UNIT[length], EV_PER_ENERGY_UNIT[energy]
    functions = {
        key.removeprefix("symfunctions/"): [str(line) for line in values[key]]
        for key in values
        if key.startswith("symfunctions/")
    }
    return Reference(
        model, energy, ev, angstrom, functions, tuple(_answers(values, model, angstrom))
    )


def _answers(
    values: dict[str, np.ndarray], model: BehlerParrinello, angstrom: float
) -> Iterator[Answer]:
    for name in map(str, values["names"]):

        def of(key: str, name: str = name) -> np.ndarray:
            return values[f"{name}/{key}"]

        periodic = bool(np.any(of("pbc")))
        numbers = np.array([atomic_numbers[str(symbol)] for symbol in of("elements")])
        cell = of("cell") * angstrom if periodic else None
        graph = AtomGraph.from_arrays(numbers, of("positions") * angstrom, cell, periodic)
        yield Answer(
            name,
            connect(graph, model.cutoff),
            of("sf_raw"),
            of("sf_scaled"),
            float(of("energy")),
            of("atomic_energies"),
            of("forces"),
            of("dE_dstrain_fd") if periodic else None,
        )
