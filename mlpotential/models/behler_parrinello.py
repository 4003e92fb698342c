"""High-dimensional neural network potentials: symmetry functions and a network for each element.

J. Behler, M. Parrinello, "Generalized neural-network representation of high-dimensional
potential-energy surfaces", Phys. Rev. Lett. 98, 146401 (2007), doi:10.1103/PhysRevLett.98.146401.
Formulas of the functions: `mlpotential.nn.symmetry_functions.notation`; conventions of scaling and
networks are those of n2p2 (A. Singraber, J. Behler, C. Dellago, J. Chem. Theory Comput. 15, 1827
(2019), doi:10.1021/acs.jctc.8b00770), so that numbers agree with it. Departures: atoms in a line
count for all angular functions, and so do images of an atom for its forces, both of which n2p2
leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from ase.data import chemical_symbols
from torch import Tensor, nn

from mlpotential.data.connected_structures import ConnectedStructures
from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph
from mlpotential.models.behler_parrinello_config import BehlerParrinelloConfig
from mlpotential.models.outputs import ENERGY_ALONE, Output, Outputs
from mlpotential.models.potential import ModelTraits, Potential
from mlpotential.models.readouts.atomwise import N_ROWS
from mlpotential.models.readouts.element_networks import ElementNetworks
from mlpotential.nn.symmetry_functions.evaluation import SymmetryFunctions
from mlpotential.nn.symmetry_functions.notation import of_element
from mlpotential.settings_checks import require
from mlpotential.units import ANGSTROM_PER_LENGTH_UNIT

STRUCTURES_AT_ONCE = 16  # chosen: bounds memory
# Chosen: a function that varies less over the data than this tells little, and would be blown up.
LEAST_RANGE, LEAST_SIGMA = 1e-4, 1e-5


class FunctionScaling(nn.Module):
    """Brings symmetry functions to one scale: S + T (G - subtrahend) / divisor.

    Attributes:
        lowest, highest, mean, sigma: of each function over the training data, columns of
            `scaling.data`, [n_elements, n_functions].
    """

    lowest: Tensor
    highest: Tensor
    mean: Tensor
    sigma: Tensor

    def __init__(self, config: BehlerParrinelloConfig, counts: Sequence[int]) -> None:
        super().__init__()
        self._config, self._counts = config, tuple(counts)
        shape = (len(counts), max(counts))
        for name, value in (("lowest", 0.0), ("highest", 1.0), ("mean", 0.0), ("sigma", 1.0)):
            self.register_buffer(name, torch.full(shape, value))

    def forward(self, values: Tensor, places: Tensor) -> Tensor:
        """[n_atoms, n_functions] -> the same, scaled; functions that an element has not are 0."""
        kind, config = self._config.scaling, self._config
        if kind == "none":
            return values
        subtrahend = self.lowest if kind == "scale" else self.mean
        start, width = (0.0, 1.0)
        if kind == "center":
            divisor = torch.ones_like(self.mean)
        else:
            start, width = config.scale_min, config.scale_max - config.scale_min
            divisor = self.sigma if kind == "sigma" else self.highest - self.lowest
        scaled = start + width * (values - subtrahend[places]) / divisor[places]
        if start == 0.0 or min(self._counts) == max(self._counts):
            return scaled
        counts = torch.tensor(self._counts, device=places.device)[places]
        is_there = torch.arange(values.shape[1], device=places.device) < counts[:, None]
        return torch.where(is_there, scaled, 0.0)


class BehlerParrinello(Potential):
    """Symmetry functions of each atom, through the network of its element.

    Args:
        config: settings with their functions (`config.for_elements`).
        outputs: what it gives, by name; their networks are those of `config`.

    Attributes:
        functions: raw symmetry functions.
        scaling: of them.
    """

    config: BehlerParrinelloConfig

    def __init__(self, config: BehlerParrinelloConfig, outputs: Outputs = ENERGY_ALONE) -> None:
        super().__init__(config, outputs)
        self._length = ANGSTROM_PER_LENGTH_UNIT[config.length_unit]
        self.functions = SymmetryFunctions(
            config.functions, config.cutoff_type, config.inner_cutoff
        )
        self.cutoff = self.functions.cutoff * self._length
        self.n_features = self.functions.n_functions
        self.traits = ModelTraits(
            smooth_at_cutoff=config.cutoff_type != 0
            or all(function.is_compact for function in config.functions),
            additive=True,
            radial_filters=False,
            periodic=True,
        )
        self.elements = self.functions.elements
        self.scaling = FunctionScaling(config, list(self._n_functions.values()))
        self._add_readouts()
        self.to(torch.float32)

    @property
    def _n_functions(self) -> dict[int, int]:
        """By atomic number."""
        functions = self.config.functions
        return {z: len(of_element(functions, z)) for z in self.functions.elements}

    def new_readout(self, output: Output, n_outputs: int = 1) -> ElementNetworks:
        """Fresh networks, one for each element.

        Raises:
            ConfigError: for settings of other readouts.
        """
        for name, value in (("n_hidden", output.n_hidden), ("activation", output.activation)):
            expected = "left out: networks are those of model.hidden_layers and model.activations"
            require(value is None, f"{name} of an output of BehlerParrinello", expected, value)
        config = self.config
        return ElementNetworks(
            self._n_functions,
            config.layer_sizes,
            config.activations.split(),
            config.normalize_nodes,
            n_outputs,
        )

    def feature_names(self, atomic_number: int) -> tuple[str, ...]:
        """The symmetry functions of an element, as text."""
        functions = of_element(self.config.functions, atomic_number)
        return tuple(f"symmetry function {function}" for function in functions)

    def check_elements(self, atomic_numbers: Iterable[int]) -> None:
        """Raises ConfigError for elements without symmetry functions."""
        known = self.functions.elements
        if unknown := sorted(set(atomic_numbers) - set(known)):
            symbols = ", ".join(chemical_symbols[z] for z in known)
            raise ConfigError(
                f"the network has symmetry functions for {symbols}, not for {unknown}: give some "
                "in model.symmetry_functions"
            )

    def representation(self, graph: AtomGraph) -> Tensor:
        """Scaled symmetry functions, [n_atoms, n_features]; zero where an element has fewer."""
        return self.scaling(self.raw_functions(graph, self.dtype), self._places(graph))

    def raw_functions(self, graph: AtomGraph, dtype: torch.dtype) -> Tensor:
        """Symmetry functions as they are, [n_atoms, n_features], of a connected graph."""
        displacements = (graph.pair_displacements() / self._length).to(dtype)
        return self.functions(
            self._places(graph), graph.pair_index, displacements, in_blocks=not self.training
        )

    def _places(self, graph: AtomGraph) -> Tensor:
        """Number of the element of each atom, [n_atoms]."""
        numbers = graph.atomic_numbers
        places = torch.full((N_ROWS,), -1, device=numbers.device)
        known = torch.tensor(self.functions.elements, device=numbers.device)
        places[known] = torch.arange(len(known), device=numbers.device)
        found = places[numbers]
        if bool((found < 0).any()):
            self.check_elements(numbers.tolist())
        return found

    @torch.no_grad()
    def fit_to_structures(self, graphs: Sequence[AtomGraph]) -> None:
        """Takes range, mean and standard deviation of each function from the training data."""
        n_elements = len(self.functions.elements)
        statistics = _Statistics(n_elements, self.n_features)
        for batch in ConnectedStructures(graphs, self.cutoff).batches(STRUCTURES_AT_ONCE):
            values = self.raw_functions(batch, torch.float64)
            places = self._places(batch)
            for k in range(n_elements):
                statistics.add(k, values[places == k])
        for name, found in statistics.columns().items():
            getattr(self.scaling, name).copy_(found)


class _Statistics:
    """Range, mean and deviation of functions, gathered bit by bit in float64."""

    def __init__(self, n_elements: int, n_functions: int) -> None:
        shape = (n_elements, n_functions)
        self._counts = torch.zeros(n_elements, 1, dtype=torch.float64)
        self._lowest = torch.full(shape, torch.inf, dtype=torch.float64)
        self._highest = torch.full(shape, -torch.inf, dtype=torch.float64)
        self._mean = torch.zeros(shape, dtype=torch.float64)
        self._squares = torch.zeros(shape, dtype=torch.float64)  # of deviations from the mean

    def add(self, k: int, values: Tensor) -> None:
        """Values of atoms of an element, [n_atoms, n_functions].

        Means and squares of two samples are put together as by Chan, Golub and LeVeque (1979).
        """
        if len(values) == 0:
            return
        self._lowest[k] = torch.minimum(self._lowest[k], values.amin(dim=0))
        self._highest[k] = torch.maximum(self._highest[k], values.amax(dim=0))
        n_old, n_new = float(self._counts[k]), float(len(values))
        mean = values.mean(dim=0)
        shift = mean - self._mean[k]
        self._squares[k] += ((values - mean) ** 2).sum(dim=0)
        self._squares[k] += shift**2 * (n_old * n_new / (n_old + n_new))
        self._mean[k] += shift * (n_new / (n_old + n_new))
        self._counts[k] += n_new

    def columns(self) -> dict[str, Tensor]:
        """Those of `FunctionScaling`; of elements without atoms 0, 1, 0, 1."""
        known = self._counts > 0.0
        lowest = torch.where(known, self._lowest, 0.0)
        spread = torch.where(known, self._highest - self._lowest, 1.0)
        sigma = (self._squares / (self._counts - 1.0).clamp(min=1.0)).sqrt()
        return {
            "lowest": lowest,
            "highest": lowest + spread.clamp(min=LEAST_RANGE),
            "mean": self._mean,
            "sigma": torch.where(known, sigma.clamp(min=LEAST_SIGMA), 1.0),
        }
