"""What LAMMPS leaves behind: dumps, logs and data files, and a dump as a `Trajectory`."""
