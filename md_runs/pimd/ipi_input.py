"""The files i-PI starts from: its XML, the first geometry, and a checkpoint made ready to go on.

All names in the XML but the driver's are relative to the run folder, where i-PI works.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import Atoms

from calculators.ipi_xml import NAME, add, ffdirect, to_text
from md_runs.force_provider import IpiDriver
from md_runs.pimd.settings import TRPMD_LAMBDA, PimdRun
from mlpotential.errors import StructureError

PREFIX = "simulation"
GEOMETRY_NAME = "start.xyz"
VELOCITIES_NAME = "start_velocities.xyz"
PROPERTIES_NAME = f"{PREFIX}.out"
POTENTIALS_NAME = f"{PREFIX}.potentials"
CHECKPOINT_GLOB = f"{PREFIX}.checkpoint_*"
SOFT_EXIT_CHECKPOINT_NAME = "RESTART"  # i-PI's own name for the state at a soft exit

EXACT_FLOAT = "%24.16e"  # every float64 survives the checkpoint unchanged
MOLECULE_BOX = 1000.0  # A; i-PI demands a cell, and nobody looks at it where there is none
NO_FRICTION_FS = 1e30  # exp(-timestep / friction time) is 1.0 to the last bit


@dataclass(frozen=True)
class Quantity:
    """What i-PI writes of every bead into a file of its own, with every frame.

    Attributes:
        word: i-PI's word for it.
        format: of atoms, i-PI's word for it, which implies the unit.
        ending: of the files, after the number of the bead.
    """

    word: Literal["positions", "velocities", "forces", "dipole", "polarizability"]
    format: Literal["ase", "xyz", "numbers"]
    ending: str

    @property
    def is_extra(self) -> bool:
        """Whether it is part of what the driver says beside forces."""
        return self.format == "numbers"


# i-PI's plain xyz keeps six digits, enough but for positions, and costs much less than its "ase".
POSITIONS = Quantity("positions", "ase", ".extxyz")
VELOCITIES = Quantity("velocities", "xyz", ".xyz")
FORCES = Quantity("forces", "xyz", ".xyz")
EXTRAS = (Quantity("dipole", "numbers", ""), Quantity("polarizability", "numbers", ""))


def recorded_quantities(settings: PimdRun, extras: Collection[str]) -> list[Quantity]:
    """What a run writes of every bead, but for its potential; `extras` are those of the driver."""
    wanted = {
        POSITIONS: True,
        VELOCITIES: settings.records_velocities,
        FORCES: settings.record_forces,
        **{extra: extra.word in extras for extra in EXTRAS},
    }
    return [quantity for quantity, is_wanted in wanted.items() if is_wanted]


@dataclass(frozen=True)
class RingPolymer:
    """Where the beads of a segment start.

    Attributes:
        positions: [n_beads, n_atoms, 3] (A).
        velocities: [n_beads, n_atoms, 3] (A / ASE time).
    """

    positions: np.ndarray
    velocities: np.ndarray


def to_ipi_frame(atoms: Atoms) -> Atoms:
    """Elements, masses, positions and cell, turned to a along x and b in the xy plane.

    i-PI knows only such cells. A molecule stays where it is, without a cell.

    Raises:
        StructureError: for constraints, which i-PI would not see, or a left-handed cell.
    """
    if atoms.constraints:
        names = ", ".join(dict.fromkeys(type(one).__name__ for one in atoms.constraints))
        raise StructureError(
            f"the structure has constraints ({names}), which a path-integral run does not keep "
            "(kinetic energies of ring polymers are those of all atoms): remove them "
            "(atoms.set_constraint()), or run classical MD, which keeps fixed atoms"
        )
    bare = Atoms(atoms.numbers, positions=atoms.positions, masses=atoms.get_masses())
    if not atoms.pbc.any():
        return bare
    cell = atoms.cell.complete()
    if cell.handedness != 1:
        raise StructureError("the cell is left-handed: exchange two of its vectors")
    standard, rotation = cell.standard_form()
    bare.positions = atoms.positions @ np.asarray(rotation).T
    bare.cell, bare.pbc = np.tril(standard), atoms.pbc  # rounding leaves 1e-17 above the diagonal
    return bare


def geometry_xyz(atoms: Atoms, positions: np.ndarray | None = None) -> str:
    """First positions in i-PI's xyz format, to the last digit.

    Args:
        atoms: elements and cell.
        positions: of every bead, [n_beads, n_atoms, 3] (A); None where all begin as `atoms`.
    """
    positions = atoms.positions[None] if positions is None else positions
    return "".join(
        _xyz_frame(atoms, bead, "positions{angstrom} cell{angstrom}") for bead in positions
    )


def velocities_xyz(atoms: Atoms, velocities: np.ndarray) -> str:
    """First velocities of every bead, [n_beads, n_atoms, 3] (A / ASE time), as `geometry_xyz`."""
    return "".join(_xyz_frame(atoms, bead, "velocities{ase} cell{angstrom}") for bead in velocities)


def _xyz_frame(atoms: Atoms, values: np.ndarray, units: str) -> str:
    h = atoms.cell.array.T if atoms.pbc.any() else MOLECULE_BOX * np.eye(3)
    cell = " ".join(repr(float(x)) for x in h.ravel())
    lines = [str(len(atoms)), f"# CELL(H): {cell} {units}"]
    for symbol, value in zip(atoms.symbols, values, strict=True):
        lines.append(" ".join([symbol, *(repr(float(x)) for x in value)]))
    return "\n".join(lines) + "\n"


def input_xml(
    atoms: Atoms, settings: PimdRun, driver: IpiDriver, has_velocities: bool = False
) -> str:
    """The whole of i-PI's input for a run from the beginning.

    Args:
        atoms: of the run.
        settings: of the run.
        driver: who gives i-PI the forces.
        has_velocities: begin with those in a file, not with thermal ones.
    """
    root = ET.Element(
        "simulation",
        verbosity="low",
        threading="False",
        safe_stride=str(settings.stride),
        floatformat=EXACT_FLOAT,
    )
    root.append(_output(settings, driver.extras))
    add(root, "total_steps", settings.n_steps)
    add(add(root, "prng"), "seed", settings.seed)
    root.append(_force_field(settings, driver))
    system = add(root, "system")
    system.append(_initial_state(atoms, settings, has_velocities))
    add(add(system, "forces"), "force", forcefield=NAME)
    system.append(_motion(settings))
    ensemble = add(system, "ensemble")
    add(ensemble, "temperature", settings.temperature_K, units="kelvin")
    if settings.moves_cell:
        add(ensemble, "pressure", settings.pressure_GPa, units="gigapascal")
    return to_text(root) + "\n"


def continued_xml(checkpoint: ET.Element, settings: PimdRun, driver: IpiDriver) -> str:
    """A checkpoint with today's length of the run and today's driver."""
    total = checkpoint.find("total_steps")
    if total is None:
        total = add(checkpoint, "total_steps")
    total.text = str(settings.n_steps)
    for old in checkpoint.findall("ffdirect"):
        checkpoint.remove(old)
    checkpoint.append(_force_field(settings, driver))
    return to_text(checkpoint) + "\n"


def _output(settings: PimdRun, extras: Collection[str]) -> ET.Element:
    """Checkpoints come last: once one is complete, so are the outputs up to its step.

    Each checkpoint is a file of its own (overwrite False): writing one never harms another.
    """
    output = ET.Element("output", prefix=PREFIX)
    properties = (
        "step, time{femtosecond}, conserved{electronvolt}, temperature{kelvin}, "
        "potential{electronvolt}, kinetic_cv{electronvolt}"
    )
    if settings.moves_cell:
        properties += ", volume{angstrom3}, pressure_cv{gigapascal}"
    add(
        output,
        "properties",
        f"[{properties}]",
        filename="out",
        stride=str(settings.properties_stride),
        flush="1",
    )
    every_frame = {"stride": str(settings.stride), "flush": "1"}
    if settings.record_forces:
        potentials = "[step, bead_potentials{electronvolt}]"
        add(output, "properties", potentials, filename="potentials", **every_frame)
    for quantity in recorded_quantities(settings, extras):
        kind = {"extra_type": quantity.word} if quantity.is_extra else {"format": quantity.format}
        add(
            output,
            "trajectory",
            "extras" if quantity.is_extra else quantity.word,
            filename=quantity.word,
            **kind,
            **every_frame,
        )
    add(
        output,
        "checkpoint",
        filename="checkpoint",
        stride=str(settings.checkpoint_stride),
        overwrite="False",
    )
    return output


def _force_field(settings: PimdRun, driver: IpiDriver) -> ET.Element:
    """All beads in one call, inside i-PI's main thread."""
    force_field = ffdirect(driver.pes_path, driver.parameters, settings.n_beads)
    force_field.set("threaded", "False")
    return force_field


def _initial_state(atoms: Atoms, settings: PimdRun, has_velocities: bool) -> ET.Element:
    """The first positions; masses from ASE instead of i-PI's own table."""
    state = ET.Element("initialize", nbeads=str(settings.n_beads))
    add(state, "file", GEOMETRY_NAME, mode="xyz")
    masses = ", ".join(repr(float(mass)) for mass in atoms.get_masses())
    add(state, "masses", f"[{masses}]", mode="manual", units="dalton")
    if has_velocities:
        add(state, "velocities", VELOCITIES_NAME, mode="xyz", units="ase")
    else:
        add(state, "velocities", settings.temperature_K, mode="thermal", units="kelvin")
    return state


def _motion(settings: PimdRun) -> ET.Element:
    motion = ET.Element("motion", mode="dynamics")
    add(motion, "fixcom", settings.fix_center_of_mass)
    constant_temperature = "npt" if settings.moves_cell else "nvt"
    mode = "nve" if settings.dynamics == "rpmd" else constant_temperature
    dynamics = add(motion, "dynamics", mode=mode)
    add(dynamics, "timestep", settings.timestep_fs, units="femtosecond")
    if settings.dynamics != "rpmd":
        is_free = settings.dynamics == "trpmd"
        variant = "pile_l" if is_free else settings.thermostat.replace("-", "_")
        thermostat = add(dynamics, "thermostat", mode=variant)
        friction_time = NO_FRICTION_FS if is_free else settings.thermostat_time_fs
        add(thermostat, "tau", friction_time, units="femtosecond")
        if is_free:
            add(thermostat, "pile_lambda", TRPMD_LAMBDA)
    if settings.moves_cell:
        dynamics.append(_barostat(settings))
    return motion


def _barostat(settings: PimdRun) -> ET.Element:
    """Isotropic, with a Langevin thermostat of its own.

    G. Bussi, T. Zykova-Timan, M. Parrinello, J. Chem. Phys. 130, 074101 (2009),
    doi:10.1063/1.3073889.
    """
    barostat = ET.Element("barostat", mode="isotropic")
    for parent in (barostat, add(barostat, "thermostat", mode="langevin")):
        add(parent, "tau", settings.barostat_fs, units="femtosecond")
    return barostat
