"""LAMMPS: a pair style around the compiled kernel, built on the user's machine, over MPI.

`plugin/` is its source (C++; it is compiled where LAMMPS is, whose licence is GPL 2), `build.py`
compiles it, and `export.py` writes what it reads. Nothing here imports torch or LAMMPS.
"""
