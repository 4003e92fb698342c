"""SchNetPack's SchNet (random weights) as a contender: answers lines of JSON with lines of JSON.

`bench_cpu.py --peer PYTHON` starts this with a Python that has SchNetPack 2 and keeps it alive. It
imports nothing of this package. Requests, and what is answered:

    {"command": "versions"}                       names and versions
    {"command": "prepare", "walk": file.npz, "n_interactions", "n_features", "n_rbf", "cutoff"}
                                                  nothing but {}
    {"command": "evaluate", "frames": [0, 1], "threads": 1}
                                                  mean milliseconds per frame, see `_evaluate`

The file has atomic_numbers [n_atoms], pbc [3], cell [3, 3] and frames
[n_frames, n_replicas, n_atoms, 3] (A). The process ends when its standard input does.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import sys
import time
from importlib.metadata import version
from typing import Any

logging.disable(logging.INFO)

import ase  # noqa: E402
import numpy as np  # noqa: E402
import schnetpack  # noqa: E402
import torch  # noqa: E402
from schnetpack import transform  # noqa: E402
from schnetpack.interfaces import AtomsConverter  # noqa: E402


class Contender:
    """A network and the walk it is evaluated on."""

    def __init__(self, request: dict[str, Any]) -> None:
        with np.load(request["walk"]) as arrays:
            self._frames = arrays["frames"]
            numbers, pbc, cell = arrays["atomic_numbers"], arrays["pbc"], arrays["cell"]
        self._atoms = ase.Atoms(numbers, positions=self._frames[0, 0], pbc=pbc, cell=cell)
        torch.manual_seed(0)
        self._network = _network(request)
        # The fastest of SchNetPack's neighbour lists, in the network's dtype.
        self._convert = AtomsConverter(
            neighbor_list=transform.MatScipyNeighborList(cutoff=request["cutoff"]),
            dtype=torch.float32,
        )

    def evaluate(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Thread-CPU and wall seconds of converting one frame, and of the network alone."""
        replicas = []
        for positions in self._frames[index]:
            atoms = self._atoms.copy()
            atoms.positions = positions
            replicas.append(atoms)
        start = _clocks()
        inputs = self._convert(replicas)
        listed = _clocks()
        self._network(inputs)
        return listed - start, _clocks() - listed


def _clocks() -> np.ndarray:
    return np.array([time.thread_time(), time.perf_counter()])


def _network(request: dict[str, Any]) -> torch.nn.Module:
    n, cutoff = request["n_features"], request["cutoff"]
    return schnetpack.model.NeuralNetworkPotential(
        representation=schnetpack.representation.SchNet(
            n_atom_basis=n,
            n_interactions=request["n_interactions"],
            radial_basis=schnetpack.nn.GaussianRBF(n_rbf=request["n_rbf"], cutoff=cutoff),
            cutoff_fn=schnetpack.nn.CosineCutoff(cutoff),
        ),
        input_modules=[schnetpack.atomistic.PairwiseDistances()],
        output_modules=[
            schnetpack.atomistic.Atomwise(n_in=n, output_key="energy"),
            schnetpack.atomistic.Forces(energy_key="energy", force_key="forces"),
        ],
    ).eval()


def _evaluate(contender: Contender, request: dict[str, Any]) -> dict[str, dict[str, float]]:
    """`network`: inputs were ready; `with_list`: conversion and neighbour list are included."""
    torch.set_num_threads(request["threads"])
    converting, evaluating = np.mean([contender.evaluate(k) for k in request["frames"]], axis=0)
    return {
        name: {"thread_cpu_ms": 1e3 * float(seconds[0]), "wall_ms": 1e3 * float(seconds[1])}
        for name, seconds in (("network", evaluating), ("with_list", converting + evaluating))
    }


def main() -> None:
    """Answers until there is no request left."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes to standard error
    contender = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any]
        if request["command"] == "versions":
            answer = {name: version(name) for name in ("schnetpack", "torch", "numpy", "ase")}
            answer["python"] = platform.python_version()
        elif request["command"] == "prepare":
            contender = None  # its memory is free before the next one is made
            contender = Contender(request)
            answer = {}
        else:
            assert contender is not None  # it was prepared
            answer = _evaluate(contender, request)
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
