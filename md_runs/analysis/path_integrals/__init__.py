"""Energies, heat capacities, isotope effects and convergence of path-integral MD."""
