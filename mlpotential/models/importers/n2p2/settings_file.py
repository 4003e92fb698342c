"""`input.nn` of RuNNer and n2p2: keywords and their arguments; `#` and `!` begin comments."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ase.data import atomic_numbers

from mlpotential.data.declared_units import energy_unit_meant, length_unit_meant
from mlpotential.errors import ConfigError
from mlpotential.models.behler_parrinello_config import BehlerParrinelloConfig
from mlpotential.models.importers.refusal import Refusal, plain_number, shown
from mlpotential.nn.symmetry_functions.notation import (
    KEYWORD,
    format_symmetry_functions,
    parse_symmetry_functions,
)

SETTINGS_NAME = "input.nn"
SHORT_RANGE = ("1", "2", "2G", "2G-HDNNP")  # `nnp_type` of networks of atomic energies
# Other parts of an energy, or other ways to write its networks, and what they mean.
NOT_SUPPORTED = {
    "use_electrostatics": "charges of a network",
    "electrostatic_type": "charges of a network",
    "use_vdw": "a dispersion correction",
    "global_symfunction_short": "symmetry functions that are not written out",
    "element_symfunction_short": "symmetry functions that are not written out",
    "element_hidden_layers_short": "networks of different sizes",
    "element_nodes_short": "networks of different sizes",
    "element_activation_short": "networks of different activations",
    "pairsymfunction_short": "networks of pairs",
    "element_pairsymfunction_short": "networks of pairs",
    "global_pairsymfunction_short": "networks of pairs",
}
# What else a potential is made of, and beginnings of keywords of the training that it came from.
OF_THE_POTENTIAL = {
    *("number_of_elements", "elements", "atom_energy", "cutoff_type", KEYWORD, "nnp_type"),
    *("nn_type", "nnp_gen", "scale_min_short", "scale_max_short", "normalize_nodes"),
    *("scale_symmetry_functions", "scale_symmetry_functions_sigma", "center_symmetry_functions"),
    *("global_hidden_layers_short", "global_nodes_short", "global_activation_short"),
    *("mean_energy", "conv_energy", "conv_length"),
}
OF_TRAINING = (
    *("kalman_", "gradient_", "rmse_threshold", "selection_mode", "task_batch_size", "write_"),
    *("short_energy_", "short_force_", "energy_fraction", "force_", "charge_fraction", "weights_m"),
    *("use_old_weights", "nguyen_widrow", "precondition", "repeated_energy", "random_", "epochs"),
    *(
        "test_fraction",
        "use_short_",
        "main_error",
        "updater_type",
        "parallel_mode",
        "jacobian_mode",
    ),
    *("update_strategy", "memorize_", "optmode_", "points_in_memory", "mix_all_points"),
)
STATED_UNIT = re.compile(r"^#\s*(length|energy) unit\s*:\s*(\S+)\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class N2p2Settings:
    """What `input.nn` says of a potential.

    Attributes:
        config: ours, without the unit of its lengths.
        elements: atomic numbers of the networks, ascending.
        atom_energies: by atomic number (energy unit).
        mean_energy: of an atom in the data set (energy unit).
        conv_energy: normalised energies per energy unit.
        energy_unit, length_unit: that comments state; None where they do not.
        unused: keywords that are neither of the potential, as far as is known, nor of training.
    """

    config: BehlerParrinelloConfig
    elements: tuple[int, ...]
    atom_energies: dict[int, float]
    mean_energy: float
    conv_energy: float
    energy_unit: str | None
    length_unit: str | None
    unused: tuple[str, ...] = ()


def read_settings(text: str) -> N2p2Settings:
    """The settings of a potential of atomic energies.

    Raises:
        Refusal: if it is of another kind, incomplete, or says what is not known here.
    """
    entries: dict[str, list[list[str]]] = {}
    for line in text.splitlines():
        words = re.split("[#!]", line)[0].split()
        if words:
            entries.setdefault(words[0], []).append(words[1:])
    _refuse_other_kinds(entries)
    try:
        functions = parse_symmetry_functions(
            "\n".join(" ".join(words) for words in entries.get(KEYWORD, []))
        )
        elements = tuple(sorted(_element(symbol) for symbol in _arguments(entries, "elements")))
        config = BehlerParrinelloConfig(
            symmetry_functions=format_symmetry_functions(functions),
            scaling=_scaling(entries),  # type: ignore[arg-type]
            scale_min=_number(entries, "scale_min_short", 0.0),
            scale_max=_number(entries, "scale_max_short", 1.0),
            normalize_nodes=_flag(entries, "normalize_nodes"),
            hidden_layers=" ".join(_layers(entries)),
            activations=" ".join(_arguments(entries, "global_activation_short")),
            **_cutoff(entries),  # type: ignore[arg-type]
        )
    except ConfigError as error:
        raise Refusal(f"has settings in {SETTINGS_NAME} that are not supported: {error}") from None
    with_functions = tuple(sorted({function.element for function in functions}))
    if elements != with_functions:
        raise Refusal(
            f"has symmetry functions for the atomic numbers {list(with_functions)}, but "
            f"{list(elements)} in 'elements' of {SETTINGS_NAME}"
        )
    if _optional(entries, "number_of_elements", [str(len(elements))]) != [str(len(elements))]:
        raise Refusal(f"has another number_of_elements than elements in {SETTINGS_NAME}")
    unused = (k for k in entries if k not in OF_THE_POTENTIAL and not k.startswith(OF_TRAINING))
    units = _stated_units(text)
    conv_energy = _number(entries, "conv_energy", 1.0)
    if conv_energy <= 0.0:
        raise Refusal(f"has a conv_energy in {SETTINGS_NAME} that is not positive")
    return N2p2Settings(
        config,
        elements,
        _atom_energies(entries, elements),
        _number(entries, "mean_energy", 0.0),
        conv_energy,
        units["energy"],
        units["length"],
        tuple(map(shown, unused)),
    )


def _refuse_other_kinds(entries: dict[str, list[list[str]]]) -> None:
    for keyword in ("nnp_type", "nn_type", "nnp_gen"):
        kind = _optional(entries, keyword, ["2G-HDNNP"])
        if kind and kind[0] not in SHORT_RANGE:
            raise Refusal(
                f"is of {keyword} {shown(kind[0])}: only networks of atomic energies (2G-HDNNP) "
                "are supported, none with charges"
            )
    for keyword, meaning in NOT_SUPPORTED.items():
        if _flag(entries, keyword):
            raise Refusal(f"has {keyword!r} in {SETTINGS_NAME}: {meaning} is not supported")


def _stated_units(text: str) -> dict[str, str | None]:
    """Of comments such as `# Length unit     : Bohr`, which n2p2's own potentials have."""
    meant = {"energy": energy_unit_meant, "length": length_unit_meant}
    units: dict[str, str | None] = dict.fromkeys(meant)
    for line in text.splitlines():
        if found := STATED_UNIT.match(line.strip()):
            kind = found[1].lower()
            units[kind] = meant[kind](found[2])
    return units


def _scaling(entries: dict[str, list[list[str]]]) -> str:
    scale, center = "scale_symmetry_functions", "center_symmetry_functions"
    by_sigma = _flag(entries, "scale_symmetry_functions_sigma")
    if by_sigma and _flag(entries, scale):
        raise Refusal(f"has two ways of scaling in {SETTINGS_NAME}")
    if by_sigma:
        return "sigma"
    kinds = {(0, 0): "none", (1, 0): "scale", (0, 1): "center", (1, 1): "scalecenter"}
    return kinds[_flag(entries, scale), _flag(entries, center)]


def _layers(entries: dict[str, list[list[str]]]) -> list[str]:
    nodes = _arguments(entries, "global_nodes_short")
    n_layers = _arguments(entries, "global_hidden_layers_short")
    if n_layers != [str(len(nodes))]:
        raise Refusal(
            f"has {' '.join(n_layers)} hidden layers in {SETTINGS_NAME}, but numbers of nodes for "
            f"{len(nodes)}"
        )
    return nodes


def _cutoff(entries: dict[str, list[list[str]]]) -> dict[str, float]:
    words = _optional(entries, "cutoff_type", ["1"])
    if not words or not words[0].isdecimal() or len(words) > 2:
        raise Refusal(f"has a cutoff_type in {SETTINGS_NAME} that is none: {shown(words)}")
    inner = _as_number("cutoff_type", words[1]) if len(words) == 2 else 0.0
    return {"cutoff_type": int(words[0]), "inner_cutoff": inner}


def _atom_energies(
    entries: dict[str, list[list[str]]], elements: tuple[int, ...]
) -> dict[int, float]:
    energies = {}
    for words in entries.get("atom_energy", []):
        if len(words) < 2 or _element(words[0]) not in elements:
            raise Refusal(f"has an atom_energy in {SETTINGS_NAME} of no element of its own")
        energies[_element(words[0])] = _as_number("atom_energy", words[1])
    return energies


def _element(symbol: str) -> int:
    number = atomic_numbers.get(symbol, 0)
    if number == 0:
        raise Refusal(f"names an element in {SETTINGS_NAME} that is none: {shown(symbol)}")
    return int(number)


def _arguments(entries: dict[str, list[list[str]]], keyword: str) -> list[str]:
    """Those of a keyword that is needed."""
    words = _optional(entries, keyword, [])
    if not words:
        raise Refusal(f"lacks {keyword!r} in {SETTINGS_NAME}")
    return words


def _optional(entries: dict[str, list[list[str]]], keyword: str, default: list[str]) -> list[str]:
    """Arguments of a keyword. Raises Refusal where it is there twice."""
    found = entries.get(keyword, [default])
    if len(found) > 1:
        raise Refusal(f"has {keyword!r} in {SETTINGS_NAME} more than once")
    return found[0]


def _flag(entries: dict[str, list[list[str]]], keyword: str) -> bool:
    """Whether a keyword is there: it needs no argument, and none switches it off."""
    return keyword in entries


def _number(entries: dict[str, list[list[str]]], keyword: str, default: float) -> float:
    if keyword not in entries:
        return default
    words = _optional(entries, keyword, [])
    return _as_number(keyword, words[0] if words else "")


def _as_number(name: str, word: str) -> float:
    try:
        return plain_number(f"{name} in {SETTINGS_NAME}", float(word))
    except ValueError:
        raise Refusal(f"has a {name} in {SETTINGS_NAME} that is no number: {shown(word)}") from None
