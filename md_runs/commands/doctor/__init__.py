"""What `md-runs` adds to `mlpotential doctor`."""
