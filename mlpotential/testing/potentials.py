"""Checks that every potential must pass, to run against your own: each raises AssertionError.

    from mlpotential.testing import check_forces_are_gradients
    check_forces_are_gradients(model, graph)

All of them evaluate in the dtype of the model; use float64 models for the default tolerances.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mlpotential.graph import AtomGraph, Prediction, collate
from mlpotential.models.potential import Potential
from mlpotential.neighbors import connect, split
from mlpotential.nn.finite_differences import five_point

STEP = 1e-4  # A; chosen: five-point differences of a float64 energy are good to 1e-10 eV/A here


def predict(model: Potential, graph: AtomGraph, *properties: str) -> Prediction:
    """Connects and evaluates; energy and forces unless said otherwise."""
    return model.eval()(connect(graph, model.cutoff), properties or ("energy", "forces"))


def check_forces_are_gradients(
    model: Potential, graph: AtomGraph, relative_tolerance: float = 1e-7
) -> None:
    """forces = -dE/dr, by five-point differences, relative to the largest force."""
    forces = predict(model, graph).forces

    def energy(displacement: Tensor) -> float:
        moved = replace(graph, positions=graph.positions + displacement)
        return float(predict(model, moved, "energy").energy.sum())

    numerical = torch.zeros_like(forces)
    for index in np.ndindex(*forces.shape):
        direction = torch.zeros_like(forces)
        direction[index] = 1.0
        numerical[index] = -five_point(energy, direction, STEP)
    _assert_close(forces, numerical, relative_tolerance, "forces and -dE/dr")


def check_virial_is_strain_derivative(
    model: Potential, graph: AtomGraph, relative_tolerance: float = 1e-7
) -> None:
    """virial = -dE/dstrain, by five-point differences; stress = -virial / V with a cell."""
    prediction = predict(model, graph, "energy", "virial", "stress")

    def energy(strain: Tensor) -> float:
        deformation = torch.eye(3, dtype=torch.float64) + strain
        cell = None if graph.cell is None else graph.cell @ deformation
        moved = replace(graph, positions=graph.positions @ deformation, cell=cell)
        return float(predict(model, moved, "energy").energy.sum())

    numerical = torch.zeros(3, 3, dtype=torch.float64)
    for a, b in np.ndindex(3, 3):
        direction = torch.zeros(3, 3, dtype=torch.float64)
        direction[a, b] += 0.5
        direction[b, a] += 0.5
        numerical[a, b] = -five_point(energy, direction, STEP)
    _assert_close(prediction.virial[0], numerical, relative_tolerance, "virial and -dE/dstrain")
    if graph.cell is not None:
        stress = -numerical / torch.linalg.det(graph.cell[0]).abs()
        _assert_close(prediction.stress[0], stress, relative_tolerance, "stress and dE/dstrain/V")


def check_symmetries(model: Potential, graph: AtomGraph, relative_tolerance: float = 1e-10) -> None:
    """Translation, rotation, reflection and permutation of one structure."""
    reference = predict(model, graph)
    for name, matrix in (("rotation", _rotation()), ("reflection", -_rotation())):
        cell = None if graph.cell is None else graph.cell @ matrix
        moved = replace(graph, positions=graph.positions @ matrix, cell=cell)
        answer = predict(model, moved)
        _assert_close(answer.energy, reference.energy, relative_tolerance, f"energy under {name}")
        _assert_close(
            answer.forces, reference.forces @ matrix, relative_tolerance, f"forces under {name}"
        )
    shifted = replace(graph, positions=graph.positions + torch.tensor([1.7, -31.0, 0.4]))
    answer = predict(model, shifted)
    _assert_close(answer.forces, reference.forces, relative_tolerance, "forces under translation")
    order = torch.randperm(graph.n_atoms, generator=torch.Generator().manual_seed(0))
    permuted = replace(
        graph, positions=graph.positions[order], atomic_numbers=graph.atomic_numbers[order]
    )
    answer = predict(model, permuted)
    _assert_close(answer.energy, reference.energy, relative_tolerance, "energy under permutation")
    _assert_close(
        answer.forces, reference.forces[order], relative_tolerance, "forces under permutation"
    )


def check_no_net_force_or_torque(
    model: Potential, graph: AtomGraph, relative_tolerance: float = 1e-10
) -> None:
    """sum F = 0; of a molecule also sum r x F = 0."""
    forces = predict(model, graph).forces
    scale = float(forces.abs().max())
    net = float(forces.sum(dim=0).abs().max())
    assert net <= relative_tolerance * scale * graph.n_atoms, f"net force {net} eV/A"
    if not bool(graph.pbc.any()):
        torque = float(torch.linalg.cross(graph.positions, forces).sum(dim=0).abs().max())
        lever = float(graph.positions.abs().max())
        assert torque <= relative_tolerance * scale * lever * graph.n_atoms, f"torque {torque} eV"


def check_batch_equals_singles(
    model: Potential, graphs: list[AtomGraph], relative_tolerance: float = 1e-12
) -> None:
    """Structures evaluated together and one by one agree."""
    together = predict(model, collate(graphs))
    alone = [predict(model, single) for graph in graphs for single in split(graph)]
    energies = torch.cat([p.energy for p in alone])
    forces = torch.cat([p.forces for p in alone])
    _assert_close(together.energy, energies, relative_tolerance, "batched and single energies")
    _assert_close(together.forces, forces, relative_tolerance, "batched and single forces")


def check_hessian(model: Potential, graph: AtomGraph, relative_tolerance: float = 1e-7) -> None:
    """Second derivatives exist and are the derivatives of the forces."""
    hessian = model.eval().hessian(connect(graph, model.cutoff))

    def forces(displacement: Tensor) -> Tensor:
        moved = replace(graph, positions=graph.positions + displacement)
        return predict(model, moved).forces.reshape(-1)

    columns = []
    for index in np.ndindex(graph.n_atoms, 3):
        direction = torch.zeros_like(graph.positions)
        direction[index] = 1.0
        columns.append(-five_point(forces, direction, STEP))
    numerical = torch.stack(columns)
    _assert_close(hessian, numerical, relative_tolerance, "Hessian and -dF/dr")


def check_isolated_atom(model: Potential, atomic_number: int) -> None:
    """One atom has a finite energy and no force."""
    atom = AtomGraph.from_arrays(np.array([atomic_number]), np.zeros((1, 3)))
    answer = predict(model, atom, "energy", "forces", "virial")
    assert torch.isfinite(answer.energy).all(), f"energy of an isolated atom: {answer.energy}"
    assert not answer.forces.any(), f"force on an isolated atom: {answer.forces}"
    assert not answer.virial.any(), f"virial of an isolated atom: {answer.virial}"


def check_additive(
    model: Potential, graph: AtomGraph, distance: float = 200.0, tolerance: float = 1e-9
) -> None:
    """The energy of two distant molecules is the sum of theirs (eV), where promised."""
    assert model.traits.additive, "this model does not promise additivity"
    far = graph.positions + torch.tensor([distance, 0.0, 0.0])
    pair = AtomGraph.from_arrays(
        torch.cat([graph.atomic_numbers] * 2).numpy(), torch.cat([graph.positions, far]).numpy()
    )
    both = float(predict(model, pair, "energy").energy)
    one = float(predict(model, graph, "energy").energy)
    assert abs(both - 2.0 * one) <= tolerance, f"E(2) - 2 E(1) = {both - 2.0 * one} eV"


def check_continuous_at_cutoff(
    model: Potential, atomic_numbers: tuple[int, int], tolerance: float = 1e-6
) -> None:
    """Energy (eV) and forces (eV/A) do not jump where two atoms part, where promised."""
    assert model.traits.smooth_at_cutoff, "this model does not promise smoothness"
    assert model.cutoff is not None, "this model has no cutoff"
    answers = []
    for distance in (model.cutoff - 1e-7, model.cutoff + 1e-7):
        positions = np.array([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]])
        answers.append(predict(model, AtomGraph.from_arrays(np.array(atomic_numbers), positions)))
    energy_jump = abs(float(answers[0].energy - answers[1].energy))
    force_jump = float((answers[0].forces - answers[1].forces).abs().max())
    assert energy_jump <= tolerance, f"the energy jumps by {energy_jump} eV at the cutoff"
    assert force_jump <= tolerance, f"forces jump by {force_jump} eV/A at the cutoff"


def _rotation() -> Tensor:
    """A proper rotation about no special axis, [3, 3]."""
    generator = torch.Generator().manual_seed(1)
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    return q * torch.linalg.det(q)


def _assert_close(actual: Tensor, expected: Tensor, relative_tolerance: float, what: str) -> None:
    """Largest deviation relative to the largest expected value."""
    deviation = float((actual - expected).abs().max())
    scale = max(float(expected.abs().max()), 1e-300)
    assert deviation <= relative_tolerance * scale, (
        f"{what} differ by {deviation:.3g}, {deviation / scale:.3g} of the largest value"
    )
