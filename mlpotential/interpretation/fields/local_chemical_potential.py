"""Local chemical potentials: what an atom would contribute to the energy, anywhere near a molecule.

K. T. Schuett, F. Arbabzadah, S. Chmiela, K.-R. Mueller, A. Tkatchenko, Nat. Commun. 8, 13890
(2017), doi:10.1038/ncomms13890, and K. T. Schuett et al., J. Chem. Phys. 148, 241722 (2018),
doi:10.1063/1.5019779, Eq. (6): a probe of element Z at r feels the molecule in every interaction,
and the molecule does not feel it,

    x_p^0 = a_Z,  x_p^(t+1) = x_p^t + sum_j v^t(x_j^t, r - r_j),  Omega_Z(r) = readout(x_p^T),   (1)

with x_j^t of the undisturbed molecule. It tells how the network sees the neighbourhood of atoms,
and is no chemical potential of thermodynamics.

Omega is in the scale of the training energies, std y + mean, without the reference energy of the
probe's element (`EnergyScale`), which is the same everywhere; and it is of the network alone,
without physical terms of the model, which are no matter of learning.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from torch import Tensor, nn
from tqdm import tqdm

from mlpotential.errors import ConfigError, StructureError, nearest_name
from mlpotential.graph import AtomGraph
from mlpotential.interpretation.fields.probes.behler_parrinello import BehlerParrinelloProbe
from mlpotential.interpretation.fields.probes.dtnn import DTNNProbe
from mlpotential.interpretation.fields.probes.probe import Probe
from mlpotential.interpretation.fields.probes.schnet import SchNetProbe
from mlpotential.interpretation.fields.probes.surroundings import Surroundings
from mlpotential.messages import bar_hidden
from mlpotential.models.behler_parrinello import BehlerParrinello
from mlpotential.models.dtnn import DTNN
from mlpotential.models.model_file import LoadedModel, load_model
from mlpotential.models.potential import Potential
from mlpotential.models.readouts.atomwise import EnergyScale
from mlpotential.models.readouts.quantities import ScalarReadout
from mlpotential.models.schnet import SchNet
from mlpotential.models.torch_state import own_torch_state
from mlpotential.neighbors import connect

PROBES: Mapping[type[Potential], type[Probe]] = MappingProxyType(
    {SchNet: SchNetProbe, DTNN: DTNNProbe, BehlerParrinello: BehlerParrinelloProbe}
)


class LocalChemicalPotential:
    """Omega of one model around one structure.

    Args:
        model: a network, or a model file (.safetensors).
        structure: a molecule, or a crystal where the model has a cutoff.
        output: of the model: energy, or the name of a scalar, whose unit Omega then has.
        dtype: of the evaluation; what it needs of the structure is found in float64.

    Raises:
        ConfigError: if the architecture has no probes, or the model no such output of atoms.
        StructureError: for an element that the model does not know, or a crystal without a cutoff.
        ModelFileError: for an unusable file.

    Attributes:
        unit: of Omega.
        elements: atomic numbers that a probe can have.
    """

    @own_torch_state()
    def __init__(
        self,
        model: Potential | LoadedModel | str | Path,
        structure: Atoms,
        output: str = "energy",
        dtype: Literal["float32", "float64"] = "float32",
    ) -> None:
        potential = network_of(model)
        probe_class = _probe_class(potential)
        double = copy.deepcopy(potential).double().cpu().eval().requires_grad_(False)
        readout, scale, self.unit = _readout_of(double, output)
        check_elements(structure, potential)
        self.elements = potential.elements
        self._cutoff = potential.cutoff
        graph = connect(AtomGraph.from_atoms(structure), self._cutoff)
        self._surroundings = Surroundings(graph, self._cutoff)
        self._mean, self._std = float(scale.mean_per_atom), float(scale.std_per_atom)
        self._probe = probe_class(double, readout, graph, getattr(torch, dtype))

    @own_torch_state()
    def around(self, structure: Atoms) -> LocalChemicalPotential:
        """Omega around another structure of the same elements, such as the next frame of a run.

        What depends on the network alone is not made again. A crystal stays one, and a molecule.
        """
        other = copy.copy(self)
        graph = connect(AtomGraph.from_atoms(structure), self._cutoff)
        other._surroundings = Surroundings(graph, self._cutoff)
        other._probe = self._probe.around(graph)
        return other

    def at(self, points: np.ndarray, probe: int | str = 6, progress: bool = True) -> np.ndarray:
        """Omega.

        Args:
            points: [n_points, 3] (A).
            probe: atomic number or symbol of its element.
            progress: show a bar, if standard error is a terminal.

        Returns:
            [n_points] (eV), float64.

        Raises:
            ConfigError: for an element that the model was not trained on.
        """
        return self._evaluated(points, probe, False, progress)

    def gradients(self, points: np.ndarray, probe: int | str = 6) -> np.ndarray:
        """Its derivatives by the position of the probe, [n_points, 3] (eV/A), float64.

        Args:
            points, probe: as of `at`, and so is the error.
        """
        return self._evaluated(points, probe, True)

    @own_torch_state()
    def _evaluated(
        self, points: np.ndarray, probe: int | str, derived: bool, progress: bool = True
    ) -> np.ndarray:
        number = self.checked_probe(probe)
        points = np.ascontiguousarray(points, np.float64)
        if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
            raise ValueError(f"points are finite, of shape [n, 3], not {points.shape}")
        if len(points) == 0:
            return np.zeros((0, 3) if derived else 0)
        self._probe.reach_to(self._surroundings.longest_distance(points))
        at_once = max(self._probe.PAIRS_AT_ONCE // self._surroundings.most_neighbors, 1)
        parts = torch.from_numpy(points).split(at_once)
        hidden = bar_hidden(not progress)
        bar = tqdm(desc="probing", total=len(points), disable=hidden, unit=" points", leave=False)
        with bar, torch.set_grad_enabled(derived):
            found = []
            for part in parts:
                found.append(self._part(part, number, derived).double().numpy())
                bar.update(len(part))
        return np.concatenate(found)

    def _part(self, points: Tensor, probe: int, derived: bool) -> Tensor:
        points = points.clone().requires_grad_(derived)
        values = self._probe.values(points, self._surroundings.pairs(points), probe)
        if not derived:
            return self._std * values.double() + self._mean
        (gradient,) = torch.autograd.grad(values.sum(), points)
        return self._std * gradient

    def checked_probe(self, probe: int | str) -> int:
        """Its atomic number. Raises ConfigError as `at`."""
        number = chemical_symbols.index(probe) if probe in chemical_symbols else probe
        if number not in self.elements:
            known = ", ".join(chemical_symbols[z] for z in self.elements)
            raise ConfigError(
                f"the model knows no probe {probe!r}: it was trained on {known}, one of which the "
                "probe has to be"
            )
        return int(number)


def network_of(model: Potential | LoadedModel | str | Path) -> Potential:
    """The network that gives energies, of a model file or by itself.

    Raises:
        ConfigError: for a committee.
        ModelFileError: for an unusable file.
    """
    if isinstance(model, Potential):
        return model
    if not isinstance(model, LoadedModel | str | Path):
        raise ConfigError(
            "one network is looked at, not a committee, whose members see atoms differently: give "
            "its model files one by one"
        )
    return (model if isinstance(model, LoadedModel) else load_model(model)).potential


def check_elements(structure: Atoms, model: Potential) -> None:
    """Raises StructureError for atoms of elements that the model was not trained on."""
    if unknown := sorted({int(z) for z in structure.numbers} - set(model.elements)):
        known = ", ".join(chemical_symbols[z] for z in model.elements)
        raise StructureError(
            f"the model does not know {', '.join(chemical_symbols[z] for z in unknown)}: it was "
            f"trained on {known}"
        )


def _probe_class(model: Potential) -> type[Probe]:
    if type(model) not in PROBES:  # what a subclass does between its layers is not known here
        known = ", ".join(architecture.__name__ for architecture in PROBES)
        raise ConfigError(
            f"{type(model).__name__} has no local chemical potential: there are probes for {known}"
        )
    return PROBES[type(model)]


def _readout_of(model: Potential, output: str) -> tuple[nn.Module, EnergyScale, str]:
    """Of atoms, its scale, and the unit."""
    if output == "energy" and model.has_energy:
        return model.readout, model.scale, "eV"
    scalars = {
        name: readout
        for name, readout in model.quantity_readouts.items()
        if isinstance(readout, ScalarReadout)
    }
    if output not in scalars:
        there = (["energy"] if model.has_energy else []) + list(scalars)
        hint = nearest_name(output, there)
        raise ConfigError(
            f"the model has no output {output!r} that is made of atomic contributions; it has "
            f"{', '.join(there) or 'none'}.{hint}"
        )
    readout = scalars[output]
    return readout.atomwise, readout.scale, model.outputs[output].unit or ""
