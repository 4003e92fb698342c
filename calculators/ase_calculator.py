"""An ASE calculator over an `Evaluator`: units, arrays and errors are translated, nothing computed.

One evaluation of the model gives everything an `Atoms` object can ask for, so the order in which
properties are requested does not matter. ASE's own way to see what changed, copying and comparing
whole `Atoms`, takes about as long as the forces of a small molecule; here only the arrays that the
model sees are kept and compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from mlpotential.errors import StructureError
from mlpotential.graph import complete_cell
from mlpotential.inference.committee import Models, common_traits, read_members
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.execution import Backend, GuardMode
from mlpotential.inference.guard import ExtrapolationGuard
from mlpotential.models.potential import ModelTraits, Potential


class MLPotentialCalculator(Calculator):
    """Energies, forces and stress of a trained model.

    Args:
        model: a model file; units, elements and cutoff come from it. Or a potential, or a
            committee: a list or a pattern of model files.
        device: auto (CUDA where there is one), cpu, cuda or cuda:N.
        dtype: float32 or float64; None for the model's own. Results are float64 in any case.
        backend, threads, guard: as for `Evaluator`.

    Attributes:
        guard: counts structures outside the training data, over all atoms it was asked about; None
            before the first evaluation.

    Results: energy and free_energy (equal, eV), energies (eV per atom), forces (eV/A), and for
    periodic structures stress (Voigt order, eV/A^3, positive under tension). A model file with an
    extra network NAME also gives `calc.results["energy_of_NAME"]` (eV). All results of a committee
    are means; it also gives `calc.results["energy_std"]` (eV) and `["forces_std"]`, [n_atoms, 3]
    (eV/A), the standard deviations of its members.

    Raises:
        ModelFileError: if the file is no usable model.
        StructureError: on evaluation, for a structure no energy can be computed for.
        ConfigError: for a committee of one; on evaluation, for what else `Evaluator` refuses.

    Warns:
        ExtrapolationWarning: on evaluation, as `Evaluator` does.
    """

    implemented_properties: ClassVar[list[str]] = [  # type: ignore[misc]
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
        device: str = "auto",
        dtype: str | None = None,
        backend: Backend = "auto",
        threads: int = 1,
        guard: GuardMode = "warn",
    ) -> None:
        super().__init__()
        self._members = read_members(model)
        self._device, self._dtype = device, dtype
        self._backend, self._threads, self._guard_mode = backend, threads, guard
        self._evaluator: Evaluator | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the evaluator, which belongs to a device and is soon made anew."""
        return {**self.__dict__, "_evaluator": None}

    @property
    def traits(self) -> ModelTraits:
        """What the model promises."""
        return common_traits(
            [m if isinstance(m, Potential) else m.potential for m in self._members]
        )

    @property
    def guard(self) -> ExtrapolationGuard | None:
        """Counts structures outside the training data; None before the first evaluation."""
        return None if self._evaluator is None else self._evaluator.guard

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

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Evaluates the model once and stores all its results; raises as the class says."""
        atoms = self.atoms if atoms is None else atoms
        if atoms is None:
            raise StructureError(
                "the calculator has no atoms yet: give some, or ask atoms with atoms.calc set"
            )
        periodic = bool(atoms.pbc.any())
        if "stress" in properties and not periodic:
            raise PropertyNotImplementedError(
                "a structure without periodic directions has no volume, hence no stress"
            )
        self.reset()  # an evaluation that fails leaves nothing behind
        self.results = self._evaluate(atoms, periodic)
        self.atoms = atoms

    def _evaluate(self, atoms: Atoms, periodic: bool) -> dict[str, Any]:
        wanted = ("energy", "forces", "atomic_energies") + (("stress",) if periodic else ())
        cells = complete_cell(atoms.cell.array, atoms.pbc)[None] if periodic else None
        evaluator = self.evaluator_for(atoms)
        if evaluator.extra_networks:
            wanted += ("extra_energies",)
        if evaluator.n_members > 1:
            wanted += ("energy_std", "forces_std")
        prediction = evaluator.evaluate(atoms.positions[None], cells, wanted)
        energy = float(prediction.energy[0])
        results = {
            "energy": energy,
            "free_energy": energy,
            "energies": prediction.atomic_energies,
            "forces": prediction.forces,
        }
        if periodic:
            results["stress"] = full_3x3_to_voigt_6_stress(prediction.stress[0])
        for name, extra in (prediction.extra_energies or {}).items():
            results[f"energy_of_{name}"] = float(extra[0])
        if evaluator.n_members > 1:
            results["energy_std"] = float(prediction.energy_std[0])
            results["forces_std"] = prediction.forces_std
        return results

    def evaluator_for(self, atoms: Atoms) -> Evaluator:
        """The evaluator of this list of atoms, made anew only when elements or pbc change."""
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
                guard=self._guard_mode,
            )
        elif not (
            np.array_equal(known.atomic_numbers, atoms.numbers)
            and np.array_equal(known.pbc, atoms.pbc)
        ):
            known = known.for_atoms(atoms.numbers, atoms.pbc)
        self._evaluator = known
        return known


def _arrays(atoms: Atoms) -> dict[str, np.ndarray]:
    """All that the model sees, by the names of `Atoms` and of ASE's changes; no copies."""
    return {
        "positions": atoms.positions,
        "numbers": atoms.numbers,
        "cell": atoms.cell.array,
        "pbc": atoms.pbc,
    }
