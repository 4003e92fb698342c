"""Model files from networks that other programs trained, each verified before it is kept.

A conversion reads the source without executing anything of it, translates it, compares the result
in float64 with the program that the network comes from where that is installed, writes the file
aside, loads it, evaluates its golden structures in the dtype of the network, and only then keeps
it.
"""

from __future__ import annotations

import copy
import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from ase.data import atomic_numbers, chemical_symbols

from mlpotential.data.declared_units import angstrom_per_length, ev_per_energy
from mlpotential.errors import ConfigError, ModelFileError, printable
from mlpotential.graph import AtomGraph
from mlpotential.models.importers.foreign_network import ForeignNetwork, translate
from mlpotential.models.importers.golden_clusters import golden_clusters
from mlpotential.models.importers.n2p2.convert_folder import translate_folder
from mlpotential.models.importers.n2p2.folder import PROGRAM as N2P2
from mlpotential.models.importers.n2p2.folder import is_n2p2_folder
from mlpotential.models.importers.n2p2.settings_file import SETTINGS_NAME
from mlpotential.models.importers.pickle_description import Made, Value
from mlpotential.models.importers.refusal import Refusal, refusals_of, shown
from mlpotential.models.importers.schnet_schnetpack import is_schnetpack, read_schnetpack
from mlpotential.models.importers.schnet_tensorflow import CHECKPOINT, read_schnet_tensorflow
from mlpotential.models.importers.schnet_torch_geometric import PROGRAM as PYG
from mlpotential.models.importers.schnet_torch_geometric import (
    is_torch_geometric,
    read_torch_geometric,
)
from mlpotential.models.importers.torch_file import read_torch_file
from mlpotential.models.importers.translation import Translation
from mlpotential.models.model_file import (
    GOLDEN_TOLERANCE,
    OWN_GOLDEN,
    GoldenCheck,
    ModelRecord,
    check_golden,
    load_model,
    save_model,
)
from mlpotential.models.potential import Potential
from mlpotential.models.schnet import SchNet
from mlpotential.neighbors import connect
from mlpotential.run_folder import write_atomically
from mlpotential.settings_checks import check_choice, check_number

KINDS = ("auto", "schnet-tf", "schnetpack", "pyg", "n2p2")
ENERGY_NETWORK = "energy_network"  # name of an extra network in the model file


@dataclass(frozen=True)
class Declared:
    """What the user says of a source.

    Attributes:
        kind: one of KINDS; auto to recognise it.
        energy_unit, length_unit: None where the source states them.
        elements: chemical symbols it was trained on; None for all that it has parameters for.
        mean, std: of the atomic energies, for a state dictionary of torch_geometric.

    Raises:
        ConfigError: for an unknown kind or element.
        DataError: for an unknown unit.
    """

    kind: str = "auto"
    energy_unit: str | None = None
    length_unit: str | None = None
    elements: Sequence[str] | None = None
    mean: float | None = None
    std: float | None = None

    def __post_init__(self) -> None:
        check_choice("--from", self.kind, KINDS)
        if self.energy_unit is not None:
            ev_per_energy(self.energy_unit)
        if self.length_unit is not None:
            angstrom_per_length(self.length_unit)
        for symbol in self.elements or ():
            if symbol not in chemical_symbols[1:]:
                raise ConfigError(f"{symbol!r} is no element: give symbols, such as C H O")


@dataclass(frozen=True)
class Conversion:
    """What became of a source.

    Attributes:
        model: the network that gives energy and forces.
        program: that trained it.
        what: it is, in words.
        units: of energy and length in the source.
        notes: what its user should know, a sentence each.
        golden_origin: the program that evaluated the golden structures.
        original_check: of our float64 evaluation against that program; None where it is our own.
        check: of the file in the dtype of the network.
    """

    model: Potential
    program: str
    what: str
    units: tuple[str, str]
    notes: tuple[str, ...]
    golden_origin: str
    original_check: GoldenCheck | None
    check: GoldenCheck


def convert_model(
    source: str | Path,
    output: str | Path,
    declared: Declared | None = None,
    energy_network: str | Path | None = None,
) -> Conversion:
    """Writes a model file from a network of another program.

    Args:
        source: a folder of the original SchNet program, or of RuNNer or n2p2; a file of SchNetPack
            or torch_geometric.
        output: the model file to write.
        declared: what the source does not say itself.
        energy_network: a second source, stored as the extra network `energy_network`: its energy
            becomes a result beside energy and forces of the first.

    Raises:
        ModelFileError: if a source is missing, damaged, incomplete, hostile, or of another kind.
        ConfigError: if a unit is not known, or an element is not in the source.
        RunError: if the model file cannot be written.
    """
    declared = declared or Declared()
    found = [_translation(Path(source), declared)]
    extras = {}
    if energy_network is not None:
        found.append(_translation(Path(energy_network), declared))
        extras[ENERGY_NETWORK] = found[-1].model
    model, program, units = found[0].model, found[0].program, found[0].units
    with refusals_of(source):
        golden = _golden(found[0])
    notes = (*found[0].notes, *golden.notes)
    if declared.elements is None and len(model.elements) == model.config.largest_element:
        notes = (*notes, "it does not say which elements it was trained on: give --elements")
    record = ModelRecord(
        title=f"{Path(source).resolve().name} of {program}",
        training={
            "converted_from": {
                "program": program,
                "files": {k: v for one in found for k, v in _fingerprints(one).items()},
                "energy_unit": units[0],
                "length_unit": units[1],
                "golden_structures": golden.origin or OWN_GOLDEN,
                "notes": list(notes),
            }
        },
        feature_ranges=found[0].feature_ranges,
    )
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "model.safetensors"
        save_model(draft, model, golden.graph, record, extras, golden.origin)
        check = check_golden(load_model(draft))
        if not check.passed:
            raise ModelFileError(f"{source} cannot be used in {model.dtype}: {check}")
        write_atomically(Path(output), draft.read_bytes())
    origin = golden.origin or OWN_GOLDEN
    return Conversion(model, program, found[0].what, units, notes, origin, golden.check, check)


def format_conversion(conversion: Conversion) -> str:
    """A conversion in a few lines."""
    original = conversion.original_check
    lines = [
        f"read:     {conversion.what}",
        f"elements: {_symbols(conversion.model.elements)}",
        f"units:    {' and '.join(conversion.units)}, converted to eV and Angstrom",
        f"golden:   {conversion.golden_origin}",
    ]
    if original is not None:
        lines.append(f"original: agrees with our float64 evaluation: {original}")
    lines.append(f"check:    passed; {conversion.check}")
    return printable("\n".join(lines + [f"note:     {note}" for note in conversion.notes]))


def _symbols(elements: Sequence[int]) -> str:
    symbols = [chemical_symbols[z] for z in elements]
    whole = len(symbols) > 10 and list(elements) == list(range(elements[0], elements[-1] + 1))
    return f"{symbols[0]} to {symbols[-1]}" if whole else ", ".join(symbols)


def _translation(source: Path, declared: Declared) -> Translation:
    """A source of any kind as a potential of ours."""
    if declared.kind == "n2p2" or (declared.kind == "auto" and is_n2p2_folder(source)):
        if (declared.mean, declared.std) != (None, None):
            raise ConfigError(f"--mean and --std are for {PYG}, not for {N2P2}")
        with refusals_of(source):
            translation = translate_folder(source, declared.energy_unit, declared.length_unit)
        if declared.elements is not None:
            chosen = {atomic_numbers[symbol] for symbol in declared.elements}
            if not chosen <= set(translation.model.elements):
                raise ConfigError(f"{source} has no networks for all of {list(declared.elements)}")
            translation.model.elements = tuple(sorted(chosen))
        return translation
    network, model, units = _translated(source, declared)
    config = model.config
    cutoff = "no cutoff" if config.cutoff is None else f"cutoff {config.cutoff:g} A"
    what = (
        f"SchNet of {network.program}, T = {config.n_interactions}, F = {config.n_features}, "
        f"{config.n_gaussians} Gaussians, {cutoff}"
    )
    files = tuple(sorted(source.glob(f"{CHECKPOINT}.*"))) if source.is_dir() else (source,)
    return Translation(
        model, source, network.program, what, units, files, network.notes, network.original
    )


def _translated(source: Path, declared: Declared) -> tuple[ForeignNetwork, SchNet, tuple[str, str]]:
    """A source as found, as a network of ours, and its units."""
    with refusals_of(source):
        network = _read(source, declared)
        if declared.std is not None:
            check_number("--std", declared.std)
        if network.program != PYG and (declared.mean, declared.std) != (None, None):
            raise ConfigError(f"--mean and --std are for {PYG}, not for {network.program}")
        units = (
            _unit(source, "energy", declared.energy_unit, network.energy_unit, network.units_from),
            _unit(source, "length", declared.length_unit, network.length_unit, network.units_from),
        )
        model = translate(network, *units)
    if declared.elements is not None:
        elements = {atomic_numbers[symbol] for symbol in declared.elements}
        if max(elements) > model.config.largest_element:
            raise ConfigError(f"{source} has no parameters for all of {list(declared.elements)}")
        model.elements = tuple(sorted(elements))
    return network, model, units


def _read(source: Path, declared: Declared) -> ForeignNetwork:
    kind = declared.kind
    if kind == "schnet-tf" or (kind == "auto" and source.is_dir()):
        if not (source / f"{CHECKPOINT}.index").exists():
            raise Refusal(
                f"is no folder of the original SchNet program: no {CHECKPOINT}.index (and none of "
                f"{N2P2}: no {SETTINGS_NAME})"
            )
        return read_schnet_tensorflow(source)
    root = read_torch_file(source)
    if kind != "pyg" and is_schnetpack(root):
        return read_schnetpack(root, source)
    if kind != "schnetpack" and is_torch_geometric(root):
        return read_torch_geometric(root, declared.mean, declared.std)
    raise Refusal(_what_it_is(root))


def _what_it_is(root: Value) -> str:
    """Why a readable file of torch.save is not converted."""
    wanted = (
        "a whole model of SchNetPack (best_inference_model), or a model or state dictionary of "
        "torch_geometric's SchNet, is needed"
    )
    if isinstance(root, Made):
        return f"holds {shown(str(root.factory))}, which is refused: {wanted}"
    if isinstance(root, dict):
        keys = ", ".join(shown(k) for k in list(root)[:4])
        return f"is a dictionary with {keys}, ...: {wanted}"
    return f"holds a {type(root).__name__}: {wanted}"


def _unit(
    source: Path, kind: str, declared: str | None, stated: str | None, stated_in: str | None
) -> str:
    """The unit to use. Raises ConfigError if there is none, or two."""
    if declared is None and stated is None:
        raise ConfigError(f"{source} does not say its {kind} unit: give --{kind}-unit")
    if declared is not None and stated_in is not None and stated not in (None, declared):
        raise ConfigError(
            f"{source}: --{kind}-unit is {declared}, but {stated_in} says {stated}: correct one"
        )
    return declared or stated or ""


@dataclass(frozen=True)
class _Golden:
    """Golden structures.

    Attributes:
        graph: connected, with energies and forces where another program evaluated them.
        origin: that program; None where there is none.
        check: of our own evaluation against it.
        notes: why there is none.
    """

    graph: AtomGraph
    origin: str | None = None
    check: GoldenCheck | None = None
    notes: tuple[str, ...] = ()


def _golden(found: Translation) -> _Golden:
    """Golden structures, evaluated by the program that the network comes from where it runs here.

    Raises:
        Refusal: if that program says something else than our network.
    """
    model, program = found.model, found.program
    graph = connect(golden_clusters(model.elements), model.cutoff)
    if found.original is None:
        return _Golden(graph)
    ev, angstrom = ev_per_energy(found.units[0]), angstrom_per_length(found.units[1])
    try:
        answer = found.original(replace(graph, positions=graph.positions / angstrom))
    except ImportError as error:
        return _Golden(graph, notes=(f"not compared with {program} itself: {error}",))
    energy, forces = answer.energy * ev, answer.forces * (ev / angstrom)
    ours = copy.deepcopy(model).double()(graph)
    assert ours.forces is not None
    check = GoldenCheck(
        float(((ours.energy - energy).abs() / graph.atoms_per_graph()).max()),
        {"forces": float((ours.forces - forces).abs().max() / forces.abs().max().clamp(min=1e-6))},
        GOLDEN_TOLERANCE[torch.float64],
    )
    if not check.passed:
        raise Refusal(f"is not reproduced: {answer.program} gives {check}")
    labelled = replace(graph, energy=energy, forces=forces)
    return _Golden(labelled, f"{answer.program}, float64", check)


def _fingerprints(found: Translation) -> dict[str, str]:
    """sha256 of the files of a source, by their names."""
    folder = found.source.resolve().parent
    return {
        str(path.resolve().relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in found.files
    }
