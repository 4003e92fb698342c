"""Energies and charges of atoms, over a set of structures and by several models.

A potential is a sum of atomic contributions, E = sum_i E_i (K. T. Schuett, M. Gastegger,
A. Tkatchenko and K.-R. Mueller, LNCS 11700 (2019), doi:10.1007/978-3-030-28954-6_17). Here each
is less the reference energy of its element, which would hide all else by thousands of eV. Models
have references of their own, fitted to their training data or of isolated atoms: to be comparable,
all are less those of the first. Physical terms of a model are among them. No experiment knows E_i:
only their sum was trained.

Latent charges q_i of a model that was trained on lengths of dipoles alone fit with both signs;
theirs is chosen such that hydrogen is positive on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph, Prediction
from mlpotential.interpretation.charge_sign import charge_sign
from mlpotential.interpretation.model_groups import ModelGroup
from mlpotential.models.config import LARGEST_ATOMIC_NUMBER
from mlpotential.models.potential import Potential
from mlpotential.training.evaluation.batches import connected_batches, loaded_potential
from mlpotential.training.metrics import predict_batches

UNITS = {"energies": "eV", "charges": "e"}
_PROPERTIES = {"energies": "atomic_energies", "charges": "charges"}


@dataclass(frozen=True, eq=False)
class AtomicContributions:
    """What the models of one group say of the same atoms.

    Attributes:
        name: of the group.
        models: their names, [n_models].
        atomic_numbers: [n_atoms].
        structure_of_atom: the place of its structure in the data, ascending, [n_atoms].
        references: that energies are less, by atomic number, [119] (eV).
        values: `energies` less references (eV) and `charges` (e), those that all models have, each
            [n_models, n_atoms].
    """

    name: str
    models: tuple[str, ...]
    atomic_numbers: np.ndarray
    structure_of_atom: np.ndarray
    references: np.ndarray
    values: dict[str, np.ndarray]

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that occur, ascending."""
        return tuple(np.unique(self.atomic_numbers).tolist())

    def by_structure(self, quantity: str) -> list[np.ndarray]:
        """Means over the models, [n_structures] of [n_atoms]."""
        ends = np.flatnonzero(np.diff(self.structure_of_atom)) + 1
        return np.split(self.values[quantity].mean(axis=0), ends)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """For an archive."""
        named = {f"{name}_{UNITS[name]}": values for name, values in self.values.items()}
        return named | {
            "models": np.array(self.models),
            "atomic_numbers": self.atomic_numbers,
            "references_eV": self.references,
            "structure_of_atom": self.structure_of_atom,
        }

    def summary(self) -> list[dict[str, Any]]:
        """A row for each quantity and element.

        `std` is that over atoms, the mean over models. `models_std` is the spread of the models
        about their mean for one and the same atom, its root mean square over atoms;
        `models_std_of_mean` the spread of the means of the element.
        """
        rows = []
        for quantity, values in self.values.items():
            for z in self.elements:
                own = values[:, self.atomic_numbers == z]
                several = len(own) > 1
                rows.append(
                    {
                        "group": self.name,
                        "quantity": f"{quantity}_{UNITS[quantity]}",
                        "element": chemical_symbols[z],
                        "n_models": len(own),
                        "n_atoms": own.shape[1],
                        "mean": own.mean(),
                        "std": own.std(axis=1).mean(),
                        "models_std": (own.var(axis=0, ddof=1).mean() ** 0.5) if several else None,
                        "models_std_of_mean": own.mean(axis=1).std(ddof=1) if several else None,
                    }
                )
        return rows


def contributions_of_group(
    group: ModelGroup,
    data: ReferenceData,
    device: str = "cpu",
    batch_size: int = 32,
    references: np.ndarray | None = None,
) -> AtomicContributions:
    """What each model of a group says of all atoms of the data.

    Args:
        group: of models.
        data: structures.
        device: as of an `Evaluator`.
        batch_size: structures at once.
        references: what energies are less, by atomic number, [119] (eV); None for those of the
            first model.

    Raises:
        ModelFileError: for an unusable file.
        StructureError: for an element that a model does not know.
        ConfigError: where models have neither energies nor charges in common.
    """
    found = []
    for path in group.paths:
        potential = loaded_potential(path, device, None, batch_size)
        if references is None:
            references = references_of(potential)
        found.append(atomic_contributions(potential, data, batch_size, references))
    assert references is not None, "a group has a model"
    quantities = [name for name in UNITS if all(name in values for values in found)]
    if not quantities:
        raise ConfigError(f"the models of {group.name} give neither energies nor charges in common")
    return AtomicContributions(
        group.name,
        group.model_names,
        data.arrays.all_numbers,
        data.arrays.structure_of_atom,
        references,
        {name: np.stack([values[name] for values in found]) for name in quantities},
    )


def atomic_contributions(
    potential: Potential,
    data: ReferenceData,
    batch_size: int = 32,
    references: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Energies less references (eV) and charges (e) of all atoms, each [n_atoms].

    Args:
        potential: with energies, charges or both.
        data: structures.
        batch_size: of them at once.
        references: as of `contributions_of_group`; None for those of the model.

    Raises:
        StructureError: for an element that the model does not know.
    """
    names = [name for name, p in _PROPERTIES.items() if p in potential.properties]
    collected: dict[str, list[np.ndarray]] = {name: [] for name in names}

    def visit(prediction: Prediction, graph: AtomGraph) -> None:
        for name in names:
            collected[name].append(prediction.value(_PROPERTIES[name]).double().cpu().numpy())

    batches = connected_batches(data, potential, batch_size)
    predict_batches(potential, batches, [_PROPERTIES[name] for name in names], visit)
    found = {name: np.concatenate(parts) for name, parts in collected.items()}
    if "energies" in found:
        subtracted = references_of(potential) if references is None else references
        found["energies"] -= subtracted[data.arrays.all_numbers]
    if "charges" in found and (sign := charge_sign(potential)) is not None:
        found["charges"] *= sign.factor
    return found


def references_of(potential: Potential) -> np.ndarray:
    """Reference energies by atomic number, [119] (eV); zeros of a model without energies."""
    if not potential.has_energy:
        return np.zeros(LARGEST_ATOMIC_NUMBER + 1)
    return potential.scale.atom_references.cpu().numpy()


def fragment_sums(
    contributions: AtomicContributions, fragments: Sequence[np.ndarray]
) -> list[dict[str, Any]]:
    """Of one structure: a row for each fragment, with means over the models.

    Args:
        contributions: of one structure.
        fragments: atoms of each.
    """
    symbols = np.array(chemical_symbols)[contributions.atomic_numbers]
    rows = []
    for atoms in fragments:
        row: dict[str, Any] = {
            "atoms": " ".join(map(str, atoms)),
            "elements": "".join(symbols[atoms]),
        }
        for name, values in contributions.values.items():
            row[f"{name}_{UNITS[name]}"] = values[:, atoms].sum(axis=1).mean()
        rows.append(row)
    return rows


def parsed_fragments(words: Sequence[str], n_atoms: int) -> list[np.ndarray]:
    """`0-2,7` as the atoms 0, 1, 2 and 7, one fragment for each word.

    Raises:
        ConfigError: for a word of another form, or an atom that is not there.
    """
    fragments = []
    for word in words:
        atoms: list[int] = []
        for part in word.split(","):
            first, dash, last = part.partition("-")
            if not (first.isdecimal() and (last.isdecimal() or not dash)):
                raise ConfigError(f"{word!r} names no atoms: write numbers from 0, such as 0-2,7")
            atoms += range(int(first), int(last if dash else first) + 1)
        if not atoms or max(atoms) >= n_atoms or len(set(atoms)) < len(atoms):
            raise ConfigError(
                f"the fragment {word!r} must name each atom once, of 0 to {n_atoms - 1}"
            )
        fragments.append(np.array(atoms))
    return fragments
