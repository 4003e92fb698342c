"""That the emulator notices a missing barrier; `python mutants.py` tries all of them."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from emulated import needs_compiler
from mutants import PLANS, answers, mutants, outcome

pytestmark = needs_compiler
OF_SYSTEMS = [number for number, mutant in enumerate(mutants()) if mutant.is_of_systems]
OTHERS = [number for number in range(len(mutants())) if number not in OF_SYSTEMS]
DRAWN = random.Random(1).sample(OTHERS, 3) + random.Random(1).sample(OF_SYSTEMS, 1)


@pytest.mark.slow
@pytest.mark.parametrize("number", DRAWN)
def test_a_missing_barrier_is_noticed(number):
    noticed, how = outcome(number)
    assert noticed, f"{mutants()[number].place}: {how}"


@pytest.mark.slow
@pytest.mark.parametrize("plan", [*PLANS, None])
def test_the_whole_kernel_is_not_suspected(plan):
    assert len({answers(plan, order) for order in (0, 1, 2, 100, 101, 102)}) == 1


DIVERGED = """
import sys
sys.path[:0] = [{folder!r}]
from mutants import KERNEL, SOURCES, WHOLE, answers
text = (SOURCES / KERNEL).read_text()
assert {barrier!r} in text
answers(WHOLE, 0, {{KERNEL: text.replace({barrier!r}, {instead!r})}})
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("instead", "message"),
    [
        ("if (rank) sync_cluster(); //", "threads stop at the barriers of lines"),
        ("if (rank) return; //", "a barrier that not all threads reach"),
    ],
)
def test_threads_that_part_are_named(instead, message):
    barrier = "sync_cluster();  // all blocks are there, too"
    folder = str(Path(__file__).parent)
    program = DIVERGED.format(folder=folder, barrier=barrier, instead=instead)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode != 0
    assert message in done.stderr
