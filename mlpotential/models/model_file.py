"""One safe file per model: weights, what they mean, and structures it can test itself with.

The file is a `.safetensors` file: a length, a JSON header and raw numbers, so that loading executes
nothing. It holds

- `network/main/*`: parameters and buffers of the network that gives energy and forces;
- `network/NAME/*`: those of extra networks, whose energies are results of their own;
- `golden/*`: a few structures with energies and forces in float64, evaluated when it was written or
  by the program that the network comes from;
- one metadata string `mlpotential`: canonical JSON with the format version, architecture, units,
  elements, cutoff, dtype, where the training data came from, errors, the distances, features and
  neighborhoods seen, and a sha256 over all tensor bytes and the JSON itself without the hash.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mlpotential.errors import ConfigError, ModelFileError
from mlpotential.graph import AtomGraph
from mlpotential.models.golden import golden_extras, golden_graph, golden_tensors
from mlpotential.models.outputs import Output, separated
from mlpotential.models.potential import Potential
from mlpotential.models.readouts.atomwise import with_all_elements
from mlpotential.models.registry import build_potential, config_of
from mlpotential.models.terms.evaluation import check_reach
from mlpotential.models.terms.settings import TermSettings, check_terms
from mlpotential.models.torch_state import own_torch_state
from mlpotential.neighbors import connect, split
from mlpotential.run_folder import write_atomically

FORMAT_VERSION = 2
READABLE_VERSIONS = (1, 2)  # 1: readouts among the settings of the network
METADATA_KEY = "mlpotential"
MAIN_NETWORK = "main"
OWN_GOLDEN = "this program, float64"
UNITS = {"energy": "eV", "length": "Angstrom"}
SCALE_REFERENCES = "scale.atom_references"  # shorter in files of version 0.1.0


@dataclass(frozen=True)
class ModelRecord:
    """Where a model comes from and how good it is.

    Attributes:
        title: what it describes, for people.
        training: data hash, splits, settings of the run that made it.
        errors: by data set (`test`, `validation`), the fields of `training.metrics.Errors`.
        shortest_distances: smallest seen in training per element pair, keys like `C-H` (A).
        feature_ranges: lowest and highest of each final feature over all training atoms of an
            element: `{"C": {"lowest": [...], "highest": [...]}}`.
        neighborhoods: how alone an atom of an element was, as `inference.training_domain` defines
            it: `{"C": {"largest_nearest_distance": 1.6, "least_coordination": 2,
            "isolated": false}}`, (A), a count, and whether there were atoms without neighbors.
        wavenumbers: of the model beside a reference, by its name: `wavenumbers_per_cm`,
            `reference_per_cm`, matched, and `mean_relative_deviation` and `max_relative_deviation`.
        calibration: of the committee it is a member of, as of `inference.calibration`.
    """

    title: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, Any] = field(default_factory=dict)
    shortest_distances: dict[str, float] = field(default_factory=dict)
    feature_ranges: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    neighborhoods: dict[str, dict[str, Any]] = field(default_factory=dict)
    wavenumbers: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadedModel:
    """A model file in memory.

    Attributes:
        potential: the network, in its own dtype, in evaluation mode.
        record: origin and errors.
        golden: structures with the energies and forces they had when the file was written.
        sha256: fingerprint of the content.
        extra_networks: by name, in evaluation mode; they know all elements and have the cutoff of
            `potential`. Each gives one more energy, which is never the energy of the forces.
        golden_extra_energies: by the same names, of the golden structures, [n_graphs] (eV).
        golden_origin: the program that evaluated the golden structures.
    """

    potential: Potential
    record: ModelRecord
    golden: AtomGraph
    sha256: str
    extra_networks: dict[str, Potential] = field(default_factory=dict)
    golden_extra_energies: dict[str, Tensor] = field(default_factory=dict)
    golden_origin: str = OWN_GOLDEN


@dataclass(frozen=True)
class GoldenCheck:
    """How a model reproduces its golden structures here.

    Attributes:
        energy_deviation: largest of all networks, per atom (eV).
        relative_deviations: of forces and of all other outputs by name, the largest, relative to
            the largest value.
        tolerance: what each may be for the dtype in use (eV; dimensionless).
    """

    energy_deviation: float
    relative_deviations: dict[str, float]
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether all deviations are within the tolerance."""
        deviations = (self.energy_deviation, *self.relative_deviations.values())
        return all(deviation <= self.tolerance for deviation in deviations)  # NaN is no pass

    def __str__(self) -> str:
        parts = [f"energies within {self.energy_deviation:.1e} eV/atom"]
        parts += [
            f"{name} within {deviation:.1e} of the largest"
            for name, deviation in self.relative_deviations.items()
        ]
        return f"{', '.join(parts)} (each may be {self.tolerance:.0e})"


# Chosen: what relative deviations are of at least, as the charges of a symmetric molecule cancel.
SMALLEST_GOLDEN = 0.01
GOLDEN_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


def save_model(
    path: str | Path,
    potential: Potential,
    golden: AtomGraph,
    record: ModelRecord | None = None,
    extra_networks: Mapping[str, Potential] | None = None,
    golden_origin: str | None = None,
) -> None:
    """Writes a model file in one step.

    Args:
        path: of the file to write, `.safetensors`.
        potential: the network; its elements, dtype and cutoff are stored with it.
        golden: a few structures (edges are ignored).
        record: origin and errors.
        extra_networks: by name (letters, digits, underscores), see `LoadedModel`.
        golden_origin: the program whose energies and forces `golden` carries; None to have them
            evaluated here, in float64.

    Raises:
        RunError: if the file cannot be written.
        ConfigError: if an extra network has an unusable name, lacks an element or has another
            cutoff.
    """
    extra_networks = dict(extra_networks or {})
    for name, network in extra_networks.items():
        _check_extra(name, network, potential)
    state = _state(MAIN_NETWORK, potential)
    for name, network in extra_networks.items():
        state |= _state(name, network)
    tensors = state | golden_tensors(potential, golden, extra_networks, golden_origin is not None)
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    metadata = {
        "format_version": FORMAT_VERSION,
        "units": UNITS,
        **_description(potential),
        **asdict(record or ModelRecord()),
    }
    if extra_networks:
        metadata["extra_networks"] = {k: _description(v) for k, v in extra_networks.items()}
    if golden_origin is not None:
        metadata["golden_origin"] = golden_origin
    metadata["sha256"] = _content_hash(tensors, metadata)
    write_atomically(Path(path), save(tensors, {METADATA_KEY: _canonical_json(metadata)}))


def replace_record(path: str | Path, record: ModelRecord) -> None:
    """Writes another record into a model file, in one step; all else stays as it is.

    Raises:
        ModelFileError: if it is no usable model file.
        RunError: if it cannot be written.
    """
    load_model(path)
    content = _read_bytes(Path(path))
    tensors, metadata = load(content), _read_metadata(content, path) | asdict(record)
    metadata["sha256"] = _content_hash(tensors, metadata)
    write_atomically(Path(path), save(tensors, {METADATA_KEY: _canonical_json(metadata)}))


def _description(potential: Potential) -> dict[str, Any]:
    """What a network is rebuilt from, besides its tensors."""
    return {
        "architecture": potential.config.architecture,
        "settings": asdict(potential.config),
        "outputs": {
            name: {k: v for k, v in asdict(output).items() if v is not None}
            for name, output in potential.outputs.items()
        },
        "terms": {name: asdict(term) for name, term in potential.terms.items()},
        "elements": list(potential.elements),
        "cutoff": potential.cutoff,
        "dtype": str(potential.dtype).removeprefix("torch."),
    }


def _state(name: str, potential: Potential) -> dict[str, Tensor]:
    return {f"network/{name}/{k}": v for k, v in potential.state_dict().items()}


def _check_extra(name: str, network: Potential, main: Potential) -> None:
    """Raises ConfigError unless the network can be evaluated wherever the main one can."""
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or name == MAIN_NETWORK:
        raise ConfigError(f"an extra network cannot be named {name!r}: use a-z, 0-9, _")
    if network.cutoff != main.cutoff or not set(main.elements) <= set(network.elements):
        raise ConfigError(
            f"the extra network {name!r} must have the cutoff of the main one, {main.cutoff} A, "
            "and know all of its elements"
        )


@own_torch_state()
def load_model(path: str | Path) -> LoadedModel:
    """Reads the model file at `path` without executing anything from it.

    Raises:
        ModelFileError: if it is missing, truncated, altered, of another kind or a newer format, or
            does not hold exactly the tensors its architecture needs.
    """
    content = _read_bytes(Path(path))
    metadata = _read_metadata(content, path)
    try:
        tensors = load(content)
        content_hash = _content_hash(tensors, metadata)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise ModelFileError(f"{path} is damaged: {error}") from error
    if content_hash != metadata["sha256"]:
        raise ModelFileError(
            f"{path} is damaged: its content does not match the sha256 stored in it. "
            "Copy it again from its source"
        )
    potential = _rebuild(tensors, MAIN_NETWORK, metadata, path)
    descriptions = metadata.get("extra_networks", {})
    if not isinstance(descriptions, dict):
        raise ModelFileError(f"{path} was not written by this program: extra_networks is no table")
    extras = {name: _rebuild(tensors, name, d, path) for name, d in descriptions.items()}
    try:
        for name, network in extras.items():
            _check_extra(name, network, potential)
        return LoadedModel(
            potential,
            _read_record(metadata),
            golden_graph(tensors, potential),
            content_hash,
            extras,
            golden_extras(tensors, extras),
            str(metadata.get("golden_origin", OWN_GOLDEN)),
        )
    except KeyError as error:
        raise ModelFileError(f"{path} lacks {error}: it was not written by this program") from error
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"{path} was not written by this program: {error}") from error


@own_torch_state()
def check_golden(model: LoadedModel, device: str = "cpu", dtype: str | None = None) -> GoldenCheck:
    """Evaluates the golden structures on a device and compares.

    Args:
        model: as loaded; its network is not altered.
        device: cpu, cuda or cuda:N.
        dtype: float32 or float64; None for the model's own.
    """
    wanted = model.potential.dtype if dtype is None else getattr(torch, dtype)
    potential = copy.deepcopy(model.potential).to(device=device, dtype=wanted)
    connected = connect(model.golden, potential.cutoff).to(device)
    labels = model.golden.labels
    prediction = potential(connected, tuple(labels))
    energies = [torch.zeros(1)]
    if "energy" in labels:
        energies.append((prediction.energy.cpu() - labels.pop("energy")).abs())
    for name, network in model.extra_networks.items():
        twin = copy.deepcopy(network).to(device=device, dtype=wanted)
        energy = twin(connected, ("energy",)).energy.cpu()
        energies.append((energy - model.golden_extra_energies[name]).abs())
    n_atoms = model.golden.atoms_per_graph()
    relative = {}
    for name, expected in labels.items():
        deviation = (prediction.value(name).cpu() - expected).abs().max()
        smallest = 1e-6 if name == "forces" else SMALLEST_GOLDEN
        relative[name] = float(deviation / expected.abs().max().clamp(min=smallest))
    return GoldenCheck(
        energy_deviation=max(float((x / n_atoms).max()) for x in energies),
        relative_deviations=relative,
        tolerance=GOLDEN_TOLERANCE[wanted],
    )


def _read_record(metadata: dict[str, Any]) -> ModelRecord:
    """Raises KeyError or TypeError where a part is missing or of another type."""
    later = ("feature_ranges", "wavenumbers", "neighborhoods", "calibration")  # than version 0.1.0
    metadata = {name: {} for name in later} | metadata
    for f in fields(ModelRecord):
        expected = str if f.name == "title" else dict
        if not isinstance(metadata[f.name], expected):
            raise TypeError(f"its {f.name!r} is not a {expected.__name__}")
    return ModelRecord(**{f.name: metadata[f.name] for f in fields(ModelRecord)})


def _build(description: dict[str, Any]) -> Potential:
    """The network without its numbers: a hostile size costs no memory."""
    if description["dtype"] not in ("float32", "float64"):
        raise ConfigError(f"dtype {description['dtype']!r}")
    if "outputs" in description:
        settings, outputs = description["settings"], description["outputs"]
    else:
        settings, outputs = separated(description["settings"])
    config = config_of(description["architecture"], settings)
    with torch.device("meta"), _WithoutInitialNumbers():
        potential = build_potential(config, {k: Output(**v) for k, v in outputs.items()})
    potential.to(getattr(torch, description["dtype"]))
    if description["cutoff"] != potential.cutoff or isinstance(description["cutoff"], bool):
        raise ConfigError(f"two cutoffs, {description['cutoff']} and {potential.cutoff} A")
    elements = description["elements"]
    if not elements or not all(type(z) is int for z in elements):
        raise ConfigError(f"elements must be whole numbers, not {elements}")
    if len(set(elements)) < len(elements):
        raise ConfigError(f"an element twice: {elements}")
    potential.check_elements(elements)
    potential.elements = tuple(elements)
    terms = {k: TermSettings(**v) for k, v in description.get("terms", {}).items()}
    check_terms(terms)
    check_reach(terms, elements, potential.cutoff)
    potential.terms = terms
    return potential


class _WithoutInitialNumbers(TorchFunctionMode):
    """Leaves out whatever fills tensors as a network is made: on `meta` there is no place for it.

    torch would import its compiler and a computer algebra system for that, 1 s of CPU time.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.linspace:
            return torch.empty(args[2], dtype=kwargs.get("dtype"))
        is_method = func in (Tensor.normal_, Tensor.uniform_)
        if is_method or getattr(func, "__module__", None) == torch.nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _rebuild(
    tensors: dict[str, Tensor], name: str, description: dict[str, Any], path: str | Path
) -> Potential:
    prefix = f"network/{name}/"
    try:
        potential = _build(description)
    except (KeyError, AttributeError, TypeError, ValueError, OverflowError) as error:
        raise ModelFileError(f"{path} describes no network known here: {error}") from error
    stored = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    if SCALE_REFERENCES in stored:
        stored[SCALE_REFERENCES] = with_all_elements(stored[SCALE_REFERENCES])
    expected = potential.state_dict()
    missing, surplus = sorted(set(expected) - set(stored)), sorted(set(stored) - set(expected))
    if missing or surplus:
        raise ModelFileError(f"{path}: tensors missing: {missing}; surplus: {surplus}")
    for k, tensor in stored.items():
        if tensor.shape != expected[k].shape or tensor.dtype != expected[k].dtype:
            raise ModelFileError(
                f"{path}: {k} is {tensor.dtype} {list(tensor.shape)}, its architecture needs "
                f"{expected[k].dtype} {list(expected[k].shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise ModelFileError(f"{path}: {k} holds NaN or infinite values: train it anew")
    potential.load_state_dict(stored, assign=True)
    return potential.eval().requires_grad_(False)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"cannot read the model file {path}: {error.strerror}") from error


def _read_metadata(content: bytes, path: str | Path) -> dict[str, Any]:
    """The `mlpotential` JSON of a file, its version and units checked."""
    not_ours = (
        f"{path} is not a model file of this program (a .safetensors file written by it is "
        "expected; it may be truncated or of another kind"
        + ("" if Path(path).suffix == ".safetensors" else ", or another argument in its place")
        + ")"
    )
    try:
        (header_size,) = struct.unpack("<Q", content[:8])
        if header_size > len(content) - 8:
            raise ModelFileError(not_ours)
        header = json.loads(content[8 : 8 + header_size])
        metadata: dict[str, Any] = json.loads(header["__metadata__"][METADATA_KEY])
        version, units = metadata["format_version"], metadata["units"]
        metadata["sha256"]
    except (struct.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(not_ours) from error
    if version not in READABLE_VERSIONS:
        readable = " and ".join(map(str, READABLE_VERSIONS))
        raise ModelFileError(
            f"{path} has format version {version}, this program reads {readable}: "
            "update mlpotential"
        )
    if units != UNITS:
        raise ModelFileError(f"{path} is in units {units}; expected {UNITS}")
    return metadata


def _content_hash(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> str:
    """sha256 over names, types, shapes and bytes of all tensors and the JSON without its hash."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    digest.update(_canonical_json({k: v for k, v in metadata.items() if k != "sha256"}).encode())
    return digest.hexdigest()


def _canonical_json(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def golden_sample(graphs: Sequence[AtomGraph], n_structures: int = 3) -> list[AtomGraph]:
    """A few structures spread over a data set, for `save_model`."""
    step = max(len(graphs) // n_structures, 1)
    chosen = [graphs[k] for k in range(0, len(graphs), step)[:n_structures]]
    return [single for graph in chosen for single in split(graph)]
