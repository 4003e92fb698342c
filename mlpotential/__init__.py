"""Machine-learned interatomic potentials: from reference data to a fast energy and force evaluator.

The package is lazy: importing it (or its torch-free modules, such as `mlpotential.units`) does not
import torch. The names below are resolved on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_LOCATION = {
    "AtomGraph": "mlpotential.graph",
    "Prediction": "mlpotential.graph",
    "ReferenceData": "mlpotential.data.reference_data",
    "SchNet": "mlpotential.models.schnet",
    "SchNetConfig": "mlpotential.models.schnet_config",
    "Evaluator": "mlpotential.inference.evaluator",
    "load_model": "mlpotential.models.model_file",
    "read_reference_data": "mlpotential.data.read",
    "save_model": "mlpotential.models.model_file",
}

__all__ = [
    "AtomGraph",
    "Evaluator",
    "Prediction",
    "ReferenceData",
    "SchNet",
    "SchNetConfig",
    "__version__",
    "load_model",
    "read_reference_data",
    "save_model",
]

if TYPE_CHECKING:  # for editors and type checkers
    from mlpotential.data.read import read_reference_data
    from mlpotential.data.reference_data import ReferenceData
    from mlpotential.graph import AtomGraph, Prediction
    from mlpotential.inference.evaluator import Evaluator
    from mlpotential.models.model_file import load_model, save_model
    from mlpotential.models.schnet import SchNet
    from mlpotential.models.schnet_config import SchNetConfig


def __getattr__(name: str) -> Any:
    if name in _LOCATION:
        return getattr(importlib.import_module(_LOCATION[name]), name)
    raise AttributeError(f"module 'mlpotential' has no attribute {name!r}")
