"""How far do bonds of C20 spread at 300 K, with classical and with quantum nuclei?

    python 04_path_integral.py        (seconds; writes bonds.png)

Both runs go through a real i-PI process, with 1 and with 8 beads. Too short for conclusions.
"""

from pathlib import Path

from ase.io import read

from md_runs.analysis.structure.distances import bonded_pairs, distance_distribution
from md_runs.c20 import MODEL, STRUCTURE
from md_runs.figures.distributions import plot_distributions
from md_runs.pimd import run_pimd
from md_runs.pimd.settings import PimdRun

atoms = read(STRUCTURE)
bonds = bonded_pairs(atoms.positions, n_bonds_per_atom=3)
distributions = []
for n_beads in (1, 8):
    settings = PimdRun(n_steps=240, n_beads=n_beads, temperature_K=300.0, stride=4)
    run = run_pimd(atoms, MODEL, settings, Path(f"example_{n_beads}_beads"))
    positions = run.trajectory.positions[20:]  # the first 40 fs are not yet thermal
    bond = distance_distribution(positions, bonds, "bond length")
    distributions.append(bond)
    print(f"{n_beads} beads: bonds {bond.mean} A, spread {bond.standard_deviation} A")
plot_distributions(*distributions).figure.savefig("bonds.png")
