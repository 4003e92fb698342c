"""Potentials of RuNNer and n2p2 as ours, and back.

A. Singraber, J. Behler, C. Dellago, J. Chem. Theory Comput. 15, 1827 (2019),
doi:10.1021/acs.jctc.8b00770, and the files of n2p2 2.3. The energy of N atoms is

    E = sum_i y_i / conv_energy + N mean_energy + sum_i atom_energy(Z_i)                      (1)

with the outputs y of the networks. Parameters of symmetry functions stay as the files have them,
with their length unit, so that no digit is lost. `conv_length` changes no result, and is not kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from ase.data import chemical_symbols

from mlpotential.data.declared_units import angstrom_per_length, ev_per_energy
from mlpotential.errors import ConfigError
from mlpotential.models.behler_parrinello import BehlerParrinello
from mlpotential.models.importers.n2p2.number_files import (
    COLUMNS,
    SCALING_NAME,
    read_scaling,
    read_text,
    read_weights,
    scaling_text,
    weights_name,
    weights_text,
)
from mlpotential.models.importers.n2p2.settings_file import (
    SETTINGS_NAME,
    N2p2Settings,
    read_settings,
)
from mlpotential.models.importers.refusal import Refusal
from mlpotential.models.readouts.element_networks import ElementNetworks
from mlpotential.nn.symmetry_functions.notation import KEYWORD, of_element
from mlpotential.run_folder import write_atomically

PROGRAM = "RuNNer or n2p2"
USUAL_UNITS = {"energy": "Hartree", "length": "Bohr"}


@dataclass(frozen=True)
class N2p2Folder:
    """The files of a potential, read.

    Attributes:
        settings: of `input.nn`.
        scaling: columns of `scaling.data`, [n_elements, most functions].
        networks: weights and biases of each layer by atomic number.
    """

    settings: N2p2Settings
    scaling: dict[str, np.ndarray]
    networks: dict[int, list[tuple[np.ndarray, np.ndarray]]]

    @property
    def counts(self) -> tuple[int, ...]:
        """Symmetry functions of each element."""
        return _counts(self.settings)


def is_n2p2_folder(folder: Path) -> bool:
    """Whether it looks like one."""
    return (folder / SETTINGS_NAME).is_file()


def read_n2p2_folder(folder: Path) -> N2p2Folder:
    """Reads and checks all files.

    Raises:
        Refusal: if one is missing, truncated, of another potential, or says what is not supported.
    """
    settings = read_settings(read_text(folder, SETTINGS_NAME))
    config, counts = settings.config, _counts(settings)
    scaling = read_scaling(read_text(folder, SCALING_NAME), counts, config.scaling == "sigma")
    networks = {}
    for element, count in zip(settings.elements, counts, strict=True):
        name = weights_name(element)
        sizes = (count, *config.layer_sizes, 1)
        networks[element] = read_weights(read_text(folder, name), name, sizes)
    return N2p2Folder(settings, scaling, networks)


def _counts(settings: N2p2Settings) -> tuple[int, ...]:
    functions = settings.config.functions
    return tuple(len(of_element(functions, z)) for z in settings.elements)


def model_of(files: N2p2Folder, energy_unit: str, length_unit: str) -> BehlerParrinello:
    """The potential in eV and A, float64, in evaluation mode.

    Raises:
        Refusal: if a function is scaled by a range or deviation of zero.
        DataError: if a unit is unknown.
    """
    settings, ev = files.settings, ev_per_energy(energy_unit)
    angstrom_per_length(length_unit)
    config = replace(settings.config, length_unit=length_unit)  # type: ignore[arg-type]
    model = BehlerParrinello(config).double()
    _check_scaling(files, config.scaling)
    for name in COLUMNS:
        getattr(model.scaling, name).copy_(torch.from_numpy(files.scaling[name]))
    networks = model.readout
    assert isinstance(networks, ElementNetworks)
    with torch.no_grad():
        for element, layers in files.networks.items():
            ours = networks.of_element(element).dense_layers
            for layer, (weights, biases) in zip(ours, layers, strict=True):
                layer.weight.copy_(torch.from_numpy(weights.copy()))
                layer.bias.copy_(torch.from_numpy(biases.copy()))
    references = {z: energy * ev for z, energy in settings.atom_energies.items()}
    model.scale.set(settings.mean_energy * ev, ev / settings.conv_energy, references)
    return model.eval()


def _check_scaling(files: N2p2Folder, kind: str) -> None:
    divisor = files.scaling["sigma"]
    if kind in ("scale", "scalecenter"):
        divisor = files.scaling["highest"] - files.scaling["lowest"]
    if kind in ("scale", "scalecenter", "sigma") and (divisor <= 0.0).any():
        element, number = np.argwhere(divisor <= 0.0)[0] + 1
        raise Refusal(
            f"scales function {number} of element {element} in {SCALING_NAME} by a range that is "
            "not positive"
        )


def feature_ranges(model: BehlerParrinello) -> dict[str, dict[str, list[float]]]:
    """`ModelRecord.feature_ranges` from least and largest value in `scaling.data`."""
    places = torch.arange(len(model.functions.elements))
    lowest = model.scaling(model.scaling.lowest, places)
    highest = model.scaling(model.scaling.highest, places)
    counts = [len(of_element(model.config.functions, z)) for z in model.functions.elements]
    ranges = {}
    for k, element in enumerate(model.functions.elements):
        is_there = torch.arange(model.n_features) < counts[k]
        ranges[chemical_symbols[element]] = {
            "lowest": torch.where(is_there, lowest[k], 0.0).tolist(),
            "highest": torch.where(is_there, highest[k], 0.0).tolist(),
        }
    return ranges


def write_n2p2_folder(model: BehlerParrinello, folder: Path, energy_unit: str) -> list[str]:
    """Writes `input.nn`, `scaling.data` and the weights; lengths in the unit of the functions.

    Args:
        model: to be written.
        folder: made where it is not there.
        energy_unit: of the files.

    Returns:
        Names of the files.

    Raises:
        DataError: if the unit is unknown.
        ConfigError: if the model has what n2p2 has not.
        RunError: if a file cannot be written.
    """
    _check_energy_alone(model)
    model = model.double()
    functions, elements = model.config.functions, model.functions.elements
    counts = [len(of_element(functions, z)) for z in elements]
    columns = {name: getattr(model.scaling, name).numpy() for name in COLUMNS}
    contents = {
        SETTINGS_NAME: settings_text(model, energy_unit),
        SCALING_NAME: scaling_text(columns, counts),
    }
    networks = model.readout
    assert isinstance(networks, ElementNetworks)
    for element in elements:
        layers = [
            (layer.weight.detach().numpy(), layer.bias.detach().numpy())
            for layer in networks.of_element(element).dense_layers
        ]
        contents[weights_name(element)] = weights_text(layers)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return list(contents)


def _check_energy_alone(model: BehlerParrinello) -> None:
    """Raises ConfigError unless the energy of the networks is all that the model gives."""
    if not model.has_energy:
        raise ConfigError("n2p2 has energies, which the model does not give: nothing is written")
    if others := [name for name in (*model.outputs, *model.terms) if name != "energy"]:
        raise ConfigError(
            f"n2p2 has no {', '.join(others)}: only the energy of the networks could be written, "
            "so nothing is"
        )


def settings_text(model: BehlerParrinello, energy_unit: str) -> str:
    """`input.nn` of a model; its comments state the units, which its keywords cannot."""
    config, scale, ev = model.config, model.scale, ev_per_energy(energy_unit)
    symbols = [chemical_symbols[z] for z in model.functions.elements]
    lines = [
        f"# Length unit : {config.length_unit}",
        f"# Energy unit : {energy_unit}",
        f"number_of_elements {len(symbols)}",
        f"elements {' '.join(symbols)}",
    ]
    mean, per_unit = float(scale.mean_per_atom) / ev, ev / float(scale.std_per_atom)
    if (mean, per_unit) != (0.0, 1.0):
        lines += [f"mean_energy {mean!r}", f"conv_energy {per_unit!r}", "conv_length 1.0"]
    for z, symbol in zip(model.functions.elements, symbols, strict=True):
        if energy := float(scale.atom_references[z]) / ev:
            lines.append(f"atom_energy {symbol} {energy!r}")
    ending = f"cutoff_type {config.cutoff_type}"
    lines.append(ending + (f" {config.inner_cutoff!r}" if config.inner_cutoff else ""))
    keywords = {
        "scale": ["scale_symmetry_functions"],
        "center": ["center_symmetry_functions"],
        "scalecenter": ["scale_symmetry_functions", "center_symmetry_functions"],
        "sigma": ["scale_symmetry_functions_sigma"],
    }
    lines += keywords.get(config.scaling, [])
    lines += [f"scale_min_short {config.scale_min!r}", f"scale_max_short {config.scale_max!r}"]
    lines += ["normalize_nodes"] if config.normalize_nodes else []
    lines += [
        f"global_hidden_layers_short {len(config.layer_sizes)}",
        f"global_nodes_short {' '.join(map(str, config.layer_sizes))}",
        f"global_activation_short {config.activations}",
    ]
    lines += [f"{KEYWORD} {function}" for function in config.functions]
    return "\n".join(lines) + "\n"
