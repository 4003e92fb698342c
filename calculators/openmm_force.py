"""An `Evaluator` as a force of OpenMM: `PythonForce`, of OpenMM 8.6 and later.

P. Eastman et al., J. Phys. Chem. B 128, 109 (2024), doi:10.1021/acs.jpcb.3c06662. OpenMM has nm and
kJ/mol, its forces act on all particles of a system or on some of them, and its boxes are periodic
in all directions. Units are translated, nothing is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlpotential.errors import ConfigError, StructureError
from mlpotential.inference.committee import Models
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.execution import Backend, GuardMode
from mlpotential.units import ANGSTROM_PER_NM, EV_PER_KJ_PER_MOL

if TYPE_CHECKING:
    from openmm import PythonForce


def openmm_force(
    model: Models,
    atomic_numbers: Sequence[int] | np.ndarray,
    particles: Sequence[int] | None = None,
    periodic: bool = False,
    device: str | torch.device = "auto",
    dtype: str | None = None,
    backend: Backend = "auto",
    threads: int = 1,
    guard: GuardMode = "warn",
) -> PythonForce:
    """A force to add to a `System`: `system.addForce(openmm_force(...))`.

    It is saved with the system (`XmlSerializer`), the model in it. Virtual sites and constraints
    are OpenMM's matter. Particles outside `particles` do not interact with the model.

    Args:
        model, device, dtype, backend, threads, guard: as for `Evaluator`.
        atomic_numbers: of the particles that the model moves, [n_atoms]; of a topology
            `[atom.element.atomic_number for atom in topology.atoms()]`.
        particles: their indices in the system, [n_atoms]; None for all particles, in its order.
        periodic: the box of the context counts; the model must have a cutoff.

    Raises:
        ConfigError: without an OpenMM that has `PythonForce`, or as `Evaluator` does.
        StructureError: particles that are no list of different indices, one for each atom; or as
            `Evaluator` does.
    """
    openmm = _openmm()
    numbers = np.asarray(atomic_numbers)
    chosen = None if particles is None else _checked(particles, len(numbers))
    evaluator = Evaluator(model, numbers, periodic, device, dtype, backend, threads, guard)
    force = openmm.PythonForce(OpenMMComputation(evaluator))
    force.setUsesPeriodicBoundaryConditions(periodic)
    if chosen is not None:
        force.setParticles(chosen)
    force.setName("mlpotential")
    return force


class OpenMMComputation:
    """Energy and forces of a state of OpenMM; it can be pickled, so that systems can be saved.

    Args:
        evaluator: of the particles that a state has.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator

    def __call__(self, state: Any) -> tuple[float, np.ndarray]:
        """The potential energy (kJ/mol) and forces [n_atoms, 3] (kJ/mol/nm).

        Raises:
            StructureError: another number of particles, or as `Evaluator.evaluate` does; OpenMM
                makes an `OpenMMException` of it, with the same words.
        """
        # [n_atoms, 3]; OpenMM's own unit is nm, and a plain array needs no conversion of units
        positions = np.asarray(state.getPositions(asNumpy=True)._value) * ANGSTROM_PER_NM
        if len(positions) != self.evaluator.n_atoms:
            raise StructureError(
                f"the force of mlpotential is of {self.evaluator.n_atoms} atoms, but the system "
                f"has {len(positions)} particles for it: give the particles that it acts on"
            )
        cells = None
        if self.evaluator.pbc.any():
            box = state.getPeriodicBoxVectors(asNumpy=True)._value
            cells = np.asarray(box, np.float64)[None] * ANGSTROM_PER_NM
        found = self.evaluator.evaluate(positions[None], cells)
        forces: np.ndarray = found.forces * (ANGSTROM_PER_NM / EV_PER_KJ_PER_MOL)
        return float(found.energy[0]) / EV_PER_KJ_PER_MOL, forces


def _openmm() -> Any:
    """The package. Raises ConfigError where it is missing or too old."""
    how = "pip install 'mlpotential[openmm]'"
    try:
        import openmm
    except ImportError as error:
        raise ConfigError(f"OpenMM is not installed: {how}") from error
    if not hasattr(openmm, "PythonForce"):
        version = openmm.Platform.getOpenMMVersion()
        raise ConfigError(f"OpenMM {version} has no PythonForce, which came with 8.6: {how}")
    return openmm


def _checked(particles: Sequence[int], n_atoms: int) -> list[int]:
    """Indices of particles. Raises StructureError as `openmm_force`."""
    chosen = [int(index) for index in particles]
    if len(chosen) != n_atoms:
        raise StructureError(f"{len(chosen)} particles were given for {n_atoms} atomic numbers")
    if len(set(chosen)) < n_atoms or min(chosen, default=0) < 0:
        raise StructureError("particles must be different indices, counted from 0")
    return chosen
