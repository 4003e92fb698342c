"""Calculators of anybody, by their names: made in processes of their own, and used to label."""
