"""Verlet list on a device: pairs a little beyond the cutoff, kept while none can be missing.

As `mlpotential.verlet_list`, whose Eq. (1) decides: the device finds whether an atom has moved too
far and says so by one number, which is read with the answer of the evaluation. So an evaluation is
run with the list as it is, the host waits for the device once, and where the list was stale, it is
made anew and the evaluation repeated. That is rare, one of some twenty steps of a run; to ask
before each evaluation would cost all of them the time of a second answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mlpotential.inference.cuda.interface import address
from mlpotential.inference.cuda.systems.interface import Listed, Search, Watch
from mlpotential.inference.cuda.systems.kernels import Kernels, blocks_of
from mlpotential.inference.cuda.systems.lattices import lattices_of
from mlpotential.inference.cuda.systems.plans import PLAIN_THREADS
from mlpotential.inference.structures import Atoms
from mlpotential.verlet_list import ROUNDING, SKIN

MACROS = {"M_CLUSTER": 1, "M_THREADS": PLAIN_THREADS}
ROWS_AT_ONCE = PLAIN_THREADS // 32


@dataclass(frozen=True)
class Rows:
    """A list as it was made.

    Attributes:
        positions: of then, on the device, [n_atoms, 3] (A).
        cells: of then, [n_graphs, 3, 3] (A).
        changes: to reduced cells, [n_graphs, 3, 3], float64.
        order: atoms by bins, [n_atoms], int32.
        wraps: [n_atoms, 3], int32.
        row_start: [n_atoms + 1], int64.
        neighbors, images: [n_listed], int32.
    """

    positions: Tensor
    cells: np.ndarray
    changes: Tensor
    order: Tensor
    wraps: Tensor
    row_start: Tensor
    neighbors: Tensor
    images: Tensor


class DeviceList:
    """Pairs within cutoff + skin of some structures, each from both its ends.

    Args:
        atoms: of the structures.
        cutoff: (A); None for all pairs, of molecules alone.
        kernels: of the device.

    Attributes:
        n_builds: how often the list was made.
    """

    def __init__(self, atoms: Atoms, cutoff: float | None, kernels: Kernels) -> None:
        device = kernels.executor.device
        self.atoms, self._cutoff, self._kernels = atoms, cutoff, kernels
        of_atoms = np.repeat(np.arange(atoms.n_graphs, dtype=np.int32), np.diff(atoms.graph_start))
        self._starts = torch.from_numpy(atoms.graph_start).to(device)
        self._graph_of = torch.from_numpy(of_atoms).to(device)
        self._elements = torch.from_numpy(atoms.atomic_numbers).to(device)
        self._rows: Rows | None = None
        self.n_builds = 0

    @property
    def n_listed(self) -> int:
        """Listed pairs, each from both ends."""
        assert self._rows is not None  # it was made
        return len(self._rows.neighbors)

    def structure(self, positions: Tensor, cells: Tensor, first_atom: int) -> Listed:
        """An argument of kernels.

        Args:
            positions, cells: on the device, [n_atoms, 3], [n_graphs, 3, 3], float64 (A).
            first_atom: the number of the first atom among all that are evaluated.
        """
        rows = self._rows
        assert rows is not None  # it was made
        return Listed(
            positions=address(positions),
            cells=address(cells),
            changes=address(rows.changes),
            starts=address(self._starts),
            graph_of=address(self._graph_of),
            atomic_numbers=address(self._elements),
            order=address(rows.order),
            wraps=address(rows.wraps),
            row_start=address(rows.row_start),
            neighbors=address(rows.neighbors),
            images=address(rows.images),
            n_atoms=self.atoms.n_atoms,
            n_listed=self.n_listed,
            first_atom=first_atom,
        )

    def watch(self, positions: Tensor, cells: np.ndarray, stale: Tensor) -> bool:
        """Has the device see whether a pair may be missing; False where there is no list yet.

        Args:
            positions: on the device, [n_atoms, 3], float64 (A).
            cells: [n_graphs, 3, 3] (A).
            stale: becomes 1 if so, [1], float64, on the device.
        """
        rows = self._rows
        if rows is None:
            return False
        if self._cutoff is None:
            return True
        device = positions.device
        deformations, allowed = _deformed(rows.cells, cells, self._cutoff)
        on_device = [torch.from_numpy(x).to(device) for x in (deformations, allowed)]
        watch = Watch(
            positions=address(positions),
            listed=address(rows.positions),
            graph_of=address(self._graph_of),
            deformations=address(on_device[0]),
            allowed=address(on_device[1]),
            stale=address(stale),
            n_atoms=self.atoms.n_atoms,
        )
        self._kernels.run("watch", MACROS, blocks_of(self.atoms.n_atoms, PLAIN_THREADS), watch)
        return True

    def build(self, host_positions: np.ndarray, positions: Tensor, cells: np.ndarray) -> None:
        """Makes the list anew.

        Args:
            host_positions: [n_atoms, 3], float64 (A).
            positions: the same on the device.
            cells: [n_graphs, 3, 3] (A).

        Raises:
            StructureError: for atoms too many cells away.
        """
        atoms, device = self.atoms, positions.device
        radius = np.inf if self._cutoff is None else self._cutoff + SKIN + ROUNDING
        host = lattices_of(host_positions, atoms.graph_start, cells, atoms.pbc, radius)
        lattices = torch.from_numpy(host.view(np.uint8)).to(device)
        n_bins = int(host["first_bin"][-1] + host["bins"][-1].prod())

        def integers(*shape: int) -> Tensor:
            return torch.empty(shape, dtype=torch.int32, device=device)

        # Atoms by bins.
        n = atoms.n_atoms
        wraps, bins = integers(n, 3), integers(n)
        search = Search(
            positions=address(positions),
            graph_of=address(self._graph_of),
            lattices=address(lattices),
            wraps=address(wraps),
            bins=address(bins),
            radius=radius,
            n_atoms=n,
        )
        n_blocks = blocks_of(n, PLAIN_THREADS)
        self._kernels.run("place_atoms", MACROS, n_blocks, search)
        by_bin, order = torch.sort(bins, stable=True)
        order = order.to(torch.int32)
        all_bins = torch.arange(n_bins + 1, dtype=torch.int32, device=device)
        bin_start = torch.searchsorted(by_bin, all_bins)

        # Rows as long as there are neighbours.
        lengths = torch.empty(n, dtype=torch.int64, device=device)
        search.order, search.bin_start = address(order), address(bin_start)
        search.lengths = address(lengths)
        self._kernels.run("search", MACROS, n_blocks, search)
        row_start = torch.zeros(n + 1, dtype=torch.int64, device=device)
        torch.cumsum(lengths, 0, out=row_start[1:])
        n_listed = int(row_start[-1])

        # The neighbours themselves, as they are met and then in order.
        found, found_images, neighbors, images = (integers(n_listed) for _ in range(4))
        if n_listed:
            search.row_start = address(row_start)
            search.found, search.found_images = address(found), address(found_images)
            search.neighbors, search.images = address(neighbors), address(images)
            self._kernels.run("search", MACROS, n_blocks, search)
            self._kernels.run("sort_rows", MACROS, blocks_of(n, ROWS_AT_ONCE), search)
        changes = torch.from_numpy(np.ascontiguousarray(host["change"])).to(device)
        self._rows = Rows(
            positions.clone(), cells.copy(), changes, order, wraps, row_start, neighbors, images
        )
        self.n_builds += 1


def _deformed(before: np.ndarray, now: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """F and the largest allowed square of |u| of each structure: Eq. (1) of `verlet_list`.

    Args:
        before, now: cells, zeros for molecules, [n_graphs, 3, 3] (A).
        cutoff: (A).

    Returns:
        [n_graphs, 3, 3] and [n_graphs] (A^2), which is negative where no list can be kept.
    """
    deformations = np.tile(np.eye(3), (len(now), 1, 1))
    stretches = np.ones(len(now))
    for k in np.flatnonzero((before != now).any(axis=(1, 2))):
        deformations[k] = np.linalg.solve(before[k], now[k])
        stretches[k] = np.linalg.norm(np.linalg.inv(deformations[k]), 2)
    farthest = 0.5 * ((cutoff + SKIN) / stretches - cutoff)
    return deformations, np.where(farthest < 0.0, -1.0, farthest**2)
