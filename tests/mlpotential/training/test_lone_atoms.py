"""Structures with atoms alone within the cutoff: told, left out on request."""

from __future__ import annotations

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from mlpotential.data.declared_units import SuspiciousDataWarning
from mlpotential.errors import DataError
from mlpotential.training.config_file import read_config
from mlpotential.training.run import read_data_sets

CUTOFF = ("--model.cutoff", "2.5", "--model.cutoff_function", "cosine")


@pytest.fixture
def with_a_lone_atom(water_file, tmp_path):
    """The frames of `water_file` with a hydrogen gone in the third."""
    frames = read(water_file, ":")
    labels = dict(frames[2].calc.results)
    frames[2].positions[2] += [0.0, 0.0, 6.0]
    frames[2].calc = SinglePointCalculator(frames[2], **labels)
    path = tmp_path / "lone.extxyz"
    write(path, frames)
    return ("--data.path", str(path), "--training.targets", "energy", *CUTOFF)


def test_told(config_file, with_a_lone_atom):
    message = "1 of 48 structures, the first frame 2, .* cutoff of 2.5 A.*data.drop_isolated: true"
    with pytest.warns(SuspiciousDataWarning, match=message):
        data = read_data_sets(read_config(config_file, with_a_lone_atom))
    assert len(data.train) + len(data.validation) + len(data.test) == 48


def test_left_out(config_file, with_a_lone_atom, caplog):
    words = [*with_a_lone_atom, "--data.drop_isolated", "true"]
    with caplog.at_level("INFO", "mlpotential"):
        data = read_data_sets(read_config(config_file, words))
    assert len(data.train) + len(data.validation) + len(data.test) == 47
    assert 2 not in np.concatenate(list(data.split.values()))
    assert "1 of 48 structures" in caplog.text


def test_a_cutoff_that_nobody_reaches(config_file):
    words = ["--model.cutoff", "0.3", "--model.cutoff_function", "cosine"]
    with pytest.raises(DataError, match="48 of 48 structures.* is model.cutoff long enough"):
        read_data_sets(read_config(config_file, words))
