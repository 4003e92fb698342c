"""`mlpotential doctor`: what an installation has, and whether what a run needs works."""
