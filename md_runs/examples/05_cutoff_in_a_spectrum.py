"""Vibrational spectra of one molecule by several models, and where its O-H stretch lies in each.

    python 05_cutoff_in_a_spectrum.py                       (the shipped ethanol; a minute)
    python 05_cutoff_in_a_spectrum.py --start aspirin.xyz all_pairs=a.safetensors 5A=b.safetensors

Each model relaxes the start structure and gives its harmonic modes, a run with Langevin thermostat
at 300 K, and NVE segments from frames of it, whose velocities give the density of states. The same
command goes on where it was stopped; lengths have options, see --help.
"""

from argparse import ArgumentParser
from pathlib import Path

import numpy as np
from ase.io import read
from matplotlib import pyplot

from calculators import MLPotentialCalculator
from md_runs.analysis import normal_modes
from md_runs.analysis.sampling.frames import uniform_timestep_fs
from md_runs.analysis.sampling.uncertainty import mean_of_blocks
from md_runs.analysis.spectra.density_of_states import decomposed_density_of_states
from md_runs.classical.nve_segments import run_nve_segments
from md_runs.classical.run import run_classical
from md_runs.classical.settings import ClassicalRun
from md_runs.ethanol import MODEL, STRUCTURE
from md_runs.figures.spectra import plot_spectrum
from md_runs.relax import relax
from md_runs.trajectories.frames_file import read_trajectory
from mlpotential import Evaluator

parser = ArgumentParser(description="Spectra of one molecule by several models.")
parser.add_argument("models", nargs="*", default=[f"ethanol={MODEL}"], help="NAME=MODEL each")
parser.add_argument("--start", type=Path, default=STRUCTURE, help="structure to relax")
parser.add_argument("--folder", type=Path, default=Path("spectra"))
parser.add_argument("--segments", type=int, default=8, help="NVE segments of a model")
parser.add_argument("--segment-ps", type=float, default=4.0, help="length of each")
options = parser.parse_args()

TIMESTEP_FS, STRIDE, SKIPPED_PS, APART_PS = 0.5, 4, 2.0, 1.0
OXYGEN_HYDROGEN = 2700.0, 4200.0  # 1/cm: where a hydrogen of O-H has no other mode

models = dict(entry.split("=", 1) for entry in options.models)
figure, panels = pyplot.subplots(len(models), squeeze=False, figsize=(7, 3 * len(models)))
for panel, (name, model) in zip(panels[:, 0], models.items(), strict=True):
    folder = options.folder / name
    atoms = read(options.start)
    atoms.calc = MLPotentialCalculator(model, dtype="float64")
    atoms, _ = relax(atoms)
    hessian = Evaluator(model, atoms.numbers, dtype="float64").hessian(atoms.positions)
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
    distances = np.where(atoms.numbers == 8, atoms.get_all_distances(), np.inf).min(axis=1)
    hydroxyl = int(np.argmin(np.where(atoms.numbers == 1, distances, np.inf)))
    harmonic = modes.wavenumbers_per_cm[np.argmax(np.sum(modes.modes[:, hydroxyl] ** 2, axis=-1))]

    atoms.calc = MLPotentialCalculator(model)
    length_ps = SKIPPED_PS + APART_PS * (options.segments - 1)
    n_steps = round(1000 * length_ps / TIMESTEP_FS)
    warm = run_classical(atoms, ClassicalRun(n_steps=n_steps, stride=200), folder / "nvt")
    thermal = read_trajectory(warm.trajectory_file)
    frames = np.linspace(SKIPPED_PS, length_ps, options.segments) * 1000 / TIMESTEP_FS / 200
    segments = run_nve_segments(
        atoms,
        [
            (thermal.positions[k, 0], thermal.velocities_angstrom_per_fs[k, 0])
            for k in np.round(frames).astype(int)
        ],
        segment_steps=round(1000 * options.segment_ps / TIMESTEP_FS / STRIDE) * STRIDE,
        timestep_fs=TIMESTEP_FS,
        stride=STRIDE,
        folder=folder / "nve",
    )
    spectrum = decomposed_density_of_states(
        [segment.velocities_angstrom_per_fs[:, 0] for segment in segments],
        [segment.positions[:, 0] for segment in segments],
        thermal.masses,
        uniform_timestep_fs(segments[0].times_fs),
        ["O-H" if atom == hydroxyl else "others" for atom in range(len(atoms))],
        temperature_K=None,
    )
    wavenumbers = spectrum.total.wavenumbers_per_cm
    stretch = (wavenumbers > OXYGEN_HYDROGEN[0]) & (wavenumbers < OXYGEN_HYDROGEN[1])
    heights = spectrum.blocks[list(spectrum.labels).index("O-H")][:, stretch]
    centre = mean_of_blocks(heights @ wavenumbers[stretch] / heights.sum(axis=1))
    print(
        f"{name}: O-H stretch {harmonic:.0f} 1/cm harmonic, {centre} 1/cm at 300 K, "
        f"resolution {spectrum.total.resolution_per_cm:.0f}"
    )
    right = 1.1 * modes.wavenumbers_per_cm.max()
    plot_spectrum(spectrum.total, modes.wavenumbers_per_cm, panel, right)
    panel.set_title(name, loc="right")
figure.tight_layout()
figure.savefig("spectra.png", dpi=150)
print("spectra.png")
