"""Molecular dynamics and path-integral MD runs, their trajectories, analysis and figures."""
