"""Means of a run that can be run for: their series, frame by frame, and their error bars.

The error bar is the largest of those of 5, 10 and 20 blocks, Eq. (1) of
`analysis.sampling.uncertainty`. It is too small as long as blocks are hardly longer than the memory
of the run, so that independent frames are counted, too, with g of Eq. (2) there:

    n_independent = min(n / g, sd^2 / error^2).

The first is more than there are where a thermostatted energy swings fast and relaxes slowly: g ends
where the correlation first is no longer positive, and sees the swings alone. The second is more
where swings cancel in blocks, as those of mean bonds do. Error bars are left to blocks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.neighborlist import neighbor_list

from md_runs.analysis.sampling.uncertainty import (
    Estimate,
    block_average,
    statistical_inefficiency,
)
from md_runs.analysis.structure.frame_quantities import (
    Measure,
    frame_series,
    of_diameter,
    of_neighbors,
    of_pairs,
    of_radius,
)
from md_runs.trajectories.trajectory import Trajectory
from mlpotential.errors import ConfigError, nearest_name
from mlpotential.inference.training_domain import bond_lengths
from mlpotential.settings_checks import check_number

NUMBERS_OF_BLOCKS = (5, 10, 20)
# Frames; chosen: blocks, a tenth of the run, are then ten times as long as what they must outlast.
LEAST_INDEPENDENT = 100.0
BOND = "bond_"


@dataclass(frozen=True)
class RunSeries:
    """What a run has recorded so far, after its equilibration.

    Attributes:
        trajectory: its frames.
        energies: potential and kinetic (eV) and temperature (K), each [n_records].
    """

    trajectory: Trajectory
    energies: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Quantity:
    """A mean of a run.

    Attributes:
        name: of it.
        unit: of it.
        series: from what was recorded, [n].
    """

    name: str
    unit: str
    series: Callable[[RunSeries], np.ndarray]


@dataclass(frozen=True)
class Goal:
    """An error bar that is small enough.

    Attributes:
        quantity: of which mean.
        limit: that its standard error has to be less than.
    """

    quantity: Quantity
    limit: float


@dataclass(frozen=True)
class Reached:
    """How near a run has come to a goal.

    Attributes:
        goal: the error bar that is wanted.
        mean: with its standard error.
        n_independent: frames.
    """

    goal: Goal
    mean: Estimate
    n_independent: float

    @property
    def holds(self) -> bool:
        """Whether the error bar is small enough, and known well enough."""
        error = float(self.mean.standard_error)
        return error < self.goal.limit and self.n_independent >= LEAST_INDEPENDENT

    @property
    def missing(self) -> float:
        """How many times longer the run has to be, as errors fall with its root; 1 if it holds."""
        if self.holds:
            return 1.0
        ratio = float(self.mean.standard_error) / self.goal.limit
        needed = max(ratio**2, LEAST_INDEPENDENT / self.n_independent)
        return needed if np.isfinite(needed) else np.inf

    def __str__(self) -> str:
        error, unit = float(self.mean.standard_error), self.goal.quantity.unit
        text = f"{self.goal.quantity.name} {self.mean} {unit}, error {error:.2g}"
        text += f" (wanted < {self.goal.limit:g})"
        if self.n_independent < LEAST_INDEPENDENT:
            text += f", {self.n_independent:.0f} independent frames (at least "
            text += f"{LEAST_INDEPENDENT:.0f})"
        return text


def quantities_of(atoms: Atoms) -> dict[str, Quantity]:
    """All that can be run for, by name.

    Bonds are those of the structure that the run begins with: of atoms nearer than 1.3 times the
    sum of their covalent radii. They stay the same pairs.
    """
    found = [
        Quantity("potential", "eV", lambda run: run.energies["potential"]),
        Quantity("kinetic", "eV", lambda run: run.energies["kinetic"]),
        Quantity("temperature", "K", lambda run: run.energies["temperature"]),
    ]
    measures: dict[str, Measure] = {}
    if len(atoms) > 1:
        measures["nearest_neighbor"] = of_neighbors()
        by_elements = _bonds(atoms)
        if by_elements:
            measures["mean_bond"] = of_pairs(np.concatenate(list(by_elements.values())))
        measures |= {BOND + name: of_pairs(pairs) for name, pairs in by_elements.items()}
        if not atoms.pbc.any():
            measures["diameter"] = of_diameter()
            measures["radius_of_gyration"] = of_radius(atoms.get_masses())
    found += [
        Quantity(name, "A", partial(_of_frames, measure)) for name, measure in measures.items()
    ]
    return {quantity.name: quantity for quantity in found}


def _of_frames(measure: Measure, run: RunSeries) -> np.ndarray:
    trajectory = run.trajectory
    cells = trajectory.cells if any(trajectory.pbc) else None
    return frame_series(measure, trajectory.positions, cells, trajectory.pbc)


def _bonds(atoms: Atoms) -> dict[str, np.ndarray]:
    """Pairs of bonded atoms, each [n_bonds, 2], by elements such as `C-H`; an image counts once."""
    lengths = bond_lengths(int(atoms.numbers.max()) + 1)
    numbers = sorted(set(atoms.numbers.tolist()))
    cutoffs = {(a, b): float(lengths[a, b]) for a in numbers for b in numbers}
    pairs = np.unique(np.sort(np.stack(neighbor_list("ij", atoms, cutoffs), axis=1)), axis=0)
    found: dict[str, list[np.ndarray]] = {}
    for i, j in pairs[pairs[:, 0] != pairs[:, 1]]:
        symbols = sorted(chemical_symbols[atoms.numbers[k]] for k in (i, j))
        found.setdefault("-".join(symbols), []).append(np.array([i, j]))
    return {name: np.array(found[name]) for name in sorted(found)}


def parse_goals(texts: Sequence[str], known: Mapping[str, Quantity]) -> list[Goal]:
    """`mean_bond < 0.0005`, in the unit of the quantity, which may follow.

    Raises:
        ConfigError: for what is no such condition, or of no such quantity.
    """
    goals = []
    for text in texts:
        match = re.fullmatch(r"\s*([\w-]+)\s*<\s*([\d.eE+-]+)\s*([A-Za-z]*)\s*", text)
        if match is None:
            raise ConfigError(
                f"{text!r} is no limit of an error bar: write it as 'mean_bond < 0.0005'"
            )
        name, number, unit = match.groups()
        if name not in known:
            raise ConfigError(
                f"there is no quantity {name!r} to run for.{nearest_name(name, known)} There are: "
                f"{', '.join(known)}"
            )
        quantity = known[name]
        if unit not in ("", quantity.unit):
            raise ConfigError(f"the error of {name} is in {quantity.unit}, not in {unit}")
        try:
            limit = float(number)
        except ValueError:
            raise ConfigError(f"{number!r} in {text!r} is no number") from None
        check_number(f"the limit of {name}", limit)
        goals.append(Goal(quantity, limit))
    if len({goal.quantity.name for goal in goals}) < len(goals):
        raise ConfigError("a quantity has two limits: name each once")
    return goals


def reached(goal: Goal, run: RunSeries) -> Reached:
    """The mean so far. Error bars are infinite where there are too few frames for any."""
    series = np.asarray(goal.quantity.series(run), np.float64)
    n_frames, most_blocks = len(series), max(NUMBERS_OF_BLOCKS)
    if n_frames < 2 * most_blocks or not np.ptp(series) > 0.0:
        middle = float(series.mean()) if n_frames else np.nan
        return Reached(goal, Estimate(middle, np.inf, 1), 1.0)
    spread = float(series.std(ddof=1))
    errors = [float(block_average(series, n).standard_error) for n in NUMBERS_OF_BLOCKS]
    error = float(max(errors))
    mean = Estimate(float(series.mean()), error, most_blocks)
    n_independent = min(n_frames / statistical_inefficiency(series), (spread / error) ** 2)
    return Reached(goal, mean, n_independent)
