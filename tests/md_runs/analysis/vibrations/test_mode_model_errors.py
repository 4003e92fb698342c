"""Model errors of wavenumbers where those of every member are known."""

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose

from md_runs.analysis.vibrations.mode_model_errors import (
    error_of_zero_point_energy,
    errors_of_modes,
    member_wavenumbers_per_cm,
)
from md_runs.analysis.vibrations.normal_modes import normal_modes, read_normal_modes
from mlpotential.errors import DataError
from mlpotential.units import EV_PER_WAVENUMBER

SQUARE = Atoms("C4", [[0, 0, 0], [1.4, 0, 0], [1.4, 1.4, 0], [0, 1.4, 0.3]])
STIFFER = np.array([-0.02, 0.005, 0.03])  # of the members, relative


def springs(atoms, stiffness=20.0):
    """The Hessian of springs between all atoms at their length."""
    n_atoms = len(atoms)
    hessian = np.zeros((n_atoms, 3, n_atoms, 3))
    for i in range(n_atoms):
        for j in range(i):
            along = atoms.positions[i] - atoms.positions[j]
            along /= np.linalg.norm(along)
            block = stiffness * np.outer(along, along)
            for a, b, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
                hessian[a, :, b, :] += sign * block
    return hessian.reshape(3 * n_atoms, 3 * n_atoms)


@pytest.fixture
def hessians():
    return (1.0 + STIFFER)[:, None, None] * springs(SQUARE)


@pytest.fixture
def modes(hessians):
    return normal_modes(hessians.mean(axis=0), SQUARE.get_masses(), SQUARE.positions)


def test_members_of_another_stiffness(modes, hessians):
    """All wavenumbers go with its root; so does the zero-point energy."""
    found = member_wavenumbers_per_cm(modes, hessians)
    factors = np.sqrt((1 + STIFFER) / (1 + STIFFER.mean()))
    assert_allclose(found, factors[:, None] * modes.wavenumbers_per_cm, rtol=1e-10)
    assert_allclose(
        errors_of_modes(found), factors.std(ddof=1) * modes.wavenumbers_per_cm, rtol=1e-10
    )
    total = 0.5 * EV_PER_WAVENUMBER * modes.wavenumbers_per_cm.sum()
    assert error_of_zero_point_energy(found) == pytest.approx(factors.std(ddof=1) * total)


def test_scale_of_a_calibrated_committee(modes, hessians):
    """Differences of curvatures count that often; errors do so to first order."""
    plain = errors_of_modes(member_wavenumbers_per_cm(modes, hessians))
    scaled = errors_of_modes(member_wavenumbers_per_cm(modes, hessians, scale=3.0))
    assert_allclose(scaled, 3.0 * plain, rtol=0.02)


def test_first_order_is_near_the_modes_of_each_member():
    """Of Hessians that differ at random, as those of networks do."""
    noise = np.random.default_rng(1).standard_normal((4, 12, 12))
    hessians = springs(SQUARE) + 0.1 * (noise + noise.transpose(0, 2, 1))
    arguments = SQUARE.get_masses(), SQUARE.positions
    modes = normal_modes(hessians.mean(axis=0), *arguments)
    found = errors_of_modes(member_wavenumbers_per_cm(modes, hessians))
    exact = np.array([normal_modes(h, *arguments).wavenumbers_per_cm for h in hessians])
    stiff = modes.wavenumbers_per_cm > 500.0
    assert stiff.sum() >= 4
    assert_allclose(found[stiff], exact.std(axis=0, ddof=1)[stiff], rtol=0.25)


def test_kept_with_the_modes(modes, hessians, tmp_path):
    from dataclasses import replace

    errors = errors_of_modes(member_wavenumbers_per_cm(modes, hessians))
    replace(modes, model_errors_per_cm=errors).save_json(tmp_path / "modes.json")
    assert_allclose(read_normal_modes(tmp_path / "modes.json").model_errors_per_cm, errors)
    modes.save_json(tmp_path / "modes.json")
    assert read_normal_modes(tmp_path / "modes.json").model_errors_per_cm is None


def test_other_hessians_are_refused(modes, hessians):
    with pytest.raises(DataError, match="two members"):
        member_wavenumbers_per_cm(modes, hessians[:1])
