"""The table of what a potential gives of a structure and what reference data can say of it.

A new property is a row here, a field of `graph.Prediction` and, with reference data, of
`graph.AtomGraph`. Readers, batches, losses, errors, files and reports loop over the table, and over
named scalars: any other name, of one number per structure in a unit that is declared for it. They
have rows, too (`scalar`), and live in `scalars` of the same classes. Free of torch.

A label NAME besides energy and forces has its unit declared as `NAME_unit` and its key in a file as
`NAME_key`. It is learned where the outputs of a model name it, and stress, which is a derivative of
the energy, where the loss has a weight for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mlpotential.units import (
    ANGSTROM2_PER_AREA_UNIT,
    ANGSTROM3_PER_POLARIZABILITY_UNIT,
    E_ANGSTROM_PER_DIPOLE_UNIT,
    EV_PER_ANGSTROM3_PER_PRESSURE_UNIT,
)


@dataclass(frozen=True)
class Property:
    """One quantity.

    Attributes:
        name: of the fields that hold it.
        per: whether there is one value per structure or per atom, along the first axis.
        shape: of one value; None where it is that of the architecture.
        unit: of its numbers in this program.
        derivative: the variable of the derivative of the energy (or of the dipole) that it is.
        of: the readout that it comes from: "energy", "charges", or one of its own; features are of
            the "representation", without any.
        of_molecules: periodic structures have none.
        keys: names in data files under which a label is looked for when none is given; empty for
            what reference data do not have.
        npz_keys: the same in NumPy archives.
        declared_units: factors to `unit` by the names that can be declared; empty for labels whose
            unit follows from those of energy and length.
    """

    name: str
    per: Literal["graph", "atom"]
    shape: tuple[int, ...] | None
    unit: str
    derivative: Literal["positions", "strain"] | None = None
    of: str = "energy"
    of_molecules: bool = False
    keys: tuple[str, ...] = ()
    npz_keys: tuple[str, ...] = ()
    declared_units: Mapping[str, float] = field(default_factory=dict)

    @property
    def unit_in_names(self) -> str:
        """The unit as it stands in the names of columns."""
        return unit_in_names(self.unit)

    def array_shape(self, n_atoms: int, n_graphs: int) -> tuple[int, ...]:
        """[n_atoms or n_graphs, ...]: the shape of an array of it."""
        assert self.shape is not None, f"the shape of {self.name} depends on the architecture"
        return (n_graphs if self.per == "graph" else n_atoms, *self.shape)


def unit_in_names(unit: str) -> str:
    """A unit as it stands in the names of columns: `eV/A` is `eV_per_angstrom`."""
    spelt = unit.replace("Angstrom", "A").replace("A", "angstrom")
    return spelt.replace("/", "_per_").replace(" ", "_").replace("^", "")


_ROWS = (
    Property(
        "energy", "graph", (), "eV", keys=("energy", "REF_energy"), npz_keys=("E", "energies")
    ),
    Property(
        "forces",
        "atom",
        (3,),
        "eV/A",
        derivative="positions",
        keys=("forces", "REF_forces"),
        npz_keys=("F", "forces"),
    ),
    Property("virial", "graph", (3, 3), "eV", derivative="strain"),
    Property(
        "stress",
        "graph",
        (3, 3),
        "eV/A^3",
        derivative="strain",
        keys=("stress", "REF_stress"),
        npz_keys=("stress", "stresses"),
        declared_units=EV_PER_ANGSTROM3_PER_PRESSURE_UNIT,
    ),
    Property("atomic_energies", "atom", (), "eV"),
    Property("features", "atom", None, "", of="representation"),
    Property(
        "dipole",
        "graph",
        (3,),
        "e A",
        of="charges",
        of_molecules=True,
        keys=("dipole", "REF_dipole"),
        npz_keys=("D", "dipoles"),
        declared_units=E_ANGSTROM_PER_DIPOLE_UNIT,
    ),
    Property("charges", "atom", (), "e", of="charges"),
    Property(
        "born_charges", "atom", (3, 3), "e", derivative="positions", of="charges", of_molecules=True
    ),
    Property(
        "dipole_magnitude",
        "graph",
        (),
        "e A",
        of="charges",
        of_molecules=True,
        keys=("dipole_magnitude",),
        npz_keys=("dipole_magnitude",),
        declared_units=E_ANGSTROM_PER_DIPOLE_UNIT,
    ),
    Property(
        "polarizability",
        "graph",
        (3, 3),
        "A^3",
        of="polarizability",
        keys=("polarizability", "REF_polarizability"),
        npz_keys=("polarizability", "polarizabilities"),
        declared_units=ANGSTROM3_PER_POLARIZABILITY_UNIT,
    ),
    Property(
        "spatial_extent",
        "graph",
        (),
        "A^2",
        of="spatial_extent",
        of_molecules=True,
        keys=("spatial_extent",),
        npz_keys=("spatial_extent",),
        declared_units=ANGSTROM2_PER_AREA_UNIT,
    ),
)
PROPERTIES = {row.name: row for row in _ROWS}
LABELS = {name: row for name, row in PROPERTIES.items() if row.keys}
# Labels with a unit, a readout and a weight in the loss of their own.
OWN_LABELS = {name: row for name, row in LABELS.items() if row.declared_units}
OF_CHARGES = frozenset(name for name, row in PROPERTIES.items() if row.of == "charges")
OF_MOLECULES = frozenset(name for name, row in PROPERTIES.items() if row.of_molecules)
OF_DIPOLES = ("dipole", "dipole_magnitude")  # outputs that are made of charges
SCALARS = "scalars"  # the name under which all named scalars have a weight in a loss


def scalar(name: str, unit: str = "") -> Property:
    """The row of a named scalar, in its unit in this program."""
    return Property(name, "graph", (), unit, of=name, keys=(name,), npz_keys=(name,))


def label_row(name: str) -> Property:
    """The row of a label: that of the table, or of a named scalar."""
    return LABELS.get(name) or scalar(name)
