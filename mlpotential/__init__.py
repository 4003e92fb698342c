"""Machine-learned interatomic potentials: from reference data to a fast energy and force evaluator.

The package is lazy: importing it (or its torch-free modules, such as `mlpotential.units`) does not
import torch. The names below are resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlpotential.lazy_names import lazy_names

__version__ = "0.2.0"

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

__getattr__ = lazy_names(
    __name__,
    {
        "graph": ("AtomGraph", "Prediction"),
        "data.read": ("read_reference_data",),
        "data.reference_data": ("ReferenceData",),
        "models.schnet": ("SchNet",),
        "models.schnet_config": ("SchNetConfig",),
        "models.model_file": ("load_model", "save_model"),
        "inference.evaluator": ("Evaluator",),
    },
)
