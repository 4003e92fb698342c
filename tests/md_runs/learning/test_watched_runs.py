"""When a run is stopped, and when a committee is trusted."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from md_runs.learning.assessment import Bonds, doubts_of
from md_runs.learning.settings import LearningRun
from md_runs.learning.watched_runs import FreshRuns, WatchedBeads
from mlpotential.errors import ExtrapolationError

N_BEADS, LIMIT, PATIENCE = 8, 0.5, 3


class StatedDisagreement:
    """An evaluator that gives what it was told.

    Args:
        spread: of every force component of the last bead (eV/A).
        n_outside: beads outside the training data, each time.
    """

    def __init__(self, spread: float, n_outside: int) -> None:
        self._spread, self._new = spread, n_outside
        self.guard = SimpleNamespace(report=SimpleNamespace(n_outside=0, worst="far"))

    def evaluate(self, positions, cells, properties):
        self.guard.report.n_outside += self._new
        spreads = np.zeros(positions.shape)
        spreads[-1] = self._spread
        flat = np.zeros((len(positions) * 3, 3))
        return SimpleNamespace(
            energy=np.zeros(len(positions)), forces=flat, forces_std=spreads.reshape(-1, 3)
        )


def n_survived(spread: float, n_outside: int) -> int:
    beads = WatchedBeads(StatedDisagreement(spread, n_outside), LIMIT, PATIENCE)
    for n in range(10):
        try:
            beads.evaluate(np.ones((N_BEADS, 3, 3)))
        except ExtrapolationError:
            assert beads.reason
            assert beads.positions.shape == (N_BEADS, 3, 3)
            return n
    return 10


@pytest.mark.parametrize(
    ("spread", "n_outside", "expected"),
    [
        (0.99 * LIMIT, 0, 10),
        (1.01 * LIMIT, 0, 0),  # of one bead of many
        (0.0, 1, 10),  # an eighth of the beads
        (0.0, 2, PATIENCE - 1),  # a quarter
    ],
)
def test_a_run_is_stopped_where_it_is_in_doubt(spread, n_outside, expected):
    assert n_survived(spread, n_outside) == expected


GOOD = FreshRuns(
    frames=[np.zeros((20, 1, 3, 3))],
    stopped=[],
    reasons=[],
    n_evaluated=10_000,
    n_outside=5,
    longest_ps=2.0,
    total_ps=4.0,
)
BONDS = Bonds({"H-O": 0.970}, {"H-O": 0.002})
LAST = {"bonds": {"means": {"H-O": 0.975}, "errors": {"H-O": 0.002}}}


def doubts(**changed):
    given = {
        "settings": LearningRun(force_error_eV_A=0.05),
        "runs": GOOD,
        "expected": 0.04,
        "measured": 0.045,
        "bonds": BONDS,
        "last": LAST,
        "modes_from_last": 0.005,
        "modes_from_reference": 0.02,
    }
    return doubts_of(**(given | changed))


def test_nothing_is_against_a_good_committee():
    """A bond that changed by 0.005(3) A is the same."""
    assert not doubts()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"expected": 0.06}, "expected force error 0.060 above 0.05"),
        ({"measured": 0.06}, "measured force error 0.060 above 0.05"),
        ({"measured": None}, "no labels of fresh dynamics"),
        ({"runs": replace(GOOD, reasons=["far"])}, "1 of 1 runs stopped"),
        ({"runs": replace(GOOD, n_outside=20)}, "0.2 % of the structures outside"),
        ({"bonds": Bonds({"H-O": 0.960}, {"H-O": 0.002})}, "mean H-O bond changed by 0.0150 A"),
        ({"bonds": None}, "no mean bonds"),
        ({"last": None}, "no mean bonds"),
        ({"modes_from_last": 0.02}, "wavenumbers changed by 2.0 %"),
        ({"modes_from_reference": 0.05}, "wavenumbers 5.0 % off those of the reference"),
        ({"modes_from_reference": None}, "no minimum like that of the reference"),
        ({"modes_from_last": None}, "no modes of two rounds"),
    ],
)
def test_each_doubt_is_told(changed, words):
    (found,) = doubts(**changed)
    assert words in found
