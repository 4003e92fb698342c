"""Files as users have them, from public repositories; skipped where they are absent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlpotential.data.declared_units import SuspiciousDataWarning
from mlpotential.data.isolated_atoms import read_isolated_atoms
from mlpotential.data.read import read_reference_data
from mlpotential.data.statistics import energy_statistics, fit_atom_references, read_atom_references
from mlpotential.errors import DataError

pytestmark = [pytest.mark.public_data, pytest.mark.slow]

EV = {"energy_unit": "eV", "length_unit": "Angstrom"}
ATOMIC = {"energy_unit": "Hartree", "length_unit": "Bohr"}
KCAL = {"energy_unit": "kcal/mol", "length_unit": "Angstrom"}


def test_c20_in_seconds(public_data: Path) -> None:
    path = public_data / "own/c20_schnet2018/c20_train.extxyz.gz"
    start = time.process_time()
    data = read_reference_data(path, **EV)
    assert time.process_time() - start < 15.0  # 1.3 s on an idle core
    assert len(data) == 5700
    assert data.elements == (6,)


@pytest.mark.parametrize(
    ("name", "options", "n_frames"),
    [
        ("formats/md17_style_ethanol_ERFz.npz", KCAL, 1307),
        ("formats/sgdml_dataset_ethanol_ccsd_t.npz", KCAL, 750),
        ("formats/schnetpack1_md17_ethanol_20.db", KCAL, 20),
        ("water_periodic_deepmd/water_periodic_deepmd.extxyz.gz", EV, 320),
        ("mlearn_li/mlearn_li.extxyz.gz", EV, 241),
        ("qm7x_subset/qm7x_subset.extxyz.gz", EV, 2040),
        ("own/crystals_chgnet/crystals_chgnet.extxyz.gz", EV, 8352),
        ("mlearn_cu/mlearn_cu.extxyz.gz", EV, 31),
        ("water_clusters_mp2/water_3h2o.extxyz.gz", EV, 2500),
        ("formats/padded_qm7x_800.npz", EV, 800),
        ("formats/physnet_style_h2co_ERFDQNZ.npz", EV, 3001),
        ("formats/n2p2_H2O_RPBE-D3_input.data", ATOMIC, 20),
        ("formats/mlearn_pymatgen_Si_training_part.json.gz", EV, 36),
        ("formats/deepmd_water", EV, 64),
        ("rmd17_aspirin/rmd17_aspirin.extxyz.gz", EV, 2976),
    ],
)
def test_read_without_warning(
    public_data: Path, name: str, options: dict[str, Any], n_frames: int
) -> None:
    data = read_reference_data(public_data / name, **options)
    assert len(data) == n_frames
    assert data.has("forces")


@pytest.mark.parametrize(
    ("name", "n_frames", "quantity"),
    [
        ("formats/schnetpack2_ase_carbene.db", 600, "spin"),
        ("ag3_charged/ag3_charged.extxyz.gz", 1706, "charge"),
    ],
)
def test_states_that_the_model_cannot_see(
    public_data: Path, name: str, n_frames: int, quantity: str
) -> None:
    """Each structure is there twice, in two states."""
    with pytest.warns(SuspiciousDataWarning) as warned:
        assert len(read_reference_data(public_data / name, **EV)) == n_frames
    assert f"the structures differ in {quantity}" in str(warned[0].message)
    assert "occur before with another energy" in str(warned[1].message)


@pytest.mark.parametrize(
    ("name", "energy_unit"),
    [
        ("schnet_original_qm9_20.db", "eV"),
        ("schnetpack2_qm9_20.db", "Hartree"),
        ("schnetpack1_qm9_U0_500.db", "eV"),
    ],
)
def test_qm9_energies(public_data: Path, name: str, energy_unit: str) -> None:
    """U0 of QM9 minus the free atoms' is about -3 to -6 eV per atom, whatever the format."""
    data = read_reference_data(
        public_data / "formats" / name,
        energy_unit=energy_unit,
        length_unit="Angstrom",
        energy_key="energy_U0",
        properties=("energy",),
    )
    path = public_data / "formats/schnet_qm9_atomref.npz"
    references = read_atom_references(path, energy_unit="eV", key="U0")
    mean, spread = energy_statistics(data, references)
    assert -6.0 < mean < -3.0
    assert spread < 1.0


@pytest.mark.parametrize(
    ("name", "keys", "units"),
    [
        (
            "schnetpack2_qm9_20.db",
            ("energy_U0", "gap", "dipole_moment", "electronic_spatial_extent"),
            ("Hartree", "Debye", "Bohr^2"),
        ),
        (
            "schnet_original_qm9_20.db",
            ("energy_U0", "gap", "mu", "r2"),
            ("eV", "Debye", "Angstrom^2"),
        ),
        (
            "qm9_100_all_properties.xyz",
            ("U0", "epsgap", "mu", "<R2>"),
            ("Hartree", "Debye", "Bohr^2"),
        ),
    ],
)
def test_qm9_in_three_formats(
    public_data: Path, name: str, keys: tuple[str, ...], units: tuple[str, ...]
) -> None:
    """Gaps of 4 to 15 eV, dipoles below 2 e A and extents of some A^2 per atom."""
    energy_unit, dipole_unit, area_unit = units
    data = read_reference_data(
        public_data / "formats" / name,
        energy_unit=energy_unit,
        length_unit="Angstrom",
        properties=("energy", "gap", "dipole_magnitude", "spatial_extent"),
        energy_key=keys[0],
        gap_key=keys[1],
        gap_unit=energy_unit,
        dipole_magnitude_key=keys[2],
        dipole_magnitude_unit=dipole_unit,
        spatial_extent_key=keys[3],
        spatial_extent_unit=area_unit,
    )
    n_atoms = data.element_counts.sum(axis=1)
    assert 3.0 < data.values("gap").min() < data.values("gap").max() < 16.0
    assert data.values("dipole_magnitude").max() < 2.0
    extents = data.values("spatial_extent") / n_atoms
    assert 1.0 < extents.min() < extents.max() < 100.0


def test_free_atoms_of_a_database(public_data: Path) -> None:
    """SchNetPack 2 and the original SchNet state the same."""
    declared = {"length_unit": "Angstrom", "energy_key": "energy_U0"}
    path = public_data / "formats/schnetpack2_qm9_20.db"
    of_database = read_isolated_atoms(path, energy_unit="Hartree", **declared)
    path = public_data / "formats/schnet_qm9_atomref.npz"
    of_archive = read_atom_references(path, energy_unit="eV", key="energy_U0")
    assert of_database == pytest.approx(of_archive, rel=1e-8)


def test_fitted_references_explain_qm7(public_data: Path) -> None:
    """Atomization energies: minus some eV per element, and some 0.1 eV per atom are left."""
    path = public_data / "qm7/qm7.extxyz.gz"
    data = read_reference_data(path, **EV, properties=("energy",))
    # Two entries are hydrogen molecules with the energy of something larger.
    data = data.select([k for k, graph in enumerate(data) if 6 in graph.atomic_numbers])
    references = fit_atom_references(data)
    assert all(-10.0 < energy < -1.0 for energy in references.values())
    mean, spread = energy_statistics(data, references)
    assert abs(mean) < 0.02
    assert spread < 0.5


def test_energies_in_mev_are_suspicious(public_data: Path) -> None:
    """Fault 40."""
    path = public_data / "formats/extxyz_aspirin_energies_in_meV.xyz.gz"
    with pytest.warns(SuspiciousDataWarning, match=r"median force on an atom is 1\.66e\+03 eV/A"):
        as_ev = read_reference_data(path, **EV)
    as_mev = read_reference_data(path, energy_unit="meV", length_unit="Angstrom")
    np.testing.assert_allclose(as_mev.energies, as_ev.energies * 1e-3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sgdml_model_ethanol_2018.npz", KCAL, "is an sGDML model, not a data set"),
        ("schnetpack2_ase_carbene.db", KCAL, "states the energy unit 'eV', but 'kcal/mol'"),
        ("schnet_original_qm9_20.db", EV, "no energy .* keys there: Cv, alpha, energy_U,"),
        ("deepmd_water", KCAL, r"deepmd_water \(DeePMD\) states the energy unit 'eV'"),
        ("../own/c20_schnet2018", EV, "is a folder, but a data file is needed"),
    ],
)
def test_refusals(public_data: Path, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_reference_data(public_data / "formats" / name, **options)
