"""Training data for the ethanol model: GFN2-xTB energies, forces and dipoles along Langevin MD.

C. Bannwarth, S. Ehlert, S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019),
doi:10.1021/acs.jctc.8b01176, as the program tblite computes it (`pip install tblite`). Training and
validation set come from trajectories of their own:

    python -m md_runs.ethanol.training_data FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixCom
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.optimize import BFGS

TEMPERATURE_K = 500.0
TIMESTEP_FS = 1.0
STRIDE = 20  # steps between frames
EQUILIBRATION_STEPS = 2000
FRICTION_PER_FS = 0.01
SIZES = {"train": 1000, "validation": 100}


def make_training_data(folder: Path) -> None:
    """Writes ethanol_train.extxyz.gz and ethanol_validation.extxyz.gz (eV, eV/A, e A)."""
    for seed, (name, n_frames) in enumerate(SIZES.items()):
        frames = list(_sampled(n_frames, seed))
        write(folder / f"ethanol_{name}.extxyz.gz", frames, format="extxyz", write_results=True)


def relaxed_ethanol() -> Atoms:
    """The trans conformer at its minimum, with the calculator."""
    atoms = molecule("CH3CH2OH")
    atoms.calc = _gfn2()
    BFGS(atoms, logfile=None).run(fmax=1e-4, steps=500)
    return atoms


def _sampled(n_frames: int, seed: int) -> Iterator[Atoms]:
    """Frames of one trajectory, labelled at the rounded positions that are written."""
    atoms = relaxed_ethanol()
    random = np.random.default_rng(seed)
    thermalize_momenta(atoms, temperature_K=TEMPERATURE_K, rng=random)
    atoms.set_constraint(FixCom())
    dynamics = Langevin(
        atoms,
        TIMESTEP_FS * units.fs,
        temperature_K=TEMPERATURE_K,
        friction=FRICTION_PER_FS / units.fs,
        fixcm=False,
        rng=random,
    )
    dynamics.run(EQUILIBRATION_STEPS)
    for _ in range(n_frames):
        dynamics.run(STRIDE)
        yield _labelled(atoms)


def _labelled(atoms: Atoms) -> Atoms:
    centered = atoms.positions - atoms.get_center_of_mass()
    frame = Atoms(atoms.numbers, np.round(centered, 5))
    frame.calc = atoms.calc
    labels = {
        "energy": round(frame.get_potential_energy(), 6),
        "forces": np.round(frame.get_forces(), 5),
        "dipole": np.round(frame.get_dipole_moment(), 6),
    }
    frame.calc = SinglePointCalculator(frame, **labels)
    return frame


def _gfn2() -> Calculator:
    from tblite.ase import TBLite

    calculator: Calculator = TBLite(method="GFN2-xTB", verbosity=0)
    return calculator


if __name__ == "__main__":
    make_training_data(Path(sys.argv[1]))
