"""What happens in a step of training beside the loss: rates, processes, curvature."""
