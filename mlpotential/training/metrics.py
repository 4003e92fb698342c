"""Errors of a model over a data set, accumulated batch by batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlpotential.graph import AtomGraph, Prediction
from mlpotential.models.potential import Potential
from mlpotential.properties import label_row

OWN_FIELDS = ("energy", "energy_per_atom", "forces", "dipole")  # of `Errors`


@dataclass(frozen=True)
class Errors:
    """Mean absolute and root mean square errors; those of absent labels are None.

    All structures count alike, whatever their weights in training; labels of weight 0 do not.

    Attributes:
        n_structures: how many structures they are over.
        energy_mae, energy_rmse: of total energies (eV).
        energy_per_atom_mae, energy_per_atom_rmse: of energies divided by the number of atoms (eV).
        forces_mae, forces_rmse: of force components (eV/A).
        forces_mae_by_element, forces_rmse_by_element: by chemical symbol (eV/A).
        dipole_mae, dipole_rmse: of components of the dipole (e A).
        others: `NAME_mae` and `NAME_rmse` of all other labels, of components of tensors, each in
            its unit in this program, which is `NAME_unit`.
    """

    n_structures: int
    energy_mae: float | None = None
    energy_rmse: float | None = None
    energy_per_atom_mae: float | None = None
    energy_per_atom_rmse: float | None = None
    forces_mae: float | None = None
    forces_rmse: float | None = None
    forces_mae_by_element: dict[str, float] = field(default_factory=dict)
    forces_rmse_by_element: dict[str, float] = field(default_factory=dict)
    dipole_mae: float | None = None
    dipole_rmse: float | None = None
    others: dict[str, Any] = field(default_factory=dict)

    def pair(self, label: str) -> tuple[float | None, float | None]:
        """MAE and RMSE of a label; None where it is absent."""
        if hasattr(self, f"{label}_mae"):
            return getattr(self, f"{label}_mae"), getattr(self, f"{label}_rmse")
        return self.others.get(f"{label}_mae"), self.others.get(f"{label}_rmse")

    def number(self, label: str, kind: str) -> float | None:
        """One of the pair, by `mae` or `rmse`."""
        return self.pair(label)[("mae", "rmse").index(kind)]

    @property
    def other_units(self) -> dict[str, str]:
        """Units of the labels in `others`."""
        ends = "_unit"
        return {k.removesuffix(ends): v for k, v in self.others.items() if k.endswith(ends)}


@dataclass
class _Sum:
    """Sums of |x|, x^2 and counts."""

    absolute: float = 0.0
    squared: float = 0.0
    count: int = 0

    def add(self, errors: np.ndarray) -> None:
        self.absolute += float(np.abs(errors).sum())
        self.squared += float((errors**2).sum())
        self.count += errors.size

    def include(self, other: _Sum) -> None:
        self.absolute += other.absolute
        self.squared += other.squared
        self.count += other.count

    @property
    def mae(self) -> float | None:
        """None without any errors."""
        return self.absolute / self.count if self.count else None

    @property
    def rmse(self) -> float | None:
        """None without any errors."""
        return float(np.sqrt(self.squared / self.count)) if self.count else None


class ErrorAccumulator:
    """Adds up batches; `errors` gives the result so far.

    Args:
        units: of labels that the table of properties does not have: of named scalars.
    """

    def __init__(self, units: Mapping[str, str] | None = None) -> None:
        self._units = dict(units or {})
        self._sums: defaultdict[str, _Sum] = defaultdict(_Sum)
        self._forces_by_element: defaultdict[int, _Sum] = defaultdict(_Sum)
        self._n_structures = 0

    def add(self, prediction: Prediction, graph: AtomGraph) -> None:
        """Adds a batch of predictions and the labels its graph carries."""
        self._n_structures += graph.n_graphs
        for name, expected in graph.labels.items():
            if (found := prediction.value(name)) is not None:
                counts = graph.label_weights(name) > 0.0
                counts = counts[graph.graph_index] if label_row(name).per == "atom" else counts
                error = (found.detach() - expected)[counts].cpu().numpy()
                self._sums[name].add(error)
                if name == "energy":
                    per_atom = error / graph.atoms_per_graph()[counts].cpu().numpy()
                    self._sums["energy_per_atom"].add(per_atom)
                elif name == "forces":
                    self._add_by_element(error, graph.atomic_numbers[counts].cpu().numpy())

    def _add_by_element(self, error: np.ndarray, numbers: np.ndarray) -> None:
        """Errors of forces, [n_atoms, 3] (eV/A), of atoms with these atomic numbers, [n_atoms]."""
        for atomic_number in np.unique(numbers):
            selected = error[numbers == atomic_number]
            self._forces_by_element[int(atomic_number)].add(selected)

    def include(self, other: ErrorAccumulator) -> None:
        """Adds what another one has seen."""
        self._n_structures += other._n_structures
        for name, found in other._sums.items():
            self._sums[name].include(found)
        for atomic_number, found in other._forces_by_element.items():
            self._forces_by_element[atomic_number].include(found)

    def errors(self) -> Errors:
        """Over all batches so far."""
        from ase.data import chemical_symbols

        by_element = {chemical_symbols[z]: s for z, s in sorted(self._forces_by_element.items())}
        found: dict[str, Any] = {}
        for name, x in self._sums.items():
            found |= {f"{name}_mae": x.mae, f"{name}_rmse": x.rmse}
            if name not in OWN_FIELDS:
                found[f"{name}_unit"] = self._units.get(name, label_row(name).unit)
        others = {k: found.pop(k) for k in list(found) if k not in Errors.__dataclass_fields__}
        return Errors(
            others=others,
            n_structures=self._n_structures,
            forces_mae_by_element={k: s.mae for k, s in by_element.items() if s.mae is not None},
            forces_rmse_by_element={k: s.rmse for k, s in by_element.items() if s.rmse is not None},
            **found,
        )


def predict_batches(
    model: Potential,
    batches: Iterable[AtomGraph],
    properties: Collection[str],
    visit: Callable[[Prediction, AtomGraph], None],
) -> None:
    """Shows each batch's prediction to `visit`; leaves the model in the mode it had."""
    was_training = model.training
    model.eval()
    for graph in batches:
        visit(model(graph, properties), graph)
    model.train(was_training)
