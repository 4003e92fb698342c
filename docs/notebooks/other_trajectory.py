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
# # Spectra of somebody else's trajectory
#
# The analysis needs no model, only a file: LAMMPS, CP2K, i-PI, H5MD, or any format that ASE
# reads. Here one is written first, as LAMMPS would; put the name of your own into `TRAJECTORY`
# and leave out the next two cells.

# %%
# %matplotlib inline
from pathlib import Path

import numpy as np
from ase import units
from ase.io import read
from ase.md.verlet import VelocityVerlet

from calculators import MLPotentialCalculator
from md_runs.analysis import find_spectrum_peaks, vibrational_density_of_states
from md_runs.analysis.sampling.frames import uniform_timestep_fs
from md_runs.ethanol import MODEL, STRUCTURE
from md_runs.figures.spectra import plot_spectrum
from md_runs.reading import read_run

TRAJECTORY = Path("dump.lammpstrj")
LENGTH_PS = 2.0  # resolution is the inverse of what is correlated: 2 ps allow about 30 1/cm

# %% [markdown]
# ## A file to read
#
# Ethanol at constant energy, a frame every 2 fs: the fastest vibration, 9 fs, needs at least
# two frames.

# %%
atoms = read(STRUCTURE)
atoms.calc = MLPotentialCalculator(MODEL)
random = np.random.default_rng(1)
velocities = random.normal(size=(len(atoms), 3)) * np.sqrt(
    units.kB * 600 / atoms.get_masses()[:, None]
)
atoms.set_velocities(velocities - atoms.get_masses() @ velocities / atoms.get_masses().sum())

# %%
types = {"C": 1, "H": 2, "O": 3}
dynamics = VelocityVerlet(atoms, 0.5 * units.fs)
with TRAJECTORY.open("w") as dump:
    for step in range(0, round(LENGTH_PS * 2000), 4):
        dump.write(f"ITEM: UNITS\nreal\nITEM: TIME\n{step * 0.5}\nITEM: TIMESTEP\n{step}\n")
        dump.write(f"ITEM: NUMBER OF ATOMS\n{len(atoms)}\nITEM: BOX BOUNDS ff ff ff\n")
        dump.write("-20 20\n" * 3 + "ITEM: ATOMS id type x y z vx vy vz\n")
        motion = np.hstack([atoms.positions, atoms.get_velocities() * units.fs])
        for i, (symbol, row) in enumerate(zip(atoms.symbols, motion, strict=True)):
            dump.write(f"{i + 1} {types[symbol]} {' '.join(f'{x:.8f}' for x in row)}\n")
        dynamics.run(4)

# %% [markdown]
# ## Reading it
#
# Nothing is guessed: this dump has types, so the elements must be told; a file without times
# needs `frame_interval_fs`, a dump without units `units="real"`. What is missing is said in one
# line.

# %%
trajectory = read_run(TRAJECTORY, elements=["C", "H", "O"])
interval_fs = uniform_timestep_fs(trajectory.times_fs)
print(
    f"{len(trajectory.times_fs)} frames of {len(trajectory.masses)} atoms, {interval_fs} fs apart"
)

# %% [markdown]
# ## The vibrational density of states
#
# The whole area is the number of vibrations, 3 N - 6 = 21, and that of a peak those it holds, where
# each vibration has its share of the energy: after 2 ps from random velocities none has. Lines are
# as wide as the resolution. One run has no error bars: give several, or pieces of a longer one.

# %%
spectrum = vibrational_density_of_states(
    [trajectory.velocities_angstrom_per_fs[:, 0]],
    [trajectory.positions[:, 0]],
    trajectory.masses,
    interval_fs,
)
print(f"resolution {spectrum.resolution_per_cm:.1f} 1/cm, {spectrum.n_modes} vibrations")
peaks = find_spectrum_peaks(spectrum)
for wavenumber, area in zip(peaks.wavenumbers_per_cm, peaks.areas, strict=True):
    print(f"{wavenumber:7.0f} 1/cm  {area:4.1f} of them")

# %%
plot_spectrum(spectrum, max_wavenumber_per_cm=4000).figure

# %% [markdown]
# On the command line, with equilibration, error bars over runs and checks: `md-runs vdos
# dump.lammpstrj --elements C H O --dynamics nve --by element`.
