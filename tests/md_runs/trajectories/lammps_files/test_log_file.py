"""Logs of LAMMPS: units, timesteps, thermostats and tables of every style."""

from __future__ import annotations

import numpy as np
import pytest

from md_runs.trajectories.lammps_files.log_file import read_log
from md_runs.trajectories.lammps_files.run_record import record_of
from md_runs.trajectories.lammps_files.units import UNITS
from mlpotential.errors import RunError

LOOP = "Loop time of 0.01 on 1 procs for {n} steps with 10 atoms\n"
BEFORE = "Per MPI rank memory allocation (min/avg/max) = 4 | 4 | 4 Mbytes\n"


def table(*steps: int, energy: float = -1.0) -> str:
    """Of the default style."""
    rows = "".join(f"  {step}  300.5  {energy + step}  0.25  -0.5  1.0\n" for step in steps)
    head = "   Step   Temp   E_pair   E_mol   TotEng   Press\n"
    return BEFORE + head + rows + LOOP.format(n=steps[-1] - steps[0])


@pytest.fixture
def record(tmp_path):
    """Reads a text as a log."""

    def read(text: str):
        path = tmp_path / "log.lammps"
        path.write_text(text)
        return record_of(read_log(path), None)

    return read


def test_commands_with_variables_count_by_their_values(record):
    found = record(
        "LAMMPS (22 Jul 2025)\nvariable dt equal 0.5\nunits real # of all\n"
        "timestep ${dt}\ntimestep 0.5\nmass 1 12.011\nmass 2 &\n 1.008\n"
        "fix 1 all nvt temp ${T} ${T} 100\nfix 1 all nvt/omp temp 300 300 100\n"
        "dump 2 all custom 10 a.dump id x y z\n"
        "WARNING: something\n" + table(0, 10, 20)
    )
    assert found.log.units == "real"
    assert found.masses() == {1: 12.011, 2: 1.008}
    assert found.log.dump_files == ("a.dump",)
    steps = np.array([0.0, 10.0, 20.0])
    np.testing.assert_allclose(found.times_fs(steps), [0, 5, 10])
    np.testing.assert_allclose(found.energies(steps), UNITS["real"].energy * (steps - 0.75))
    assert found.energies(np.array([0.0, 5.0])) is None
    assert found.dynamics(steps) == {
        "dynamics": "Nose-Hoover",
        "temperature_K": 300.0,
        "integration_timestep_fs": 0.5,
    }


@pytest.mark.parametrize(
    ("fixes", "expected"),
    [
        ("fix 1 all nve", {"dynamics": "NVE", "temperature_K": None}),
        (
            "fix 1 all nve\nfix 2 all langevin 250 250 0.5 4711",
            {"dynamics": "Langevin", "temperature_K": 250.0, "friction_per_fs": 0.002},
        ),
        (
            "fix 1 all nve\nfix 2 all temp/csvr 250 250 0.5 4711",
            {"dynamics": "Bussi", "temperature_K": 250.0},
        ),
        ("fix 1 all nvt temp 200 400 0.1", {"dynamics": "Nose-Hoover", "temperature_K": None}),
        (
            "fix 1 all npt temp 200 200 0.1 iso 0 0 1",
            {"dynamics": "NPT", "temperature_K": 200.0},
        ),
        ("fix 1 all nvt temp 300 300 0.1\nunfix 1\nfix 2 all nve", {"dynamics": "NVE"}),
        ("fix 1 all nve\nfix 2 all temp/berendsen 300 300 0.1", {}),
        ("fix 1 all rigid/nvt molecule temp 300 300 0.1", {}),
        ("fix 1 all nve\nfix 2 all momentum 10 linear 1 1 1", {"dynamics": "NVE"}),
    ],
)
def test_what_moved_the_atoms(record, fixes, expected):
    found = record(f"units metal\n{fixes}\n{table(0, 10)}").dynamics(np.array([0.0, 10.0]))
    assert found.pop("integration_timestep_fs") == 1.0  # 0.001 ps by default
    assert found == {"temperature_K": None} | expected or found == expected


def test_runs_one_after_another(record):
    """Times follow timesteps that change; dynamics are known where they are the same for all."""
    first = "units metal\ntimestep 0.001\nfix 1 all nvt temp 300 300 0.1\n" + table(0, 50, 100)
    second = "unfix 1\nfix 1 all nve\ntimestep 0.0005\n" + table(100, 150, 200, energy=5.0)
    found = record(first + second)
    np.testing.assert_allclose(found.times_fs(np.array([50, 100, 200])), [50, 100, 150])
    assert found.dynamics(np.array([50.0, 150.0])) == {}
    assert found.dynamics(np.array([100.0, 150.0]))["dynamics"] == "NVE"
    np.testing.assert_allclose(found.energies(np.array([50, 100, 200])), [49.25, 105.25, 205.25])
    with pytest.raises(RunError, match="does not tell the timestep of all frames"):
        found.times_fs(np.array([100, 300]))
    # A count that was set back: the steps of production stand for themselves.
    again = record(first + "reset_timestep 0\nunfix 1\nfix 1 all nve\n" + table(0, 50, 100))
    assert again.dynamics(np.array([0.0, 100.0]))["dynamics"] == "NVE"
    later = record("units metal\ntimestep 0.002\nfix 1 all nve\n" + table(100, 200))
    assert later.dynamics(np.array([0.0, 200.0])) == {}
    assert later.dynamics(np.array([100.0, 200.0]))["dynamics"] == "NVE"
    with pytest.warns(UserWarning, match="frames before step 100 .*taken to be the same"):
        np.testing.assert_allclose(later.times_fs(np.array([0, 100])), [0, 200])
    # A restart file holds a timestep that its log does not show.
    restarted = record("units metal\nread_restart a.restart\nfix 1 all nve\n" + table(0, 50))
    with pytest.raises(RunError, match="does not tell the timestep"):
        restarted.times_fs(np.array([0.0, 50.0]))
    varying = record(first + "fix 9 all dt/reset 1 1e-5 1e-3 0.01\n" + table(100, 200))
    with pytest.raises(RunError, match="dt/reset.*dump_modify ID time yes"):
        varying.times_fs(np.array([100.0, 200.0]))


MULTI = (
    "------------ Step              {step} ----- CPU =    0.001 (sec) -------------\n"
    "TotEng   =     -0.5 KinEng   =   0.25 Temp     =   300.5\n"
    "PotEng   =  {energy} E_bond   =   0.25\n"
)


def test_tables_of_other_styles(record, tmp_path):
    multi = BEFORE + "".join(MULTI.format(step=k, energy=k - 0.75) for k in (0, 10))
    yaml = (
        f"{BEFORE}---\nkeywords: ['Step', 'Temp', 'PotEng', ]\ndata:\n"
        "  - [0, 300.5, -0.75, ]\n  - [10, 300.5, 9.25, ]\n...\n"
    )
    custom = f"{BEFORE}Step PotEng v_x\n0 -0.75 3\nWARNING: careful\n10 9.25 nan\n"
    for text in (multi, yaml, custom):
        for end in (LOOP.format(n=10), "ERROR: Lost atoms\n", ""):
            found = record("units metal\n" + text + end)
            np.testing.assert_allclose(found.energies(np.array([0, 10])), [-0.75, 9.25])
    per_atom = record("units metal\nthermo_modify norm yes\n" + multi + LOOP.format(n=10))
    np.testing.assert_allclose(per_atom.energies(np.array([0, 10])), [-7.5, 92.5])
    cut = record("units metal\n" + multi[:-30])
    assert cut.energies(np.array([0, 10])) is None


def test_output_caught_from_the_screen(record, tmp_path):
    found = record(
        "Setting up Verlet run ...\n  Unit style    : real\n  Current step  : 0\n"
        "  Time step     : 0.25\n" + table(0, 100)
    )
    np.testing.assert_allclose(found.times_fs(np.array([0, 100])), [0, 25])
    (tmp_path / "other").write_text("nothing of the kind\n")
    with pytest.raises(RunError, match="no log of LAMMPS"):
        read_log(tmp_path / "other")
    with pytest.raises(RunError, match="cannot read the log .*No such file"):
        read_log(tmp_path / "missing")


def test_units_are_those_of_lammps():
    """Factors of its own source, update.cpp and its page on units: nktv2p and others left out."""
    boltzmann = {  # energy over kelvin, as LAMMPS has it, is 8.617343e-5 eV/K in each
        "real": 0.0019872067,
        "metal": 8.617343e-5,
        "si": 1.3806504e-23,
        "cgs": 1.3806504e-16,
        "electron": 3.16681534e-6,
        "micro": 1.3806504e-8,
        "nano": 0.013806504,
    }
    assert boltzmann.keys() == UNITS.keys()
    for name, value in boltzmann.items():
        assert value * UNITS[name].energy == pytest.approx(8.617343e-5, rel=2e-5), name
    # mass velocity^2 in energies: mvv2e
    mvv2e = {
        "real": 48.88821291**2,
        "metal": 1.0364269e-4,
        "si": 1.0,
        "cgs": 1.0,
        "electron": 1.0,
        "micro": 1.0,
        "nano": 1.0,
    }
    ev_per_amu_angstrom2_per_fs2 = 103.64269
    for name, factor in mvv2e.items():
        units = UNITS[name]
        kinetic = units.mass * units.velocity_angstrom_per_fs**2 * ev_per_amu_angstrom2_per_fs2
        assert kinetic == pytest.approx(factor * units.energy, rel=2e-5), name
    assert UNITS["electron"].length / UNITS["electron"].velocity_angstrom_per_fs == pytest.approx(
        1.03275, rel=1e-4
    )
