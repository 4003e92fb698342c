"""Two potentials beside each other."""
