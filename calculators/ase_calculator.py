"""An ASE calculator over an `Evaluator`: units, arrays and errors are translated, nothing computed.

One evaluation of the model gives everything an `Atoms` object can ask for, so the order in which
properties are requested does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from mlpotential.graph import complete_cell
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.model_file import load_model
from mlpotential.models.potential import ModelTraits, Potential


class MLPotentialCalculator(Calculator):
    """Energies, forces and stress of a trained model.

    Args:
        model: a model file; units, elements and cutoff come from it. Or a potential.
        device: auto (CUDA where there is one), cpu, cuda or cuda:N.
        dtype: float32 or float64; None for the model's own. Results are float64 in any case.

    Results: energy and free_energy (equal, eV), energies (eV per atom), forces (eV/A), and for
    periodic structures stress (Voigt order, eV/A^3, positive under tension).

    Raises:
        ModelFileError: if the file is no usable model.
        StructureError: on evaluation, for a structure no energy can be computed for.
    """

    implemented_properties: ClassVar[list[str]] = [  # type: ignore[misc]
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]

    def __init__(
        self, model: Potential | str | Path, device: str = "auto", dtype: str | None = None
    ) -> None:
        super().__init__()
        self._potential = model if isinstance(model, Potential) else load_model(model).potential
        self._device, self._dtype = device, dtype
        self._evaluator: Evaluator | None = None

    @property
    def traits(self) -> ModelTraits:
        """What the model promises."""
        return self._potential.traits

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Evaluates the model once and stores all its results; raises as the class says."""
        super().calculate(atoms, properties, system_changes)
        structure = self.atoms
        assert structure is not None  # `super().calculate` keeps the atoms it was given
        periodic = bool(structure.pbc.any())
        if "stress" in properties and not periodic:
            raise PropertyNotImplementedError(
                "a structure without periodic directions has no volume, hence no stress"
            )
        evaluator = self.evaluator_for(structure)
        wanted = ("energy", "forces", "atomic_energies") + (("stress",) if periodic else ())
        cell = complete_cell(np.asarray(structure.cell), structure.pbc)
        prediction = evaluator.evaluate(
            structure.positions[None], cell[None] if periodic else None, wanted
        )
        results: dict[str, Any] = {
            "energy": float(prediction.energy[0]),
            "free_energy": float(prediction.energy[0]),
            "energies": prediction.atomic_energies,
            "forces": prediction.forces,
        }
        if periodic:
            results["stress"] = full_3x3_to_voigt_6_stress(prediction.stress[0])
        self.results = results

    def evaluator_for(self, atoms: Atoms) -> Evaluator:
        """The evaluator of this list of atoms, made anew only when elements or pbc change."""
        known = self._evaluator
        if (
            known is None
            or not np.array_equal(known.atomic_numbers, atoms.numbers)
            or not np.array_equal(known.pbc, atoms.pbc)
        ):
            known = Evaluator(self._potential, atoms.numbers, atoms.pbc, self._device, self._dtype)
            self._evaluator = known
        return known
