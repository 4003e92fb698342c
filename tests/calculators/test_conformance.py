"""The shipped checks of ASE calculators: ours and ASE's own pass, and each catches its fault."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.io import read

from calculators import MLPotentialCalculator
from md_runs.c20 import MODEL, STRUCTURE
from mlpotential import testing
from mlpotential.models.model_file import load_model
from mlpotential.testing import FLOAT32, FLOAT64

EMT_MODEL = Path(__file__).parent.parent / "ase_suite" / "emt_schnet.safetensors"
SHEAR = np.array([[0.0, 0.04, 0.02], [0.0, 0.0, -0.05], [0.0, 0.0, 0.03]])


@pytest.fixture
def crystal():
    """Cu3Au in a triclinic cell, smaller than any cutoff here."""
    atoms = bulk("Cu", cubic=True, a=3.75)
    atoms.symbols[0] = "Au"
    atoms.set_cell(atoms.cell[:] @ (np.eye(3) + SHEAR), scale_atoms=True)
    atoms.rattle(0.08, seed=2)
    return atoms


@pytest.fixture(scope="module")
def emt_model():
    return load_model(EMT_MODEL)


PRECISIONS = {"float64": FLOAT64, "float32": FLOAT32}


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_crystal(crystal, emt_model, dtype):
    ours = partial(MLPotentialCalculator, emt_model, "cpu", dtype, guard="off")
    testing.check_calculator(ours, crystal, cutoff=5.5, accuracy=PRECISIONS[dtype])


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_molecule(potential, ethanol, dtype):
    ours = partial(MLPotentialCalculator, potential, "cpu", dtype, guard="off")
    testing.check_calculator(ours, ethanol, cutoff=5.0, accuracy=PRECISIONS[dtype])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.torture)])
def test_the_shipped_model(dtype):
    ours = partial(MLPotentialCalculator, load_model(MODEL), "cpu", dtype, guard="off")
    atoms = read(STRUCTURE)
    atoms.rattle(0.03, seed=1)
    testing.check_calculator(ours, atoms, accuracy=PRECISIONS[dtype])


@pytest.mark.parametrize("pbc", [(True, True, False), (False, False, True)])
def test_slab_and_wire(crystal, emt_model, pbc):
    crystal.pbc = pbc
    ours = partial(MLPotentialCalculator, emt_model, "cpu", guard="off")
    for check in (
        testing.check_stress,
        testing.check_descriptions_of_the_cell,
        testing.check_atoms_outside_the_cell,
        testing.check_supercell,
        testing.check_open_directions,
    ):
        check(ours, crystal)


SMOOTH = partial(LennardJones, sigma=2.4, epsilon=0.1, rc=5.0, smooth=True)


@pytest.mark.slow
def test_calculators_of_ase(crystal):
    testing.check_calculator(SMOOTH, crystal, cutoff=5.0)
    for check in (testing.check_caching, testing.check_changes_are_seen, testing.check_forces):
        check(EMT, crystal)
    with pytest.raises(AssertionError, match="a pickle cannot be made"):
        testing.check_copies(EMT, crystal)  # once used, ASE's holds a lambda


class Altered(LennardJones):
    """A good calculator of which one thing is spoilt; `alter` gets its results."""

    def __init__(self, alter=None):
        super().__init__(sigma=2.4, epsilon=0.1, rc=5.0, smooth=True)
        self.alter = alter

    def calculate(self, atoms=None, properties=None, system_changes=()):
        super().calculate(atoms, properties, system_changes)
        if self.alter is not None:
            self.alter(self.results)


def spoilt(name, function):
    """Calculators of which one result is another function of the right one."""

    def alter(results):
        results[name] = function(results[name])

    return partial(Altered, alter)


def bend_a_force(forces):
    return forces + 1e-4 * np.eye(*forces.shape)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (spoilt("energy", np.float32), "a float32, not a float"),
        (spoilt("energy", lambda e: float("nan")), "the energy is nan"),
        (spoilt("energy", lambda e: e + 1e-3), "energies add up"),
        (spoilt("free_energy", lambda e: e + 1e-12), "free_energy .* is not the energy"),
        (spoilt("forces", np.float32), "forces: float32, not float64"),
        (spoilt("forces", np.ravel), r"forces: of shape \(12,\)"),
        (spoilt("forces", np.ndarray.tolist), "forces: list, not an array"),
        (spoilt("forces", lambda f: f * np.inf), "forces: not finite"),
        (spoilt("stress", lambda s: s[:3]), r"stress: of shape \(3,\)"),
    ],
)
def test_wrong_results_are_caught(crystal, factory, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_results(factory, crystal)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (spoilt("forces", bend_a_force), "force on atom . along"),
        (spoilt("forces", lambda f: f[:, [1, 0, 2]]), "but -dE/dr is"),
        (spoilt("energy", lambda e: float(np.float32(e))), "but -dE/dr is"),
    ],
)
def test_wrong_forces_are_caught(crystal, factory, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_forces(factory, crystal)


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda s: -s, "stress"),
        (lambda s: s[[0, 1, 2, 5, 4, 3]], "stress (yz|xy)"),
        (lambda s: s * 1.00001, "but dE/dstrain / V is"),
    ],
    ids=["sign", "order", "volume"],
)
def test_wrong_stress_is_caught(crystal, alter, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_stress(spoilt("stress", alter), crystal)


class HandsOutItsOwn(Altered):
    def get_property(self, name, atoms=None, allow_calculation=True):
        super().get_property(name, atoms, allow_calculation)
        return self.results[name]


def test_shared_arrays_are_caught(crystal):
    with pytest.raises(AssertionError, match="forces handed out"):
        testing.check_results_are_copies(HandsOutItsOwn, crystal)


class NeverSure(Altered):
    def check_state(self, atoms, tol=1e-15):
        return ["positions"]


class DependsOnTheOrder(Altered):
    def calculate(self, atoms=None, properties=None, system_changes=()):
        super().calculate(atoms, properties, system_changes)
        if "forces" in properties:
            self.results["energy"] += 1e-3


@pytest.mark.parametrize(
    ("factory", "message"),
    [(NeverSure, "calculated again|calculations for"), (DependsOnTheOrder, "asked in order")],
)
def test_bad_caching_is_caught(crystal, factory, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_caching(factory, crystal)


class Overlooks(Altered):
    """Does not see that something has changed."""

    def __init__(self, name):
        super().__init__()
        self.overlooked = name

    def check_state(self, atoms, tol=1e-15):
        return [name for name in super().check_state(atoms, tol) if name != self.overlooked]


class KeepsCells(Altered):
    """Sees all changes, but uses the first cell for ever."""

    cell = None

    def calculate(self, atoms=None, properties=None, system_changes=()):
        self.cell = atoms.cell.copy() if self.cell is None else self.cell
        first = atoms.copy()
        first.cell = self.cell
        super().calculate(first, properties, system_changes)


@pytest.mark.parametrize("name", ["positions", "cell", "pbc"])
def test_overlooked_changes_are_caught(crystal, name):
    with pytest.raises(AssertionError, match=f"after a change of {name}"):
        testing.check_changes_are_seen(partial(Overlooks, name), crystal)


def test_overlooked_elements_are_caught(crystal):
    class SeesNoElements(EMT):
        def check_state(self, atoms, tol=1e-15):
            changes = super().check_state(atoms, tol)
            return [] if changes == ["numbers"] else changes

    testing.check_changes_are_seen(EMT, crystal)
    with pytest.raises(AssertionError, match="after a change of elements"):
        testing.check_changes_are_seen(SeesNoElements, crystal)


def test_a_kept_cell_is_caught(crystal):
    with pytest.raises(AssertionError, match="cell"):
        testing.check_changes_are_seen(KeepsCells, crystal)


class ForgetsParameters(Altered):
    def __reduce__(self):
        return ForgetsParameters, ()


class SharesResults(Altered):
    """A copy whose results are those of the original."""

    def __deepcopy__(self, memo):
        twin = Altered()
        twin.atoms, twin.results, twin.check_state = self.atoms, self.results, lambda *_: []
        return twin


def forgetful():
    calculator = ForgetsParameters()
    calculator.set(epsilon=0.2)
    return calculator


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (partial(Altered, lambda results: None), "a pickle cannot be made"),
        (forgetful, "a (copy|pickle): the energy is"),
        (SharesResults, "a copy: the energy is"),
    ],
)
def test_bad_copies_are_caught(crystal, factory, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_copies(factory, crystal)


class Misreads(Altered):
    """Sees another structure than the one it is given."""

    def __init__(self, misread):
        super().__init__()
        self.misread = misread

    def calculate(self, atoms=None, properties=None, system_changes=()):
        other = atoms.copy()
        self.misread(other)
        super().calculate(other, properties, system_changes)


def transpose_the_cell(atoms):
    atoms.cell = atoms.cell[:].T


def fill_all_directions(atoms):
    atoms.pbc = atoms.pbc.any()


def see_no_images(atoms):
    atoms.pbc = False


def lose_digits_far_away(atoms):
    if np.abs(atoms.positions).max() > 1e5:
        atoms.positions = atoms.positions.astype(np.float32)


class SignedVolume(Altered):
    def calculate(self, atoms=None, properties=None, system_changes=()):
        super().calculate(atoms, properties, system_changes)
        if "stress" in self.results:
            self.results["stress"] *= np.sign(np.linalg.det(atoms.cell[:]))


@pytest.mark.parametrize(
    ("check", "factory", "message"),
    [
        (testing.check_descriptions_of_the_cell, partial(Misreads, transpose_the_cell), "cell"),
        (testing.check_stress, partial(Misreads, transpose_the_cell), "dE/dstrain"),
        (testing.check_descriptions_of_the_cell, SignedVolume, "exchanged: stress"),
        (testing.check_atoms_outside_the_cell, partial(Misreads, see_no_images), "scattered"),
        (testing.check_atoms_outside_the_cell, partial(Misreads, lose_digits_far_away), "million"),
        (testing.check_supercell, partial(Misreads, see_no_images), "repeated along"),
        (testing.check_open_directions, partial(Misreads, fill_all_directions), "images far away"),
    ],
)
def test_wrong_cells_are_caught(crystal, check, factory, message):
    check(SMOOTH, crystal)
    with pytest.raises(AssertionError, match=message):
        check(factory, crystal)


@pytest.mark.parametrize(
    ("factory", "cutoff", "message"),
    [
        (partial(LennardJones, sigma=2.4, epsilon=0.1, rc=5.0), 5.0, "forces of Au-Au jump"),
        (SMOOTH, 4.0, "beyond 4.0 A"),
    ],
)
def test_jumps_at_the_cutoff_are_caught(crystal, factory, cutoff, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_smooth_at_cutoff(factory, crystal, cutoff)


def test_drift_is_caught(crystal):
    """Forces that do work on a closed path: a swirl of 1e-3 eV/A^2 around the z axis."""

    class Swirling(Calculator):
        implemented_properties = ("energy", "forces")

        def calculate(self, atoms=None, properties=None, system_changes=()):
            super().calculate(atoms, properties, system_changes)
            forces = 1e-3 * np.cross([0.0, 0.0, 1.0], atoms.positions)
            self.results = {"energy": 0.0, "forces": forces}

    with pytest.raises(AssertionError, match="drifts by"):
        testing.check_energy_conservation(Swirling, crystal)


def test_check_calculator_runs_them_all(crystal):
    """One fault at a time, through the one function that users call."""
    for factory in (
        spoilt("forces", np.float32),
        spoilt("forces", bend_a_force),
        spoilt("stress", np.negative),
        HandsOutItsOwn,
        NeverSure,
        partial(Overlooks, "cell"),
        forgetful,
        SignedVolume,
        partial(Misreads, see_no_images),
    ):
        with pytest.raises(AssertionError):
            testing.check_calculator(factory, crystal)


SIDE_EFFECTS = """
import os
import numpy as np, torch
from ase.build import bulk
def state():
    return (
        torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled(),
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32,
        torch.get_float32_matmul_precision(), torch.get_num_threads(), torch.initial_seed(),
        torch.are_deterministic_algorithms_enabled(), float(np.float64(1e-310) * 0.5),
        (torch.tensor([1e-310], dtype=torch.float64) * 0.5).item(),
        np.geterr(), np.get_printoptions(), np.random.get_state()[1].tolist(), dict(os.environ),
        os.getcwd(),
    )
before = state()
from calculators import MLPotentialCalculator
for dtype in ("float32", "float64"):
    atoms = bulk("Cu", cubic=True)
    atoms.calc = MLPotentialCalculator(MODEL, "cpu", dtype, guard="off")
    atoms.get_forces(), atoms.get_stress()
for old, new in zip(before, state(), strict=True):
    assert old == new, (old, new)
"""


@pytest.mark.slow
def test_no_side_effects_on_the_process():
    program = f"MODEL = {str(EMT_MODEL)!r}\n{SIDE_EFFECTS}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr
