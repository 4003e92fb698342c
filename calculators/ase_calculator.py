"""An ASE calculator over an `Evaluator`: units, arrays and errors are translated, nothing computed.

One evaluation of the model gives everything an `Atoms` object can ask for, so the order in which
properties are requested does not matter. ASE's own way to see what changed, copying and comparing
whole `Atoms`, takes about as long as the forces of a small molecule; here only the arrays that the
model sees are kept and compared.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from ase.vibrations import VibrationsData

from mlpotential.errors import StructureError
from mlpotential.graph import AtomGraph, Prediction, collate, complete_cell
from mlpotential.inference.calibration import Calibration, calibration_of
from mlpotential.inference.committee import Models, common_traits, read_members
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.execution import Backend, GuardMode
from mlpotential.inference.guard import ExtrapolationGuard
from mlpotential.models.potential import ModelTraits, Potential
from mlpotential.properties import OF_MOLECULES

BORN = "born_effective_charges"
OF_ENERGIES = ("energy", "free_energy", "energies", "forces", "stress")
# What an evaluator gives and ASE has another name for, or that costs several evaluations.
NOT_AMONG_RESULTS = frozenset({"virial", "born_charges", "extra_energies", "members"})


class MLPotentialCalculator(Calculator):
    """Energies, forces, stress and, of a model that has them, dipoles and charges.

    Args:
        model: a model file; units, elements and cutoff come from it. Or a potential, or a
            committee: a list or a pattern of model files.
        device: auto (CUDA where there is one), cpu, cuda, cuda:N, or a device of torch.
        dtype: float32 or float64; None for the model's own. Results are float64 in any case.
        backend, threads, guard: as for `Evaluator`.

    Attributes:
        guard: counts structures outside the training data, over all atoms it was asked about; None
            before the first evaluation.
        guard_mode: as it was given.

    Results: energy and free_energy (equal, eV), energies (eV per atom), forces (eV/A), and for
    periodic structures stress (Voigt order, eV/A^3, positive under tension). A model with a dipole
    also gives charges (latent: those whose dipole is fitted, e) and, for molecules, dipole (e A; of
    a charged one about the centre of mass) and, when asked for, born_effective_charges (e): element
    [i, a, b] is the derivative of dipole component a by coordinate b of atom i.

    Other outputs of a model are results by their names: polarizability (A^3), spatial_extent (A^2),
    dipole_magnitude (e A) and named scalars in the units that `result_units` states; see `Results`.
    A model without energies gives only those.

    A model file with an extra network NAME also gives `calc.results["energy_of_NAME"]` (eV). All
    results of a committee are means; it also gives `calc.results["energy_std"]` (eV) and
    `["forces_std"]`, [n_atoms, 3] (eV/A), the standard deviations of its members, which are
    standard errors where `mlpotential calibrate` has scaled them (`calibration` says how), and
    `["member_energies"]`, [n_members] (eV). See `Results`.

    Threads may share a calculator: what each asks for is of its own atoms, computed one by one.

    Raises:
        ModelFileError: if the file is no usable model.
        StructureError: on evaluation, for a structure no energy can be computed for.
        ConfigError: for a committee of one; on evaluation, for what else `Evaluator` refuses.

    Warns:
        ExtrapolationWarning: on evaluation, as `Evaluator` does.
    """

    implemented_properties: list[str] = [  # noqa: RUF012 - as ASE declares it; an instance has more
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]

    ignored_changes: ClassVar[set[str]] = {  # type: ignore[misc]
        "initial_charges",
        "initial_magmoms",
    }

    def __init__(
        self,
        model: Models,
        device: str | torch.device = "auto",
        dtype: str | None = None,
        backend: Backend = "auto",
        threads: int = 1,
        guard: GuardMode = "warn",
    ) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._members = read_members(model)
        common = frozenset.intersection(*(p.properties for p in self._potentials))
        self.implemented_properties = list(OF_ENERGIES) if "energy" in common else []
        known = {*OF_ENERGIES, "virial", "atomic_energies", "features", "born_charges"}
        self.implemented_properties += sorted(common - known)
        self.implemented_properties += [BORN] if "born_charges" in common else []
        self._device, self._dtype = device, dtype
        self._backend, self._threads, self.guard_mode = backend, threads, guard
        self._evaluator: Evaluator | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the evaluator, which belongs to a device and is soon made anew."""
        return {**self.__dict__, "_evaluator": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"_lock": threading.RLock()}

    @property
    def result_units(self) -> dict[str, str]:
        """Units of the results that ASE has no name for, and of dipoles and charges."""
        rows = self._potentials[0].rows
        return {name: rows[name].unit for name in self.implemented_properties if name in rows}

    @property
    def traits(self) -> ModelTraits:
        """What the model promises."""
        return common_traits(self._potentials)

    @property
    def cutoff(self) -> float | None:
        """Of the model, the longest of a committee (A); None where it has none."""
        cutoffs = [one.cutoff for one in self._potentials]
        found = [float(cutoff) for cutoff in cutoffs if cutoff is not None]
        return max(found) if found else None

    @property
    def dtype(self) -> str:
        """Of the network: float32 or float64."""
        return self._dtype or str(self._potentials[0].dtype).removeprefix("torch.")

    @property
    def _potentials(self) -> list[Potential]:
        return [m if isinstance(m, Potential) else m.potential for m in self._members]

    @property
    def guard(self) -> ExtrapolationGuard | None:
        """Counts structures outside the training data; None before the first evaluation."""
        return None if self._evaluator is None else self._evaluator.guard

    @property
    def n_members(self) -> int:
        """How many models: 1, or those of a committee."""
        return len(self._members)

    @property
    def calibration(self) -> Calibration | None:
        """Of a committee; None where there is none."""
        return calibration_of(self._members)

    @property
    def atoms(self) -> Atoms | None:
        """A fresh copy of what `results` are of: elements, positions, cell and pbc only."""
        return None if self._seen is None else Atoms(**self._seen)

    @atoms.setter
    def atoms(self, atoms: Atoms | None) -> None:
        self._seen = (
            None if atoms is None else {name: a.copy() for name, a in _arrays(atoms).items()}
        )

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """What changed since the last evaluation: any bit that did, or what exceeds `tol`."""
        if tol > 0.0:
            return super().check_state(atoms, tol)
        if self._seen is None:
            return list(all_changes)
        now = _arrays(atoms)
        # bytes: a tenth of the time of np.array_equal; -0.0 for 0.0 costs an evaluation
        return [name for name, a in self._seen.items() if a.tobytes() != now[name].tobytes()]

    def get_property(
        self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True
    ) -> Any:
        """As of every calculator; other threads wait."""
        with self._lock:
            return super().get_property(name, atoms, allow_calculation)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Evaluates the model once and stores all its results; raises as the class says.

        All but Born effective charges, which cost several evaluations: they come when asked for.
        """
        atoms = self._atoms_or_own(atoms)
        periodic = bool(atoms.pbc.any())
        if "stress" in properties and not _has_volume(atoms):
            raise PropertyNotImplementedError(
                "a structure without periodic directions, or with a cell vector missing, has no "
                "volume, hence no stress"
            )
        if periodic and (OF_MOLECULES | {BORN}).intersection(properties):
            raise PropertyNotImplementedError(
                "a periodic structure has no dipole and no spatial extent: they depend on which "
                "images of atoms are taken"
            )
        wants_born_charges = BORN in properties
        if not (wants_born_charges and self.results and not self.check_state(atoms)):
            self.reset()  # an evaluation that fails leaves nothing behind
            evaluator = self.evaluator_for(atoms)
            prediction = evaluator.evaluate(*_arguments(atoms), _wanted(evaluator, periodic))
            self.results = _results(prediction, 0, slice(None), _has_volume(atoms))
            self.atoms = atoms
        if wants_born_charges:
            evaluator = self.evaluator_for(atoms)
            born = evaluator.evaluate(*_arguments(atoms), ("born_charges",)).born_charges
            self.results[BORN] = born

    def calculate_batch(self, structures: Sequence[Atoms]) -> list[dict[str, Any]]:
        """All results of many structures, which may differ in everything, at once.

        Molecules make one batch, periodic structures another; the calculator's own `results` stay
        as they are.

        Args:
            structures: atoms the model knows.

        Returns:
            Of each, in their order, what `results` would be after `calculate`.

        Raises:
            StructureError: as the class says; the message counts structures within their batch.
        """
        answers: list[dict[str, Any]] = [{} for _ in structures]
        for periodic in (False, True):
            numbers = [k for k, atoms in enumerate(structures) if atoms.pbc.any() == periodic]
            if not numbers:
                continue
            graph = collate([AtomGraph.from_atoms(structures[k]) for k in numbers])
            evaluator = self._evaluator or self.evaluator_for(structures[numbers[0]])
            prediction = evaluator.evaluate_graph(graph, _wanted(evaluator, periodic))
            starts = np.cumsum([0, *(len(structures[k]) for k in numbers)])
            for index, k in enumerate(numbers):
                atoms = slice(starts[index], starts[index + 1])
                answers[k] = _results(prediction, index, atoms, _has_volume(structures[k]))
        return answers

    def get_hessian(self, atoms: Atoms | None = None) -> np.ndarray:
        """Exact second derivatives of the energy, symmetric, [3 n_atoms, 3 n_atoms] (eV/A^2).

        Constraints do not count.
        """
        atoms = self._atoms_or_own(atoms)
        positions, cells = _arguments(atoms)
        cell = None if cells is None else cells[0]
        return self.evaluator_for(atoms).hessian(positions[0], cell)

    def get_descriptors(self, atoms: Atoms | None = None) -> np.ndarray:
        """Features of each atom, [n_atoms, n_features], float64; see `Evaluator.descriptors`."""
        atoms = self._atoms_or_own(atoms)
        return self.evaluator_for(atoms).descriptors(*_arguments(atoms))

    def get_vibrations(self, atoms: Atoms | None = None) -> VibrationsData:
        """Harmonic vibrations about a minimum, from the exact Hessian.

        Atoms that FixAtoms or FixCartesian hold are left out, as ASE's own vibrations do.
        """
        atoms = self._atoms_or_own(atoms)
        free = VibrationsData.indices_from_constraints(atoms)
        rows = (3 * np.array(free, int)[:, None] + np.arange(3)).ravel()
        hessian = self.get_hessian(atoms)[np.ix_(rows, rows)]
        return VibrationsData.from_2d(atoms, hessian, indices=free)

    def _atoms_or_own(self, atoms: Atoms | None) -> Atoms:
        atoms = self.atoms if atoms is None else atoms
        if atoms is None:
            raise StructureError(
                "the calculator has no atoms yet: give some, or ask atoms with atoms.calc set"
            )
        return atoms

    def evaluator_for(self, atoms: Atoms) -> Evaluator:
        """The evaluator of this list of atoms, made anew only when elements or pbc change."""
        with self._lock:
            known = self._evaluator
            if known is None:
                known = Evaluator(
                    self._members if len(self._members) > 1 else self._members[0],
                    atoms.numbers,
                    atoms.pbc,
                    self._device,
                    self._dtype,
                    backend=self._backend,
                    threads=self._threads,
                    guard=self.guard_mode,
                )
            elif not (
                np.array_equal(known.atomic_numbers, atoms.numbers)
                and np.array_equal(known.pbc, atoms.pbc)
            ):
                known = known.for_atoms(atoms.numbers, atoms.pbc)
            self._evaluator = known
            return known


class Results(dict[str, Any]):
    """Results by name. What ASE has no name for is found by its own, but is none of the items.

    So `SinglePointCalculator(atoms, **results)` keeps what it knows, and refuses nothing.

    Attributes:
        extra: what ASE has no name for, such as `energy_std`.
    """

    def __init__(self, known: dict[str, Any], extra: dict[str, Any]) -> None:
        super().__init__(known)
        self.extra = extra

    def __missing__(self, name: str) -> Any:
        return self.extra[name]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self.extra

    def get(self, name: str, default: Any = None) -> Any:
        """As of every dictionary."""
        return super().get(name, self.extra.get(name, default))

    def __reduce__(self) -> tuple[Any, ...]:
        return Results, (dict(self), self.extra)


def _wanted(evaluator: Evaluator, periodic: bool) -> list[str]:
    """All that one evaluation gives."""
    without = NOT_AMONG_RESULTS | (OF_MOLECULES if periodic else {"stress"})
    extra = ["extra_energies"] if evaluator.extra_networks else []
    return [*sorted(evaluator.properties - without), *extra]


def _results(prediction: Prediction, k: int, atoms: slice, has_volume: bool) -> Results:
    """What ASE calls the results of structure `k`, whose atoms are `atoms`."""
    results: dict[str, Any] = {}
    if prediction.energy is not None:
        energy = float(prediction.energy[k])
        results = {
            "energy": energy,
            "free_energy": energy,
            "energies": prediction.atomic_energies[atoms],
            "forces": prediction.forces[atoms],
        }
    if prediction.stress is not None and has_volume:
        results["stress"] = full_3x3_to_voigt_6_stress(prediction.stress[k])
    if prediction.charges is not None:
        results["charges"] = prediction.charges[atoms]
    if prediction.dipole is not None:
        results["dipole"] = prediction.dipole[k]
    extra: dict[str, Any] = {
        f"energy_of_{name}": float(energies[k])
        for name, energies in (prediction.extra_energies or {}).items()
    }
    for name in ("dipole_magnitude", "polarizability", "spatial_extent"):
        if (values := getattr(prediction, name)) is not None:
            extra[name] = values[k]
    extra |= {name: float(values[k]) for name, values in (prediction.scalars or {}).items()}
    if prediction.energy_std is not None:
        extra["energy_std"] = float(prediction.energy_std[k])
        extra["forces_std"] = prediction.forces_std[atoms]
        extra["member_energies"] = prediction.member_energies[k]
    return Results(results, extra)


def _has_volume(atoms: Atoms) -> bool:
    """Whether there is a cell, and no vector of it is missing."""
    return bool(atoms.pbc.any() and atoms.cell.array.any(axis=1).all())


def _arguments(atoms: Atoms) -> tuple[np.ndarray, np.ndarray | None]:
    """Positions and cells of one replica, as an evaluator takes them."""
    periodic = bool(atoms.pbc.any())
    cells = complete_cell(atoms.cell.array, atoms.pbc)[None] if periodic else None
    return atoms.positions[None], cells


def _arrays(atoms: Atoms) -> dict[str, np.ndarray]:
    """All that the model sees, by the names of `Atoms` and of ASE's changes; no copies."""
    return {
        "positions": atoms.positions,
        "numbers": atoms.numbers,
        "cell": atoms.cell.array,
        "pbc": atoms.pbc,
    }
