"""Atom-centred symmetry functions: how they are written, proposed for elements, and evaluated."""
