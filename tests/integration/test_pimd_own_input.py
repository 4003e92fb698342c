"""Runs by an input of i-PI of one's own: what is kept, what is refused, and restarts."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from numpy.testing import assert_allclose, assert_array_equal

from md_runs.cli import main
from md_runs.force_provider import CalculatorForces
from md_runs.pimd import PimdRun, run_pimd, run_ring_polymer_segments
from mlpotential.errors import ConfigError, RunError

pytestmark = pytest.mark.filterwarnings("ignore:outputs of")
METAL = CalculatorForces("ase.calculators.emt:EMT")
SETTINGS = PimdRun(
    n_steps=40,
    n_beads=2,
    timestep_fs=2.0,
    stride=4,
    properties_stride=4,
    checkpoint_stride=8,
    seed=7,
)
# A coloured-noise thermostat with one additional momentum; 2.4e-4 atomic units are 0.01 / fs.
OWN = """<simulation verbosity='medium'>
  <output prefix='mine'><trajectory filename='x' stride='1'> x_centroid </trajectory></output>
  <total_steps> 40 </total_steps>
  <prng><seed> 7 </seed></prng>
  <ffsocket name='lj' mode='unix'><address> somewhere </address></ffsocket>
  <system>
    <initialize nbeads='2'>
      <file mode='xyz'> not_there.xyz </file>
      <velocities mode='thermal' units='kelvin'> 150 </velocities>
    </initialize>
    <forces><force forcefield='lj'/></forces>
    <motion mode='dynamics'>
      <dynamics mode='nvt'>
        <timestep units='femtosecond'> 2.0 </timestep>
        <thermostat mode='gle'>
          <A shape='(2,2)' > [2.4e-4, 1.2e-4, -1.2e-4, 4.8e-4] </A>
        </thermostat>
      </dynamics>
    </motion>
    <ensemble><temperature units='kelvin'> 300 </temperature></ensemble>
  </system>
</simulation>
"""


def crystal():
    return bulk("Al", a=4.0, cubic=True)


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.xml"
    path.write_text(OWN)
    return path


def test_the_motion_is_that_of_the_file_and_goes_on_after_a_stop(own, tmp_path):
    def run(name, n_steps=40, path=own):
        settings = replace(SETTINGS, n_steps=n_steps)
        return run_pimd(crystal(), METAL, settings, tmp_path / name, False, input_xml=path)

    with pytest.warns(UserWarning, match=r"outputs of .*own.xml are not written \(trajectory x\)"):
        whole = run("whole")
    root = ET.parse(tmp_path / "whole" / "input.xml").getroot()
    assert root.find("system/motion/dynamics/thermostat").get("mode") == "gle"
    assert root.find("ffsocket") is None
    assert root.find("output").get("prefix") == "simulation"
    assert float(root.findtext("system/initialize/velocities")) == 150
    assert (tmp_path / "whole" / "own_input.xml").exists()
    assert whole.trajectory.positions.shape == (11, 2, 4, 3)
    assert np.ptp(whole.properties.conserved) < 0.02
    ours = run_pimd(crystal(), METAL, SETTINGS, tmp_path / "ours", False)
    assert ours.properties.temperature_K[0] > 1.2 * whole.properties.temperature_K[0]
    short = tmp_path / "short.xml"
    short.write_text(OWN.replace("<total_steps> 40 </total_steps>", ""))
    run("parts", 20, short)
    parts = run("parts")
    assert_array_equal(parts.properties.steps, whole.properties.steps)
    assert_allclose(parts.trajectory.positions, whole.trajectory.positions, rtol=0, atol=1e-6)
    assert_allclose(parts.properties.conserved, whole.properties.conserved, rtol=1e-9)
    other = tmp_path / "other.xml"
    other.write_text(OWN.replace("4.8e-4]", "5e-4]"))
    with pytest.raises(RunError, match=r"input of i-PI \(sha256\) was"):
        run("whole", path=other)
    with pytest.raises(RunError, match=r"input of i-PI \(sha256\) was"):
        run("whole", path=None)
    segments = {"dynamics": "rpmd", "segment_ps": 0.016, "start_spacing_ps": 0.04}
    segments = replace(SETTINGS, n_steps=8, stride=2, **segments)
    found = run_ring_polymer_segments(
        crystal(), METAL, segments, tmp_path / "segments", tmp_path / "whole", False
    )
    assert len(found.trajectories) == 1


def test_a_barostat_that_changes_the_shape(own, tmp_path):
    barostat = """<barostat mode='flexible'>
          <tau units='femtosecond'> 100 </tau>
          <thermostat mode='langevin'><tau units='femtosecond'> 100 </tau></thermostat>
        </barostat></dynamics>"""
    text = OWN.replace("mode='nvt'", "mode='npt'").replace("</dynamics>", barostat)
    pressure = "<ensemble><pressure units='gigapascal'> 2 </pressure>"
    own.write_text(text.replace("<ensemble>", pressure))
    settings = replace(SETTINGS, pressure_GPa=2.0)
    found = run_pimd(crystal(), METAL, settings, tmp_path / "run", False, input_xml=own)
    cells = found.trajectory.cells
    assert_allclose(np.linalg.det(cells), found.properties.volume, rtol=1e-7)
    assert np.ptp(cells[-1].diagonal()) > 1e-4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("nbeads='2'", "nbeads='4'", "n_beads is 4 there and 2 here"),
        ("> 300 <", "> 250 <", "temperature_K is 250 there and 300 here"),
        ("femtosecond'> 2.0 <", "femtosecond'> 0.5 <", "timestep_fs is 0.5 there and 2 here"),
        (" units='femtosecond'> 2.0 <", "> 2.0 <", "timestep_fs is 0.048"),
        ("> 300 <", "> warm <", "value that i-PI cannot read: .*warm"),
        ("units='femtosecond'> 2.0", "units='fortnight'> 2.0", "cannot read: .*fortnight"),
        ("<seed> 7 <", "<seed> 8 <", "seed is 8 there and 7 here"),
        ("> 40 <", "> 50 <", "n_steps is 50 there and 40 here"),
        ("mode='nvt'", "mode='npt'", "dynamics npt, not dynamics nvt"),
        ("mode='dynamics'", "mode='vibrations'", "motion is vibrations"),
        (
            "<motion mode='dynamics'>",
            "<motion mode='dynamics'><fixcom> 0 </fixcom>",
            "fixcom is",
        ),
        (
            "<ensemble>",
            "<ensemble><pressure units='gigapascal'> 1 </pressure>",
            "GPa is 1",
        ),
        ("<ensemble>", "<ensemble><bias><force forcefield='b'/></bias>", "it has <bias>"),
        ("<forces>", "<forces><force forcefield='b'/>", "it has several forces"),
        ("<system>", "<step> 3 </step><system>", "it is a checkpoint"),
        ("<system>", "<smotion mode='remd'/><system>", "several systems together"),
        (
            "mode='thermal' units='kelvin'> 150",
            "mode='xyz'> v.xyz",
            "velocities are not thermal",
        ),
        ("<temperature units='kelvin'> 300 </temperature>", "", "it does not tell temperature_K"),
        ("</simulation>", "", "cannot read the input of i-PI"),
        ("simulation", "other", "expected one <simulation>"),
    ],
)
def test_what_contradicts_is_named(old, new, message, own, tmp_path):
    assert old in OWN
    own.write_text(OWN.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        run_pimd(crystal(), METAL, SETTINGS, tmp_path / "run", False, input_xml=own)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thermostat": "pile-g"}, "leave thermostat out"),
        ({"thermostat_time_fs": 50.0}, "leave thermostat_time_fs out"),
        ({"engine": "native"}, "pimd with engine native makes its own input"),
    ],
)
def test_options_that_the_file_tells_are_refused(change, message, own, tmp_path):
    settings = replace(SETTINGS, **change)
    with pytest.raises(ConfigError, match=message):
        run_pimd(crystal(), METAL, settings, tmp_path / "run", False, input_xml=own)


def test_piglet_and_segments_on_the_command_line(own, tmp_path, monkeypatch, capsys, model_path):
    monkeypatch.chdir(tmp_path)
    ase.io.write("al.xyz", crystal())
    command = ["pimd", "al.xyz", "--model", str(model_path), "--folder", "run", "--n-steps", "40"]
    assert main([*command, "--thermostat", "piglet"]) == 2
    assert "give that with --input-xml" in capsys.readouterr().err
    assert (
        main([*command, "--dynamics", "rpmd", "--segment-ps", "0.02", "--input-xml", "own.xml"])
        == 2
    )
    assert "segments make their own input" in capsys.readouterr().err
    assert main([*command, "--input-xml", "nowhere.xml"]) == 2
    assert "nowhere.xml" in capsys.readouterr().err
