"""Checks that every ASE calculator should pass, to run against your own.

    from mlpotential.testing import check_calculator
    check_calculator(lambda: MyCalculator(...), atoms, cutoff=5.0)

Each check takes a factory, a function without arguments that makes a fresh calculator, and raises
AssertionError. Structures should have low symmetry, forces well above rounding, a triclinic cell
where they are periodic, and more than one element where the calculator knows several. Periodic
structures are compared with larger, equivalent ones, so the interaction must be short-ranged.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.md.verlet import VelocityVerlet
from ase.stress import full_3x3_to_voigt_6_stress

from mlpotential.nn.finite_differences import five_point
from mlpotential.testing.answers import (
    FLOAT64,
    SMALLEST_SCALE,
    Accuracy,
    CalculatorFactory,
    answer,
    assert_same,
    property_or_none,
)
from mlpotential.testing.cells import (
    check_atoms_outside_the_cell,
    check_descriptions_of_the_cell,
    check_open_directions,
    check_supercell,
)


def check_calculator(
    factory: CalculatorFactory,
    atoms: Atoms,
    cutoff: float | None = None,
    accuracy: Accuracy = FLOAT64,
) -> None:
    """All that apply: checks of cells to periodic structures, of smoothness with a cutoff (A)."""
    check_results(factory, atoms)
    check_results_are_copies(factory, atoms)
    check_caching(factory, atoms, accuracy)
    check_changes_are_seen(factory, atoms, accuracy)
    check_copies(factory, atoms, accuracy)
    check_forces(factory, atoms, accuracy)
    if atoms.pbc.any():
        check_stress(factory, atoms, accuracy)
        check_descriptions_of_the_cell(factory, atoms, accuracy)
        check_atoms_outside_the_cell(factory, atoms, accuracy)
        check_supercell(factory, atoms, accuracy)
        check_open_directions(factory, atoms, accuracy)
    if cutoff is not None:
        check_smooth_at_cutoff(factory, atoms, cutoff, accuracy)
    check_energy_conservation(factory, atoms, accuracy)


def check_results(factory: CalculatorFactory, atoms: Atoms) -> None:
    """Types, shapes and finiteness of what ASE expects; energies add up."""
    calculator, n_atoms = factory(), len(atoms)
    energy = calculator.get_property("energy", atoms)
    assert isinstance(energy, float), f"the energy is a {type(energy).__name__}, not a float"
    assert np.isfinite(energy), f"the energy is {energy}"
    shapes = {
        "forces": (n_atoms, 3),
        "energies": (n_atoms,),
        "stress": (6,),
        "dipole": (3,),
        "charges": (n_atoms,),
        "born_effective_charges": (n_atoms, 3, 3),
    }
    for name, shape in shapes.items():
        value = property_or_none(calculator, atoms, name)
        if value is None:
            assert name != "forces", "no forces"
            continue
        assert isinstance(value, np.ndarray), f"{name}: {type(value).__name__}, not an array"
        assert value.dtype == np.float64, f"{name}: {value.dtype}, not float64"
        assert value.shape == shape, f"{name}: of shape {value.shape}, not {shape}"
        assert np.isfinite(value).all(), f"{name}: not finite"
        if name == "energies":
            away = abs(float(value.sum()) - energy)
            assert away <= 1e-9 * max(abs(energy), 1.0), f"energies add up to {away} eV more"
    free = property_or_none(calculator, atoms, "free_energy")
    if free is not None:
        assert isinstance(free, float), f"free_energy: {type(free).__name__}, not a float"
        assert free == energy, f"free_energy {free} eV is not the energy, {energy} eV"


def check_results_are_copies(factory: CalculatorFactory, atoms: Atoms) -> None:
    """Writing into an array that was handed out changes nothing in the calculator."""
    calculator = factory()
    for name in ("forces", "energies", "stress"):
        value = property_or_none(calculator, atoms, name)
        if value is not None:
            kept = value.copy()
            value += 1.0
            again = calculator.get_property(name, atoms)
            assert np.array_equal(again, kept), f"{name} handed out belong to the calculator still"


def check_caching(factory: CalculatorFactory, atoms: Atoms, accuracy: Accuracy = FLOAT64) -> None:
    """The order of requests is of no matter, and what is known is not calculated again."""
    expected = answer(factory(), atoms)
    names = [name for name, value in expected.items() if value is not None]
    for k in range(len(names)):
        order = (*names[k:], *names[:k])
        calculator = factory()
        calls = _count_calculations(calculator)
        assert_same(answer(calculator, atoms, order), expected, accuracy, f"asked in order {order}")
        n_calls = len(calls)
        assert 1 <= n_calls <= len(names), f"{n_calls} calculations for {len(names)} properties"
        same_atoms = atoms.copy()
        answer(calculator, same_atoms, order)
        assert len(calls) == n_calls, "calculated again although nothing had changed"


def check_changes_are_seen(
    factory: CalculatorFactory, atoms: Atoms, accuracy: Accuracy = FLOAT64
) -> None:
    """Changes of the atoms in place are noticed, whichever property is asked first."""
    before = answer(factory(), atoms)
    for name, change in _changes(atoms).items():
        changed = atoms.copy()
        change(changed)
        after = answer(factory(), changed)
        for first in ("energy", "forces"):
            calculator, moving = factory(), atoms.copy()
            answer(calculator, moving)
            change(moving)
            now = answer(calculator, moving, (first,))
            assert_same(now, after, accuracy, f"{first} after a change of {name}")
            again = answer(calculator, atoms)
            assert_same(again, before, accuracy, f"the first structure, after other {name}")


def check_copies(factory: CalculatorFactory, atoms: Atoms, accuracy: Accuracy = FLOAT64) -> None:
    """Deep copies and pickles, of a fresh and of a used calculator, agree and are independent."""
    moved = atoms.copy()
    moved.positions[0, 0] += 0.02
    expected, expected_moved = answer(factory(), atoms), answer(factory(), moved)
    duplicates = {"a copy": copy.deepcopy, "a pickle": lambda c: pickle.loads(pickle.dumps(c))}
    for what, duplicate in duplicates.items():
        for used in (False, True):
            calculator = factory()
            if used:
                answer(calculator, atoms)
            try:
                twin = duplicate(calculator)
            except (TypeError, AttributeError, pickle.PicklingError) as error:
                raise AssertionError(f"{what} cannot be made: {error}") from error
            assert_same(answer(twin, moved), expected_moved, accuracy, what)
            assert_same(answer(calculator, atoms), expected, accuracy, f"the original of {what}")


def check_forces(factory: CalculatorFactory, atoms: Atoms, accuracy: Accuracy = FLOAT64) -> None:
    """forces = -dE/dr in every coordinate, by five-point differences."""
    calculator = factory()
    forces = calculator.get_property("forces", atoms)

    def energy(displacement: np.ndarray) -> float:
        moved = atoms.copy()
        moved.positions += displacement
        return float(calculator.get_property("energy", moved))

    numerical = np.zeros_like(forces)
    for index in np.ndindex(*forces.shape):
        direction = np.zeros_like(forces)
        direction[index] = 1.0
        numerical[index] = -five_point(energy, direction, accuracy.step)
    away = np.abs(forces - numerical)
    atom, axis = np.unravel_index(int(away.argmax()), away.shape)
    scale = max(float(np.abs(numerical).max()), SMALLEST_SCALE["forces"])
    assert away.max() <= accuracy.derivatives * scale, (
        f"force on atom {atom} along {'xyz'[axis]}: {forces[atom, axis]:.8g} eV/A, but -dE/dr is "
        f"{numerical[atom, axis]:.8g} eV/A"
    )


def check_stress(factory: CalculatorFactory, atoms: Atoms, accuracy: Accuracy = FLOAT64) -> None:
    """stress = dE/dstrain / V in all components (positive under tension, Voigt order)."""
    calculator = factory()
    stress = property_or_none(calculator, atoms, "stress")
    if stress is None:
        return

    def energy(strain: np.ndarray) -> float:
        deformed = atoms.copy()
        deformed.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=False)
        deformed.positions = atoms.positions @ (np.eye(3) + strain)
        return float(calculator.get_property("energy", deformed))

    numerical = np.zeros((3, 3))
    for a, b in combinations_with_replacement(range(3), 2):
        direction = np.zeros((3, 3))
        direction[a, b] += 0.5
        direction[b, a] += 0.5
        slope = five_point(energy, direction, accuracy.step) / atoms.get_volume()
        numerical[a, b] = numerical[b, a] = slope
    expected = full_3x3_to_voigt_6_stress(numerical)
    scale = max(float(np.abs(expected).max()), SMALLEST_SCALE["stress"])
    worst = int(np.abs(stress - expected).argmax())
    assert abs(stress[worst] - expected[worst]) <= accuracy.derivatives * scale, (
        f"stress {('xx', 'yy', 'zz', 'yz', 'xz', 'xy')[worst]}: {stress[worst]:.8g} eV/A^3, but "
        f"dE/dstrain / V is {expected[worst]:.8g} eV/A^3"
    )


def check_smooth_at_cutoff(
    factory: CalculatorFactory, atoms: Atoms, cutoff: float, accuracy: Accuracy = FLOAT64
) -> None:
    """Energy and forces do not jump where two atoms of these elements part, and are zero beyond."""
    calculator = factory()
    for pair in combinations_with_replacement(sorted(set(atoms.symbols)), 2):
        answers = []
        for distance in (cutoff - 1e-6, cutoff + 1e-6):
            two = Atoms(list(pair), [[0.0, 0.0, 0.0], [distance, 0.0, 0.0]])
            answers.append(answer(calculator, two, ("energy", "forces")))
        for name, unit in (("energy", "eV"), ("forces", "eV/A")):
            jump = float(np.abs(answers[0][name] - answers[1][name]).max())
            assert jump <= accuracy.jump, (
                f"{name} of {'-'.join(pair)} jump by {jump:.3g} {unit} at {cutoff} A"
            )
        left = float(np.abs(answers[1]["forces"]).max())
        assert left <= accuracy.jump, f"{'-'.join(pair)}: {left:.3g} eV/A beyond {cutoff} A"


def check_energy_conservation(
    factory: CalculatorFactory, atoms: Atoms, accuracy: Accuracy = FLOAT64
) -> None:
    """The total energy of molecular dynamics does not drift: see `energy_drift_meV_per_ps`."""
    drift = energy_drift_meV_per_ps(factory, atoms)
    assert abs(drift) <= accuracy.drift_meV_per_ps, f"the energy drifts by {drift:.3g} meV/atom/ps"


def energy_drift_meV_per_ps(
    factory: CalculatorFactory,
    atoms: Atoms,
    temperature_K: float = 300.0,
    n_steps: int = 2000,
    timestep_fs: float = 0.5,
) -> float:
    """Slope of a straight line through the total energy of NVE dynamics, per atom (meV/ps).

    Velocities are drawn at twice the temperature: from a minimum, half of that energy soon becomes
    potential energy.
    """
    moving = atoms.copy()
    moving.set_constraint()
    moving.calc = factory()
    random = np.random.default_rng(0)
    thermalize_momenta(moving, 2.0 * temperature_K, rng=random)
    Stationary(moving)
    energies = []
    dynamics = VelocityVerlet(moving, timestep_fs * units.fs)
    dynamics.attach(lambda: energies.append(moving.get_total_energy()))
    dynamics.run(n_steps)
    times_ps = np.arange(len(energies)) * timestep_fs * 1e-3
    return float(np.polyfit(times_ps, energies, 1)[0]) * 1e3 / len(atoms)


def _changes(atoms: Atoms) -> dict[str, Callable[[Atoms], None]]:
    """Ways to change these atoms in place, by what changes."""

    def move(a: Atoms) -> None:
        a.positions[0, 1] += 0.01

    def exchange(a: Atoms) -> None:
        last = int(np.flatnonzero(a.numbers != a.numbers[0])[-1])
        a.numbers[[0, last]] = a.numbers[[last, 0]]

    def remove(a: Atoms) -> None:
        del a[-1]

    def stretch(a: Atoms) -> None:
        a.cell[int(np.flatnonzero(a.pbc)[0])] *= 1.01

    def open_up(a: Atoms) -> None:
        a.pbc[int(np.flatnonzero(a.pbc)[-1])] = False

    changes: dict[str, Callable[[Atoms], None]] = {"positions": move}
    if len(set(atoms.numbers)) > 1:
        changes["elements"] = exchange
    if len(atoms) > 2:
        changes["the number of atoms"] = remove
    if atoms.pbc.any():
        changes["cell"] = stretch
        changes["pbc"] = open_up
    return changes


def _count_calculations(calculator: Any) -> list[None]:
    """A list that grows with every call of `calculate`."""
    calls: list[None] = []
    original = calculator.calculate

    def counted(*arguments: Any, **options: Any) -> None:
        calls.append(None)
        original(*arguments, **options)

    calculator.calculate = counted
    return calls
