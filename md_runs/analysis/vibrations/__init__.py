"""Normal modes: point groups and symmetry labels, intensities, thermochemistry, comparison."""
