"""What a network learned: potentials around molecules, what it makes of atoms, its parameters."""
