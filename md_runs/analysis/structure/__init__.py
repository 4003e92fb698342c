"""Distributions of distances and angles, in molecules and in periodic cells, over beads."""
