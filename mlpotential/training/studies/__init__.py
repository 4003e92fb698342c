"""Many trainings for one answer: learning curves and sweeps over settings."""
