"""From features of atoms to energies, charges and other quantities."""
