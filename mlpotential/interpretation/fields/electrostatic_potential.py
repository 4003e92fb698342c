"""Electrostatic potentials of the latent charges that a model makes dipole moments of.

K. T. Schuett, M. Gastegger, A. Tkatchenko, K.-R. Mueller, "Quantum-chemical insights from
interpretable atomistic neural networks" (2019), doi:10.1007/978-3-030-28954-6_17, Eq. (7), with a
probe of +e,

    phi(r) = k_e sum_i q_i / |r - r_i|,   E(r) = -grad phi = k_e sum_i q_i (r - r_i) / |r - r_i|^3,

in V, which is eV per e, and in V/A. The charges were fitted to dipole moments alone, so far from a
molecule the potential is that of its dipole; near it, other charges would do as well.

Sign: a model that was trained on lengths of dipoles fits q and -q alike. The charges of such a
model are taken with the sign that makes hydrogen positive on average over water, ammonia, methane
and hydrogen fluoride, as far as it knows their elements: one sign for all that it ever sees.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms, units

from mlpotential.errors import ConfigError, StructureError
from mlpotential.interpretation.charge_sign import HYDRIDES, charge_sign, charges_of
from mlpotential.interpretation.fields.local_chemical_potential import check_elements, network_of
from mlpotential.models.model_file import LoadedModel
from mlpotential.models.potential import Potential, lacking

VOLT_ANGSTROM_PER_E = units.Hartree * units.Bohr  # k_e: e^2 / (4 pi eps_0 A) in eV
POINTS_AT_ONCE = 2**14  # chosen: bounds the memory


class ElectrostaticPotential:
    """Of point charges.

    Args:
        charges: [n_atoms] (e).
        positions: [n_atoms, 3] (A).

    Attributes:
        charges, positions: as given.
        sign: where that of the charges comes from, in words; of a model.
    """

    def __init__(self, charges: np.ndarray, positions: np.ndarray, sign: str = "") -> None:
        self.charges = np.asarray(charges, np.float64)
        self.positions = np.asarray(positions, np.float64)
        self.sign = sign

    @classmethod
    def of_model(
        cls, model: Potential | LoadedModel | str | Path, structure: Atoms
    ) -> ElectrostaticPotential:
        """Of the latent charges of a molecule.

        Raises:
            ConfigError: for a model without charges, or one whose sign cannot be told.
            StructureError: for a periodic structure, or an element that the model does not know.
            ModelFileError: for an unusable file.
        """
        potential = network_of(model)
        if "charges" not in potential.properties:
            raise lacking(["charges"])
        if structure.pbc.any():
            raise StructureError(
                "the potential of a crystal's charges depends on its surface, and is not computed: "
                "give a molecule, with pbc=False"
            )
        check_elements(structure, potential)
        sign = charge_sign(potential)
        if sign is None:
            raise ConfigError(
                "the model was trained on lengths of dipoles, so its charges have no sign, and "
                f"knows none of {', '.join(HYDRIDES)}, whose hydrogen is taken to be positive: "
                "train it with 'dipole:' below outputs:"
            )
        charges = sign.factor * charges_of(potential, structure)
        return cls(charges, structure.positions, sign.rule)

    def at(self, points: np.ndarray) -> np.ndarray:
        """phi; infinite on a charge. [n_points, 3] (A) -> [n_points] (V)."""
        return self._summed(points, with_directions=False)

    def field(self, points: np.ndarray) -> np.ndarray:
        """E = -grad phi. [n_points, 3] (A) -> [n_points, 3] (V/A)."""
        return self._summed(points, with_directions=True)

    def _summed(self, points: np.ndarray, with_directions: bool) -> np.ndarray:
        points = np.asarray(points, np.float64)
        parts = []
        for start in range(0, max(len(points), 1), POINTS_AT_ONCE):
            from_atoms = points[start : start + POINTS_AT_ONCE, None] - self.positions
            with np.errstate(divide="ignore", invalid="ignore"):
                inverse = 1.0 / np.linalg.norm(from_atoms, axis=-1)
                if with_directions:
                    parts.append(np.einsum("pa,pax->px", self.charges * inverse**3, from_atoms))
                else:
                    parts.append(inverse @ self.charges)
        return VOLT_ANGSTROM_PER_E * np.concatenate(parts)
