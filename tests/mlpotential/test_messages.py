"""What programs say besides their results: lines, each once, without Python's file and code."""

import io
import logging
import sys
import warnings

import pytest
from tqdm import tqdm

from md_runs.model_warnings import warn_of_hard_cutoff
from mlpotential.messages import bar_hidden, told_in_lines
from mlpotential.models.potential import ModelTraits

HARD = ModelTraits(smooth_at_cutoff=False, additive=True, radial_filters=True, periodic=True)


@pytest.fixture
def default_filters():
    """As outside of tests, where warnings are no errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


@pytest.mark.usefixtures("default_filters")
def test_a_warning_of_ours_is_a_line_and_said_once(capsys):
    """Whomever its stack level names."""
    with told_in_lines("md-runs classical"):
        for stacklevel in (1, 2, 3):
            warn_of_hard_cutoff(HARD, stacklevel)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("md-runs classical: warning: the model has a hard cutoff: its forces")


def test_a_warning_of_others_is_left_to_python(capsys):
    with pytest.warns(UserWarning, match="strange") as shown, told_in_lines("md-runs"):
        warnings.warn("strange", UserWarning, stacklevel=1)
    assert shown[0].filename == __file__
    assert not capsys.readouterr().err


@pytest.mark.usefixtures("default_filters")
def test_afterwards_all_is_as_before(capsys):
    log = logging.getLogger("mlpotential")
    before = warnings.showwarning, log.level, list(log.handlers)
    with pytest.raises(KeyError), told_in_lines("md-runs"):
        raise KeyError
    assert (warnings.showwarning, log.level, list(log.handlers)) == before


def test_what_the_log_holds_is_said_as_it_is_or_as_a_warning(capsys):
    log = logging.getLogger("mlpotential")
    with told_in_lines("md-runs relax"):
        for _ in range(2):
            log.info("C20: native kernel")
            log.warning("no kernel,\n  slow")
            log.debug("nothing")
    assert capsys.readouterr().err.splitlines() == [
        "C20: native kernel",
        "md-runs relax: warning: no kernel, slow",
    ]


class OutStream(io.StringIO):
    """As of a Jupyter kernel, which is no terminal."""

    __module__ = "ipykernel.iostream"


@pytest.mark.parametrize(("stream", "drawn"), [(OutStream, True), (io.StringIO, False)])
def test_bars_are_drawn_in_notebooks(stream, drawn, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream())
    list(tqdm(range(3), "steps", disable=bar_hidden()))
    assert ("steps: 100%" in sys.stderr.getvalue()) == drawn
    assert bar_hidden(True)
