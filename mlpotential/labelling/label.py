"""Labels structures with any calculator: energies, forces, and what else it has.

Every structure is evaluated by itself, in one of several processes. Those that fail are told by
number and reason; the same call tries them again, and nothing that has labels is computed again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from tqdm import tqdm

from mlpotential.errors import ConfigError
from mlpotential.input_files import check_output_file
from mlpotential.interruption import RunInterrupted, stop_on_signals
from mlpotential.labelling.charges import CHARGE, set_charge
from mlpotential.labelling.evaluation import HESSIAN, REQUIRED, Answer, Failure
from mlpotential.labelling.labelled_file import LabelledFile, kept_info, read_frames
from mlpotential.labelling.named_calculator import NamedCalculator
from mlpotential.labelling.workers import DEFAULT_TIMEOUT_S, Abilities, CalculatorWorkers
from mlpotential.messages import aligned, bar_hidden
from mlpotential.run_folder import csv_text, write_atomically

POLL_S = 0.5  # chosen: how often signals are looked at
MOST_SHOWN = 20  # failures in the table; all are in the file
ENDINGS = (".xyz", ".extxyz")
DIFFERENT_FREE_ENERGY = 1e-6  # eV per atom

_log = logging.getLogger("mlpotential")


@dataclass(frozen=True)
class Labelled:
    """What came of it.

    Attributes:
        output: file with the labels.
        n_structures: that were to be labelled.
        n_before: that had labels from an earlier call.
        failures: by number of the frame, from 0.
        failures_file: where they are written.
        seconds: of each structure that was evaluated now, [n] (s).
    """

    output: Path
    n_structures: int
    n_before: int
    failures: dict[int, Failure]
    failures_file: Path
    seconds: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __str__(self) -> str:
        n_done = self.n_structures - len(self.failures)
        lines = [f"{n_done} of {self.n_structures} structures are labelled: {self.output}"]
        if self.n_before:
            lines[0] += f" ({self.n_before} of them before)"
        if len(self.seconds):
            lines.append(f"{self.seconds.mean():.3g} s each on average")
        if self.failures:
            lines += [f"{len(self.failures)} FAILED, all in {self.failures_file}:", *self._table()]
        return "\n".join(lines)

    def _table(self) -> list[str]:
        kinds = Counter(failure.reason for failure in self.failures.values())
        lines = aligned([("failed", "reason"), *((str(n), kind) for kind, n in kinds.items())])
        shown = sorted(self.failures)[:MOST_SHOWN]
        lines += [f"  frame {k}: {self.failures[k]}" for k in shown]
        n_more = len(self.failures) - len(shown)
        return [*lines, f"  and {n_more} more"] if n_more else lines


def label_structures(
    frames: Path,
    calculator: NamedCalculator,
    output: Path,
    *,
    n_processes: int = 1,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    charge: int | None = None,
    multiplicity: int | None = None,
    hessians: bool = False,
    progress: bool = True,
) -> Labelled:
    """Labels the structures of a file, or those that are still without labels.

    Args:
        frames: any file of structures that ASE reads.
        calculator: who labels.
        output: extended XYZ, written when all is done.
        n_processes: structures evaluated at a time.
        timeout_s: longest time for one of them (s).
        charge: of all; None for what each frame says (`charge`), or nothing.
        multiplicity: 2 S + 1 of all; None as well (`spin`, `multiplicity`).
        hessians: write those, too; a calculator without is refused.
        progress: show a bar, if standard error is a terminal.

    Raises:
        ConfigError, DataError, RunError: for what cannot be used, before any work.
        RunInterrupted: after SIGTERM, SIGINT or SIGHUP; the same call goes on.
    """
    if output.suffix.lower() not in ENDINGS:
        raise ConfigError(f"labels are written as extended XYZ: end {output} in .extxyz")
    check_output_file(output)
    structures = read_frames(frames)
    for k, atoms in enumerate(structures):
        set_charge(atoms, charge, multiplicity, f"{frames}, frame {k}")
    with CalculatorWorkers(calculator, n_processes, timeout_s) as workers:
        _check_abilities(workers.abilities, calculator, structures, hessians)
        store = LabelledFile(output, structures, _method(calculator), hessians)
        try:
            return _labelled(workers, store, structures, hessians, progress)
        finally:
            store.close()


def _labelled(
    workers: CalculatorWorkers,
    store: LabelledFile,
    structures: Sequence[Atoms],
    hessians: bool,
    progress: bool,
) -> Labelled:
    n_before, failures, seconds = len(store.done), dict[int, Failure](), []
    todo = [(k, atoms) for k, atoms in enumerate(structures) if k not in store.done]
    optional = ("dipole", "polarizability", "stress")
    required = (*REQUIRED, HESSIAN) if hessians else REQUIRED
    shown_twice = False
    with (
        stop_on_signals() as request,
        tqdm(
            total=len(structures),
            initial=n_before,
            unit="frame",
            disable=bar_hidden(not progress),
            smoothing=0.0,  # the time left follows from all frames: they take turns at lasting long
        ) as bar,
    ):
        for found in workers.outcomes(todo, required, optional, POLL_S):
            if found is not None:
                number, outcome = found
                if isinstance(outcome, Answer):
                    store.append(number, outcome)
                    seconds.append(outcome.seconds)
                    shown_twice = shown_twice or _tell_free_energy(outcome)
                else:
                    failures[number] = outcome
                    bar.set_postfix_str(f"{len(failures)} failed", refresh=False)
                bar.update()
            if request.signal_number:
                _write_failures(store.path, failures)
                raise RunInterrupted(
                    f"interrupted: {len(store.done)} of {len(structures)} structures are labelled "
                    f"in {store.unfinished}, the same command continues",
                    request.signal_number,
                )
    store.finish()
    file = _write_failures(store.path, failures)
    return Labelled(
        store.path, len(structures), n_before, failures, file, np.array(seconds, np.float64)
    )


def _check_abilities(
    abilities: Abilities, calculator: NamedCalculator, structures: Sequence[Atoms], hessians: bool
) -> None:
    """Before any work. Raises ConfigError for a calculator without what is asked for."""
    lacking = [name for name in REQUIRED if abilities.known and name not in abilities.known]
    if lacking:
        raise ConfigError(f"the calculator {calculator.text} has no {' and no '.join(lacking)}")
    if hessians and not (abilities.has_hessian or HESSIAN in abilities.known):
        raise ConfigError(
            f"the calculator {calculator.text} has no Hessians: leave --hessians out (md-runs "
            "modes makes one by differences of forces)"
        )
    if any(atoms.info.get(CHARGE) for atoms in structures) and not abilities.charge_is_argument:
        _log.warning(
            f"{abilities.kind} has no argument `charge`: charges are told to it as initial charges "
            "and in atoms.info, and whether it looks there is not known here"
        )
    left_out = sorted(set().union(*(kept_info(atoms)[1] for atoms in structures)))
    if left_out:
        _log.info(f"left out of the labelled frames: {', '.join(left_out)}")


def _method(calculator: NamedCalculator) -> str:
    identity = dict(calculator.identity)
    text = identity.pop("calculator")
    return "; ".join([text, *(f"{name} {digest[:16]}" for name, digest in identity.items())])


def _tell_free_energy(answer: Answer) -> bool:
    """Of smeared occupations, once: forces are the derivative of another energy."""
    energy, free = answer.values["energy"], answer.values.get("free_energy")
    n_atoms = len(answer.values["forces"])
    if free is None or abs(free - energy) <= DIFFERENT_FREE_ENERGY * n_atoms:
        return False
    _log.warning(
        f"the free energy of the calculator, which its forces are the derivative of, is "
        f"{free - energy:.3g} eV from its energy: train with data.energy_key free_energy"
    )
    return True


def _write_failures(output: Path, failures: dict[int, Failure]) -> Path:
    path = output.with_name(output.name + ".failures.csv")
    if not failures:
        path.unlink(missing_ok=True)
        return path
    rows = [
        {"frame": k, "reason": f.reason, "detail": f.detail, "seconds": f"{f.seconds:.3g}"}
        for k, f in sorted(failures.items())
    ]
    write_atomically(path, csv_text(rows))
    return path
