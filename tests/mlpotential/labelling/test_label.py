"""`mlpotential label`, its file, and what a kill leaves of it."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.io import read, write
from numpy.testing import assert_allclose

from mlpotential.cli import main
from mlpotential.data.read import read_reference_data
from mlpotential.errors import ConfigError, DataError
from mlpotential.labelling.charges import ChargedCalculator, set_charge
from mlpotential.labelling.label import label_structures
from mlpotential.labelling.labelled_file import kept_info
from mlpotential.labelling.named_calculator import NamedCalculator

EMT_NAMED = NamedCalculator("emt")


def test_labels_are_read_back_in_the_order_of_the_frames_without_declared_units(
    tmp_path, frames_file
):
    frames, output = frames_file(*[None] * 6), tmp_path / "labelled.extxyz"
    result = label_structures(frames, EMT_NAMED, output, n_processes=2)
    assert "6 of 6 structures are labelled" in str(result)
    data = read_reference_data(output)
    for atoms, graph in zip(read(frames, ":"), data, strict=True):
        atoms.calc = EMT()
        assert float(graph.energy) == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
        assert_allclose(graph.forces.numpy(), atoms.get_forces(), atol=1e-7)
        assert_allclose(graph.positions.numpy(), atoms.positions, atol=1e-7)
    info = read(output).info
    assert info["method"] == "emt"
    assert info["labelled_by"].startswith("mlpotential")
    assert not list(tmp_path.glob("*.unfinished")), "nothing is left beside it"


def test_a_crystal_has_stress_and_a_molecule_beside_it_has_none(tmp_path):
    metal = bulk("Cu", cubic=True)
    metal.rattle(0.05, seed=0)
    write(tmp_path / "frames.extxyz", [metal, molecule("OH")], format="extxyz")
    output = tmp_path / "out.extxyz"
    label_structures(tmp_path / "frames.extxyz", EMT_NAMED, output)
    crystal, radical = read(output, ":")
    metal.calc = EMT()
    assert_allclose(crystal.get_stress(), metal.get_stress(), rtol=1e-6, atol=1e-8)
    assert "stress" not in radical.calc.results
    output.write_text(output.read_text().partition("2\nProp")[0])  # the crystal alone
    data = read_reference_data(output, properties=("energy", "forces", "stress"))
    expected = metal.get_stress(voigt=False)
    assert_allclose(data[0].stress[0].numpy(), expected, rtol=1e-6, atol=1e-8)


def test_a_unit_that_contradicts_is_still_refused(tmp_path, frames_file):
    output = tmp_path / "labelled.extxyz"
    label_structures(frames_file(None), EMT_NAMED, output)
    with pytest.raises(DataError, match="Hartree"):
        read_reference_data(output, energy_unit="Hartree", length_unit="Angstrom")


def test_files_of_others_need_declared_units_as_before(tmp_path):
    atoms = molecule("H2O")
    atoms.calc = EMT()
    atoms.get_forces()
    atoms.info |= {"energy_unit": "eV", "length_unit": "Angstrom"}
    write(tmp_path / "other.extxyz", atoms, format="extxyz")
    with pytest.raises(DataError, match="declare its units"):
        read_reference_data(tmp_path / "other.extxyz")


def test_failures_are_told_and_tried_again(tmp_path, frames_file, faulty, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames_file(None, "infinite", "hangs", None)
    words = ["label", "frames.extxyz", "--calculator", "faulty.py", "--output", "out.extxyz"]
    words += ["--calculator-timeout-s", "1.5", "--calculator-arguments", "{log: log.txt}"]
    assert main(words) == 1
    shown = capsys.readouterr().out
    assert "2 of 4 structures are labelled" in shown
    assert "frame 1: not finite: forces of atom 1" in shown
    assert "frame 2: timed out: no answer within 1.5 s" in shown
    lines = (tmp_path / "out.extxyz.failures.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["frame", "1", "2"]
    assert [atoms.info["frame"] for atoms in read("out.extxyz", ":")] == [0, 3]
    (tmp_path / "log.txt").unlink()
    assert main(words) == 1
    assert sorted((tmp_path / "log.txt").read_text().split()) == ["hangs", "infinite"]


def test_nothing_is_computed_again_after_kill_9(tmp_path, frames_file, faulty):
    """A real process, killed while it works; frames before it count, the cut one does not."""
    frames_file(*["slow"] * 8)
    words = ["label", "frames.extxyz", "--calculator", "faulty.py", "--output", "out.extxyz"]
    words += ["--calculator-arguments", "{log: log.txt}"]
    command = [sys.executable, "-m", "mlpotential", *words]
    unfinished, log = tmp_path / "out.extxyz.unfinished", tmp_path / "log.txt"
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        while not unfinished.exists() or unfinished.read_text().count("method=") < 2:
            assert process.poll() is None
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    n_done = unfinished.read_text().count("method=")
    with unfinished.open("a") as file:
        file.write("9\nProperties=species:S:1:pos:R:3 frame=")  # as a kill would cut it
    log.unlink()
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert len(log.read_text().split()) == 8 - n_done
    assert [atoms.info["frame"] for atoms in read(tmp_path / "out.extxyz", ":")] == list(range(8))


@pytest.mark.slow
def test_other_structures_or_another_method_do_not_go_on(tmp_path, frames_file, faulty):
    output = tmp_path / "out.extxyz"
    label_structures(frames_file(None, None), EMT_NAMED, output)
    named = NamedCalculator("emt", {"asap_cutoff": True})
    with pytest.raises(ConfigError, match="its method is emt, not emt {"):
        label_structures(tmp_path / "frames.extxyz", named, output)
    moved = read(tmp_path / "frames.extxyz", ":")
    moved[1].positions[0, 0] += 1e-3
    write(tmp_path / "frames.extxyz", moved, format="extxyz")
    with pytest.raises(ConfigError, match="its frame 1 is another structure"):
        label_structures(tmp_path / "frames.extxyz", EMT_NAMED, output)
    write(output, moved, format="extxyz")
    with pytest.raises(ConfigError, match="made by something else"):
        label_structures(tmp_path / "frames.extxyz", EMT_NAMED, output)


@pytest.mark.slow
def test_more_structures_are_labelled_in_the_same_file(tmp_path, frames_file, faulty):
    output, named = tmp_path / "out.extxyz", NamedCalculator("faulty.py", {"log": "log"}, tmp_path)
    label_structures(frames_file(None, None), named, output)
    result = label_structures(frames_file(None, None, None), named, output)
    assert result.n_before == 2
    assert len((tmp_path / "log").read_text().split()) == 3
    assert len(read(output, ":")) == 3


def test_hessians_go_where_training_looks_for_them(tmp_path, frames_file, faulty):
    """By their place in the output, in which a structure that failed has none."""
    (tmp_path / "exact.py").write_text(
        "import numpy as np\nfrom faulty import Faulty\n"
        "class Exact(Faulty):\n"
        "    def get_hessian(self, atoms): return np.eye(3 * len(atoms)) * atoms.positions[0, 0]\n"
        "def calculator(): return Exact()\n"
    )
    named, output = NamedCalculator("exact.py", directory=tmp_path), tmp_path / "out.extxyz"
    frames = read(frames_file(None, "raises", None), ":")
    for n_before in (0, 2):
        result = label_structures(tmp_path / "frames.extxyz", named, output, hessians=True)
        assert (result.n_before, len(result.failures)) == (n_before, 1)
        with np.load(tmp_path / "out_hessians.npz") as archive:
            assert set(archive) == {"hessian_0", "hessian_1"}
            last = archive["hessian_1"]
        assert_allclose(last, np.eye(27) * frames[2].positions[0, 0], rtol=1e-12)
    with pytest.raises(ConfigError, match="no Hessians"):
        label_structures(tmp_path / "frames.extxyz", EMT_NAMED, tmp_path / "o.xyz", hessians=True)


def test_charges_and_multiplicities(tmp_path):
    atoms = molecule("OH")
    set_charge(atoms, None, 2, "here")
    assert atoms.get_initial_magnetic_moments().sum() == 1
    set_charge(atoms, -1, 1, "here")
    assert atoms.get_initial_charges().sum() == pytest.approx(-1)
    assert atoms.info == {"charge": -1, "spin": 1}
    with pytest.raises(DataError, match="9 electrons cannot have the multiplicity 1"):
        set_charge(molecule("OH"), 0, 1, "here")
    other = molecule("OH")
    other.info["total_charge"] = 0.5
    with pytest.raises(DataError, match="whole number"):
        set_charge(other, None, None, "here")


def test_a_calculator_with_an_argument_is_told_the_charge():
    class Fake:
        parameters = {"charge": None, "mult": 1}  # noqa: RUF012

        def __init__(self):
            self.told = []

        def set(self, **arguments):
            self.told.append(arguments)

    fake = Fake()
    charged = ChargedCalculator(fake)
    ion, neutral = molecule("OH"), molecule("OH")
    set_charge(ion, 1, 3, "here")
    for atoms in (ion, ion, neutral):
        charged.prepare(atoms)
    assert fake.told == [{"charge": 1, "mult": 3}, {"charge": None, "mult": 1}]


def test_old_labels_are_left_out_and_weights_kept():
    atoms = molecule("OH")
    atoms.info = {"REF_energy": 1.0, "energy_weight": 2.0, "config_type": "a", "table": [1, 2]}
    assert kept_info(atoms) == (
        {"energy_weight": 2.0, "config_type": "a"},
        {"REF_energy", "table"},
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--output", "out.npz"], "end out.npz in .extxyz"),
        (["--output", "absent/out.xyz"], "No such folder"),
        (["--output", "out.xyz", "--processes", "0"], "number of processes"),
        (["--output", "out.xyz", "--calculator-timeout-s", "-1"], "calculator_timeout_s"),
    ],
)
def test_mistakes_are_told_in_a_line(tmp_path, frames_file, capsys, monkeypatch, words, told):
    frames_file(None)
    monkeypatch.chdir(tmp_path)
    assert main(["label", "frames.extxyz", "--calculator", "emt", *words]) == 2
    shown = capsys.readouterr().err
    assert told in shown
    assert shown.count("\n") == 1
