"""The mathematics of the networks: activations, radial bases, cutoffs, convolutions."""
