"""Classical MD of C20 and its vibrational density of states beside the harmonic modes.

    python 03_vibrational_spectrum.py        (seconds; writes vdos.png)

Too short for conclusions: lengthen the runs for real ones. `md-runs c20` does all this with care.
"""

from pathlib import Path

from ase.io import read

from calculators import MLPotentialCalculator
from md_runs.analysis import normal_modes
from md_runs.analysis.sampling.frames import uniform_timestep_fs
from md_runs.analysis.spectra.density_of_states import vibrational_density_of_states
from md_runs.c20 import MODEL, STRUCTURE
from md_runs.classical.nve_segments import run_nve_segments
from md_runs.classical.run import run_classical
from md_runs.classical.settings import ClassicalRun
from md_runs.figures.spectra import plot_spectrum
from md_runs.relax import relax
from md_runs.trajectories.frames_file import read_trajectory
from mlpotential import Evaluator

atoms = read(STRUCTURE)
atoms.calc = MLPotentialCalculator(MODEL, dtype="float64")
atoms, _ = relax(atoms)
evaluator = Evaluator(MODEL, atoms.numbers, dtype="float64")
modes = normal_modes(evaluator.hessian(atoms.positions), atoms.get_masses(), atoms.positions)

atoms.calc = MLPotentialCalculator(MODEL)
settings = ClassicalRun(ensemble="langevin", temperature_K=300.0, n_steps=500, stride=10)
result = run_classical(atoms, settings, Path("example_nvt"))
print(f"mean temperature {result.mean_temperature_K} K")

thermal = read_trajectory(result.trajectory_file)
starts = [(thermal.positions[k, 0], thermal.velocities_angstrom_per_fs[k, 0]) for k in (30, 50)]
segments = run_nve_segments(
    atoms, starts, segment_steps=800, timestep_fs=0.5, stride=4, folder=Path("example_nve")
)
spectrum = vibrational_density_of_states(
    [s.velocities_angstrom_per_fs[:, 0] for s in segments],
    [s.positions[:, 0] for s in segments],
    thermal.masses,
    uniform_timestep_fs(segments[0].times_fs),
)
print(f"resolution {spectrum.resolution_per_cm:.1f} 1/cm, {spectrum.n_modes} modes")
plot_spectrum(spectrum, modes.wavenumbers_per_cm).figure.savefig("vdos.png")
