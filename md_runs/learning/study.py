"""The rounds of a learning run, one after another, and where a stopped one goes on.

Every stage leaves a file and is passed over where that is there; training, dynamics, labels and the
Hessian go on within themselves. So the same call continues whatever was killed, and makes no label
twice.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from md_runs.analysis.vibrations.normal_modes import read_normal_modes
from md_runs.force_provider import CalculatorForces
from md_runs.learning.assessment import (
    MODES_NAME,
    Assessment,
    deviation_of_modes,
    doubts_of,
    expected_force_error,
    force_error,
    mean_bonds,
    modes_of,
)
from md_runs.learning.committee import Calibration, calibrate_files, calibrated, train_committee
from md_runs.learning.first_structures import Reference, choose_first, make_reference
from md_runs.learning.folders import (
    ALL_LABELS_NAME,
    CHECKS,
    CHOSEN,
    COMMITTEE_NAME,
    HELD_OUT_NAME,
    IDENTITY_NAME,
    ROUND_NAME,
    RoundFolder,
    join_files,
    read_frames,
    read_json,
    write_frames,
)
from md_runs.learning.labels import (
    LabelCount,
    counted,
    counted_before,
    labelled_before,
    make_labels,
    training_set,
    without_broken,
)
from md_runs.learning.selection import choose_checks, choose_structures
from md_runs.learning.settings import FEWEST_CHECKS, LearningRun
from md_runs.learning.watched_runs import FreshRuns, run_fresh
from md_runs.run_identity import refuse_another_run, structure_of
from mlpotential.errors import DataError, RunError, StructureError
from mlpotential.run_folder import lock_folder, write_json

MAY_CHANGE = ("budget", "max_rounds")
LEARNED, BUDGET, ROUNDS, NOTHING_NEW = "learned", "budget spent", "rounds spent", "nothing new"


@dataclass(frozen=True)
class Learned:
    """What a learning run came to.

    Attributes:
        rounds: records of all rounds, as `round.json` has them.
        ending: why it ended: learned, budget spent, rounds spent, or nothing new to label.
        models: the committee.
        error_bars: how the model files were calibrated on all held-out labels, in words.
    """

    rounds: list[dict[str, Any]]
    ending: str
    models: list[Path]
    error_bars: str


@dataclass(frozen=True)
class Learning:
    """All that a round needs."""

    settings: LearningRun
    forces: CalculatorForces
    folder: Path
    progress: bool
    say: Callable[[str], None]


def learn(
    atoms: Atoms,
    forces: CalculatorForces,
    settings: LearningRun,
    folder: Path,
    say: Callable[[str], None] = print,
    progress: bool = True,
) -> Learned:
    """Learns, or goes on learning, in a folder.

    Args:
        atoms: a molecule, near the minimum to begin at; its info may tell charge and spin.
        forces: the reference.
        settings: of the run; the budget may grow.
        folder: made where needed.
        say: told each round in a line.
        progress: show bars, if standard error is a terminal.

    Raises:
        StructureError: for a crystal.
        RunError: a folder in use or of another run, or a calculator that gives nothing.
        RunInterrupted: after SIGTERM, SIGINT or SIGHUP; the same call goes on.
    """
    if atoms.pbc.any():
        raise StructureError("learning is of molecules: the structure is periodic")
    with lock_folder(folder):
        _check_identity(folder, atoms, forces, settings)
        learning = Learning(settings, forces, folder, progress, say)
        reference = _first_round(learning, atoms)
        rounds, ending = [RoundFolder(folder, 0).read() or {}], ROUNDS
        for number in range(1, settings.max_rounds + 1):
            round_ = RoundFolder(folder, number)
            record = _finished(round_, settings) or _round(learning, reference, round_)
            rounds.append(record)
            say(in_a_line(record))
            if record["ending"] is not None:
                ending = record["ending"]
                break
        models, error_bars = _leave(learning, RoundFolder(folder, len(rounds) - 1))
        return Learned(rounds, ending, models, error_bars)


def in_a_line(record: dict[str, Any]) -> str:
    """A round."""
    found = record["assessment"]
    measured = found["measured_error"]
    checked = "" if measured is None else f", {measured:.3f} measured"
    doubts = "; ".join(found["doubts"]) or "no doubt is left"
    return (
        f"round {record['round']}: trained on {record['n_trained']}, force error "
        f"{found['expected_error']:.3f} eV/A expected{checked}: {doubts}"
    )


def _first_round(learning: Learning, atoms: Atoms) -> Reference:
    """Structures about the minimum, and their labels."""
    round_ = RoundFolder(learning.folder, 0)
    round_.path.mkdir(exist_ok=True)
    reference = make_reference(atoms, learning.forces, round_, learning.progress)
    choose_first(reference, learning.settings, learning.forces, round_, learning.progress)
    count = _labelled(learning, round_, CHECKS) + _labelled(learning, round_, CHOSEN)
    if round_.read() is None:
        n_other = {"hessian": 6 * len(atoms), "reference_md": learning.settings.md_steps}
        record = {"round": 0, **asdict(count), "other_evaluations": n_other, "ending": None}
        write_json(round_.path / ROUND_NAME, {**record, "seconds": round_.seconds})
        learning.say(f"round 0: {count.n_asked} structures about the minimum labelled")
    return reference


def _labelled(learning: Learning, round_: RoundFolder, kind: str) -> LabelCount:
    return make_labels(round_, kind, learning.forces, learning.progress)


def _finished(round_: RoundFolder, settings: LearningRun) -> dict[str, Any] | None:
    """The record of a finished round; None where there is work, as for a budget that has grown."""
    record = round_.read()
    if record is None:
        return None
    grown = (record["ending"] == BUDGET and record["n_labels"] < settings.budget) or (
        record["ending"] == ROUNDS and round_.number < settings.max_rounds
    )
    if grown:
        for kind in (CHECKS, CHOSEN):  # that were not chosen for want of budget
            if not counted(round_, kind).n_asked:
                round_.frames(kind).unlink(missing_ok=True)
                (round_.path / f"{kind}_count.json").unlink(missing_ok=True)
    return None if grown else record


def _round(learning: Learning, reference: Reference, round_: RoundFolder) -> dict[str, Any]:
    """Train, run, check, decide; and label, where it is to go on."""
    settings, minimum = learning.settings, reference.minimum
    round_.path.mkdir(exist_ok=True)
    n_trained, n_left_out = training_set(round_)
    models = train_committee(round_, n_trained, settings, learning.progress)
    held_out = without_broken(labelled_before(round_, CHECKS))
    if not held_out:
        raise DataError("no structure to check by could be labelled: nothing can be calibrated")
    calibration = calibrated(models, held_out)
    runs = run_fresh(models, minimum, calibration, settings, round_, learning.progress)
    left = settings.budget - counted_before(round_).n_asked
    choose_checks(runs, minimum, settings, round_, min(left, _n_checks(settings)))
    checks = _labelled(learning, round_, CHECKS)
    assessment = _assessed(learning, reference, round_, models, calibration, runs)
    wanted = min(left - checks.n_asked, settings.round_labels - checks.n_asked)
    if left - checks.n_asked - wanted < FEWEST_CHECKS:  # what is left would check nothing
        wanted = left - checks.n_asked - _n_checks(settings)
    ending = None
    if not assessment.doubts:
        ending = LEARNED
    elif wanted < 1:
        ending = BUDGET
    elif round_.number == settings.max_rounds:  # labels that nothing would be trained on
        ending = ROUNDS
    else:
        choose_structures(models, runs, minimum, settings, round_, wanted)
        if not read_frames(round_.frames(CHOSEN)):
            ending = NOTHING_NEW
    chosen = LabelCount(0, {}) if ending else _labelled(learning, round_, CHOSEN)
    record = _record(round_, (n_trained, n_left_out), calibration, runs, assessment)
    count = checks + chosen
    n_labels = counted_before(round_).n_asked + count.n_asked
    record |= {**asdict(count), "n_labels": n_labels, "ending": ending}
    write_json(round_.path / ROUND_NAME, record)
    return round_.read() or record  # as a later call reads it


def _n_checks(settings: LearningRun) -> int:
    return settings.n_checks(settings.round_labels)


def _assessed(
    learning: Learning,
    reference: Reference,
    round_: RoundFolder,
    models: list[Path],
    calibration: Calibration,
    runs: FreshRuns,
) -> Assessment:
    with round_.timed("assessment"):
        minimum = reference.minimum
        expected = expected_force_error(models, runs, minimum, calibration.scale)
        measured = force_error(models, read_frames(round_.labelled(CHECKS)))
        bonds = mean_bonds(runs, minimum)
        last = RoundFolder(learning.folder, round_.number - 1)
        last_file = last.path / MODES_NAME
        modes = modes_of(models, minimum, round_.path / MODES_NAME)
        from_last = deviation_of_modes(
            modes, read_normal_modes(last_file) if last_file.exists() else None
        )
        from_reference = deviation_of_modes(modes, reference.modes)
        doubts = doubts_of(
            learning.settings,
            runs,
            expected,
            measured,
            bonds,
            (last.read() or {}).get("assessment"),
            from_last,
            from_reference,
        )
        return Assessment(expected, measured, bonds, from_reference, from_last, doubts)


def _record(
    round_: RoundFolder,
    counts: tuple[int, int],
    calibration: Calibration,
    runs: FreshRuns,
    assessment: Assessment,
) -> dict[str, Any]:
    """As `round.json` has it."""
    return {
        "round": round_.number,
        "n_trained": counts[0],
        "n_left_out": counts[1],
        "calibration": asdict(calibration),
        "dynamics": {
            "runs": len(runs.frames),
            "stopped": runs.reasons,
            "longest_ps": runs.longest_ps,
            "total_ps": runs.total_ps,
            "n_evaluated": runs.n_evaluated,
            "n_outside": runs.n_outside,
        },
        "assessment": assessment.record,
        "seconds": round_.seconds,
    }


def _leave(learning: Learning, last: RoundFolder) -> tuple[list[Path], str]:
    """The committee of the last round, with error bars, and all labels, at the top of the folder.

    Returns:
        The model files, and their error bars in words.
    """
    committee = learning.folder / COMMITTEE_NAME
    committee.mkdir(exist_ok=True)
    models = []
    for member in range(learning.settings.members):
        target = committee / f"model_{member}.safetensors"
        partial = target.with_name(f"partial_{target.name}")
        shutil.copyfile(last.training / f"seed_{member}" / "model.safetensors", partial)
        models.append(partial.replace(target))
    every = [RoundFolder(learning.folder, k) for k in range(last.number + 1)]
    files = [r.labelled(kind) for r in every for kind in (CHOSEN, CHECKS)]
    join_files(files, learning.folder / ALL_LABELS_NAME)
    held_out = learning.folder / HELD_OUT_NAME
    checks = [atoms for r in every for atoms in read_frames(r.labelled(CHECKS))]
    write_frames(held_out, without_broken(checks))
    calibration = calibrate_files(models, held_out)
    if calibration is None:
        return models, "the committee is not calibrated: there are too few held-out labels"
    return models, str(calibration)


def _check_identity(
    folder: Path, atoms: Atoms, forces: CalculatorForces, settings: LearningRun
) -> None:
    """Writes what is learned into a new folder, or refuses another one."""
    path = folder / IDENTITY_NAME
    structure = {
        name: values.tolist()
        for name, values in structure_of(atoms).items()
        if name not in ("periodic directions", "cell vectors")
    }
    now = {**asdict(settings), **forces.named.identity, **structure}
    there = read_json(path)
    if there is None:
        if (folder / "round_00").exists():
            raise RunError(f"{folder} holds rounds, but no {IDENTITY_NAME}: choose another folder")
        write_json(path, now)
        return
    budget = there["budget"]
    if settings.budget < budget:
        raise RunError(f"the budget of {folder} is {budget}: it can grow, but not shrink")
    fixed = [{k: v for k, v in x.items() if k not in MAY_CHANGE} for x in (there, now)]
    refuse_another_run(folder, fixed[0], fixed[1])
    write_json(path, {**there, "budget": settings.budget, "max_rounds": settings.max_rounds})
