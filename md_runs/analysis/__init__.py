"""Analysis of trajectories and Hessians: frozen results with units, parameters and error bars.

NumPy and SciPy only: importing it never imports torch.
"""
