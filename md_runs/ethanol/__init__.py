"""Ethanol: a small model of energy, forces and dipole, with the data it was trained on."""

from pathlib import Path

MODEL = Path(__file__).parent / "ethanol.safetensors"
STRUCTURE = Path(__file__).parent / "ethanol.xyz"
