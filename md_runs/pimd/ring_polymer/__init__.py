"""Ring polymers in this process: integrator, thermostats, files and restarts of our own.

Positions x and momenta p of the beads become mass-weighted normal modes, q = C x sqrt(m) and
C p / sqrt(m), for which all atoms have one equation. Kinetic energies are then sums of squares.
"""
