"""Makes the random models beside the tests importable, and runs the CUDA backend on a CPU."""

import logging
import sys
from pathlib import Path

import pytest

from mlpotential.inference import prepared_model

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "cuda")]


@pytest.fixture(autouse=True)
def cuda_on_a_cpu(request, monkeypatch):
    """In tests with a parameter `cuda` that name is on the CPU, too: its threads are emulated."""
    call = getattr(request.node, "callspec", None)
    if call is not None and "cuda" in map(str, call.params.values()):
        import emulated

        emulated.install(monkeypatch)


@pytest.fixture
def sayings(caplog):
    """What is said while evaluators are made and used, as in a fresh process."""
    prepared_model.say_once.cache_clear()
    caplog.set_level(logging.WARNING, "mlpotential")
    yield caplog
    prepared_model.say_once.cache_clear()
