"""`mlpotential calibrate` on a committee of random models, whose truth is one more of them."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from calculators.ase_calculator import MLPotentialCalculator
from mlpotential.cli import main
from mlpotential.graph import AtomGraph
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.model_file import ModelRecord, load_model, replace_record, save_model
from mlpotential.testing import tiny_schnet

UNITS = ["--energy-unit", "eV", "--length-unit", "Angstrom"]
N_MEMBERS, N_LABELS = 4, 60


def structures(n, seed):
    frames = [molecule("CH3OH") for _ in range(n)]
    for k, atoms in enumerate(frames):
        atoms.rattle(0.08, seed=1000 * seed + k)
    return frames


def labelled(frames):
    """By a model that is no member, but drawn as they are."""
    truth = MLPotentialCalculator(tiny_schnet(99))
    for atoms in frames:
        truth.calculate(atoms)
        known = {name: truth.results[name] for name in ("energy", "forces")}
        atoms.calc = SinglePointCalculator(atoms, **known)
    return frames


@pytest.fixture
def committee(tmp_path):
    paths = [tmp_path / f"member_{k}.safetensors" for k in range(N_MEMBERS)]
    for k, path in enumerate(paths):
        golden = AtomGraph.from_atoms(molecule("CH3OH"))
        save_model(path, tiny_schnet(k), golden, ModelRecord(title="a member"))
    return paths


@pytest.fixture
def held_out(tmp_path):
    path = tmp_path / "held_out.extxyz"
    write(path, labelled(structures(N_LABELS, seed=1)))
    return path


def call(capsys, *arguments, code=0):
    assert main([str(a) for a in arguments]) == code
    output = capsys.readouterr()
    return output.out if code == 0 else output.err


def test_spreads_become_error_bars(committee, held_out, capsys):
    """Of forces that were not seen, 68 % are within one; of no other company of models."""
    new = labelled(structures(100, seed=2))
    before = MLPotentialCalculator(committee)
    before.calculate(new[0])
    pattern = str(committee[0]).replace("_0", "_*")
    text = call(capsys, "calibrate", pattern, held_out, *UNITS)
    assert "calibrated on 60 structures" in text
    assert text.splitlines()[1] in call(capsys, "info", committee[2])
    calc = MLPotentialCalculator(committee)
    within, bounded = [], []
    for atoms in new:
        calc.calculate(atoms)
        errors, std = calc.results["forces"] - atoms.get_forces(), calc.results["forces_std"]
        within.append(np.abs(errors) < std)
        bounded.append((np.linalg.norm(errors, axis=1) <= calc.calibration.bound.of(std)).all())
    assert 0.60 < np.mean(within) < 0.76
    assert np.mean(bounded) > 0.85  # 95 %, as far as 60 structures tell: Beta(58, 3) > 0.88
    calc.calculate(new[0])
    for name, scale in calc.calibration.scales.items():
        assert calc.results[name] == pytest.approx(scale * before.results[name], rel=1e-9)
    energies = calc.results["member_energies"]
    assert energies.mean() == pytest.approx(calc.results["energy"], rel=1e-12)
    assert energies.std(ddof=1) == pytest.approx(before.results["energy_std"], rel=1e-9)
    assert Evaluator(committee[:3], new[0].numbers).calibration is None


def test_calibrating_again_gives_the_same(committee, held_out, capsys):
    """The spread of the members is fitted, not the one that was scaled before."""
    call(capsys, "calibrate", *committee, held_out, *UNITS)
    first = load_model(committee[0])
    call(capsys, "calibrate", *committee, held_out, *UNITS)
    assert load_model(committee[0]).sha256 == first.sha256


def test_wrong_uses_are_told(committee, held_out, tmp_path, capsys):
    assert "no spread to calibrate" in call(
        capsys, "calibrate", committee[0], held_out, *UNITS, code=2
    )
    assert "given twice" in call(
        capsys, "calibrate", committee[0], *committee, held_out, *UNITS, code=2
    )
    few = tmp_path / "few.extxyz"
    write(few, labelled(structures(5, seed=3)))
    assert "5 structures" in call(capsys, "calibrate", *committee, few, *UNITS, code=2)
    assert not load_model(committee[0]).record.calibration


def test_training_data_is_recognized(committee, held_out, tmp_path, capsys):
    """By its hash, and by its shortest distances, where only some of it is there."""
    from mlpotential.data.read import read_reference_data
    from mlpotential.training.seen_in_training import named_shortest_distances

    data = read_reference_data(held_out, energy_unit="eV", length_unit="Angstrom")
    record = load_model(committee[1]).record
    origin = {"source": "there", "n_structures": len(data), "sha256": data.sha256}
    replace_record(committee[1], replace(record, training={"data": {"train": origin}}))
    text = call(capsys, "calibrate", *committee, held_out, *UNITS, code=2)
    assert "is the train data of" in text
    assert "member_1" in text
    shortest = named_shortest_distances(data)
    replace_record(committee[1], replace(record, shortest_distances=shortest))
    text = call(capsys, "calibrate", *committee, held_out, *UNITS, code=2)
    assert "holds structures that" in text
    replace_record(
        committee[1],
        replace(record, shortest_distances={k: 0.999 * v for k, v in shortest.items()}),
    )
    call(capsys, "calibrate", *committee, held_out, *UNITS)
