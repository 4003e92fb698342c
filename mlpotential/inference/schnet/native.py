"""SchNet by the compiled kernel: packs a model for it and calls it without holding the GIL.

It does what `tabulated.py` does: interpolated filters and a backward pass by hand, here with
threads of its own and without any effect on the rest of the process.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import torch

from mlpotential.errors import ConfigError, RunError
from mlpotential.graph import Prediction, stress_of
from mlpotential.inference.backend import (
    SMALLEST_DISTANCE,
    EvaluationBackend,
    Obstacle,
    check_finite,
    coincident_atoms,
)
from mlpotential.inference.pair_graph import PairGraph, address
from mlpotential.inference.schnet import kernel
from mlpotential.inference.schnet.charges import NEEDED, with_charges
from mlpotential.inference.schnet.filter_polynomials import (
    FilterPolynomials,
    filter_polynomials,
)
from mlpotential.inference.schnet.filter_table import FilterTable, obstacle_to_tables, table_of
from mlpotential.inference.schnet.kernel import InstructionSet, available_instruction_sets
from mlpotential.inference.structures import Structures
from mlpotential.inference.training_domain import (
    UNKNOWN_DOMAIN,
    Outliers,
    TrainingDomain,
    is_outside,
    watched_bond_lengths,
)
from mlpotential.models.potential import Potential
from mlpotential.models.readouts.atomwise import AtomwiseReadout
from mlpotential.models.schnet import SchNet
from mlpotential.nn.activations import READOUT_ACTIVATIONS
from mlpotential.properties import OF_DIPOLES

KERNEL_OUTPUTS = {"energy", *OF_DIPOLES}  # whose readouts it evaluates


class NativeBackend(EvaluationBackend):
    """SchNet by the compiled kernel, on the CPU."""

    name = "native"

    def __init__(self, potential: Potential, domain: TrainingDomain, threads: int) -> None:
        assert isinstance(potential, SchNet)  # or it would not be supported
        self._charge_readout = potential.charge_readout
        self._network = NativeSchNet(potential, table_of(potential), threads, domain=domain)
        self.table_error = self._network.table_error

    def at_work(self, dtype: str) -> str:
        """What evaluates, in words."""
        network = self._network
        threads = "1 thread" if network.threads == 1 else f"{network.threads} threads"
        return f"native kernel ({network.instruction_set}), {dtype}, {threads}"

    @classmethod
    def obstacle(cls, potential: Potential, device: torch.device) -> Obstacle | None:
        """Filters that cannot be tabulated, another device than the CPU, no kernel."""
        if (obstacle := obstacle_to_tables(potential)) is not None:
            return obstacle
        if device.type != "cpu":
            return Obstacle(
                f"the native backend is for the CPU, not for {device}: use device='cpu', or "
                "backend='tabulated'"
            )
        readouts = [
            potential.outputs[name].activation for name in KERNEL_OUTPUTS & potential.outputs.keys()
        ]
        if unknown := [a for a in readouts if a and READOUT_ACTIVATIONS[a].kernel_number is None]:
            return Obstacle(
                error=f"the kernel has no readouts with {unknown[0]}: use backend='tabulated'",
                notice=f"the kernel has no readouts with {unknown[0]}: the model is evaluated by "
                "the {backend} backend",
            )
        if not available_instruction_sets():
            return Obstacle(
                error=_no_kernel(None),
                notice="there is no compiled kernel, so models are evaluated by the {backend} "
                f"backend, which is several times slower: {kernel.why_there_is_none()}",
            )
        return None

    @classmethod
    def installation(cls) -> list[str]:
        """Which kernels there are."""
        if not (available := available_instruction_sets()):
            return [f"compiled kernel: none. {kernel.why_there_is_none()}"]
        return [f"compiled kernel: {available[-1]} (usable here: {', '.join(available)})"]

    @classmethod
    def describe(cls, potential: Potential) -> list[str]:
        """Which kernels there are; that there is none is an obstacle."""
        return cls.installation() if available_instruction_sets() else []

    def predict(
        self, structures: Structures, properties: Collection[str], monitored: bool
    ) -> tuple[Prediction, Outliers | None]:
        """As every backend."""
        needed = {*properties, *(NEEDED[name] for name in NEEDED if name in properties)}
        pairs, positions = structures.pairs, structures.positions
        prediction, outliers = self._network.evaluate(pairs, positions, needed, monitored)
        if self._charge_readout is not None and "charges" in needed:
            prediction = with_charges(
                prediction, self._charge_readout, structures.atoms, positions, set(properties)
            )
        check_finite(prediction)
        if "stress" in properties:
            prediction = replace(
                prediction,
                stress=stress_of(prediction.virial, structures.cells),
                virial=prediction.virial if "virial" in properties else None,
            )
        return prediction, outliers


class NativeSchNet:
    """A SchNet packed for the compiled kernel.

    Args:
        model: in float32 or float64; its weights are copied.
        table: of its filters, in float64.
        threads: how many share an evaluation: structures first, atoms of one structure else.
        instruction_set: None for the best this processor can run.
        domain: where the model was trained, as far as it is known.

    Raises:
        ConfigError: if there is no such compiled kernel.
    """

    def __init__(
        self,
        model: SchNet,
        table: FilterTable,
        threads: int = 1,
        instruction_set: InstructionSet | None = None,
        domain: TrainingDomain = UNKNOWN_DOMAIN,
    ) -> None:
        available = available_instruction_sets()
        if not available or (instruction_set or available[-1]) not in available:
            raise ConfigError(_no_kernel(instruction_set))
        self.threads = threads
        self.instruction_set = instruction_set or available[-1]
        path = kernel.library_path(self.instruction_set)
        assert path is not None  # it is available
        self._library = kernel.load(path)
        filters = filter_polynomials(table, model.dtype)
        self.table_error = filters.error
        description, arrays = describe(model, table.last, filters, domain)
        self.domain = domain
        n_bytes = 8 if model.dtype == torch.float64 else 4
        self._network = self._library.schnet_create(ctypes.byref(description), n_bytes)
        del arrays  # they had to live until here
        if not self._network:
            raise MemoryError("not enough memory to pack the model")

    def __del__(self) -> None:
        if getattr(self, "_network", None):
            self._library.schnet_destroy(self._network)

    def evaluate(
        self,
        graph: PairGraph,
        positions: np.ndarray,
        properties: Collection[str],
        monitored: bool = False,
    ) -> tuple[Prediction, Outliers | None]:
        """Energies and derivatives of all structures of a graph.

        Args:
            graph: arrays as its docstring says, C-contiguous.
            positions: [n_atoms, 3], float64, C-contiguous (A).
            properties: any of energy, forces, virial, atomic_energies and, where the model has
                them, charges: as they come out of its network.
            monitored: look for atoms outside the training domain.

        Returns:
            Float64 arrays, and outliers if there are any.

        Raises:
            StructureError: for two atoms in one place.
        """
        n_atoms = graph.n_atoms
        atomic = np.empty(n_atoms)
        forces = np.empty((n_atoms, 3)) if "forces" in properties else None
        virial = np.empty((graph.n_graphs, 3, 3)) if "virial" in properties else None
        charges = np.empty(n_atoms) if "charges" in properties else None
        findings = np.empty(n_atoms, kernel.FINDING) if monitored else None
        result = kernel.SchNetResult(
            atomic_energies=address(atomic, np.float64),
            charges=address(charges, np.float64),
            forces=address(forces, np.float64),
            virial=address(virial, np.float64),
            findings=address(findings, kernel.FINDING),
        )
        self._call(graph, positions, result)
        if result.closest < SMALLEST_DISTANCE:
            i, j = map(graph.number_in_graph, result.closest_pair)
            raise coincident_atoms(i, j, result.closest)
        prediction = Prediction(
            energy=np.add.reduceat(atomic, graph.graph_start[:-1]),
            forces=forces,
            virial=virial,
            atomic_energies=atomic if "atomic_energies" in properties else None,
            charges=charges,
        )
        outliers = None
        if findings is not None and is_outside(
            result.distance_deficit,
            result.feature_deviation,
            result.nearest_ratio,
            result.coordination_deficit,
        ):
            outliers = Outliers(
                domain=self.domain,
                distance_deficits=findings["distance_deficit"],
                partners=findings["partner"],
                feature_deviations=findings["feature_deviation"],
                nearest_ratios=findings["nearest_ratio"],
                coordination_deficits=findings["coordination_deficit"],
                atomic_numbers=graph.atomic_numbers,
                graph_start=graph.graph_start,
            )
        return prediction, outliers

    def _call(self, graph: PairGraph, positions: np.ndarray, result: ctypes.Structure) -> None:
        """Lets the kernel fill the arrays of the result; raises where it cannot."""
        structures = kernel.SchNetGraph(
            n_graphs=graph.n_graphs,
            n_atoms=graph.n_atoms,
            positions=address(positions, np.float64),
            **graph.addresses,
        )
        status = self._library.schnet_evaluate(
            self._network, ctypes.byref(structures), self.threads, ctypes.byref(result)
        )
        if status == kernel.NO_MEMORY:
            raise MemoryError(f"not enough memory to evaluate {graph.n_atoms} atoms at once")
        if status == kernel.NO_THREADS:
            raise RunError(f"the system does not give {self.threads} threads: ask for fewer")


def _no_kernel(instruction_set: InstructionSet | None) -> str:
    """What is missing, and what to do."""
    there = ", ".join(available_instruction_sets())
    return (
        f"there is no compiled kernel for {instruction_set or 'this processor'} "
        f"(there are: {there or 'none'}): use backend='tabulated'"
        + ("" if there else f". {kernel.why_there_is_none()}")
    )


def describe(
    model: SchNet, last: float, filters: FilterPolynomials, domain: TrainingDomain
) -> tuple[ctypes.Structure, dict[str, np.ndarray | None]]:
    """The model as the kernel reads it, and the arrays that must outlive the description."""
    config, blocks = model.config, model.blocks
    charges = None if model.charge_readout is None else model.charge_readout.atomwise
    assert charges is None or isinstance(charges, AtomwiseReadout)  # as SchNet has them
    embedding = _float64_rows([model.embedding.weight])[0]
    in_to_filter = _float64_rows([b.in_to_filter.weight for b in blocks])
    watched = domain.neighborhoods
    arrays = {
        "table": filters.coefficients.numpy(),
        "embedding": embedding,
        "first_products": embedding @ in_to_filter[0].T,
        "atom_energies": _float64_rows([model.scale.mean_per_atom + model.scale.atom_references]),
        "in_to_filter": in_to_filter,
        "filter_to_out": _float64_rows([b.filter_to_out.weight for b in blocks]),
        "filter_to_out_bias": _float64_rows([b.filter_to_out.bias for b in blocks]),
        "output": _float64_rows([b.output.weight for b in blocks]),
        "output_bias": _float64_rows([b.output.bias for b in blocks]),
        **_readout_arrays("readout", model.readout),
        **_readout_arrays("charge", charges),
        "shortest": _square(domain.shortest, len(embedding)),
        "feature_centers": domain.centers,
        "feature_scales": domain.scales,
        "bond_lengths": None if watched is None else watched_bond_lengths(len(embedding)),
        "neighborhoods": watched,
    }
    description = kernel.SchNetModel(
        n_interactions=len(blocks),
        n_features=config.n_features,
        n_hidden=model.readout.hidden.out_features,
        n_elements=len(embedding),
        n_intervals=len(filters.coefficients),
        spacing=filters.spacing,
        last=last,
        cutoff=np.inf if model.cutoff is None else model.cutoff,
        averages=config.cutoff_function == "hard",
        energy_scale=float(model.scale.std_per_atom),
        readout_bias=float(model.readout.output.bias.detach()),
        charge_bias=0.0 if charges is None else float(charges.output.bias.detach()),
        readout_activation=model.readout.activation.kernel_number,
        **{name: address(array, np.float64) for name, array in arrays.items()},
    )
    return description, arrays


def _square(table: np.ndarray | None, n_elements: int) -> np.ndarray | None:
    """The first rows and columns, [n_elements, n_elements]: those the embedding has, too."""
    return None if table is None else np.ascontiguousarray(table[:n_elements, :n_elements])


def _readout_arrays(name: str, readout: AtomwiseReadout | None) -> dict[str, np.ndarray | None]:
    """Its two layers by their names there; nulls for None."""
    names = [f"{name}_{part}" for part in ("hidden", "hidden_bias", "output")]
    if readout is None:
        return dict.fromkeys(names)
    tensors = (readout.hidden.weight, readout.hidden.bias, readout.output.weight)
    return {name: _float64_rows([x]) for name, x in zip(names, tensors, strict=True)}


def _float64_rows(tensors: list[torch.Tensor]) -> np.ndarray:
    return np.stack([t.detach().cpu().double().numpy() for t in tensors])
