"""Training: configuration, loss, trainer, checkpoints, evaluation."""
