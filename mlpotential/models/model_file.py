"""One safe file per model: weights, what they mean, and structures it can test itself with.

The file is a `.safetensors` file: a length, a JSON header and raw numbers, so that loading executes
nothing. It holds

- `network/main/*`: parameters and buffers of the network;
- `golden/*`: a few structures with energies and forces evaluated in float64 when it was written;
- one metadata string `mlpotential`: canonical JSON with the format version, architecture, units,
  elements, cutoff, dtype, where the training data came from, errors, the range of distances seen,
  and a sha256 over all tensor bytes and the JSON itself without the hash.
"""

from __future__ import annotations

import copy
import hashlib
import json
import struct
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mlpotential.errors import ConfigError, ModelFileError
from mlpotential.graph import AtomGraph, check_structure
from mlpotential.models.potential import Potential
from mlpotential.models.registry import build_potential
from mlpotential.neighbors import connect, split
from mlpotential.run_folder import write_atomically

FORMAT_VERSION = 1
METADATA_KEY = "mlpotential"
NETWORK_PREFIX = "network/main/"
GOLDEN_PREFIX = "golden/"
GOLDEN_DTYPES = {
    "atomic_numbers": torch.int64,
    "positions": torch.float64,
    "graph_index": torch.int64,
    "pbc": torch.bool,
    "cell": torch.float64,
    "energy": torch.float64,
    "forces": torch.float64,
}
UNITS = {"energy": "eV", "length": "Angstrom"}


@dataclass(frozen=True)
class ModelRecord:
    """Where a model comes from and how good it is.

    Attributes:
        title: what it describes, for people.
        training: data hash, splits, settings of the run that made it.
        errors: by data set (`test`, `validation`), the fields of `training.metrics.Errors`.
        shortest_distances: smallest seen in training per element pair, keys like `C-H` (A).
    """

    title: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, Any] = field(default_factory=dict)
    shortest_distances: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadedModel:
    """A model file in memory.

    Attributes:
        potential: the network, in its own dtype, in evaluation mode.
        record: origin and errors.
        golden: structures with the energies and forces they had when the file was written.
        sha256: fingerprint of the content.
    """

    potential: Potential
    record: ModelRecord
    golden: AtomGraph
    sha256: str


@dataclass(frozen=True)
class GoldenCheck:
    """How a model reproduces its golden structures here.

    Attributes:
        energy_deviation: largest, per atom (eV).
        forces_deviation: largest component, relative to the largest force component.
        tolerance: what both may be for the dtype in use (eV; dimensionless).
    """

    energy_deviation: float
    forces_deviation: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether both deviations are within the tolerance."""
        deviations = (self.energy_deviation, self.forces_deviation)
        return all(deviation <= self.tolerance for deviation in deviations)  # NaN is no pass


GOLDEN_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


def save_model(
    path: str | Path, potential: Potential, golden: AtomGraph, record: ModelRecord | None = None
) -> None:
    """Writes a model file in one step.

    Args:
        path: of the file to write, `.safetensors`.
        potential: the network; its elements, dtype and cutoff are stored with it.
        golden: a few structures (edges and labels are ignored); evaluated in float64 and stored.
        record: origin and errors.

    Raises:
        RunError: if the file cannot be written.
    """
    state = {f"{NETWORK_PREFIX}{k}": v for k, v in potential.state_dict().items()}
    tensors = state | _golden_tensors(potential, golden)
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    metadata = {
        "format_version": FORMAT_VERSION,
        "architecture": type(potential).__name__,
        "settings": asdict(potential.config),
        "units": UNITS,
        "elements": list(potential.elements),
        "cutoff": potential.cutoff,
        "dtype": str(potential.dtype).removeprefix("torch."),
        **asdict(record or ModelRecord()),
    }
    metadata["sha256"] = _content_hash(tensors, metadata)
    write_atomically(Path(path), save(tensors, {METADATA_KEY: _canonical_json(metadata)}))


def load_model(path: str | Path) -> LoadedModel:
    """Reads a model file without executing anything from it.

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
    potential = _rebuild(tensors, metadata, path)
    try:
        record = _read_record(metadata)
        golden = _golden_graph(tensors, potential)
    except KeyError as error:
        raise ModelFileError(f"{path} lacks {error}: it was not written by this program") from error
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"{path} was not written by this program: {error}") from error
    return LoadedModel(potential, record, golden, content_hash)


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
    prediction = potential(connected)
    assert model.golden.energy is not None
    assert model.golden.forces is not None
    energy = (prediction.energy.cpu() - model.golden.energy).abs()
    forces = (prediction.forces.cpu() - model.golden.forces).abs().max()
    largest_force = model.golden.forces.abs().max().clamp(min=1e-6)
    return GoldenCheck(
        energy_deviation=float((energy / model.golden.atoms_per_graph()).max()),
        forces_deviation=float(forces / largest_force),
        tolerance=GOLDEN_TOLERANCE[wanted],
    )


def _golden_tensors(potential: Potential, golden: AtomGraph) -> dict[str, Tensor]:
    twin = copy.deepcopy(potential).double().cpu().eval()
    graph = connect(golden.to("cpu"), twin.cutoff)
    prediction = twin(graph)
    values = {name: getattr(graph, name) for name in GOLDEN_DTYPES}
    values |= {"energy": prediction.energy, "forces": prediction.forces}
    return {f"{GOLDEN_PREFIX}{k}": v for k, v in values.items() if v is not None}


def _golden_graph(tensors: dict[str, Tensor], potential: Potential) -> AtomGraph:
    """Raises KeyError or ValueError where the golden structures cannot be evaluated."""
    golden: dict[str, Any] = {
        name: tensors.get(GOLDEN_PREFIX + name) if name == "cell" else tensors[GOLDEN_PREFIX + name]
        for name in GOLDEN_DTYPES
    }
    n_atoms, n_graphs = golden["atomic_numbers"].numel(), golden["energy"].numel()
    shapes = {"atomic_numbers": [n_atoms], "graph_index": [n_atoms], "energy": [n_graphs]}
    shapes |= {"positions": [n_atoms, 3], "forces": [n_atoms, 3]}
    shapes |= {"pbc": [n_graphs, 3], "cell": [n_graphs, 3, 3]}
    for name, tensor in golden.items():
        wanted = (GOLDEN_DTYPES[name], shapes[name])
        if tensor is not None and (tensor.dtype, list(tensor.shape)) != wanted:
            raise ValueError(f"golden/{name} is {tensor.dtype} {list(tensor.shape)}, not {wanted}")
    graph = AtomGraph(n_graphs=n_graphs, **golden)
    index = graph.graph_index
    if index.unique().tolist() != list(range(n_graphs)) or bool((index.diff() < 0).any()):
        raise ValueError("golden/graph_index is not 0, 1, ... in ascending order")
    for single in split(graph):
        cell = None if single.cell is None else single.cell[0].numpy()
        numbers = single.atomic_numbers.numpy()
        check_structure(numbers, single.positions.numpy(), cell, single.pbc[0].numpy())
        if not set(numbers.tolist()) <= set(potential.elements):
            raise ValueError("the golden structures hold elements that the model does not know")
    return graph


def _read_record(metadata: dict[str, Any]) -> ModelRecord:
    """Raises KeyError or TypeError where a part is missing or of another type."""
    for f in fields(ModelRecord):
        expected = str if f.name == "title" else dict
        if not isinstance(metadata[f.name], expected):
            raise TypeError(f"its {f.name!r} is not a {expected.__name__}")
    return ModelRecord(**{f.name: metadata[f.name] for f in fields(ModelRecord)})


def _build(metadata: dict[str, Any]) -> Potential:
    """The network without its numbers: a hostile size costs no memory."""
    if metadata["dtype"] not in ("float32", "float64"):
        raise ConfigError(f"dtype {metadata['dtype']!r}")
    with torch.device("meta"):
        potential = build_potential(metadata["architecture"], metadata["settings"])
    potential.to(getattr(torch, metadata["dtype"]))
    if metadata["cutoff"] != potential.cutoff:
        raise ConfigError(f"two cutoffs, {metadata['cutoff']} and {potential.cutoff} A")
    elements = tuple(int(z) for z in metadata["elements"])
    known = range(1, len(potential.scale.atom_references))
    if not elements or not set(elements) <= set(known):
        raise ConfigError(f"the elements {list(elements)}, with an embedding for {known}")
    potential.elements = elements
    return potential


def _rebuild(tensors: dict[str, Tensor], metadata: dict[str, Any], path: str | Path) -> Potential:
    try:
        potential = _build(metadata)
    except (KeyError, AttributeError, TypeError, ValueError, OverflowError) as error:
        raise ModelFileError(f"{path} describes no network known here: {error}") from error
    stored = {
        k.removeprefix(NETWORK_PREFIX): v
        for k, v in tensors.items()
        if k.startswith(NETWORK_PREFIX)
    }
    expected = potential.state_dict()
    missing, surplus = sorted(set(expected) - set(stored)), sorted(set(stored) - set(expected))
    if missing or surplus:
        raise ModelFileError(f"{path}: tensors missing: {missing}; surplus: {surplus}")
    for name, tensor in stored.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise ModelFileError(
                f"{path}: {name} is {tensor.dtype} {list(tensor.shape)}, its architecture needs "
                f"{expected[name].dtype} {list(expected[name].shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise ModelFileError(f"{path}: {name} holds NaN or infinite values: train it anew")
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
        "expected; it may be truncated or of another kind)"
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
    if version != FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {version}, this program reads {FORMAT_VERSION}: "
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


def golden_sample(graphs: list[AtomGraph], n_structures: int = 3) -> list[AtomGraph]:
    """A few structures spread over a data set, for `save_model`."""
    step = max(len(graphs) // n_structures, 1)
    return [single for g in graphs[::step][:n_structures] for single in split(g)]
