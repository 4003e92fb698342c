"""Potentials: the base that turns atomic quantities into energy and forces, its models, model files."""
