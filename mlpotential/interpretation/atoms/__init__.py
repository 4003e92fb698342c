"""What a model says of atoms in structures: their energies and charges, rings, pairs, features."""
