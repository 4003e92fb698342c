"""Potentials: the base that makes energies and forces, the models built on it, model files."""
