"""Beads of a short i-PI run and what i-PI says of them, for test_path_integral_peers.py.

    python make_ipi_path_integral_reference.py

writes ipi_path_integral.npz beside this file, in the environment of the tests. Made with i-PI
3.3.1: a water molecule whose atoms are bound by Morse potentials (`PAIRS`), 8 beads at 300 K, one
frame every 20 steps of 0.25 fs. Positions (A), forces (eV/A) and potentials (eV) are converted
from atomic units with i-PI's own rounded constants, energies too; masses are i-PI's, in amu.
"""

import os
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ipi.pes.dummy import Dummy_driver

__DRIVER_NAME__ = "morse_water"
__DRIVER_CLASS__ = "MorseWater"

# atoms i, j: well depth (hartree), width (1/bohr), length (bohr); chosen: as stiff as water
PAIRS = {(0, 1): (0.2, 1.2, 1.81), (0, 2): (0.2, 1.2, 1.81), (1, 2): (0.1, 0.9, 2.86)}
N_BEADS, N_FRAMES, STRIDE, TEMPERATURE_K = 8, 30, 20, 300.0
START = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])  # A


def morse(positions: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy and forces of positions [3, 3], atomic units."""
    energy, forces = 0.0, np.zeros_like(positions)
    for (i, j), (depth, width, length) in PAIRS.items():
        vector = positions[j] - positions[i]
        distance = np.linalg.norm(vector)
        decay = np.exp(-width * (distance - length))
        energy += depth * (1 - decay) ** 2
        pull = 2 * depth * width * decay * (1 - decay) * vector / distance
        forces[i] += pull
        forces[j] -= pull
    return energy, forces


class MorseWater(Dummy_driver):
    """The potential, as i-PI asks for it."""

    def compute(self, cell, pos):
        if isinstance(pos, list):
            return [self.compute(c, p) for c, p in zip(cell, pos, strict=True)]
        energy, forces = morse(np.asarray(pos).reshape(-1, 3))
        return energy, forces, np.zeros((3, 3)), "{}"


INPUT = f"""<simulation verbosity='quiet' threading='False'>
  <output prefix='simulation'/>
  <total_steps>1000000</total_steps>
  <prng><seed>11</seed></prng>
  <ffdirect name='model' pbc='False' threaded='False'>
    <pes>custom</pes> <pes_path>{Path(__file__).resolve()}</pes_path>
    <batch_size>{N_BEADS}</batch_size> <parameters>{{}}</parameters>
  </ffdirect>
  <system>
    <initialize nbeads='{N_BEADS}'>
      <file mode='xyz'>start.xyz</file>
      <velocities mode='thermal' units='kelvin'>{TEMPERATURE_K}</velocities>
    </initialize>
    <forces> <force forcefield='model'/> </forces>
    <motion mode='dynamics'>
      <fixcom>False</fixcom>
      <dynamics mode='nvt'>
        <timestep units='femtosecond'>0.25</timestep>
        <thermostat mode='pile_l'> <tau units='femtosecond'>20</tau> </thermostat>
      </dynamics>
    </motion>
    <ensemble> <temperature units='kelvin'>{TEMPERATURE_K}</temperature> </ensemble>
  </system>
</simulation>"""


def main() -> None:
    from ipi.scripting import InteractiveSimulation
    from ipi.utils.units import unit_to_user

    xyz = [f"{s} {x} {y} {z}" for s, (x, y, z) in zip("OHH", START, strict=True)]
    comment = "# CELL(abcABC): 50 50 50 90 90 90 positions{angstrom} cell{angstrom}"
    Path("start.xyz").write_text("\n".join(["3", comment, *xyz]) + "\n")
    simulation = InteractiveSimulation(INPUT)
    system = simulation.syslist[0]
    angstrom = unit_to_user("length", "angstrom", 1.0)
    ev = unit_to_user("energy", "electronvolt", 1.0)
    frames = []
    for _ in range(N_FRAMES):
        simulation.run(STRIDE, write_outputs=False)
        said = {
            name: system.properties[name][0]
            for name in (
                "kinetic_cv",
                "kinetic_cv(atom=1)",
                "kinetic_td",
                "kinetic_td(atom=0)",
                "r_gyration(atom=0)",
                "r_gyration(atom=2)",
                "isotope_tdfep(alpha=2;atom=1)",
                "isotope_scfep(alpha=2;atom=1)",
            )
        }
        frames.append(
            {
                "positions": np.array(system.beads.q).reshape(N_BEADS, 3, 3) * angstrom,
                "forces": np.array(system.forces.f).reshape(N_BEADS, 3, 3) * ev / angstrom,
                "potentials": np.array(system.forces.pots) * ev,
                "kinetic_cv": said["kinetic_cv"] * ev,
                "kinetic_cv_of_atom_1": said["kinetic_cv(atom=1)"] * ev,
                "kinetic_td": said["kinetic_td"] * ev,
                "kinetic_td_of_atom_0": said["kinetic_td(atom=0)"] * ev,
                "gyration_of_atoms_0_and_2": np.array(
                    [said["r_gyration(atom=0)"], said["r_gyration(atom=2)"]]
                )
                * angstrom,
                "log_weight_td": said["isotope_tdfep(alpha=2;atom=1)"][4],
                "log_weight_sc": said["isotope_scfep(alpha=2;atom=1)"][4],
            }
        )
    np.savez_compressed(
        Path(__file__).with_name("ipi_path_integral.npz"),
        masses=np.array(system.beads.m) * unit_to_user("mass", "dalton", 1.0),
        temperature_K=TEMPERATURE_K,
        version=version("ipi"),
        **{name: np.array([frame[name] for frame in frames]) for name in frames[0]},
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        main()
