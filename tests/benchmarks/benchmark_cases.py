"""What the benchmarks evaluate: structures, networks of random weights, a walk of the atoms.

Everything follows from fixed seeds. The networks have T = 6 interactions and F = 128 features, the
size of the C20 networks of Schuett et al., J. Chem. Phys. 148, 241722 (2018),
doi:10.1063/1.5019779; what they predict is meaningless, what they cost is not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule

from mlpotential import SchNet, SchNetConfig
from mlpotential.neighbors import all_pairs
from mlpotential.verlet_list import VerletList

# As published: no cutoff, Gaussians every 0.1 A up to 20 A.
ALL_PAIRS = SchNetConfig(n_interactions=6, n_features=128, rbf_stop=20.0, n_rbf=200, rbf_gamma=10.0)
# As SchNetPack and others use it today: 5 A, cosine, linear filter output.
CUTOFF_5 = SchNetConfig(
    n_interactions=6,
    n_features=128,
    rbf_stop=5.0,
    n_rbf=50,
    rbf_gamma=None,
    cutoff_function="cosine",
    cutoff=5.0,
    filter_output_activation="none",
)

STEP = 0.005  # A; chosen: rms per component; in 0.5 fs at 300 K carbon moves 0.0023, hydrogen 0.008
MEMORY_STEPS = 50.0  # chosen: 25 fs in steps of 0.5 fs
WALK_STEPS = 30  # chosen: about as long as a Verlet list lasts in such a walk

Backend = str  # reference, tabulated, native


@dataclass(frozen=True)
class Case:
    """Something to evaluate.

    Attributes:
        name: of a word, for the JSON.
        title: for people.
        structure: makes the atoms.
        n_replicas: evaluated at once, each on a walk of its own.
        network: its settings.
        backends: that are timed; SchNetPack goes with `reference`.
        in_quick: whether the short run has it.
        remark: what a reader must know.
    """

    name: str
    title: str
    structure: Callable[[], Atoms]
    n_replicas: int = 1
    network: SchNetConfig = CUTOFF_5
    backends: tuple[Backend, ...] = ("reference", "tabulated", "native")
    in_quick: bool = True
    remark: str = ""


def c20() -> Atoms:
    """Twenty corners of a dodecahedron with edges of 1.45 A, perturbed by 0.03 A."""
    golden = (1.0 + 5.0**0.5) / 2.0
    corners = [list(signs) for signs in itertools.product((-1.0, 1.0), repeat=3)]
    for a, b in itertools.product((-1.0, 1.0), repeat=2):
        corners += [
            [0.0, a / golden, b * golden],
            [a / golden, b * golden, 0.0],
            [a * golden, 0.0, b / golden],
        ]
    noise = np.random.default_rng(0).normal(size=(20, 3))
    return Atoms("C20", positions=np.array(corners) * 1.45 * golden / 2.0 + 0.03 * noise)


def water(n_per_edge: int = 6) -> Atoms:
    """Molecules on a cubic lattice at the density of water, turned at random: 648 atoms."""
    rng = np.random.default_rng(0)
    spacing = 3.108  # A; 18.015 amu per cube of it: 0.997 g/cm^3
    single = molecule("H2O")
    single.center()
    box = Atoms(cell=n_per_edge * spacing * np.eye(3), pbc=True)
    for cube in itertools.product(range(n_per_edge), repeat=3):
        turned = single.copy()
        turned.rotate(rng.uniform(0.0, 360.0), rng.normal(size=3))
        turned.translate(spacing * np.array(cube))
        box += turned
    return box


def diamond(n_per_edge: int) -> Atoms:
    """n x n x n cubic cells of 8 atoms, perturbed by 0.03 A."""
    crystal = bulk("C", "diamond", a=3.567, cubic=True).repeat(n_per_edge)
    crystal.rattle(0.03, seed=0)
    return crystal


CASES = (
    Case("c20_all_pairs", "C20, 20 atoms, no cutoff", c20, network=ALL_PAIRS),
    Case("c20_cutoff", "C20, 20 atoms, 5 A", c20),
    Case("c20_8_replicas", "8 replicas of C20, no cutoff", c20, 8, ALL_PAIRS),
    Case("water_648", "water, 648 atoms, 5 A", water),
    Case("diamond_512", "diamond, 512 atoms, 5 A", lambda: diamond(4), in_quick=False),
    Case("diamond_4096", "diamond, 4,096 atoms, 5 A", lambda: diamond(8), in_quick=False),
    Case(
        "diamond_32768",
        "diamond, 32,768 atoms, 5 A",
        lambda: diamond(16),
        backends=("native",),
        in_quick=False,
        remark="reference, tabulated and SchNetPack left out: they need tens of GB",
    ),
)


def random_network(config: SchNetConfig) -> SchNet:
    """Random weights from a fixed seed, float32."""
    torch.manual_seed(0)
    return SchNet(config).eval()


def walk(positions: np.ndarray, n_replicas: int, n_steps: int = WALK_STEPS) -> np.ndarray:
    """Frames as molecular dynamics would give them, [n_steps + 1, n_replicas, n_atoms, 3] (A).

    Velocities of `STEP` per step that are forgotten within `MEMORY_STEPS`: in one traverse of the
    walk the fastest atoms use up the skin of a Verlet list.
    """
    rng = np.random.default_rng(1)
    size = (n_replicas, *positions.shape)
    kept = np.exp(-1.0 / MEMORY_STEPS)
    velocity = STEP * rng.normal(size=size)
    frames = [np.broadcast_to(positions, size)]
    for _ in range(n_steps):
        velocity = kept * velocity + (1.0 - kept**2) ** 0.5 * STEP * rng.normal(size=size)
        frames.append(frames[-1] + velocity)
    return np.stack(frames)


def there_and_back(n_frames: int) -> Iterator[int]:
    """0, 1, ..., n - 1, n - 2, ..., 1, 0, 1, ... without end."""
    return itertools.cycle([*range(n_frames), *range(n_frames - 2, 0, -1)])


@dataclass(frozen=True)
class PairStatistics:
    """Of one traverse of a walk.

    Attributes:
        n_pairs: unordered pairs within the cutoff in the first frame, all replicas together.
        list_builds_per_step: of one replica's Verlet list; 0 where all pairs are fixed.
    """

    n_pairs: int
    list_builds_per_step: float


def pair_statistics(atoms: Atoms, frames: np.ndarray, cutoff: float | None) -> PairStatistics:
    """Counts with a Verlet list of the package; molecules of few atoms need none."""
    n_replicas = frames.shape[1]
    if cutoff is None:
        return PairStatistics(n_replicas * all_pairs(len(atoms)).shape[1], 0.0)
    cell = atoms.cell.array if atoms.pbc.any() else None
    verlet = VerletList(cutoff, atoms.pbc)
    n_pairs = sum(verlet.within_cutoff(r, cell)[0].shape[1] for r in frames[0])
    if cell is None:
        return PairStatistics(n_pairs, 0.0)
    order = there_and_back(len(frames))
    n_steps = 2 * (len(frames) - 1)
    verlet.update(frames[next(order), 0], cell)
    first = verlet.n_builds
    for _ in range(n_steps):
        verlet.update(frames[next(order), 0], cell)
    return PairStatistics(n_pairs, (verlet.n_builds - first) / n_steps)


FLOPS_FORMULA = (
    "2 (6T - 2) N F^2 + 4 N F H + (37 T - 4) P F: N atoms, P pairs within the cutoff, F features, "
    "T interactions, H hidden features of the readout; 3T - 1 products of N x F x F forward and as "
    "many backward; per pair, feature and interaction 12 for W, 12 for dW/dr, 4 + 5 + 4 to use "
    "them (no last 4 in the first interaction); activations and work done twice are not counted"
)


def flops(config: SchNetConfig, n_atoms: int, n_pairs: int) -> int:
    """Floating-point operations of energy and forces with tabulated filters: `FLOPS_FORMULA`."""
    t, f = config.n_interactions, config.n_features
    hidden = f // 2
    products = 2 * (6 * t - 2) * n_atoms * f**2
    return products + 4 * n_atoms * f * hidden + (37 * t - 4) * n_pairs * f
