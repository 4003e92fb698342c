"""Inputs of real i-PI processes, and what they wrote."""

from __future__ import annotations

import contextlib
import socket

import numpy as np
from ase import Atoms

from calculators.ipi_units import BOHR_PER_ANGSTROM
from md_runs.pimd.ipi_process import ipi_process

N_BEADS = 4
WATER = Atoms("OHH", positions=[[0.0, 0.1, 0.2], [0.9, 0.2, -0.3], [-0.4, 0.8, 0.5]])


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def array_xml(name, values):
    numbers = ", ".join(repr(float(x)) for x in np.ravel(values))
    shape = ", ".join(map(str, np.shape(values)))
    return f"<{name} shape='({shape})'> [{numbers}] </{name}>"


def beads_xml(atoms, n_beads, seed=0):
    """Every bead somewhere else, at rest (atomic units)."""
    rng = np.random.default_rng(seed)
    places = BOHR_PER_ANGSTROM * atoms.positions.reshape(1, -1)
    q = places + rng.normal(scale=0.1, size=(n_beads, 3 * len(atoms)))
    names = ", ".join(atoms.symbols)
    return f"""<beads natoms='{len(atoms)}' nbeads='{n_beads}'>
      {array_xml("q", q)} {array_xml("p", 0.0 * q)}
      {array_xml("m", 1822.8885 * atoms.get_masses())}
      <names shape='({len(atoms)})'> [{names}] </names>
    </beads>"""


def system_xml(
    name, atoms=WATER, n_beads=N_BEADS, dynamics="", cell=None, pressure="", timestep_fs=0.25
):
    """One system of its own forces; nve where no dynamics is given."""
    cell = 20.0 * np.eye(3) if cell is None else cell
    dynamics = dynamics or "<dynamics mode='nve'> {timestep} </dynamics>"
    timestep = f"<timestep units='femtosecond'>{timestep_fs}</timestep>"
    return f"""<system prefix='{name}'>
    {beads_xml(atoms, n_beads)}
    {array_xml("cell", BOHR_PER_ANGSTROM * cell.T)}
    <forces> <force forcefield='{name}'/> </forces>
    <motion mode='dynamics'> <fixcom>False</fixcom> {dynamics.format(timestep=timestep)} </motion>
    <ensemble> <temperature units='kelvin'>300</temperature> {pressure} </ensemble>
  </system>"""


def input_xml(force_fields, systems, n_steps, stride=1, extras=True):
    extras_xml = """<trajectory filename='atomic' stride='1' extra_type='atomic_energies_eV'>
      extras </trajectory>"""
    return f"""<simulation verbosity='quiet' safe_stride='1000000' sockets_prefix='./ipi_'>
  <output prefix='sim'>
    <properties filename='out' stride='{stride}'>
      [step, conserved, potential, kinetic_cv, temperature{{kelvin}}, volume, cell_h, virial_md]
    </properties>
    {extras_xml if extras else ""}
  </output>
  <total_steps>{n_steps}</total_steps>
  <prng> <seed>7</seed> </prng>
  {force_fields}
  {systems}
</simulation>"""


def ffsocket(name, mode="unix", port=None, address=None, more=""):
    port_xml = "" if port is None else f"<port>{port}</port>"
    return f"""<ffsocket name='{name}' mode='{mode}' pbc='False'>
    <address>{address or name}</address> {port_xml} <timeout>30</timeout> {more}
  </ffsocket>"""


NVT = """<dynamics mode='nvt'> {timestep}
  <thermostat mode='pile_l'> <tau units='femtosecond'>5</tau> </thermostat> </dynamics>"""
FILES = ["--model", "none", "--structure", "water.xyz"]


@contextlib.contextmanager
def running_ipi(folder, xml):
    folder.mkdir(exist_ok=True)
    (folder / "input.xml").write_text(xml)
    with ipi_process("input.xml", folder) as process:
        yield process


def finish(process, folder):
    code = process.wait(240)
    assert code == 0, (folder / "i-pi.log").read_text()


def outputs(folder, name):
    """What one system wrote, by file."""
    found = {
        path.name.removeprefix(name): path.read_text() for path in folder.glob(f"{name}_sim.*")
    }
    assert "_sim.out" in found
    return found
