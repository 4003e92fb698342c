"""What one prepared model says of connected structures: checked, as arrays, with its outliers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import fields, replace
from typing import NoReturn

import numpy as np
import torch
from ase.data import atomic_masses
from torch import Tensor

from mlpotential.errors import StructureError
from mlpotential.graph import AtomGraph, Prediction
from mlpotential.inference.pair_graph import PairGraph
from mlpotential.inference.prepared_model import PreparedModel
from mlpotential.inference.training_domain import Outliers, is_outside
from mlpotential.nn.charges import dipole, with_total_charge

SMALLEST_DISTANCE = 1e-3  # A; chosen: closer atoms are one atom written twice

# Of a model, with or without a look at its training domain.
Answer = Callable[[PreparedModel, Collection[str], bool], tuple[Prediction, Outliers | None]]


def with_extras(
    model: PreparedModel,
    answer: Answer,
    graph: Callable[[], AtomGraph],
    properties: Collection[str],
    watched: bool,
) -> tuple[Prediction, Outliers | None]:
    """The answer of the model with what its backend does not give.

    These are the energies of its extra networks and, by autograd of the model itself, Born charges.

    Args:
        model: evaluated by `answer`.
        answer: of any backend.
        graph: gives the connected structures.
        properties: as for `Evaluator.evaluate`.
        watched: look for atoms outside the training domain.
    """
    of_backend = [name for name in properties if name not in ("extra_energies", "born_charges")]
    prediction, outliers = answer(model, of_backend, watched)
    if "born_charges" in properties:
        born = model.potential(graph().to(model.device), ["born_charges"]).born_charges
        prediction = replace(prediction, born_charges=_to_numpy(born))
    if "extra_energies" in properties:
        energies = {k: answer(x, ["energy"], False)[0].energy for k, x in model.extras.items()}
        prediction = replace(prediction, extra_energies=energies)
    return prediction, outliers


def answer_in_torch(
    model: PreparedModel, graph: AtomGraph, properties: Collection[str], watched: bool
) -> tuple[Prediction, Outliers | None]:
    """By the reference or the tabulated backend.

    Args:
        model: of such a backend.
        graph: connected; on any device.
        properties: as for `Potential.forward`.
        watched: look for atoms outside the training domain.

    Raises:
        StructureError: for two atoms in one place, or an answer that is not finite.
    """
    graph = graph.to(model.device)
    distances = checked_distances(graph)
    if watched and model.domain.centers is not None:
        properties = [*properties, "features"]
    prediction = model.in_torch(graph, properties)
    outliers = _outliers(model, graph, distances, prediction.features) if watched else None
    prediction = replace(prediction, features=None)
    arrays = {f.name: _to_numpy(getattr(prediction, f.name)) for f in fields(Prediction)}
    return _finite(Prediction(**arrays)), outliers


def answer_natively(
    model: PreparedModel,
    graph: PairGraph,
    positions: np.ndarray,
    cells: np.ndarray | None,
    properties: Collection[str],
    watched: bool,
) -> tuple[Prediction, Outliers | None]:
    """By the compiled kernel; arguments and errors as for `answer_in_torch` and `NativeSchNet`."""
    assert model.native is not None
    needed = [*properties]
    needed += ["virial"] if "stress" in properties else []
    needed += ["charges"] if "dipole" in properties else []
    prediction, closest, outliers = model.native.evaluate(graph, positions, needed, watched)
    if closest.distance < SMALLEST_DISTANCE:
        i, j = map(graph.number_in_graph, (closest.i, closest.j))
        _refuse_coincident(i, j, closest.distance)
    if "charges" in needed:
        prediction = _with_charges(model, prediction, graph, positions, properties)
    prediction = _finite(prediction)
    if "stress" in properties:
        prediction = replace(
            prediction,
            stress=_stress(prediction.virial, cells),
            virial=prediction.virial if "virial" in properties else None,
        )
    return prediction, outliers


def _with_charges(
    model: PreparedModel,
    prediction: Prediction,
    graph: PairGraph,
    positions: np.ndarray,
    properties: Collection[str],
) -> Prediction:
    """From charges as they come out of the network: those that are kept, and their dipoles."""
    readout = model.potential.charge_readout
    assert readout is not None
    charges, positions = prediction.charges, positions.reshape(-1, 3)
    starts = graph.graph_start
    index = np.repeat(np.arange(graph.n_graphs), np.diff(starts))

    def per_graph(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.add.reduceat(values, starts[:-1], axis=0))

    if readout.total_charge is not None:
        charges = with_total_charge(charges, readout.total_charge, index, per_graph)
    moments = None
    if "dipole" in properties:
        masses = atomic_masses[graph.atomic_numbers]
        moments = dipole(charges, positions, masses, index, per_graph)
    return replace(prediction, dipole=moments, charges=charges if "charges" in properties else None)


def checked_distances(graph: AtomGraph) -> Tensor:
    """Distance of each pair, [n_pairs] (A). Raises StructureError for two atoms in one place."""
    distances = torch.linalg.vector_norm(graph.pair_displacements(), dim=-1)
    if len(distances) and float(distances.min()) < SMALLEST_DISTANCE:
        closest = int(distances.argmin())
        pair = graph.pair_index[:, closest]
        first_atom = int((graph.graph_index < graph.graph_index[pair[0]]).sum())
        i, j = (pair - first_atom).tolist()
        _refuse_coincident(i, j, float(distances.min()))
    return distances


def _outliers(
    model: PreparedModel, graph: AtomGraph, distances: Tensor, features: Tensor | None
) -> Outliers | None:
    """In few operations where all atoms are inside: each costs more than its numbers."""
    shortest, ranges = model.domain_tensors
    numbers, shortfalls, reaches = graph.atomic_numbers, None, None
    if shortest is not None and len(distances):
        first, second = numbers.take(graph.pair_index)
        shortfalls = shortest.take(torch.add(second, first, alpha=len(shortest))) - distances
    if ranges is not None and features is not None:
        scales, offsets = ranges.index_select(0, numbers).chunk(2, dim=1)
        reaches = torch.addcmul(offsets, features, scales).abs()  # |x - c| s
    largest = [-np.inf if x is None else float(x.max()) for x in (shortfalls, reaches)]
    if not is_outside(*largest):
        return None
    starts = np.zeros(graph.n_graphs + 1, np.int64)
    np.cumsum(graph.atoms_per_graph().cpu().numpy(), out=starts[1:])
    return Outliers(
        model.domain,
        *_of_first_atoms(graph, shortfalls),
        np.zeros(graph.n_atoms) if reaches is None else reaches.amax(dim=1).cpu().numpy(),
        numbers.cpu().numpy(),
        starts,
    )


def _of_first_atoms(graph: AtomGraph, shortfalls: Tensor | None) -> tuple[np.ndarray, np.ndarray]:
    """The largest of the pairs of each first atom, and the second atom of that pair."""
    largest, partners = np.full(graph.n_atoms, -np.inf), np.arange(graph.n_atoms)
    if shortfalls is not None:
        values, (i, j) = shortfalls.cpu().numpy(), graph.pair_index.cpu().numpy()
        order = np.argsort(values)  # the largest of an atom comes last, and stays
        largest[i[order]], partners[i[order]] = values[order], j[order]
    return largest, partners


def _refuse_coincident(i: int, j: int, distance: float) -> NoReturn:
    raise StructureError(f"atoms {i} and {j} are in one place ({distance:.2g} A apart)")


def _stress(virial: np.ndarray, cells: np.ndarray | None) -> np.ndarray | None:
    """-virial / V, [n_graphs, 3, 3] (eV/A^3); None without any cell, NaN for a molecule."""
    if cells is None:
        return None
    volume = np.abs(np.linalg.det(cells))
    volume[volume == 0.0] = np.nan
    return -virial / volume[:, None, None]


def _finite(prediction: Prediction) -> Prediction:
    """The same, unless the model was lost: then StructureError."""
    for name in ("energy", "forces", "virial", "dipole", "charges"):
        values = getattr(prediction, name)
        if values is not None and not np.isfinite(values).all():
            raise StructureError(
                f"the model gives a number in {name} that is not finite: the structure is far "
                "from all it was trained on"
            )
    return prediction


def _to_numpy(value: Tensor | None) -> np.ndarray | None:
    """A copy of its own in float64 on the host."""
    if value is None:
        return None
    return np.array(value.detach().cpu().numpy(), dtype=np.float64, order="C")
