"""QM9 as reference data: labels and named scalars of `sets.qm9` in the units of this program."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlpotential.data.declared_units import DeclaredUnits
from mlpotential.data.raw_frame import LabelRequest
from mlpotential.data.reference_data import ReferenceData
from mlpotential.data.sets.qm9 import ANISOTROPY, QUANTITIES, isolated_atoms, load_qm9, unit_of
from mlpotential.data.structure_arrays import StructureArrays
from mlpotential.errors import DataError, nearest_name

# The quantity that stands for a label of `properties.LABELS`.
_LABELS = {"energy": "U0", "dipole_magnitude": "mu", "spatial_extent": "r2"}
_ENERGIES = ("U0", "U", "H", "G")
_ABSENT = {
    "forces": "it has no forces: train on energies alone (training.targets: energy)",
    "dipole": "it has the lengths of dipoles alone: ask for dipole_magnitude",
    "polarizability": "its tensors do not stand in the frame of the coordinates: ask for the "
    f"scalars alpha and {ANISOTROPY}",
}


def read_qm9(
    request: LabelRequest, units: DeclaredUnits, index: slice | Sequence[int] | None
) -> ReferenceData:
    """The molecules at these indices, all for None, with what was asked for.

    Energies are U0 or, by `energy_key`, U, H or G; `isolated_atoms` are those of the same quantity.

    Raises:
        DataError: if it is not installed, lacks what was asked for, or another unit was declared.
    """
    quantities = {label: _quantity(label, request, units) for label in request.properties}
    whole = load_qm9()
    n_molecules = len(whole.starts) - 1
    arrays = StructureArrays(
        atomic_numbers=whole.atomic_numbers,
        positions=whole.positions,
        starts=whole.starts,
        rows=np.arange(n_molecules),
        pbc=np.zeros((n_molecules, 3), bool),
        labels={label: whole.values(name) for label, name in quantities.items()},
    )
    atoms = isolated_atoms(quantities["energy"]) if "energy" in quantities else {}
    data = ReferenceData(arrays, "qm9", isolated_atoms=atoms)
    if index is None:
        return data
    return data.select(range(n_molecules)[index] if isinstance(index, slice) else index)


def _quantity(label: str, request: LabelRequest, units: DeclaredUnits) -> str:
    """The name in `sets.qm9.QUANTITIES` of a label."""
    if label in _ABSENT:
        raise DataError(f"qm9: {_ABSENT[label]}")
    name = request.keys.get(label) or _LABELS.get(label, label)
    known = _ENERGIES if label == "energy" else (*QUANTITIES, ANISOTROPY)
    if name not in known:
        raise DataError(
            f"qm9 has no {name!r}: known are {', '.join(known)}.{nearest_name(name, known)}"
        )
    if label == "energy":
        units.check_energy(unit_of(name), f"qm9 ({name})")
    elif units.labels[label] != unit_of(name):
        raise DataError(
            f"qm9 gives {name} in {unit_of(name)}, but {units.labels[label]!r} was declared: "
            f"declare the unit {unit_of(name)!r} of {label}"
        )
    return name
