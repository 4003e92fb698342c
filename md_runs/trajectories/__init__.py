"""Trajectories of any origin as one type, `Trajectory`: readers, writers, streamed frame arrays."""
