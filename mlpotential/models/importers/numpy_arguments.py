"""The arguments of a training that `numpy.save` wrote as a pickled `argparse.Namespace`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from mlpotential.errors import ModelFileError
from mlpotential.models.importers.pickle_description import Expected, Made, describe_pickle
from mlpotential.models.importers.refusal import Refusal

EXPECTED = Expected(
    functions=dict.fromkeys(
        (
            "numpy.core.multiarray._reconstruct",
            "numpy._core.multiarray._reconstruct",
            "numpy.ndarray",
            "numpy.dtype",
            "_codecs.encode",
        )
    ),
    packages=("argparse",),
)


def read_arguments(path: Path) -> dict[str, Any]:
    """Values by name, without executing anything.

    Raises:
        ModelFileError: if the file cannot be read.
        Refusal: if it holds anything else.
    """
    try:
        stream = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}") from error
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"format {version}")
        np.lib.format.read_array_header_1_0(stream)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise Refusal(f"has arguments in {path.name} that cannot be read: {reason}") from None
    array = describe_pickle(stream, EXPECTED)
    try:
        *_, (namespace,) = array.state  # as numpy.ndarray.__setstate__ takes it
        arguments = namespace.state
    except (AttributeError, TypeError, ValueError):
        namespace = arguments = None
    if not isinstance(namespace, Made) or not isinstance(arguments, dict):
        raise Refusal(f"has no arguments of a training in {path.name}")
    return arguments
