"""The one seam behind ASE, i-PI and every runner: a model made ready for one list of atoms.

An `Evaluator` takes plain arrays of one or many replicas and returns fresh float64 arrays, on
whatever device and by whatever backend it runs.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from ase.symbols import Symbols

from mlpotential.errors import ConfigError, StructureError
from mlpotential.graph import AtomGraph, Prediction, check_structure
from mlpotential.inference.backend import TableError
from mlpotential.inference.calibration import Calibration, common_calibration
from mlpotential.inference.committee import (
    OF_COMMITTEES,
    Models,
    check_alike,
    combined,
    common_traits,
    members_of,
    needed_of_members,
)
from mlpotential.inference.execution import Backend, GuardMode
from mlpotential.inference.guard import ExtrapolationGuard
from mlpotential.inference.prepared_model import PreparedModel, say_once
from mlpotential.inference.replicas import Replicas
from mlpotential.inference.resident_forces import ResidentForces
from mlpotential.inference.structures import ConnectedStructures, Structures
from mlpotential.inference.torch_backend import checked_distances
from mlpotential.models.potential import (
    ModelTraits,
    Potential,
    lacking,
    unknown_property,
)
from mlpotential.models.readouts.atomwise import require_molecules
from mlpotential.models.torch_state import own_torch_state
from mlpotential.neighbors import split
from mlpotential.properties import OF_MOLECULES

PROPERTIES = frozenset(f.name for f in fields(Prediction)) - {"features", "scalars"}
OF_MOLECULES_IN_WORDS = {"spatial_extent": "spatial extent"}


class Evaluator:
    """Energies and derivatives of one list of atoms in many geometries.

    Args:
        model: a model file, one as loaded, or a potential (copied). Several, in a list or as a
            pattern of files (`runs/*/model.safetensors`), are a committee: all results are means.
        atomic_numbers: [n_atoms].
        pbc: periodic directions, [3] or one for all.
        device: auto (CUDA where there is one), cpu, cuda, cuda:N, or a device of torch.
        dtype: float32 or float64; None for the model's own. Distances, sums over atoms and all
            results are float64 in any case.
        backend: `reference`, the model itself in torch; for SchNet also `tabulated`, with filters
            from a table and a backward pass by hand, and the same compiled: `native` for the CPU,
            `cuda` for CUDA devices. These have an error that `table_error` states. `auto`: the
            fastest there is.
        threads: of the native backend: replicas are spread over them, or the atoms of one
            structure. 1 is best where cores are shared with others.
        guard: what happens where a structure is outside the data a model file was trained on:
            `warn` (once a run), `stop`, or `off`. A potential has no file, so nothing is checked.

    Attributes:
        guard: counts such structures, `guard.report`; a run begins with `guard.start_run()`.
        properties: what can be asked for: without what this model, or one by itself, lacks.
        calibration: of a committee whose files all hold it; its spreads are standard errors.
            None of any other.

    Raises:
        ModelFileError: if the file is no usable model.
        StructureError: if there are no atoms, an element the model does not know, or periodic
            directions with a model that has no cutoff.
        ConfigError: for an unknown device, dtype or backend, one that this model, device or
            installation does not have, or a senseless number of threads.
    """

    def __init__(
        self,
        model: Models,
        atomic_numbers: np.ndarray | Sequence[int],
        pbc: np.ndarray | Sequence[bool] | bool = False,
        device: str | torch.device = "auto",
        dtype: str | None = None,
        backend: Backend = "auto",
        threads: int = 1,
        guard: GuardMode = "warn",
    ) -> None:
        members = tuple(
            PreparedModel(member, device, dtype, backend, threads) for member in members_of(model)
        )
        check_alike(members)
        monitor = ExtrapolationGuard(guard, [member.domain for member in members])
        self._connect_to(members, atomic_numbers, pbc, monitor)
        say_once(str(self), logging.INFO)

    def __str__(self) -> str:
        """Which atoms are evaluated by what: `C20: native kernel (avx512), float32, 1 thread`."""
        formula = Symbols(self.atomic_numbers).get_chemical_formula()
        kind = "committee" if self.calibration is None else "calibrated committee"
        committee = f"{kind} of {self.n_members}, " if self.n_members > 1 else ""
        how = "; ".join(sorted({member.at_work for member in self._members}))
        place = "" if self.device.type == "cpu" else f", on {self.device}"
        return f"{formula}: {committee}{how}{place}"

    def for_atoms(
        self,
        atomic_numbers: np.ndarray | Sequence[int],
        pbc: np.ndarray | Sequence[bool] | bool = False,
    ) -> Evaluator:
        """An evaluator of other atoms with the same model, which is not prepared a second time.

        It belongs to the same run: it has the same guard.

        Args:
            atomic_numbers: [n_atoms].
            pbc: periodic directions, [3] or one for all.

        Raises:
            StructureError: as the class does.
        """
        return Evaluator._of(self._members, atomic_numbers, pbc, self.guard)

    def unwatched(self) -> Evaluator:
        """The same, of which no guard counts anything."""
        guard = ExtrapolationGuard("off", [])
        return Evaluator._of(self._members, self.atomic_numbers, self.pbc, guard)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies begin without a history; a deep copy shares the model, which never changes."""
        guard = copy.copy(self.guard)
        return Evaluator._of, (self._members, self.atomic_numbers, self.pbc, guard)

    @classmethod
    def _of(
        cls,
        members: tuple[PreparedModel, ...],
        atomic_numbers: np.ndarray | Sequence[int],
        pbc: np.ndarray | Sequence[bool] | bool,
        guard: ExtrapolationGuard,
    ) -> Evaluator:
        other = cls.__new__(cls)
        other._connect_to(members, atomic_numbers, pbc, guard)
        return other

    def _connect_to(
        self,
        members: tuple[PreparedModel, ...],
        atomic_numbers: np.ndarray | Sequence[int],
        pbc: np.ndarray | Sequence[bool] | bool,
        guard: ExtrapolationGuard,
    ) -> None:
        self.pbc = np.array(np.broadcast_to(np.asarray(pbc, bool), 3))
        self._is_periodic = bool(self.pbc.any())
        _check_atoms(np.asarray(atomic_numbers), self.pbc, members[0].potential)
        self.atomic_numbers = np.array(atomic_numbers, np.int64)
        self._members, self.guard = members, guard
        self.properties = _properties_of(members)
        self.calibration: Calibration | None = common_calibration(
            [member.calibration for member in members], [member.fingerprint for member in members]
        )
        self._replicas = Replicas(
            self.atomic_numbers, self.pbc, members[0].potential.cutoff, members[0].threads
        )

    @property
    def n_atoms(self) -> int:
        """Of one replica."""
        return len(self.atomic_numbers)

    @property
    def n_members(self) -> int:
        """How many models: 1, or those of a committee."""
        return len(self._members)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._members[0].device

    @property
    def dtype(self) -> str:
        """Of the network: float32 or float64."""
        return str(self._members[0].potential.dtype).removeprefix("torch.")

    @property
    def extra_networks(self) -> tuple[str, ...]:
        """Names of the networks whose energies are `extra_energies`."""
        return tuple(self._members[0].extras)

    @property
    def units(self) -> dict[str, str]:
        """Of what the model gives, by name."""
        return {name: row.unit for name, row in self._members[0].potential.rows.items()}

    @property
    def traits(self) -> ModelTraits:
        """What the model promises."""
        return common_traits([member.potential for member in self._members])

    @property
    def backend(self) -> str:
        """What evaluates: `reference`, `tabulated`, `native` or `cuda`."""
        return ", ".join(sorted({member.backend for member in self._members}))

    @property
    def table_error(self) -> TableError | None:
        """Of the tabulated filters, measured, the largest of all; None for the reference."""
        errors = [m.table_error for m in self._members if m.table_error is not None]
        if not errors:
            return None
        return TableError(max(e.filters for e in errors), max(e.slopes for e in errors))

    def evaluate(
        self,
        positions: np.ndarray,
        cells: np.ndarray | None = None,
        properties: Collection[str] = ("energy", "forces"),
    ) -> Prediction:
        """Evaluates all replicas at once.

        Args:
            positions: [n_replicas, n_atoms, 3] (A).
            cells: lattice vectors as rows, [n_replicas, 3, 3] (A); None for molecules.
            properties: any of energy, forces, virial, stress, atomic_energies, extra_energies;
                of a model with them also charges and, of molecules, dipole and born_charges; of
                a committee also energy_std, forces_std, member_energies and members.

        Returns:
            Fresh float64 NumPy arrays; atoms of all replicas follow each other: forces are
            [n_replicas * n_atoms, 3].

        Raises:
            StructureError: for wrong shapes, values that are not finite, a missing, singular or
                thin cell, two atoms in one place, or the dipole of a periodic structure;
                ExtrapolationError with guard `stop`.
            ConfigError: for an unknown property, or one that this model does not have.

        Warns:
            ExtrapolationWarning: once a run, with guard `warn`, of a structure outside the data
                that the model was trained on.
        """
        self._check_properties(properties, self._is_periodic)
        return self._predict(self._replicas.structures(positions, cells), properties)

    def evaluate_graph(
        self, graph: AtomGraph, properties: Collection[str] = ("energy", "forces")
    ) -> Prediction:
        """Evaluates any structures of known elements at once, whatever atoms this evaluator is of.

        Args:
            graph: one structure or many, with or without edges (they are searched anew).
            properties, Returns, Raises, Warns: as for `evaluate`.
        """
        self._check_properties(properties, periodic=bool(graph.pbc.any()))
        potential = self._members[0].potential
        for single in split(graph):
            cell = None if single.cell is None else single.cell[0].cpu().numpy()
            numbers, pbc = single.atomic_numbers.cpu().numpy(), single.pbc[0].cpu().numpy()
            _check_atoms(numbers, pbc, potential)
            check_structure(numbers, single.positions.cpu().numpy(), cell, pbc)
        return self._predict(ConnectedStructures(graph, potential.cutoff), properties)

    def _predict(self, structures: Structures, properties: Collection[str]) -> Prediction:
        """What all members give together; their outliers go to the guard."""
        monitored = bool(self.guard.checks)
        needed = properties if self.n_members == 1 else needed_of_members(properties)
        found = [member.predict(structures, needed, monitored) for member in self._members]
        if monitored:
            outliers = [of_member for _, of_member in found if of_member is not None]
            self.guard.assess(structures.n_graphs, outliers)
        predictions = [prediction for prediction, _ in found]
        if self.n_members == 1:
            return predictions[0]
        scales = {} if self.calibration is None else self.calibration.scales
        return combined(predictions, properties, scales)

    def resident(self, n_replicas: int, n_evaluations: int) -> ResidentForces:
        """Rounds of so many evaluations of so many replicas, which stay on a CUDA device.

        Raises:
            ConfigError: for a committee, a periodic or too large structure, and wherever the cuda
                backend does not evaluate all of the energy.
        """
        if self.n_members > 1:
            raise ConfigError("forces that stay on the device are of one model, not of a committee")
        if self._is_periodic:
            raise ConfigError(
                "forces that stay on the device are of molecules, not of a periodic cell"
            )
        only = self._members[0]
        return only.resident(self.atomic_numbers, self.guard, n_replicas, n_evaluations)

    def hessian(self, positions: np.ndarray, cell: np.ndarray | None = None) -> np.ndarray:
        """Exact second derivatives of the energy of one structure, by the reference.

        Args:
            positions: [n_atoms, 3] (A).
            cell: [3, 3] (A), or None for a molecule.

        Returns:
            Symmetric, [3 n_atoms, 3 n_atoms] (eV/A^2). Raises as `evaluate`.
        """
        return np.asarray(np.mean(self.member_hessians(positions, cell), axis=0, dtype=np.float64))

    @own_torch_state()
    def member_hessians(self, positions: np.ndarray, cell: np.ndarray | None = None) -> np.ndarray:
        """`hessian` of each model by itself, [n_members, 3 n_atoms, 3 n_atoms] (eV/A^2)."""
        structures = self._replicas.structures(
            np.asarray(positions)[None], None if cell is None else np.asarray(cell)[None]
        )
        graph = structures.graph.to(self.device)
        checked_distances(graph)
        hessians = [member.potential.hessian(graph).cpu().numpy() for member in self._members]
        return np.stack(hessians).astype(np.float64)

    @own_torch_state()
    def descriptors(self, positions: np.ndarray, cells: np.ndarray | None = None) -> np.ndarray:
        """What the network knows of each atom: its features before the readout, by the reference.

        They do not change when the structure moves, turns, or lists its atoms in another order.
        Whatever the backend is, the model itself computes them, in its dtype.

        Args:
            positions: [n_replicas, n_atoms, 3] (A).
            cells: as for `evaluate`.

        Returns:
            [n_replicas * n_atoms, n_features], float64. Raises as `evaluate`.

        Raises:
            ConfigError: for a committee, of which each member has features of its own.
        """
        if self.n_members > 1:
            raise ConfigError(
                "the models of a committee have no features in common: ask one of them alone"
            )
        graph = self._replicas.structures(positions, cells).graph.to(self.device)
        checked_distances(graph)
        found = self._members[0].potential(graph, ("features",)).features
        return found.to(torch.float64).cpu().numpy()

    def _check_properties(self, properties: Collection[str], periodic: bool) -> None:
        if self.properties.issuperset(properties):
            for name in OF_MOLECULES.intersection(properties) if periodic else ():
                require_molecules(periodic, OF_MOLECULES_IN_WORDS.get(name, "dipole moment"))
            return
        if not PROPERTIES.issuperset(properties):
            raise unknown_property(properties, sorted(PROPERTIES | self.properties))
        if self.n_members == 1 and OF_COMMITTEES.intersection(properties):
            names = ", ".join(sorted(OF_COMMITTEES.intersection(properties)))
            raise ConfigError(f"one model by itself has no {names}: give several models")
        raise lacking(set(properties) - self.properties)


def _properties_of(members: Sequence[PreparedModel]) -> frozenset[str]:
    common = frozenset.intersection(*(member.potential.properties for member in members))
    if "energy" in common:
        common |= {"extra_energies"} | (OF_COMMITTEES if len(members) > 1 else set())
    return common - {"features"}


def _check_atoms(atomic_numbers: np.ndarray, pbc: np.ndarray, potential: Potential) -> None:
    """Elements and periodicity against what the model knows. Raises StructureError."""
    from ase.data import chemical_symbols

    if atomic_numbers.ndim != 1 or atomic_numbers.dtype.kind not in "iuf":
        raise StructureError(
            f"atomic_numbers must be a list of whole numbers, not {atomic_numbers.tolist()!r}"
        )
    check_structure(atomic_numbers, np.zeros((len(atomic_numbers), 3)), None, np.zeros(3, bool))
    unknown = sorted({int(z) for z in atomic_numbers} - set(potential.elements))
    if unknown:
        known = ", ".join(chemical_symbols[z] for z in potential.elements)
        raise StructureError(
            f"the model does not know {', '.join(chemical_symbols[z] for z in unknown)}: "
            f"it was trained on {known}"
        )
    if pbc.any() and not potential.traits.periodic:
        raise StructureError(
            "the model has no cutoff, so it cannot be used with periodic boundaries: "
            "set pbc=False, or use a model with a cutoff"
        )
