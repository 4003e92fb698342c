"""What a network learned: fields around molecules, and what it makes of atoms."""
