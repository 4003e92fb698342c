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

import hashlib
import json
import struct
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mlpotential.errors import ConfigError, ModelFileError
from mlpotential.graph import AtomGraph
from mlpotential.models.potential import Potential
from mlpotential.models.registry import build_potential
from mlpotential.neighbors import connect, split
from mlpotential.run_folder import write_atomically

FORMAT_VERSION = 1
METADATA_KEY = "mlpotential"
NETWORK_PREFIX = "network/main/"
GOLDEN_PREFIX = "golden/"
GOLDEN_FIELDS = ("atomic_numbers", "positions", "graph_index", "pbc", "cell", "energy", "forces")
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
        return max(self.energy_deviation, self.forces_deviation) <= self.tolerance


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
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise ModelFileError(f"{path} is damaged: {error}") from error
    if _content_hash(tensors, metadata) != metadata["sha256"]:
        raise ModelFileError(
            f"{path} is damaged: its content does not match the sha256 stored in it. "
            "Copy it again from its source"
        )
    potential = _rebuild(tensors, metadata, path)
    fields = ("title", "training", "errors", "shortest_distances")
    try:
        record = ModelRecord(**{name: metadata[name] for name in fields})
        golden = _golden_graph(tensors)
    except KeyError as error:
        raise ModelFileError(f"{path} lacks {error}: it was not written by this program") from error
    return LoadedModel(potential, record, golden, metadata["sha256"])


def check_golden(model: LoadedModel, device: str = "cpu", dtype: str | None = None) -> GoldenCheck:
    """Evaluates the golden structures on a device and compares.

    Args:
        model: as loaded; its network is not altered.
        device: cpu, cuda or cuda:N.
        dtype: float32 or float64; None for the model's own.
    """
    own_dtype = model.potential.dtype
    wanted = own_dtype if dtype is None else getattr(torch, dtype)
    potential = _copy(model.potential).to(device=device, dtype=wanted).eval()
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


def _copy(potential: Potential) -> Potential:
    twin = build_potential(type(potential).__name__, asdict(potential.config))
    twin.to(potential.dtype).load_state_dict(potential.state_dict())
    twin.elements = potential.elements
    return twin


def _golden_tensors(potential: Potential, golden: AtomGraph) -> dict[str, Tensor]:
    twin = _copy(potential).double().cpu().eval()
    graph = connect(golden.to("cpu"), twin.cutoff)
    prediction = twin(graph)
    values = {name: getattr(graph, name) for name in GOLDEN_FIELDS}
    values |= {"energy": prediction.energy, "forces": prediction.forces}
    return {f"{GOLDEN_PREFIX}{k}": v for k, v in values.items() if v is not None}


def _golden_graph(tensors: dict[str, Tensor]) -> AtomGraph:
    golden = {
        k.removeprefix(GOLDEN_PREFIX): v for k, v in tensors.items() if k.startswith(GOLDEN_PREFIX)
    }
    golden.setdefault("cell", None)  # type: ignore[arg-type]
    return AtomGraph(n_graphs=len(golden["pbc"]), **{name: golden[name] for name in GOLDEN_FIELDS})


def _rebuild(tensors: dict[str, Tensor], metadata: dict[str, Any], path: str | Path) -> Potential:
    try:
        potential = build_potential(metadata["architecture"], metadata["settings"])
        potential.to(getattr(torch, metadata["dtype"]))
        potential.elements = tuple(int(z) for z in metadata["elements"])
    except (ConfigError, KeyError, AttributeError, TypeError) as error:
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
    potential.load_state_dict(stored)
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
