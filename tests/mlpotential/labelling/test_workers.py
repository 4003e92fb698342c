"""Processes of calculators that hang, die, and give what cannot be used."""

import time

import numpy as np
import pytest
from ase.calculators.emt import EMT
from numpy.testing import assert_array_equal

from mlpotential.errors import ConfigError
from mlpotential.labelling import workers as module
from mlpotential.labelling.evaluation import Answer, CalculatorError
from mlpotential.labelling.named_calculator import NamedCalculator
from mlpotential.labelling.worker_calculator import WorkerCalculator
from mlpotential.labelling.workers import CalculatorWorkers


def test_every_fault_is_an_outcome_and_the_next_structure_is_fine(faulty, rattled):
    """One process, which a hanging and a dying calculator cost, but nothing else."""
    named = NamedCalculator(faulty.name, directory=faulty.parent)
    faults = ["raises", "scf", "infinite", "shape", "hangs", "dies", None]
    with CalculatorWorkers(named, timeout_s=2.0) as workers:
        outcomes = workers.evaluate(rattled(*faults))
    texts = [str(outcome) for outcome in outcomes[:-1]]
    expected = [
        "raised: energy: ValueError: no such element",
        "not converged: energy: RuntimeError: SCF did not converge in 100 cycles",
        "not finite: forces of atom 1",
        "wrong shape: forces: [8, 3] instead of [9, 3]",
        "timed out: no answer within 2 s",
        "died: its process ended (3): out of memory",
    ]
    assert texts == expected
    assert isinstance(outcomes[-1], Answer)


def test_answers_are_those_of_the_calculator_itself_in_order(rattled):
    frames = rattled(*[None] * 5)
    with CalculatorWorkers(NamedCalculator("emt"), n_processes=2) as workers:
        outcomes = workers.evaluate(frames)
    for atoms, outcome in zip(frames, outcomes, strict=True):
        atoms.calc = EMT()
        assert outcome.values["energy"] == atoms.get_potential_energy()
        assert_array_equal(outcome.values["forces"], atoms.get_forces())


def test_two_processes_work_at_the_same_time(faulty, rattled):
    named = NamedCalculator(faulty.name, directory=faulty.parent)
    with CalculatorWorkers(named, n_processes=2) as workers:
        workers.evaluate(rattled(None, None))  # both have started
        begin = time.monotonic()
        workers.evaluate(rattled(*["slow"] * 4))
        assert time.monotonic() - begin < 1.1  # one after the other takes 1.2 s


def test_a_calculator_that_is_not_made_in_time(tmp_path, monkeypatch, rattled):
    (tmp_path / "slow.py").write_text("import time\ndef calculator(): time.sleep(60)\n")
    monkeypatch.setattr(module, "STARTING_S", 1.0)
    named = NamedCalculator("slow.py", directory=tmp_path)
    with CalculatorWorkers(named) as workers, pytest.raises(ConfigError, match="not made within"):
        workers.evaluate(rattled(None))


def test_a_calculator_whose_making_ends_the_process(tmp_path, rattled):
    (tmp_path / "bad.py").write_text("import os\ndef calculator(): os._exit(7)\n")
    named = NamedCalculator("bad.py", directory=tmp_path)
    with CalculatorWorkers(named) as workers, pytest.raises(ConfigError, match=r"ended \(7\)"):
        workers.evaluate(rattled(None))


def test_a_calculator_of_ase_that_cannot_hang(faulty, rattled):
    calculator = WorkerCalculator(NamedCalculator(faulty.name, directory=faulty.parent), 1, 2.0)
    good, bad = rattled(None, "hangs")
    good.calc = bad.calc = calculator
    reference = good.copy()
    reference.calc = EMT()
    assert_array_equal(good.get_forces(), reference.get_forces())
    with pytest.raises(CalculatorError, match=r"timed out.*raise --calculator-timeout-s"):
        bad.get_forces()
    assert np.isfinite(good.get_potential_energy())
    calculator.workers.close()
