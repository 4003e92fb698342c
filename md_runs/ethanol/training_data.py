"""Training data for the ethanol model: GFN2-xTB energies, forces and dipoles.

Frames of classical Langevin MD, beads of path-integral MD, and some of these stretched away from
their centroid, or with two hydrogen atoms pushed together. The zero-point motion of hydrogen takes
beads far beyond what any classical run visits; what a model makes up just beyond its data can hold
them there, so the data goes on farther than they do. Frames near rest, about both conformers and
the saddle between them, have a weight, for the forces there are small. Training and validation set
come from trajectories of their own:

    python -m md_runs.ethanol.training_data FOLDER
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixCom, FixInternals
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.optimize import BFGS

from md_runs.analysis.vibrations.normal_modes import NormalModes, normal_modes
from md_runs.analysis.vibrations.training_geometries import (
    positions_near_minimum,
    stretched_from_centroid,
)
from md_runs.ethanol.gfn2 import gfn2
from md_runs.force_provider import CalculatorForces
from md_runs.hessian import hessian_by_finite_differences
from md_runs.pimd import run_pimd
from md_runs.pimd.settings import PimdRun
from mlpotential.errors import RunError

GFN2 = "md_runs.ethanol.gfn2:gfn2"
TEMPERATURE_K = 500.0
TIMESTEP_FS = 1.0
STRIDE = 20  # steps between frames
EQUILIBRATION_STEPS = 2000
FRICTION_PER_FS = 0.01

N_BEADS = 16
BEAD_TIMESTEP_FS = 0.5
BEAD_STRIDE = 40
BEAD_EQUILIBRATION_FRAMES = 10
STALL_LIMIT_S = 60.0
STRETCHED_BEADS = 4  # of every ring polymer in training
SQUEEZED_BEADS = 2
SQUEEZED_ANGSTROM = (0.8, 1.4)  # between two hydrogen atoms of one carbon atom
GEMINAL_HYDROGEN = ((4, 5), (6, 7), (6, 8), (7, 8))
LARGEST_FORCE = 20.0  # eV/A; chosen: that of the beads; a few larger ones rule all training
STRETCH = 1.7  # chosen: of a bead's displacement from the centroid

HYDROXYL_TORSION = (0, 1, 2, 3)  # C-C-O-H
STATIONARY_DEGREES = {"trans": 180.0, "gauche": 61.0, "saddle": 122.0}  # about, before relaxing
SOFTEST_PER_CM = 350.0  # the two torsions lie below; all else above
LARGEST_ANGSTROM = 0.25  # of a torsion
NEAR_REST_TEMPERATURE_K = 10.0  # of all other modes
# Chosen: squared forces there are a fiftieth of those at 500 K, energies differ by little as well.
NEAR_REST_WEIGHTS = {"weight": 10.0, "energy_weight": 10.0}
NEWTON_STEPS = 10
REST_FORCE = 1e-4  # eV/A
SOFTEST_CURVATURE = 1e-4  # of the stiffest: below it lie rigid motions


@dataclass(frozen=True)
class Sampling:
    """What a set consists of.

    Attributes:
        n_classical: frames of Langevin MD.
        n_ring_polymers: frames of path-integral MD, each of `N_BEADS` structures.
        bead_temperature_K: of the latter.
        n_near_rest: frames about each conformer and the saddle.
    """

    n_classical: int
    n_ring_polymers: int
    bead_temperature_K: float
    n_near_rest: int


SETS = {
    "train": Sampling(1000, 100, bead_temperature_K=500.0, n_near_rest=300),
    "validation": Sampling(100, 10, bead_temperature_K=300.0, n_near_rest=30),
    "test_near_minimum": Sampling(0, 0, bead_temperature_K=300.0, n_near_rest=30),
}


def make_training_data(folder: Path) -> None:
    """Writes a file ethanol_<set>.extxyz.gz for each of `SETS` (eV, eV/A, e A)."""
    for seed, (name, sampling) in enumerate(SETS.items()):
        beads = list(_beads(sampling, seed)) if sampling.n_ring_polymers else []
        moving = list(_classical_frames(sampling, seed)) if sampling.n_classical else []
        frames = [*moving, *beads, *_near_rest(sampling, seed)]
        if name == "train":
            pushed = [*_stretched(beads), *_squeezed(beads, seed)]
            frames += [a for a in pushed if np.abs(a.get_forces()).max() < LARGEST_FORCE]
        write(folder / f"ethanol_{name}.extxyz.gz", frames, format="extxyz", write_results=True)


def relaxed_ethanol() -> Atoms:
    """The trans conformer at its minimum, with the calculator."""
    atoms = molecule("CH3CH2OH")
    atoms.calc = gfn2()
    BFGS(atoms, logfile=None).run(fmax=1e-4, steps=500)
    return atoms


def _classical_frames(sampling: Sampling, seed: int) -> Iterator[Atoms]:
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
    for _ in range(sampling.n_classical):
        dynamics.run(STRIDE)
        yield _labelled(atoms)


def _beads(sampling: Sampling, seed: int) -> Iterator[Atoms]:
    """All beads of the frames of one path-integral run, labelled as the classical frames."""
    atoms = relaxed_ethanol()
    settings = PimdRun(
        n_steps=BEAD_STRIDE * (BEAD_EQUILIBRATION_FRAMES + sampling.n_ring_polymers),
        n_beads=N_BEADS,
        temperature_K=sampling.bead_temperature_K,
        timestep_fs=BEAD_TIMESTEP_FS,
        stride=BEAD_STRIDE,
        seed=seed,
    )
    bare = Atoms(atoms.numbers, atoms.positions)
    with tempfile.TemporaryDirectory() as folder:
        run = run_pimd(bare, CalculatorForces(GFN2), settings, folder, stall_limit_s=STALL_LIMIT_S)
    for ring_polymer in run.trajectory.positions[1 + BEAD_EQUILIBRATION_FRAMES :]:
        for positions in ring_polymer:
            atoms.positions = positions
            yield _labelled(atoms)


def _stretched(beads: list[Atoms]) -> Iterator[Atoms]:
    """Some beads of every ring polymer, farther from its centroid."""
    atoms = beads[0].copy()
    atoms.calc = gfn2()
    for start in range(0, len(beads), N_BEADS):
        positions = np.stack([bead.positions for bead in beads[start : start + N_BEADS]])
        stretched = stretched_from_centroid(positions, STRETCH)
        for bead in stretched[:: N_BEADS // STRETCHED_BEADS]:
            atoms.positions = bead
            yield _labelled(atoms)


def _squeezed(beads: list[Atoms], seed: int) -> Iterator[Atoms]:
    """Some beads with two of their hydrogen atoms pushed together."""
    random = np.random.default_rng(seed)
    atoms = beads[0].copy()
    atoms.calc = gfn2()
    for bead in beads[:: N_BEADS // SQUEEZED_BEADS]:
        atoms.positions = bead.positions
        first, second = random.choice(GEMINAL_HYDROGEN)
        atoms.set_distance(first, second, random.uniform(*SQUEEZED_ANGSTROM))
        yield _labelled(atoms)


def _near_rest(sampling: Sampling, seed: int) -> Iterator[Atoms]:
    """About both conformers and the saddle: far along the torsions, little along all else."""
    random = np.random.default_rng(seed)
    for degrees in STATIONARY_DEGREES.values():
        atoms, modes = stationary_point(degrees)
        for positions in positions_near_minimum(
            modes,
            sampling.n_near_rest,
            softest_per_cm=SOFTEST_PER_CM,
            largest_angstrom=LARGEST_ANGSTROM,
            temperature_K=NEAR_REST_TEMPERATURE_K,
            random=random,
        ):
            atoms.positions = positions
            yield _labelled(atoms, **NEAR_REST_WEIGHTS)


def stationary_point(hydroxyl_degrees: float) -> tuple[Atoms, NormalModes]:
    """The stationary point next to a C-C-O-H torsion, a minimum or a saddle, and its modes.

    Relaxed with that torsion held, then by Newton's method: x - H^+ dE/dx, without rigid motions.
    """
    atoms = relaxed_ethanol()
    atoms.set_dihedral(*HYDROXYL_TORSION, hydroxyl_degrees, indices=[HYDROXYL_TORSION[-1]])
    held = [hydroxyl_degrees, list(HYDROXYL_TORSION)]
    atoms.set_constraint(FixInternals(dihedrals_deg=[held]))
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=500)
    atoms.set_constraint()
    for _ in range(NEWTON_STEPS):
        hessian = hessian_by_finite_differences(atoms).hessian
        if np.abs(atoms.get_forces()).max() < REST_FORCE:
            return atoms, normal_modes(hessian, atoms.get_masses(), atoms.positions)
        step = np.linalg.pinv(hessian, rcond=SOFTEST_CURVATURE) @ atoms.get_forces().ravel()
        atoms.positions += step.reshape(-1, 3)
    raise RunError(f"no stationary point next to a torsion of {hydroxyl_degrees:g} degrees")


def _labelled(atoms: Atoms, **weights: float) -> Atoms:
    centered = atoms.positions - atoms.get_center_of_mass()
    frame = Atoms(atoms.numbers, np.round(centered, 5))
    frame.calc = atoms.calc
    labels = {
        "energy": round(frame.get_potential_energy(), 6),
        "forces": np.round(frame.get_forces(), 5),
        "dipole": np.round(frame.get_dipole_moment(), 6),
    }
    frame.calc = SinglePointCalculator(frame, **labels)
    frame.info |= {name: weights.get(name, 1.0) for name in NEAR_REST_WEIGHTS}
    return frame


if __name__ == "__main__":
    make_training_data(Path(sys.argv[1]))
