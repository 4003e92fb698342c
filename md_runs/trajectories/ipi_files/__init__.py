"""The output files of i-PI: which there are, their numbers, and both as a `Trajectory`."""
