"""The files i-PI starts from: its XML, the first geometry, and a checkpoint made ready to go on.

All names in the XML but the driver's are relative to the run folder, where i-PI works.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms

from md_runs.pimd_settings import PimdRun
from mlpotential.errors import StructureError

PREFIX = "simulation"
GEOMETRY_NAME = "start.xyz"
PROPERTIES_NAME = f"{PREFIX}.out"
POSITIONS_GLOB = f"{PREFIX}.positions_*.extxyz"
CHECKPOINT_GLOB = f"{PREFIX}.checkpoint_*"
SOFT_EXIT_CHECKPOINT_NAME = "RESTART"  # i-PI's own name for the state at a soft exit

EXACT_FLOAT = "%24.16e"  # every float64 survives the checkpoint unchanged
MOLECULE_BOX = 1000.0  # A; i-PI demands a cell, and nobody looks at it where there is none


@dataclass(frozen=True)
class ForceProvider:
    """Who answers i-PI.

    Attributes:
        pes_path: file with the driver class, loaded by i-PI.
        parameters: what the driver class is made with.
        files: files to put into the run folder, by their name there.
        identity: what must be the same for a run to be continued.
    """

    pes_path: str
    parameters: Mapping[str, str]
    files: Mapping[str, Path] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)


def to_ipi_frame(atoms: Atoms) -> Atoms:
    """Elements, masses, positions and cell, turned to a along x and b in the xy plane.

    i-PI knows only such cells. A molecule stays where it is, without a cell.

    Raises:
        StructureError: for constraints, which i-PI would not see, or a left-handed cell.
    """
    if atoms.constraints:
        raise StructureError(
            "the structure has constraints, which a path-integral run does not keep: "
            "remove them (atoms.set_constraint())"
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


def geometry_xyz(atoms: Atoms) -> str:
    """First positions of all beads in i-PI's xyz format, to the last digit."""
    h = atoms.cell.array.T if atoms.pbc.any() else MOLECULE_BOX * np.eye(3)
    cell = " ".join(repr(float(x)) for x in h.ravel())
    lines = [str(len(atoms)), f"# CELL(H): {cell} positions{{angstrom}} cell{{angstrom}}"]
    for symbol, position in zip(atoms.symbols, atoms.positions, strict=True):
        lines.append(" ".join([symbol, *(repr(float(x)) for x in position)]))
    return "\n".join(lines) + "\n"


def input_xml(atoms: Atoms, settings: PimdRun, provider: ForceProvider) -> str:
    """The whole of i-PI's input for a run from the beginning."""
    root = ET.Element(
        "simulation",
        verbosity="low",
        threading="False",
        safe_stride=str(settings.stride),
        floatformat=EXACT_FLOAT,
    )
    root.append(_output(settings))
    _add(root, "total_steps", settings.n_steps)
    _add(_add(root, "prng"), "seed", settings.seed)
    root.append(_force_field(settings, provider))
    system = _add(root, "system")
    system.append(_initial_state(atoms, settings))
    _add(_add(system, "forces"), "force", forcefield="model")
    system.append(_motion(settings))
    _add(_add(system, "ensemble"), "temperature", settings.temperature_K, units="kelvin")
    return _to_text(root)


def continued_xml(checkpoint: ET.Element, settings: PimdRun, provider: ForceProvider) -> str:
    """A checkpoint with today's length of the run and today's driver."""
    total = checkpoint.find("total_steps")
    if total is None:
        total = _add(checkpoint, "total_steps")
    total.text = str(settings.n_steps)
    for old in checkpoint.findall("ffdirect"):
        checkpoint.remove(old)
    checkpoint.append(_force_field(settings, provider))
    return _to_text(checkpoint)


def _output(settings: PimdRun) -> ET.Element:
    """Checkpoints come last: once one is complete, so are the outputs up to its step.

    Each checkpoint is a file of its own (overwrite False): writing one never harms another.
    """
    output = ET.Element("output", prefix=PREFIX)
    properties = (
        "step, time{femtosecond}, conserved{electronvolt}, temperature{kelvin}, "
        "potential{electronvolt}, kinetic_cv{electronvolt}"
    )
    _add(
        output,
        "properties",
        f"[{properties}]",
        filename="out",
        stride=str(settings.properties_stride),
        flush="1",
    )
    # i-PI's plain xyz keeps six digits, its "ase" format eight decimals.
    _add(
        output,
        "trajectory",
        "positions",
        filename="positions",
        stride=str(settings.stride),
        format="ase",
        flush="1",
    )
    _add(
        output,
        "checkpoint",
        filename="checkpoint",
        stride=str(settings.checkpoint_stride),
        overwrite="False",
    )
    return output


def _force_field(settings: PimdRun, provider: ForceProvider) -> ET.Element:
    """All beads in one call, inside i-PI's main thread, positions never folded into a cell."""
    force_field = ET.Element("ffdirect", name="model", pbc="False", threaded="False")
    _add(force_field, "pes", "custom")
    _add(force_field, "pes_path", provider.pes_path)
    _add(force_field, "batch_size", settings.n_beads)
    parameters = ", ".join(f"{name}: {value}" for name, value in provider.parameters.items())
    _add(force_field, "parameters", f"{{{parameters}}}")
    return force_field


def _initial_state(atoms: Atoms, settings: PimdRun) -> ET.Element:
    """All beads in one place, thermal velocities; masses from ASE instead of i-PI's own table."""
    state = ET.Element("initialize", nbeads=str(settings.n_beads))
    _add(state, "file", GEOMETRY_NAME, mode="xyz")
    masses = ", ".join(repr(float(mass)) for mass in atoms.get_masses())
    _add(state, "masses", f"[{masses}]", mode="manual", units="dalton")
    _add(state, "velocities", settings.temperature_K, mode="thermal", units="kelvin")
    return state


def _motion(settings: PimdRun) -> ET.Element:
    motion = ET.Element("motion", mode="dynamics")
    _add(motion, "fixcom", settings.fix_center_of_mass)
    dynamics = _add(motion, "dynamics", mode="nvt")
    _add(dynamics, "timestep", settings.timestep_fs, units="femtosecond")
    thermostat = _add(dynamics, "thermostat", mode="pile_l")
    _add(thermostat, "tau", settings.thermostat_time_fs, units="femtosecond")
    return motion


def _add(parent: ET.Element, name: str, text: object = "", **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, name, attributes)
    child.text = str(text)
    return child


def _to_text(root: ET.Element) -> str:
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"
