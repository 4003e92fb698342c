"""Forces on all beads from any force provider, in this process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from ase import Atoms

from md_runs.force_provider import ForceProvider, IpiDriver, ModelForces
from mlpotential.labelling.worker_calculator import WorkerCalculator

if TYPE_CHECKING:
    from mlpotential.inference.evaluator import Evaluator


@dataclass(frozen=True)
class BeadAnswer:
    """Of all beads.

    Attributes:
        energies: [n_beads] (eV).
        forces: [n_beads, n_atoms, 3] (eV/A).
        extras: what was asked for beside them, by name: dipole, [n_beads, 3] (e A);
            polarizability, [n_beads, 3, 3] (A^3).
        virials: traces of -dE/dstrain, [n_beads] (eV); None in a cell that stays.
    """

    energies: np.ndarray
    forces: np.ndarray
    extras: Mapping[str, np.ndarray]
    virials: np.ndarray | None = None


class BeadForces(Protocol):
    """Forces of one list of atoms, in many places at once."""

    guard: Any  # counts what is outside the training data of the model; None where nobody does

    def evaluate(
        self, positions: np.ndarray, extras: tuple[str, ...] = (), scale: float | None = None
    ) -> BeadAnswer:
        """Of beads at [n_beads, n_atoms, 3] (A), in a cell so many times as long as the first.

        Without a scale the cell is the first, and there are no virials.
        """
        ...


class ModelBeads:
    """All beads in one evaluation of a model.

    Args:
        evaluator: of the atoms.
        cell: lattice vectors as rows, [3, 3] (A); None for a molecule.
    """

    def __init__(self, evaluator: Evaluator, cell: np.ndarray | None) -> None:
        self._evaluator, self._cell, self.guard = evaluator, cell, evaluator.guard
        self.n_members, self.calibration = evaluator.n_members, evaluator.calibration

    def evaluate(
        self, positions: np.ndarray, extras: tuple[str, ...] = (), scale: float | None = None
    ) -> BeadAnswer:
        """As of every `BeadForces`."""
        cells, strained = None, () if scale is None else ("stress",)
        if self._cell is not None:
            cell = self._cell if scale is None else scale * self._cell
            cells = np.broadcast_to(cell, (len(positions), 3, 3))
        wanted = ("energy", "forces", *strained, *extras)
        found = self._evaluator.evaluate(positions, cells, wanted)
        assert found.energy is not None  # it was asked for, as forces were
        assert found.forces is not None
        others = {name: np.asarray(getattr(found, name)) for name in extras}
        virials = None
        if scale is not None:
            assert found.stress is not None  # it was asked for
            volume = np.abs(np.linalg.det(cell))
            virials = -volume * np.trace(np.asarray(found.stress), axis1=1, axis2=2)
        forces = np.asarray(found.forces).reshape(positions.shape)
        return BeadAnswer(np.asarray(found.energy), forces, others, virials)


class WorkerBeads:
    """As many beads at a time as a calculator has processes.

    Args:
        atoms: with the calculator.
    """

    guard = None

    def __init__(self, atoms: Atoms, calculator: WorkerCalculator) -> None:
        self._atoms, self._calculator = atoms, calculator

    def evaluate(
        self, positions: np.ndarray, extras: tuple[str, ...] = (), scale: float | None = None
    ) -> BeadAnswer:
        """As of every `BeadForces`."""
        structures = []
        for bead in positions:
            atoms = self._atoms.copy()
            atoms.positions = bead
            if scale is not None:
                atoms.cell = scale * self._atoms.cell.array
            structures.append(atoms)
        wanted = extras if scale is None else (*extras, "stress")
        found = self._calculator.evaluate(structures, wanted)
        virials = None
        if scale is not None:  # the trace has the first three of Voigt's components
            traces = np.array([values["stress"][:3].sum() for values in found])
            virials = -structures[0].get_volume() * traces
        return BeadAnswer(
            np.array([values["energy"] for values in found]),
            np.array([values["forces"] for values in found]),
            {name: np.array([values[name] for values in found]) for name in extras},
            virials,
        )


class CalculatorBeads:
    """One bead after the other by a calculator of ASE.

    Args:
        atoms: with the calculator.
    """

    def __init__(self, atoms: Atoms) -> None:
        self._atoms, self.guard = atoms, getattr(atoms.calc, "guard", None)
        self._cell = atoms.cell.array.copy()

    def evaluate(
        self, positions: np.ndarray, extras: tuple[str, ...] = (), scale: float | None = None
    ) -> BeadAnswer:
        """As of every `BeadForces`."""
        virials = None if scale is None else np.empty(len(positions))
        if scale is not None:
            self._atoms.cell = scale * self._cell
        energies, forces = np.empty(len(positions)), np.empty(positions.shape)
        others: dict[str, list[np.ndarray]] = {name: [] for name in extras}
        for k, bead in enumerate(positions):
            self._atoms.positions = bead
            forces[k] = self._atoms.get_forces()
            energies[k] = self._atoms.get_potential_energy()
            if virials is not None:
                stress = self._atoms.get_stress(voigt=False)
                virials[k] = -self._atoms.get_volume() * np.trace(stress)
            for name, values in others.items():
                values.append(np.array(self._atoms.calc.get_property(name, self._atoms)))
        found = {name: np.array(values) for name, values in others.items()}
        return BeadAnswer(energies, forces, found, virials)


def bead_forces(provider: ForceProvider, atoms: Atoms) -> tuple[BeadForces, IpiDriver]:
    """Forces on the atoms, and what identifies them, once they were tried.

    Args:
        provider: of the forces.
        atoms: without constraints.

    Raises:
        StructureError, ModelFileError, ConfigError: if there are no forces for the atoms.
    """
    if isinstance(provider, ModelForces):
        evaluator = provider.evaluator(atoms, stacklevel=5)
        cell = atoms.cell.array.copy() if atoms.pbc.any() else None
        return ModelBeads(evaluator, cell), provider.driver_of(evaluator)
    driver = provider.ipi_driver(atoms)
    trial = atoms.copy()
    trial.calc = calculator = provider.calculator()
    if isinstance(calculator, WorkerCalculator):
        return WorkerBeads(trial, calculator), driver
    return CalculatorBeads(trial), driver
