"""Analysis of trajectories and Hessians: frozen results with units, parameters and error bars.

NumPy and SciPy only (and, for thermochemistry, ASE): importing it never imports torch. `CONTENTS`
is the table of contents; every name in it can be imported from here, and its module is read then:

    from md_runs.analysis import normal_modes, vibrational_density_of_states
"""

from __future__ import annotations

from mlpotential.lazy_names import lazy_names

CONTENTS = {
    "sampling.correlation": ("autocorrelation",),
    "sampling.equilibration": ("detect_equilibration",),
    "sampling.uncertainty": ("Estimate", "block_average", "block_bootstrap"),
    "vibrations.normal_modes": (
        "NormalModes",
        "compare_frequencies",
        "normal_modes",
        "read_normal_modes",
    ),
    "vibrations.point_groups": ("near_misses", "point_group"),
    "vibrations.irreps": ("mode_symmetries",),
    "vibrations.mode_intensities": (
        "infrared_intensities",
        "raman_intensities",
        "stokes_intensities",
    ),
    "vibrations.mode_comparison": ("compare_modes",),
    "vibrations.quasi_harmonic": ("quasi_harmonic_modes",),
    "vibrations.thermochemistry": (
        "ideal_gas_thermochemistry",
        "vibrational_thermochemistry",
    ),
    "vibrations.stick_spectra": ("stick_spectrum",),
    "spectra.density_of_states": ("decomposed_density_of_states", "vibrational_density_of_states"),
    "spectra.infrared": ("infrared_spectrum", "infrared_spectrum_of_flux"),
    "spectra.infrared_parts": ("infrared_parts",),
    "spectra.raman": ("raman_spectra", "stokes_spectrum"),
    "spectra.peaks": ("find_spectrum_peaks",),
    "spectra.spectrum_corrections": ("without_difference_damping", "without_verlet_shift"),
    "structure.distances": (
        "antipodal_pairs",
        "bonded_pairs",
        "distance_distribution",
        "nearest_neighbor_distribution",
        "size_distributions",
    ),
    "structure.angle_distributions": ("angle_distribution", "dihedral_distribution"),
    "structure.rdf": ("pair_distribution", "radial_distributions"),
    "structure.mean_square_displacement": ("mean_square_displacements",),
    "structure.structure_factor": ("debye_structure_factors", "structure_factors"),
    "structure.distribution_difference": ("distribution_difference",),
    "path_integrals.energies": (
        "path_integral_energies",
        "primitive_kinetic_energy",
        "recorded_energies",
    ),
    "path_integrals.perturbed_path_integrals": (
        "perturbed_distance_distribution",
        "perturbed_energies",
    ),
    "path_integrals.bead_convergence": ("bead_convergence",),
    "path_integrals.imaginary_time": ("imaginary_time_spread",),
    "path_integrals.isotope_effects": (
        "isotope_effect_from_potentials",
        "isotope_effect_from_springs",
    ),
}

__getattr__ = lazy_names(__name__, CONTENTS)
