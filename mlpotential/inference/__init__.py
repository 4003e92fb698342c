"""The evaluator: one fast way to energies, forces and Hessians, behind every calculator."""
