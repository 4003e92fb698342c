"""Ethanol: a small model of energy, forces and dipole, with the data it was trained on."""
