"""Who takes part in the timing: this package's backends, torch's matrix product, SchNetPack."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from ase import Atoms

from mlpotential import Evaluator, SchNet, SchNetConfig
from mlpotential.errors import ConfigError, RunError

GEMM_ROWS, GEMM_WIDTH, GEMM_REPEATS = 1024, 128, 20
GEMM, BARE, LISTED = "torch.mm", "SchNetPack", "SchNetPack with its list"


class Row(NamedTuple):
    """Which program was timed."""

    program: str
    dtype: str
    threads: int


class Clocks(NamedTuple):
    """Mean time of one evaluation in a block."""

    thread_cpu_ms: float
    wall_ms: float


class Contender(Protocol):
    """Takes turns; one block may time several rows."""

    rows: Sequence[Row]
    walks_on: bool  # blocks are whole traverses of the walk

    def block(self, frames: Sequence[int]) -> Sequence[Clocks]:
        """Evaluates frames of the walk one after another; one time for each row."""


class Package:
    """This package with one backend, dtype and number of threads."""

    def __init__(
        self, potential: SchNet, atoms: Atoms, frames: np.ndarray, backend: str, dtype: str, n: int
    ) -> None:
        self.rows: Sequence[Row] = (Row(backend, dtype, n),)
        self.walks_on = backend == "native"
        self._threads = n
        self._evaluator = Evaluator(
            potential, atoms.numbers, atoms.pbc, "cpu", dtype, backend=backend, threads=n
        )
        self._frames = frames
        self._cells = cells_of(atoms, frames.shape[1])

    def forces(self, frame: int) -> np.ndarray:
        """[n_replicas * n_atoms, 3] (eV/A)."""
        forces = self._evaluator.evaluate(self._frames[frame], self._cells).forces
        assert forces is not None  # always among what is evaluated by default
        return forces

    def block(self, frames: Sequence[int]) -> Sequence[Clocks]:
        torch.set_num_threads(self._threads)
        start = time.thread_time(), time.perf_counter()
        for frame in frames:
            self._evaluator.evaluate(self._frames[frame], self._cells)
        return (_clocks(start, len(frames)),)


class Gemm:
    """Matrix products of the network's width, on one core."""

    walks_on = False

    def __init__(self, dtype: str) -> None:
        self.rows: Sequence[Row] = (Row(GEMM, dtype, 1),)
        kind = getattr(torch, dtype)
        self._a = torch.randn(GEMM_ROWS, GEMM_WIDTH, dtype=kind)
        self._b = torch.randn(GEMM_WIDTH, GEMM_WIDTH, dtype=kind)
        self._c = torch.empty(GEMM_ROWS, GEMM_WIDTH, dtype=kind)

    def block(self, frames: Sequence[int]) -> Sequence[Clocks]:
        torch.set_num_threads(1)
        start = time.thread_time(), time.perf_counter()
        for _ in range(GEMM_REPEATS):
            torch.mm(self._a, self._b, out=self._c)
        return (_clocks(start, GEMM_REPEATS),)


class Peer:
    """The process that runs `peer_schnetpack.py`, one line of JSON at a time."""

    def __init__(self, python: Path) -> None:
        program = Path(__file__).with_name("peer_schnetpack.py")
        try:
            self._process = subprocess.Popen(
                [str(python), str(program)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        except OSError as error:
            raise ConfigError(f"--peer {python} is no Python: {error.strerror}") from error

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, command: str, **parameters: object) -> dict[str, Any]:
        """Sends a request as `peer_schnetpack.py` describes it and waits for the answer."""
        assert self._process.stdin is not None  # both are pipes
        assert self._process.stdout is not None
        line = ""
        try:
            self._process.stdin.write(json.dumps({"command": command, **parameters}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            pass  # told below
        if not line:
            raise RunError("SchNetPack has ended; what it said stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def prepare(
        self, network: SchNetConfig, atoms: Atoms, frames: np.ndarray, folder: Path
    ) -> None:
        """Lets it make a network of this size and read the walk from a file in the folder.

        Without a cutoff SchNetPack gets one that includes all pairs: the same work.
        """
        walk = folder / "walk.npz"
        kinds = {"atomic_numbers": atoms.numbers, "pbc": atoms.pbc, "cell": atoms.cell.array}
        np.savez(walk, frames=frames, **kinds)
        self.ask(
            "prepare",
            walk=str(walk),
            n_interactions=network.n_interactions,
            n_features=network.n_features,
            n_rbf=network.n_gaussians,
            cutoff=network.cutoff or network.rbf_stop,
        )


class SchNetPack:
    """The peer with a number of threads; its network alone, and with conversion and list."""

    walks_on = False

    def __init__(self, peer: Peer, threads: int) -> None:
        self.rows: Sequence[Row] = (Row(BARE, "float32", threads), Row(LISTED, "float32", threads))
        self._peer, self._threads = peer, threads

    def block(self, frames: Sequence[int]) -> Sequence[Clocks]:
        answer = self._peer.ask("evaluate", frames=list(frames), threads=self._threads)
        return [Clocks(**answer[name]) for name in ("network", "with_list")]


def _clocks(start: tuple[float, float], n: int) -> Clocks:
    cpu, wall = time.thread_time() - start[0], time.perf_counter() - start[1]
    return Clocks(1e3 * cpu / n, 1e3 * wall / n)


def gemm_gflops_per_s(product_ms: float) -> float:
    """From the time of one product of `Gemm`."""
    return 2e-6 * GEMM_ROWS * GEMM_WIDTH**2 / product_ms


def cells_of(atoms: Atoms, n_replicas: int) -> np.ndarray | None:
    """[n_replicas, 3, 3] (A); None for a molecule."""
    return np.repeat(atoms.cell.array[None], n_replicas, axis=0) if atoms.pbc.any() else None
