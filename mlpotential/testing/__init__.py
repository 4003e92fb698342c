"""Checks to run against your own potentials and ASE calculators: each raises AssertionError.

`potentials` checks models of this package, `calculators` and `cells` any ASE calculator;
`tiny_schnet` makes a small model to run something with.

Arguments mean the same in all checks. Of calculators: `factory`, a function without arguments that
makes a fresh one; `atoms`, a structure of low symmetry with forces well above rounding; `cutoff` of
the interaction (A), None where it has none; `accuracy`, FLOAT64 or FLOAT32 or one of your own;
`temperature_K`, `n_steps` and `timestep_fs` of NVE dynamics. Of potentials: `model`, in float64 for
the default tolerances; `graph` or `graphs`, structures with or without edges; `atomic_number` or
`atomic_numbers` of atoms that are made; `distance` between two molecules (A); `relative_tolerance`,
of the largest value; `tolerance`, of energies (eV) and forces (eV/A); `properties`, names of what
is evaluated.
"""

from mlpotential.testing.answers import FLOAT32, FLOAT64, Accuracy
from mlpotential.testing.calculators import (
    check_caching,
    check_calculator,
    check_changes_are_seen,
    check_copies,
    check_energy_conservation,
    check_forces,
    check_results,
    check_results_are_copies,
    check_smooth_at_cutoff,
    check_stress,
    energy_drift_meV_per_ps,
)
from mlpotential.testing.cells import (
    check_atoms_outside_the_cell,
    check_descriptions_of_the_cell,
    check_open_directions,
    check_supercell,
)
from mlpotential.testing.potentials import (
    check_additive,
    check_batch_equals_singles,
    check_continuous_at_cutoff,
    check_forces_are_gradients,
    check_hessian,
    check_isolated_atom,
    check_no_net_force_or_torque,
    check_symmetries,
    check_virial_is_strain_derivative,
    predict,
)
from mlpotential.testing.tiny_schnet import tiny_schnet

__all__ = [
    "FLOAT32",
    "FLOAT64",
    "Accuracy",
    "check_additive",
    "check_atoms_outside_the_cell",
    "check_batch_equals_singles",
    "check_caching",
    "check_calculator",
    "check_changes_are_seen",
    "check_continuous_at_cutoff",
    "check_copies",
    "check_descriptions_of_the_cell",
    "check_energy_conservation",
    "check_forces",
    "check_forces_are_gradients",
    "check_hessian",
    "check_isolated_atom",
    "check_no_net_force_or_torque",
    "check_open_directions",
    "check_results",
    "check_results_are_copies",
    "check_smooth_at_cutoff",
    "check_stress",
    "check_supercell",
    "check_symmetries",
    "check_virial_is_strain_derivative",
    "energy_drift_meV_per_ps",
    "predict",
    "tiny_schnet",
]
