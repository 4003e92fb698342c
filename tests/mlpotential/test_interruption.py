"""Signals that ask work to stop, and those that others keep from it."""

import signal

import pytest

from mlpotential.interruption import STOPPING, stop_on_signals


@pytest.fixture
def handlers():
    """Signals as in a terminal, and as they were afterwards."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_is_a_request(handlers, number):
    with stop_on_signals() as request:
        assert request.signal_number == 0
        signal.raise_signal(number)
        assert request.signal_number == number
        assert signal.getsignal(number) is signal.SIG_DFL  # a second one acts as ever
    assert all(signal.getsignal(other) is signal.SIG_DFL for other in STOPPING)


def test_nohup_is_respected(handlers):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_on_signals() as request:
        signal.raise_signal(signal.SIGHUP)
        assert request.signal_number == 0
        signal.raise_signal(signal.SIGTERM)
        assert request.signal_number == signal.SIGTERM
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
