"""Relax C20 with the shipped model and list its normal modes.

python 01_relax_and_modes.py        (seconds; prints a table, writes modes.json)
"""

from pathlib import Path

from ase.io import read

from calculators import MLPotentialCalculator
from md_runs.analysis import normal_modes
from md_runs.c20 import MODEL, STRUCTURE
from md_runs.relax import relax
from mlpotential import Evaluator

atoms = read(STRUCTURE)
atoms.rattle(0.05, seed=1)
atoms.calc = MLPotentialCalculator(MODEL, dtype="float64")
relaxed, how = relax(atoms, force_tolerance=1e-4)
print(f"{how.n_steps} steps, longest force {how.max_force:.1e} eV/A")

evaluator = Evaluator(MODEL, relaxed.numbers, dtype="float64")
hessian = evaluator.hessian(relaxed.positions)
modes = normal_modes(hessian, relaxed.get_masses(), relaxed.positions)
print(modes.table())
print(f"zero-point energy {modes.zero_point_energy:.3f} eV")
modes.save_json(Path("modes.json"))
