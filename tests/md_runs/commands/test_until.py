"""Runs until error bars are small enough: what is asked for, when they stop, and going on."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import write

from md_runs.analysis.sampling.uncertainty import Estimate, statistical_inefficiency
from md_runs.classical.checkpoint import ClassicalState
from md_runs.cli import main
from md_runs.commands.error_bars.conditions import Conditions
from md_runs.commands.error_bars.quantities import (
    Goal,
    Quantity,
    Reached,
    RunSeries,
    parse_goals,
    quantities_of,
    reached,
)
from md_runs.commands.error_bars.until import OUTCOME_NAME, next_length
from md_runs.pimd.ring_polymer.files import read_properties
from md_runs.reading import read_run
from md_runs.run_folders import CHECKPOINT_NAME
from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph
from mlpotential.models.model_file import save_model
from mlpotential.testing import tiny_schnet

ETHANOL = molecule("CH3CH2OH")


def of_series(series):
    """A quantity that has these values, whatever was run."""
    return Quantity("it", "A", lambda run: np.asarray(series))


def correlated(n, memory, seed=0):
    """Noise of unit width with this correlation time, and its statistical inefficiency."""
    generator, keeps = np.random.default_rng(seed), np.exp(-1.0 / memory)
    noise, series = generator.standard_normal(n) * np.sqrt(1 - keeps**2), np.empty(n)
    series[0] = generator.standard_normal()
    for k in range(1, n):
        series[k] = keeps * series[k - 1] + noise[k]
    return series, (1 + keeps) / (1 - keeps)


def test_quantities_of_a_molecule():
    known = quantities_of(ETHANOL)
    assert {"bond_C-H", "bond_C-C", "bond_C-O", "bond_H-O", "mean_bond", "diameter"} <= known.keys()
    frames = np.stack([ETHANOL.positions, 1.1 * ETHANOL.positions])[:, None]
    run = SimpleNamespace(positions=frames, cells=None, pbc=(False,) * 3)
    lengths = known["bond_C-O"].series(RunSeries(run, {}))
    single = ETHANOL.get_distance(1, 2)
    np.testing.assert_allclose(lengths, [single, 1.1 * single])
    mean = np.mean([ETHANOL.get_distance(i, j) for i, j in bonds_by_hand()])
    np.testing.assert_allclose(known["mean_bond"].series(RunSeries(run, {}))[0], mean)


def bonds_by_hand():
    """C0, C1, O2, H3 on O, H4 and H5 on C1, H6 to H8 on C0."""
    distances = ETHANOL.get_all_distances()
    found = [(i, j) for i in range(9) for j in range(i) if distances[i, j] < 1.6]
    return found[:0] + [(i, j) for i, j in found if not {i, j} <= {3, 4, 5, 6, 7, 8}]


def test_quantities_of_a_crystal():
    known = quantities_of(bulk("C", "diamond", a=3.57, cubic=True) * 2)
    assert {"bond_C-C", "nearest_neighbor"} <= known.keys()
    assert not known.keys() & {"diameter", "radius_of_gyration"}


def test_what_is_asked_for():
    known = quantities_of(ETHANOL)
    goals = parse_goals(["mean_bond<5e-4", " potential < 0.002 eV "], known)
    assert [(goal.quantity.name, goal.limit) for goal in goals] == [
        ("mean_bond", 5e-4),
        ("potential", 0.002),
    ]
    with pytest.raises(ConfigError, match=r"Did you mean 'mean_bond'\? There are: potential, "):
        parse_goals(["mean_bnod < 1"], known)
    for wrong in ("mean_bond", "mean_bond > 1", "mean_bond < 1e", "mean_bond < 0"):
        with pytest.raises(ConfigError, match="mean_bond"):
            parse_goals([wrong], known)
    with pytest.raises(ConfigError, match="is in A, not in eV"):
        parse_goals(["mean_bond < 1 eV"], known)
    with pytest.raises(ConfigError, match="two limits"):
        parse_goals(["mean_bond < 1", "mean_bond < 2"], known)


def test_options_belong_together():
    for options in ({"until": ["mean_bond < 1"]}, {"at_most": 1e3}):
        with pytest.raises(ConfigError, match="belong together"):
            Conditions(**options)
    with pytest.raises(ConfigError, match="whole number"):
        Conditions(until=["mean_bond < 1"], at_most=10.5)


def test_error_bars_of_correlated_series():
    """As the theory says, sd sqrt(g / n), or somewhat more: the largest of several is taken."""
    n, memory = 20_000, 10.0
    errors = []
    for seed in range(8):
        series, g = correlated(n, memory, seed)
        errors.append(reached(Goal(of_series(series), 1.0), None).mean.standard_error)
    exact = np.sqrt(g / n)
    assert exact < np.mean(errors) < 1.5 * exact
    assert min(errors) > 0.8 * exact


def test_swings_do_not_hide_a_slow_relaxation():
    """As of potential energies, which a thermostat lets go slowly and bonds swing fast."""
    slow, g = correlated(20_000, 50.0)
    series = slow + 2.0 * np.cos(2.0 * np.arange(20_000))
    assert statistical_inefficiency(series) < 0.2 * g  # which alone would say 2 and less
    error = reached(Goal(of_series(series), 1.0), None).mean.standard_error
    assert error > 0.8 * np.sqrt(g / 20_000)


def test_a_run_hardly_longer_than_its_memory_is_no_run():
    series, _ = correlated(200, 100.0)
    found = reached(Goal(of_series(series), 100.0), None)
    assert found.n_independent < 100
    assert not found.holds
    assert found.missing > 1
    few = reached(Goal(of_series(np.arange(5.0)), 1.0), None)
    assert not few.holds
    assert np.isinf(few.missing)


def test_next_look():
    """As much longer as is missing, between a quarter and once more; whole blocks."""

    def with_error(error):
        return Reached(Goal(of_series([]), 1.0), Estimate(0.0, error, 10), 1e3)

    assert next_length([with_error(10.0)], 1000, 100) == 2000
    assert next_length([with_error(1.01), with_error(0.5)], 1000, 100) == 1300
    assert next_length([with_error(1.225)], 1000, 100) == 1600
    assert next_length([with_error(1.01)], 100, 100) == 200


@pytest.fixture
def water(tmp_path):
    save_model(tmp_path / "model.safetensors", tiny_schnet(), AtomGraph.from_atoms(molecule("H2O")))
    write(tmp_path / "water.xyz", molecule("H2O"))
    return tmp_path


def call(capsys, folder, command, *arguments, code=0):
    given = [command, folder / "water.xyz", "--model", folder / "model.safetensors", *arguments]
    assert main([str(word) for word in given]) == code
    output = capsys.readouterr()
    return output.err if code == 2 else output.out


CLASSICAL = (
    "classical", "--folder", "{}", "--temperature-K", 300, "--friction-per-fs", 0.2,
    "--timestep-fs", 0.5, "--stride", 5, "--n-steps", 500, "--guard", "off",
)  # fmt: skip


def classical(folder, name="run"):
    command, *options = CLASSICAL
    return command, *(folder / name if option == "{}" else option for option in options)


def test_classical_run_stops_by_itself(water, capsys):
    until = ["--until", "temperature < 60", "kinetic < 0.006", "--at-most", "2e4"]
    text = call(capsys, water, *classical(water), *until)
    assert "all 2 error bars are small enough after" in text
    outcome = json.loads((water / "run" / OUTCOME_NAME).read_text())
    assert outcome["n_steps"] % 500 == 0
    assert 500 < outcome["n_steps"] < 20_000
    assert f"the last to be was that of {outcome['last_reached']}" in text
    for row in outcome["error_bars"]:
        assert row["reached"]
        assert 0 < row["standard_error"] < row["limit"]
    n_frames = read_run(water / "run").n_frames
    assert n_frames == outcome["n_steps"] // 5 + 1
    again = call(capsys, water, *classical(water), *until)
    looks = [line for line in text.splitlines() if line.startswith("after")]
    assert len(looks) > 1
    assert again.splitlines()[0] == looks[-1]
    assert read_run(water / "run").n_frames == n_frames


def test_a_stopped_run_goes_on(water, capsys):
    """To the same frames, bit for bit, as the one that was not stopped."""
    until = ["--until", "temperature < 1e-3", "--at-most", 1500]
    text = call(capsys, water, *classical(water, "whole"), *until, code=1)
    assert "not reached within 1500 steps: that of temperature needs" in text
    first = ["--until", "temperature < 1e-3", "--at-most", 700]
    call(capsys, water, *classical(water, "parts"), *first, code=1)
    call(capsys, water, *classical(water, "parts"), *until, code=1)
    states = [ClassicalState.read(water / n / CHECKPOINT_NAME) for n in ("whole", "parts")]
    assert states[0].step == states[1].step == 1500
    np.testing.assert_array_equal(states[0].positions, states[1].positions)


def test_path_integrals(water, capsys):
    options = [
        "pimd", "--folder", water / "run", "--engine", "native", "--n-beads", 3, "--timestep-fs",
        0.25, "--stride", 2, "--properties-stride", 4, "--n-steps", 200, "--thermostat-time-fs", 20,
        "--guard", "off",
    ]  # fmt: skip
    until = ["--until", "temperature < 20", "--at-most", 16_000]
    text = call(capsys, water, *options, *until)
    assert "the error bar is small enough" in text
    outcome = json.loads((water / "run" / OUTCOME_NAME).read_text())
    assert outcome["last_reached"] == "temperature"
    assert outcome["n_steps"] < 16_000
    known = quantities_of(molecule("H2O"))
    recorded = {"kinetic": read_properties(water / "run").kinetic_cv}
    kinetic = known["kinetic"].series(RunSeries(None, recorded))
    assert len(kinetic) == outcome["n_steps"] // 4 + 1


def test_wrong_uses_are_told_before_the_work(water, capsys):
    text = call(
        capsys, water, *classical(water), "--until", "temprature < 1", "--at-most", 1000, code=2
    )
    assert "Did you mean 'temperature'?" in text
    assert not (water / "run" / CHECKPOINT_NAME).exists()
    segments = ["pimd", "--folder", water / "s", "--dynamics", "trpmd", "--n-steps", 4000]
    text = call(capsys, water, *segments, "--until", "kinetic < 1", "--at-most", 8000, code=2)
    assert "--until is for pimd" in text


def test_limits_are_of_the_quantity(water):
    """A mean that is reached says so; one that is not tells how much is missing."""
    goal = Goal(of_series(np.random.default_rng(0).standard_normal(1000)), 0.1)
    good = reached(goal, None)
    assert good.holds
    assert good.missing == 1.0
    bad = reached(replace(goal, limit=0.01), None)
    assert not bad.holds
    assert bad.missing == pytest.approx((bad.mean.standard_error / 0.01) ** 2)
