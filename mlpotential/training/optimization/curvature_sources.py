"""Who knows the Hessian of the reference: another model, or a file beside the data.

Such a file is a NumPy archive (`.npz`) with, for frame k of the training data (`data.path`, counted
from 0), in the energy unit per square of the length unit of the data,

    hessian_k                     [3 n_atoms, 3 n_atoms] or [n_atoms, 3, n_atoms, 3], or
    directions_k, products_k      both [n_directions, n_atoms, 3]: v, and H v for each,

for all frames or for some; the others do not contribute.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mlpotential.data.declared_units import angstrom_per_length, ev_per_energy
from mlpotential.data.reference_data import ReferenceData
from mlpotential.data.sets.named import known_units
from mlpotential.errors import ConfigError, DataError
from mlpotential.graph import AtomGraph
from mlpotential.models.model_file import load_model
from mlpotential.neighbors import connect
from mlpotential.training.config import RunConfig
from mlpotential.training.optimization.curvature import (
    Curvature,
    CurvatureSource,
    hessian_vector_products,
)

MODEL_SUFFIX, FILE_SUFFIX = ".safetensors", ".npz"
ASYMMETRY = 0.02  # chosen: of the largest element; Hessians of finite differences have 1e-3
DEPENDENT = 1e-4  # chosen: directions that differ by less would multiply the noise of products
_DAMAGE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile)


def curvature_of(
    config: RunConfig, train: ReferenceData, validation: ReferenceData, device: torch.device
) -> Curvature | None:
    """What `training.curvature_from` says; None where it says nothing.

    Raises:
        ModelFileError, ConfigError: for a model that cannot be used or lacks an element.
        DataError: for a file that cannot be used.
    """
    path = config.training.curvature_from
    if path is None:
        return None
    source: CurvatureSource
    source_of_validation: CurvatureSource | None
    if path.lower().endswith(MODEL_SUFFIX):
        source = source_of_validation = CurvatureOfModel(path, train.elements, device)
    else:
        data = config.data
        energy_unit, length_unit = known_units(data.path, data.energy_unit, data.length_unit)
        if energy_unit is None or length_unit is None:
            raise ConfigError(
                f"the Hessians in {path} have the units of the data: give data.energy_unit and "
                "data.length_unit"
            )
        unit = ev_per_energy(energy_unit) / angstrom_per_length(length_unit) ** 2
        source = CurvatureOfFile(path, train, unit, device)
        source_of_validation = None  # frames of another file have other numbers
        if config.data.validation_path is None:
            source_of_validation = CurvatureOfFile(path, validation, unit, device, optional=True)
    return Curvature(source, source_of_validation, config.training.seed)


class CurvatureOfModel:
    """Exact products with the Hessian of another model (distillation), without reference data.

    Args:
        path: its file.
        elements: atomic numbers that it has to know.
        device: of the training.
    """

    def __init__(self, path: str, elements: Sequence[int], device: torch.device) -> None:
        loaded = load_model(path)
        self.sha256 = loaded.sha256
        if loaded.potential.terms or not loaded.potential.has_energy:
            raise ConfigError(
                f"training.curvature_from is {path}, which has physical terms or no energy: the "
                "curvature is learned of networks that give energies alone"
            )
        # in the mode of training its convolutions are the compiled ones; numbers are the same
        self._model = loaded.potential.to(device).requires_grad_(False).train()
        unknown = sorted(set(elements) - set(self._model.elements))
        if unknown:
            raise ConfigError(
                f"training.curvature_from is {path}, which was not trained on the atomic numbers "
                f"{unknown} of the training data"
            )

    def products(
        self, graph: AtomGraph, indices: Sequence[int], directions: Tensor, cutoff: float | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As of a `CurvatureSource`."""
        if self._model.cutoff != cutoff:
            graph = connect(graph, self._model.cutoff)
        expected = hessian_vector_products(self._model, graph, directions)
        return directions, expected, graph.positions.new_ones(graph.n_graphs)


class CurvatureOfFile:
    """Products with Hessians of a file, or of those directions that it has.

    Of a structure with some directions alone, a random direction is projected onto what they span,
    where the product is known as H is linear.

    Args:
        path: see the module.
        data: the structures, of which `frame_numbers` says which they are.
        unit: of the numbers (eV/A^2).
        device: of the training.
        optional: whether the file may have nothing of them.

    Raises:
        DataError: if the file is unusable, or has nothing of the structures.
    """

    def __init__(
        self,
        path: str,
        data: ReferenceData,
        unit: float,
        device: torch.device,
        optional: bool = False,
    ) -> None:
        self._device = device
        self._known: dict[int, tuple[Tensor | None, Tensor]] = {}
        numbers = data.frame_numbers or range(len(data))
        try:
            self.sha256 = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            with np.load(path, allow_pickle=False) as archive:
                _check_names(path, archive)
                for k, number in enumerate(numbers):
                    found = _read_frame(archive, number, data[k].n_atoms, path)
                    if found is not None:
                        basis, products = found
                        kept = None if basis is None else torch.from_numpy(basis)
                        self._known[k] = (kept, torch.from_numpy(products * unit))
        except DataError:
            raise
        except _DAMAGE as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise DataError(f"cannot read the curvature in {path}: {reason}") from error
        if not self._known and not optional:
            raise DataError(
                f"{path} has no Hessian of any of the {len(data)} frames of {data.source} to train "
                f"on: name them hessian_N, with N the number of the frame, from 0"
            )

    def products(
        self, graph: AtomGraph, indices: Sequence[int], directions: Tensor, cutoff: float | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As of a `CurvatureSource`."""
        counts = graph.atoms_per_graph().tolist()
        known = [float(k in self._known) for k in indices]
        used, expected = [], []
        for k, direction in zip(indices, directions.cpu().split(counts), strict=True):
            v, product = direction.reshape(-1), torch.zeros(direction.numel(), dtype=torch.float64)
            if k in self._known:
                basis, of_basis = self._known[k]
                shares = v if basis is None else basis @ v
                shares = shares / shares.norm()
                v = shares if basis is None else shares @ basis
                product = shares @ of_basis
            used.append(v.reshape(-1, 3))
            expected.append(product.reshape(-1, 3))
        both = torch.cat(used).to(self._device), torch.cat(expected).to(self._device)
        return *both, graph.positions.new_tensor(known)


def _check_names(path: str, names: Mapping[str, np.ndarray]) -> None:
    for name in names:
        if not re.fullmatch(r"(hessian|directions|products)_(0|[1-9]\d*)", name):
            raise DataError(
                f"{path} holds {name!r}: expected are hessian_N, or directions_N and products_N, "
                "with N the number of a frame of the training data, from 0"
            )


def _read_frame(
    archive: Mapping[str, np.ndarray], number: int, n_atoms: int, path: str
) -> tuple[np.ndarray | None, np.ndarray] | None:
    """Directions of length 1 at right angles, and products with them, both [n, 3 n_atoms].

    None as directions for all axes; None altogether where the archive has nothing of the frame.
    """
    size = 3 * n_atoms
    if (name := f"hessian_{number}") in archive:
        array = _checked(path, name, archive[name])
        if array.shape not in ((size, size), (n_atoms, 3, n_atoms, 3)):
            raise _wrong_shape(path, name, array, f"({size}, {size})")
        hessian = array.reshape(size, size)
        asymmetry = float(abs(hessian - hessian.T).max())
        if asymmetry > ASYMMETRY * float(abs(hessian).max()):
            raise DataError(
                f"{path}: {name} is not symmetric: elements differ by up to {asymmetry:.3g}"
            )
        return None, 0.5 * (hessian + hessian.T)
    if (name := f"directions_{number}") not in archive:
        return None
    if f"products_{number}" not in archive:
        raise DataError(f"{path} has {name} without products_{number}")
    pair = [_checked(path, n, archive[n]) for n in (name, f"products_{number}")]
    for word, array in zip(("directions", "products"), pair, strict=True):
        if array.ndim != 3 or array.shape != (len(pair[0]), n_atoms, 3) or not len(array):
            shape = f"(n_directions, {n_atoms}, 3)"
            raise _wrong_shape(path, f"{word}_{number}", array, shape)
    at_right_angles = _at_right_angles(*(array.reshape(len(array), size) for array in pair))
    if at_right_angles is None:
        raise DataError(f"{path}: the directions of {name} depend on each other, or one is zero")
    return at_right_angles


def _at_right_angles(
    directions: np.ndarray, products: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """V = R^T Q gives Q = R^-T V, and Q H = R^-T (V H), rows being vectors; None for no such Q."""
    n, size = directions.shape
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    if n > size or not lengths.all():
        return None
    q, r = np.linalg.qr((directions / lengths).T)
    if abs(np.diag(r)).min() < DEPENDENT:
        return None
    return np.ascontiguousarray(q.T), np.linalg.solve(r.T, products / lengths)


def _checked(path: str, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fi" or not np.isfinite(array).all():
        raise DataError(f"{path}: {name} must hold finite numbers")
    return array.astype(np.float64)


def _wrong_shape(path: str, name: str, array: np.ndarray, expected: str) -> DataError:
    return DataError(f"{path}: {name} has the shape {array.shape}, but its frame needs {expected}")
