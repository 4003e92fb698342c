"""Analysis of trajectories and Hessians: frozen results with units, parameters and error bars.

NumPy and SciPy only (and, for thermochemistry, ASE): importing it never imports torch.
"""
