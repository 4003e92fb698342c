"""The C20 fullerene: a trained model, its data, and the study of the SchNet paper on it."""

from pathlib import Path

MODEL = Path(__file__).parent / "c20.safetensors"
STRUCTURE = Path(__file__).parent / "c20.xyz"
