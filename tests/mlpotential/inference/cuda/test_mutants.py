"""That the emulator notices a missing barrier; `python mutants.py` tries all of them."""

import random

import pytest
from emulated import needs_compiler
from mutants import PLANS, answers, mutants, outcome

pytestmark = needs_compiler
DRAWN = random.Random(1).sample(range(len(mutants())), 3)


@pytest.mark.slow
@pytest.mark.parametrize("number", DRAWN)
def test_a_missing_barrier_is_noticed(number):
    noticed, how = outcome(number)
    assert noticed, f"line {mutants()[number].line}: {how}"


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS)
def test_the_whole_kernel_is_not_suspected(plan):
    assert len({answers(plan, order) for order in (0, 1, 2, 100, 101, 102)}) == 1
