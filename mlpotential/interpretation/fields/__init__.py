"""Potentials around molecules and in crystals, on surfaces and in planes."""
