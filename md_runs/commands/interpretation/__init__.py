"""`md-runs interpret`: fields around a molecule, averaged over its runs."""
