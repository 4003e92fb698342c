"""Against `Vibrations`, `Infrared` and `IdealGasThermo` of ASE, as an ASE run left them.

The calculator, Morse bonds and point charges, is the one of the script that recorded the numbers,
`tests/reference/make_ase_vibrations_reference.py`; ours start from the structure alone.
"""

import runpy
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from md_runs.analysis.vibrations.irreps import mode_symmetries
from md_runs.analysis.vibrations.mode_intensities import infrared_intensities
from md_runs.analysis.vibrations.normal_modes import NormalModes, normal_modes
from md_runs.analysis.vibrations.point_groups import point_group
from md_runs.analysis.vibrations.thermochemistry import ideal_gas_thermochemistry
from md_runs.hessian import FiniteDifferenceHessian, hessian_by_finite_differences

FOLDER = Path(__file__).parents[3] / "reference"
SYMMETRIES = {"H2O": "2A1 + B2", "CO2": "Σg+ + Σu+ + Πu", "NH3": "2A1 + 2E"}


@pytest.fixture(scope="module", params=SYMMETRIES)
def case(request: pytest.FixtureRequest) -> tuple[str, dict[str, np.ndarray]]:
    """The name of a molecule, and what ASE says of it."""
    with np.load(FOLDER / "ase_vibrations.npz", allow_pickle=False) as file:
        found = {key: file[key] for key in file.files if key.endswith(f"_{request.param}")}
    return request.param, {key.rpartition("_")[0]: value for key, value in found.items()}


@pytest.fixture(scope="module")
def ours(
    case: tuple[str, dict[str, np.ndarray]],
) -> tuple[Atoms, FiniteDifferenceHessian, NormalModes]:
    name, peer = case
    script = runpy.run_path(str(FOLDER / "make_ase_vibrations_reference.py"))
    atoms = script["with_calculator"](name)
    atoms.positions = peer["positions"]
    found = hessian_by_finite_differences(atoms, script["DISPLACEMENT"], with_dipoles=True)
    return atoms, found, normal_modes(found.hessian, atoms.get_masses(), atoms.positions)


def test_hessians_are_the_same(case, ours) -> None:
    """Of `Vibrations`, which makes them symmetric as ours does.

    Positions of 1 A are rounded by 1e-16, which steps of 0.001 A make 1e-13 of the elements.
    """
    peer = case[1]["hessian"]
    assert np.abs(ours[1].hessian - peer).max() < 1e-11 * np.abs(peer).max()


def test_wavenumbers_are_the_same_but_for_what_projection_takes_away(case, ours) -> None:
    """Steps of 0.001 A leave rotations of up to 4 1/cm in the Hessian, which ASE lets mix in."""
    peer, modes = case[1]["frequencies"], ours[2]
    n_rigid = len(peer) - modes.n_modes
    assert np.abs(peer[:n_rigid]).max() < 4
    assert np.allclose(modes.wavenumbers_per_cm, peer[n_rigid:], rtol=1e-9)


def test_infrared_intensities_are_the_same(case, ours) -> None:
    """Level by level: modes of a degenerate level are any turned among themselves."""
    _, found, modes = ours
    peer = case[1]["intensities"][-modes.n_modes :]
    intensities = infrared_intensities(modes, found.dipole_derivatives).intensities_km_per_mol
    for group in modes.degenerate_groups():
        # 42.255 km/mol per (D/A)^2/amu is rounded
        assert intensities[group].sum() == pytest.approx(peer[group].sum(), rel=5e-5, abs=1e-6)
    assert intensities.max() > 30


def test_thermochemistry_is_the_same(case, ours) -> None:
    """With the symmetry number that follows from the point group."""
    name, peer = case
    atoms, _, modes = ours
    group = point_group(atoms.numbers, atoms.positions, atoms.get_masses())
    found = ideal_gas_thermochemistry(
        modes, group, float(peer["energy"]), temperature_K=400.0, pressure_Pa=2e5
    )
    numbers = [
        found.zero_point_energy,
        found.internal_energy,
        found.enthalpy,
        found.gibbs_energy,
        found.entropy_eV_per_K,
    ]
    assert np.allclose(numbers, peer["thermo"], rtol=1e-9)
    assert str(mode_symmetries(modes, group)) == SYMMETRIES[name]
