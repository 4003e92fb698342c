"""Phonons against phonopy itself, against Gamma modes of the package, and against known limits."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.io import write
from ase.units import kB

from md_runs.analysis.vibrations.normal_modes import normal_modes
from md_runs.analysis.vibrations.phonons import imaginary_modes
from md_runs.cli import main
from md_runs.commands.solids.phonon_calculation import PhononSettings, phonons, shortest_supercell
from md_runs.commands.solids.phonons import phonon_report
from md_runs.figures.phonons import bands_figure
from md_runs.hessian import hessian_by_finite_differences
from md_runs.molecular_modes import molecular_modes
from mlpotential.errors import ConfigError, DataError, StructureError
from mlpotential.inference.execution import Execution

phonopy = pytest.importorskip(
    "phonopy", minversion="4", reason="phonopy is not installed: pip install 'phonopy>=4'"
)
PER_CM_PER_THZ = 1e12 / 29979245800.0
QUICK = {"supercell": (2, 2, 2), "mesh": (5, 5, 5), "points": 5}


def aluminium(**options) -> Atoms:
    """At the minimum of EMT."""
    atoms = bulk("Al", "fcc", a=3.9944, **options)
    atoms.calc = EMT()
    return atoms


@pytest.fixture(scope="module")
def found():
    return phonons(aluminium(cubic=True), PhononSettings(**QUICK), [300.0, 2000.0])


@pytest.fixture(scope="module")
def peer():
    """Phonopy, used as its manual says."""
    from phonopy.structure.atoms import PhonopyAtoms

    cell = aluminium(cubic=True)
    made = phonopy.Phonopy(
        PhonopyAtoms(
            symbols=cell.get_chemical_symbols(),
            cell=cell.cell[:],
            scaled_positions=cell.get_scaled_positions(),
        ),
        np.diag([2, 2, 2]),
        primitive_matrix="F",
    )
    made.generate_displacements(distance=0.01)
    forces = []
    for displaced in made.supercells_with_displacements:
        atoms = Atoms(displaced.symbols, displaced.positions, cell=displaced.cell, pbc=True)
        atoms.calc = EMT()
        forces.append(atoms.get_forces())
    made.forces = forces
    made.produce_force_constants(show_drift=False)
    made.symmetrize_force_constants(show_drift=False)
    made.run_mesh([5, 5, 5])
    return made


def test_the_path_and_its_ends(found):
    """The standard path of fcc, found from a cubic cell of four atoms."""
    bands = found.bands
    assert (found.formula, found.space_group, found.supercell) == ("Al", "Fm-3m", (2, 2, 2))
    assert bands.path == "GXWKGLUWLK,UX"
    assert bands.corner_names == ("G", "X", "W", "K", "G", "L", "U", "W", "L", "K|U", "X")
    assert bands.wavenumbers_per_cm.shape == (10 * 5, 3)
    assert bands.corner_distances[1] == pytest.approx(2 * np.pi / 3.9944)  # of G to X, (1/A)
    assert (np.diff(bands.distances) >= 0).all()
    with pytest.raises(DataError, match="has no point"):
        bands.at((0.1, 0.2, 0.3))


def test_against_phonopy_itself(found, peer):
    rounding = 1e-5  # 1/cm, in wavenumbers near 200: forces in another order, divided by 0.01 A
    bands = found.bands
    expected = peer.run_qpoints(bands.q_points).frequencies * PER_CM_PER_THZ
    inner = np.abs(bands.q_points).max(axis=1) > 0  # at Gamma it is the root of rounding
    assert bands.wavenumbers_per_cm[inner] == pytest.approx(expected[inner], abs=rounding)
    functions = found.thermodynamics
    thermal = peer.run_thermal_properties(
        temperatures=functions.temperatures_K, exclude_gamma_acoustic=True
    )
    per_mol = 1.602176634e-19 * 6.02214076e23  # J/mol per eV
    assert functions.free_energies * per_mol / 1000 == pytest.approx(thermal.free_energy, rel=1e-6)
    assert functions.heat_capacities_eV_per_K * per_mol == pytest.approx(
        thermal.heat_capacity, rel=1e-6
    )


def test_limits_that_are_known(found):
    """Dulong and Petit at high temperature, 3 modes per atom, no imaginary ones."""
    functions, density = found.thermodynamics, found.density
    assert functions.temperatures_K[-1] == 2000
    three_modes = 3 * kB * (1 - 1 / 125)  # Gamma of 125 q-points has no vibration
    assert functions.heat_capacities_eV_per_K[-1] == pytest.approx(three_modes, rel=2e-3)
    assert functions.heat_capacities_eV_per_K[0] == 0
    integral = np.trapezoid(density.density, density.wavenumbers_per_cm)
    assert integral == pytest.approx(3, rel=0.02)
    assert found.imaginary is None
    assert found.sum_rule_violation < 1e-9 * found.largest_force_constant
    assert np.abs(found.gamma_per_cm).max() < 0.01
    slope = np.gradient(functions.free_energies, functions.temperatures_K)
    k = 30  # 300 K
    assert -slope[k] == pytest.approx(functions.entropies_eV_per_K[k], rel=1e-3)


def test_modes_of_a_supercell_at_gamma_are_phonons(found):
    """Those of the package: at Gamma, X (three of them) and L (four), which fold there."""
    atoms = aluminium() * (2, 2, 2)
    atoms.calc = EMT()
    hessian = hessian_by_finite_differences(atoms, 0.01).hessian
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions, pbc=True)
    at_x, at_l = found.bands.at((0.5, 0.0, 0.5)), found.bands.at((0.5, 0.5, 0.5))
    folded = np.sort(np.concatenate([np.tile(at_x, 3), np.tile(at_l, 4)]))
    anharmonic = 1e-4  # of the displacements, on the two sides here, on one side there
    assert modes.wavenumbers_per_cm == pytest.approx(folded, rel=anharmonic)


def test_without_symmetry(found):
    """More displacements of the same crystal; the path is of the cell that was given."""
    primitive = phonons(aluminium(), PhononSettings(**QUICK, symmetry=False))
    assert primitive.space_group is None
    assert primitive.n_displacements > found.n_displacements
    assert primitive.bands.at((0.5, 0.0, 0.5)) == pytest.approx(
        found.bands.at((0.5, 0.0, 0.5)), rel=1e-4
    )


def test_imaginary_modes_are_said_loudly():
    """Simple cubic aluminium shears into its close packing."""
    atoms = bulk("Al", "sc", a=2.7)
    atoms.calc = EMT()
    found = phonons(atoms, PhononSettings(**QUICK))
    assert found.imaginary is not None
    lowest = found.imaginary.lowest_per_cm
    assert lowest < -10
    assert lowest <= found.bands.wavenumbers_per_cm.min() + 1e-9
    report = phonon_report(found)
    assert "ATTENTION: IMAGINARY MODES: down to" in str(report)
    texts = [text.get_text() for text in bands_figure(found).texts]
    assert any("imaginary modes down to" in text for text in texts)
    with pytest.raises(DataError, match="nothing was computed at 77 K"):
        phonon_report(found, [77.0])


def test_what_counts_as_imaginary():
    q_points = np.array([[0.0, 0, 0], [0.5, 0, 0], [1.0, 0, 0]])
    wavenumbers = np.array([[-5.0, -4.0, 3.0, 100.0], [-0.5, 1, 2, 3], [-0.2, 0.0, 1.0, 2.0]])
    assert imaginary_modes(wavenumbers, q_points, np.ones(3)) is None
    wavenumbers[1, 0] = -3.0
    found = imaginary_modes(wavenumbers, q_points, np.array([1, 2, 1]))
    assert (found.lowest_per_cm, found.share) == (-3.0, 2 / 16)
    wavenumbers[0, :] = [-50.0, -0.1, 0.0, 0.1]  # an optical mode at Gamma does count
    assert imaginary_modes(wavenumbers, q_points, np.ones(3)).lowest_per_cm == -50


def test_the_command(model_path, tmp_path, monkeypatch, capsys):
    """Modes at Gamma are those of the exact Hessian of the package."""
    monkeypatch.chdir(tmp_path)
    diamond = bulk("C", "diamond", a=3.57)
    write("diamond.extxyz", diamond)
    words = ["phonons", "diamond.extxyz", "--model", str(model_path), "--supercell", "2"]
    assert main([*words, "--mesh", "3", "--points", "3", "--temperature-K", "77"]) == 0
    told = capsys.readouterr().out
    assert "space group Fd-3m; supercell 2 x 2 x 2, displaced 1 times by 0.01 A" in told
    assert "sum rule: rows of force constants summed to at most" in told
    assert "77 K" in told
    folder = Path("diamond_phonons")
    assert {path.name for path in folder.iterdir()} == {
        "phonons.json", "phonons.png", "thermodynamics.png", "phonons_bands.csv",
        "phonons_density.csv", "phonons_thermodynamics.csv",
    }  # fmt: skip
    stored = json.loads((folder / "phonons.json").read_text())["results"]["phonons"]
    precise = Execution(dtype="float64", guard="off")
    exact = molecular_modes(diamond, model_path, precise).modes.wavenumbers_per_cm
    optical = sorted(stored["gamma_per_cm"], key=abs)[3:]
    assert sorted(optical) == pytest.approx(exact, rel=2e-3)  # displaced by 0.01 A
    header = (folder / "phonons_bands.csv").read_text().splitlines()[0].split(",")
    assert header[:5] == ["distances (1/A)", "q_a (1)", "q_b (1)", "q_c (1)", "band 1 (1/cm)"]


def test_mistakes(tmp_path, monkeypatch):
    crystal = aluminium()
    with pytest.raises(StructureError, match="periodic in all three directions"):
        phonons(molecule("H2O"))
    with pytest.raises(ConfigError, match="one or three whole numbers"):
        PhononSettings(supercell=(2, 2))
    with pytest.raises(ConfigError, match="displacement"):
        PhononSettings(displacement=0.0)
    with pytest.raises(ConfigError, match="standard path is GXWKGLUWLK,UX"):
        phonons(crystal, PhononSettings(**QUICK, path="GQ"))
    fixed = crystal.copy()
    fixed.set_constraint(FixAtoms([0]))
    with pytest.raises(StructureError, match="remove the constraints"):
        phonons(fixed)
    isotopes = aluminium(cubic=True)
    isotopes.set_masses([26, 27, 27, 27])
    with pytest.raises(ConfigError, match="--no-symmetry"):
        phonons(isotopes, PhononSettings(**QUICK))
    monkeypatch.setitem(sys.modules, "phonopy", None)
    with pytest.raises(ConfigError, match=r"pip install 'mlpotential\[phonons\]'"):
        phonons(crystal)


def test_the_supercell_by_itself():
    assert shortest_supercell(bulk("Al", "fcc", a=4.0, cubic=True)) == (3, 3, 3)
    assert shortest_supercell(bulk("Al", "fcc", a=4.0)) == (5, 5, 5)  # planes 2.3 A apart
