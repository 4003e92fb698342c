"""Vibrations of small molecules by ASE, for test_modes_peer.py.

    python make_ase_vibrations_reference.py

writes ase_vibrations.npz beside this file, in the environment of the tests. Made with ASE 3.29.0.
The potential has Morse bonds and point charges, whose dipole is sum q r; each molecule is relaxed
to forces below 1e-9 eV/A. By name and molecule: `positions` (A), `energy` (eV), `hessian` (eV/A^2)
and `frequencies` (1/cm, all 3N, imaginary ones negative) of `Vibrations`, `intensities` (km/mol) of
`Infrared`, and of `IdealGasThermo` at 400 K and 2 bar with symmetry numbers by hand `thermo`: zero
point, internal energy, enthalpy, Gibbs energy (eV), entropy (eV/K).
"""

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import BFGS
from ase.thermochemistry import IdealGasThermo
from ase.units import _e, _eps0, m
from ase.vibrations import Infrared, Vibrations

# charges (e) and Morse pairs i, j: well depth (eV), width (1/A), length (A); chosen: as stiff as
# the molecules are
MOLECULES = {
    "H2O": ([-0.7, 0.35, 0.35], {(0, 1): (5.1, 2.2, 0.98), (0, 2): (5.1, 2.2, 0.98),
                                 (1, 2): (1.0, 1.6, 1.5)}),
    "CO2": ([0.6, -0.3, -0.3], {(0, 1): (7.5, 2.6, 1.16), (0, 2): (7.5, 2.6, 1.16),
                                (1, 2): (0.4, 1.2, 3.2)}),
    "NH3": ([-0.6, 0.2, 0.2, 0.2], {**{(0, k): (4.6, 2.1, 1.01) for k in (1, 2, 3)},
                                    **{(j, k): (1.5, 1.6, 1.55) for j in (1, 2) for k in (2, 3)
                                       if j < k}}),
}  # fmt: skip
GEOMETRIES = {"H2O": ("nonlinear", 2), "CO2": ("linear", 2), "NH3": ("nonlinear", 3)}
DISPLACEMENT, TEMPERATURE_K, PRESSURE_PA = 0.001, 400.0, 2e5  # A, K, Pa
COULOMB = _e / (4 * np.pi * _eps0) * m  # eV A / e^2


class MorseCharges(Calculator):
    """Energy, forces and dipole of Morse bonds and point charges."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "dipole"]

    def __init__(self, charges, pairs):
        super().__init__()
        self.charges, self.pairs = np.array(charges), pairs

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        r, energy = self.atoms.positions, 0.0
        forces = np.zeros_like(r)
        for i in range(len(r)):
            for j in range(i + 1, len(r)):
                vector = r[j] - r[i]
                distance = np.linalg.norm(vector)
                product = COULOMB * self.charges[i] * self.charges[j]
                energy += product / distance
                slope = -product / distance**2
                if (i, j) in self.pairs:
                    depth, width, length = self.pairs[i, j]
                    decay = np.exp(-width * (distance - length))
                    energy += depth * (1 - decay) ** 2
                    slope += 2 * depth * width * decay * (1 - decay)
                forces[i] += slope * vector / distance
                forces[j] -= slope * vector / distance
        self.results = {"energy": energy, "forces": forces, "dipole": self.charges @ r}


def with_calculator(name: str) -> Atoms:
    """A molecule of ASE's database with its potential."""
    atoms = molecule(name)
    atoms.calc = MorseCharges(*MOLECULES[name])
    return atoms


def analysed(name: str) -> dict[str, np.ndarray]:
    """What ASE says of one molecule."""
    atoms = with_calculator(name)
    BFGS(atoms, logfile=None).run(fmax=1e-9, steps=2000)
    assert np.abs(atoms.get_forces()).max() < 1e-8
    n_rigid = 5 if name == "CO2" else 6
    with tempfile.TemporaryDirectory() as folder:
        vibrations = Vibrations(atoms, name=f"{folder}/vibrations", delta=DISPLACEMENT)
        vibrations.run()
        frequencies = vibrations.get_frequencies()
        energies = vibrations.get_energies()[n_rigid:].real
        infrared = Infrared(atoms, name=f"{folder}/infrared", delta=DISPLACEMENT)
        infrared.run()
        infrared.read()
        to_km_per_mol, _ = infrared.intensity_prefactor("km/mol")
        hessian = vibrations.get_vibrations().get_hessian_2d()
    geometry, symmetry_number = GEOMETRIES[name]
    thermo = IdealGasThermo(
        vib_energies=energies,
        geometry=geometry,
        potentialenergy=atoms.get_potential_energy(),
        atoms=atoms,
        symmetrynumber=symmetry_number,
        spin=0,
    )
    state = {"temperature": TEMPERATURE_K, "pressure": PRESSURE_PA, "verbose": False}
    return {
        "positions": atoms.positions,
        "energy": atoms.get_potential_energy(),
        "hessian": hessian,
        "frequencies": frequencies.real - frequencies.imag,
        "intensities": infrared.intensities * to_km_per_mol,
        "thermo": np.array(
            [
                thermo.get_ZPE_correction(),
                thermo.get_internal_energy(TEMPERATURE_K, verbose=False),
                thermo.get_enthalpy(TEMPERATURE_K, verbose=False),
                thermo.get_gibbs_energy(**state),
                thermo.get_entropy(**state),
            ]
        ),
    }


if __name__ == "__main__":
    found = {f"{key}_{name}": v for name in MOLECULES for key, v in analysed(name).items()}
    np.savez_compressed(
        Path(__file__).with_name("ase_vibrations.npz"), ase_version=version("ase"), **found
    )
    for name in MOLECULES:
        print(name, np.round(found[f"frequencies_{name}"], 2), found[f"intensities_{name}"])
