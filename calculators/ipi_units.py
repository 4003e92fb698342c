"""Between i-PI's atomic units and the units of an `Evaluator`, with i-PI's own constants.

i-PI rounds its constants (angstrom 1.8897261 bohr, electronvolt 0.036749326 hartree), 1e-7 away
from CODATA. What i-PI prints in angstrom or electronvolt it converts back with the same numbers, so
with them a user reads what the model said.

- i-PI's cell h has the lattice vectors as columns; here they are rows: cell = h.T.
- i-PI's virial is -dU/dstrain in hartree, not divided by the volume: `Prediction.virial` as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ipi.utils.units import unit_to_internal

from mlpotential.errors import RunError, StructureError
from mlpotential.properties import PROPERTIES, unit_in_names

if TYPE_CHECKING:
    from mlpotential.graph import Prediction

BOHR_PER_ANGSTROM = unit_to_internal("length", "angstrom", 1.0)
HARTREE_PER_EV = unit_to_internal("energy", "electronvolt", 1.0)
# Not i-PI's own rounded "ev/ang": forces stay the exact derivative of the energy.
HARTREE_PER_BOHR_PER_EV_PER_ANGSTROM = HARTREE_PER_EV / BOHR_PER_ANGSTROM

OF_STRUCTURES = {name: PROPERTIES[name] for name in ("dipole_magnitude", "spatial_extent")}

_as_json = json.JSONEncoder(allow_nan=False).encode  # ASCII; json.dumps makes one for each call

Answer = tuple[float, np.ndarray, np.ndarray, str]
ReplicaArrays = Sequence[np.ndarray] | np.ndarray  # one array for each, or all in one


def check_n_atoms(sent: float, n_atoms: int) -> None:
    """Raises StructureError unless i-PI sent as many atoms as the structure file has."""
    if sent != n_atoms:
        raise StructureError(
            f"i-PI sent {sent:.10g} atoms, but the structure file has {n_atoms}: "
            "both must list the same atoms in the same order"
        )


def to_angstrom(positions_bohr: ReplicaArrays, n_atoms: int) -> np.ndarray:
    """Positions of all replicas as i-PI sends them.

    Args:
        positions_bohr: of each replica, [n_atoms, 3] or flat (bohr).
        n_atoms: how many atoms each must have.

    Returns:
        [n_replicas, n_atoms, 3] (A).

    Raises:
        StructureError: if a replica has another number of atoms.
    """
    for replica in positions_bohr:
        check_n_atoms(np.size(replica) / 3, n_atoms)
    stacked = np.array(positions_bohr, dtype=np.float64).reshape(-1, n_atoms, 3)
    return stacked / BOHR_PER_ANGSTROM


def cells_to_angstrom(h_bohr: ReplicaArrays) -> np.ndarray:
    """Vectors as columns, each [3, 3] (bohr) -> vectors as rows, [n_replicas, 3, 3] (A)."""
    columns = np.array(h_bohr, dtype=np.float64).reshape(-1, 3, 3)
    return columns.transpose(0, 2, 1) / BOHR_PER_ANGSTROM


def to_answers(
    prediction: Prediction, n_replicas: int, units: Mapping[str, str] | None = None
) -> list[Answer]:
    """What i-PI wants of each replica.

    Args:
        prediction: energy, forces, virial, atomic and extra energies of all replicas, and of a
            model that has them charges, dipoles and other outputs.
        n_replicas: how many.
        units: of named scalars.

    Returns:
        Of each replica: potential (hartree); forces, [n_atoms, 3] (hartree/bohr); virial,
        symmetric, [3, 3] (hartree); extras, a JSON object in ASCII with the energy, those of the
        atoms and those of the model's extra networks in eV, `dipole` (e bohr, as i-PI's own use of
        it wants it), `polarizability` (bohr^3), `charges` (e), other outputs with their unit in the
        name (`gap_eV`), and what a committee adds. The arrays are nobody else's: i-PI writes into
        the virial it is given.

    Raises:
        RunError: if a number is not finite. i-PI would carry it to the end and report success.
    """
    energy = np.asarray(prediction.energy, np.float64).reshape(n_replicas)
    forces = np.asarray(prediction.forces, np.float64).reshape(n_replicas, -1, 3)
    virial = np.asarray(prediction.virial, np.float64).reshape(n_replicas, 3, 3)
    virial = 0.5 * (virial + virial.transpose(0, 2, 1))
    atomic = np.asarray(prediction.atomic_energies, np.float64).reshape(n_replicas, -1)
    extras = {
        f"energy_of_{name}_eV": np.asarray(energies, np.float64)
        for name, energies in (prediction.extra_energies or {}).items()
    }
    checked = {"energy": energy, "forces": forces, "virial": virial, "atomic energies": atomic}
    outputs = _extras_of_outputs(prediction, n_replicas, units or {})
    for name, values in (checked | extras | outputs).items():
        _check_finite(name, values)
    return [
        (
            float(energy[k]) * HARTREE_PER_EV,
            forces[k] * HARTREE_PER_BOHR_PER_EV_PER_ANGSTROM,
            virial[k] * HARTREE_PER_EV,
            _as_json(
                {"energy_eV": float(energy[k]), "atomic_energies_eV": atomic[k].tolist()}
                | {name: float(energies[k]) for name, energies in extras.items()}
                | {name: values[k].tolist() for name, values in outputs.items()}
                | _committee_extras(prediction, k, n_replicas)
            ),
        )
        for k in range(n_replicas)
    ]


def _extras_of_outputs(
    prediction: Prediction, n_replicas: int, units: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """What there is of other outputs by name, each [n_replicas, ...]."""
    found = {}
    if prediction.dipole is not None:
        dipole = np.asarray(prediction.dipole, np.float64).reshape(n_replicas, 3)
        found["dipole"] = dipole * BOHR_PER_ANGSTROM
    if prediction.charges is not None:
        found["charges"] = np.asarray(prediction.charges, np.float64).reshape(n_replicas, -1)
    if prediction.polarizability is not None:
        alpha = np.asarray(prediction.polarizability, np.float64).reshape(n_replicas, 9)
        found["polarizability"] = alpha * BOHR_PER_ANGSTROM**3
    scalars = {name: (row.unit, getattr(prediction, name)) for name, row in OF_STRUCTURES.items()}
    scalars |= {name: (units[name], x) for name, x in (prediction.scalars or {}).items()}
    for name, (unit, values) in scalars.items():
        if values is not None:
            found[f"{name}_{unit_in_names(unit)}"] = np.asarray(values, np.float64).reshape(
                n_replicas
            )
    return found


def _committee_extras(prediction: Prediction, k: int, n_replicas: int) -> dict[str, Any]:
    """The members of a committee as i-PI's `ffcommittee` reads them, and their spread.

    Args:
        prediction: of a committee, or of one model, which adds nothing.
        k: the replica.
        n_replicas: how many there are.
    """
    if prediction.members is None:
        return {}

    def of_replica(values: np.ndarray, unit: float) -> list[float]:
        return (unit * values.reshape(n_replicas, -1)[k]).tolist()

    members = prediction.members
    virials = [0.5 * (m.virial + m.virial.transpose(0, 2, 1)) for m in members]
    per_force = HARTREE_PER_BOHR_PER_EV_PER_ANGSTROM
    return {
        "committee_pot": [float(m.energy[k]) * HARTREE_PER_EV for m in members],
        "committee_force": [of_replica(m.forces, per_force) for m in members],
        "committee_virial": [of_replica(virial, HARTREE_PER_EV) for virial in virials],
        "energy_std_eV": float(prediction.energy_std[k]),
        "forces_std_eV_per_angstrom": of_replica(prediction.forces_std, 1.0),
    }


def _check_finite(name: str, values: np.ndarray) -> None:
    """Raises RunError naming replica and, where there is one, atom of the first that is not."""
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        of_atoms = name in ("forces", "atomic energies", "charges")
        place = f"bead {bad[0][0]}" + (f", atom {bad[0][1]}" if of_atoms else "")
        raise RunError(
            f"the model gave {values[tuple(bad[0])]} in the {name} of {place}: the structure is "
            "far from all it was trained on. Look at the last frames; a smaller time step may help"
        )
