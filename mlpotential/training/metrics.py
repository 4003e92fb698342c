"""Errors of a model over a data set, accumulated batch by batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

import numpy as np

from mlpotential.graph import AtomGraph, Prediction
from mlpotential.models.potential import Potential


@dataclass(frozen=True)
class Errors:
    """Mean absolute and root mean square errors; those of absent labels are None.

    Attributes:
        n_structures: how many structures they are over.
        energy_mae, energy_rmse: of total energies (eV).
        energy_per_atom_mae, energy_per_atom_rmse: of energies divided by the number of atoms (eV).
        forces_mae, forces_rmse: of force components (eV/A).
        forces_mae_by_element, forces_rmse_by_element: by chemical symbol (eV/A).
        dipole_mae, dipole_rmse: of components of the dipole (e A).
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

    @property
    def mae(self) -> float | None:
        """None without any errors."""
        return self.absolute / self.count if self.count else None

    @property
    def rmse(self) -> float | None:
        """None without any errors."""
        return float(np.sqrt(self.squared / self.count)) if self.count else None


class ErrorAccumulator:
    """Adds up batches; `errors` gives the result so far."""

    def __init__(self) -> None:
        self._energy, self._energy_per_atom, self._forces = _Sum(), _Sum(), _Sum()
        self._dipole = _Sum()
        self._forces_by_element: defaultdict[int, _Sum] = defaultdict(_Sum)
        self._n_structures = 0

    def add(self, prediction: Prediction, graph: AtomGraph) -> None:
        """Adds a batch of predictions and the labels its graph carries."""
        self._n_structures += graph.n_graphs
        if graph.energy is not None:
            error = (prediction.energy.detach() - graph.energy).cpu().numpy()
            self._energy.add(error)
            self._energy_per_atom.add(error / graph.atoms_per_graph().cpu().numpy())
        if graph.forces is not None and prediction.forces is not None:
            error = (prediction.forces.detach() - graph.forces).cpu().numpy()
            self._forces.add(error)
            numbers = graph.atomic_numbers.cpu().numpy()
            for atomic_number in np.unique(numbers):
                selected = error[numbers == atomic_number]
                self._forces_by_element[int(atomic_number)].add(selected)
        if graph.dipole is not None and prediction.dipole is not None:
            self._dipole.add((prediction.dipole.detach() - graph.dipole).cpu().numpy())

    def errors(self) -> Errors:
        """Over all batches so far."""
        from ase.data import chemical_symbols

        by_element = {chemical_symbols[z]: s for z, s in sorted(self._forces_by_element.items())}
        return Errors(
            n_structures=self._n_structures,
            energy_mae=self._energy.mae,
            energy_rmse=self._energy.rmse,
            energy_per_atom_mae=self._energy_per_atom.mae,
            energy_per_atom_rmse=self._energy_per_atom.rmse,
            forces_mae=self._forces.mae,
            forces_rmse=self._forces.rmse,
            forces_mae_by_element={k: s.mae for k, s in by_element.items() if s.mae is not None},
            forces_rmse_by_element={k: s.rmse for k, s in by_element.items() if s.rmse is not None},
            dipole_mae=self._dipole.mae,
            dipole_rmse=self._dipole.rmse,
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
