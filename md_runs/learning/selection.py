"""Which structures of fresh dynamics are labelled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from md_runs.learning.committee import answers_of
from md_runs.learning.folders import CHECKS, CHOSEN, RoundFolder, structures_of, write_frames
from md_runs.learning.geometry import descriptors, farthest_points, first_new_points
from md_runs.learning.labels import asked_before
from md_runs.learning.settings import LearningRun
from md_runs.learning.watched_runs import FreshRuns

DOUBTFUL = 5  # so many of the largest disagreement are candidates for each that is taken; chosen


def choose_checks(
    runs: FreshRuns, minimum: Atoms, settings: LearningRun, round_: RoundFolder, n_wanted: int
) -> None:
    """Random beads of the runs, whose labels tell the error where the dynamics goes."""
    if round_.frames(CHECKS).exists():
        return
    random = np.random.default_rng([settings.seed, round_.number, 1])
    structures = random.permutation(runs.structures)
    chosen = first_new_points(
        descriptors(structures, minimum.numbers),
        descriptors(asked_before(round_), minimum.numbers),
        n_wanted,
    )
    write_frames(round_.frames(CHECKS), structures_of(minimum, structures[chosen]))


def choose_structures(
    models: Sequence[Path],
    runs: FreshRuns,
    minimum: Atoms,
    settings: LearningRun,
    round_: RoundFolder,
    n_wanted: int,
) -> None:
    """Beads of the runs to learn from, none that is the same as one asked for before."""
    if round_.frames(CHOSEN).exists():
        return
    structures = runs.structures
    known = descriptors(asked_before(round_), minimum.numbers)
    if settings.strategy == "random":
        random = np.random.default_rng([settings.seed, round_.number, 2])
        structures = random.permutation(structures)
        points = descriptors(structures, minimum.numbers)
        chosen = first_new_points(points, known, n_wanted)
    else:
        worst = answers_of(models, minimum.numbers, structures).worst
        doubtful = np.argsort(-worst, kind="stable")[: DOUBTFUL * n_wanted]
        points = descriptors(structures[doubtful], minimum.numbers)
        chosen = [int(doubtful[k]) for k in farthest_points(points, known, n_wanted)]
    write_frames(round_.frames(CHOSEN), structures_of(minimum, structures[chosen]))
