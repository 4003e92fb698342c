# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # C20: normal modes, classical and quantum nuclei
#
# The fullerene of the SchNet paper (Schütt et al., J. Chem. Phys. 148, 241722 (2018)) with the
# model that comes with the package. Everything here takes seconds: the runs are too short for
# conclusions. `md-runs c20` does the same at length, with checks and error bars.

# %%
# %matplotlib inline
from pathlib import Path

from ase.io import read

from calculators import MLPotentialCalculator
from md_runs.analysis import normal_modes
from md_runs.analysis.structure.distances import nearest_neighbor_distribution, size_distributions
from md_runs.c20 import MODEL, STRUCTURE
from md_runs.figures.distributions import plot_distributions
from md_runs.pimd import run_pimd
from md_runs.pimd.settings import PimdRun
from md_runs.relax import relax
from mlpotential import Evaluator

LENGTH_PS = 0.2  # of each run: 20 and more for numbers to believe in
FOLDER = Path("c20_notebook")

# %% [markdown]
# ## At rest
#
# The relaxed structure, and the wavenumbers of its 54 vibrations from the exact Hessian of the
# network.

# %%
atoms = read(STRUCTURE)
atoms.calc = MLPotentialCalculator(MODEL, dtype="float64")
atoms, how = relax(atoms)
print(f"{how.n_steps} steps, longest force {how.max_force:.1e} eV/A")

evaluator = Evaluator(MODEL, atoms.numbers, dtype="float64")
modes = normal_modes(evaluator.hessian(atoms.positions), atoms.get_masses(), atoms.positions)
print(modes.table())
print(f"zero-point energy {modes.zero_point_energy:.3f} eV")

# %% [markdown]
# ## At 300 K
#
# A ring polymer of one bead is classical Langevin dynamics; one of eight beads has quantum
# nuclei. The folders continue where they are: with a greater `LENGTH_PS`, this cell adds what
# is missing.

# %%
runs = {}
for n_beads in (1, 8):
    settings = PimdRun(
        n_steps=round(LENGTH_PS * 1000 / 0.5), n_beads=n_beads, timestep_fs=0.5, engine="native"
    )
    runs[n_beads] = run_pimd(atoms, MODEL, settings, FOLDER / f"{n_beads}_beads")

# %% [markdown]
# ## How far atoms spread
#
# Zero-point motion broadens the bonds; the molecule as a whole hardly grows. Without an error
# bar a difference says nothing: the band is one standard error, from blocks of the run.

# %%
spread = {}
for n_beads, run in runs.items():
    positions = run.trajectory.positions[:]
    positions = positions[len(positions) // 5 :]  # the first fifth warms up
    spread[n_beads] = (
        nearest_neighbor_distribution(positions, 3),
        *size_distributions(positions, atoms.get_masses()),
    )
    for distribution in spread[n_beads]:
        print(f"{n_beads} beads: {distribution.mean} A, spread {distribution.standard_deviation} A")

# %%
plot_distributions(spread[1][0], spread[8][0]).figure

# %%
plot_distributions(spread[1][1], spread[8][1]).figure
