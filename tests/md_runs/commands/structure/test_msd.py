"""`md-runs msd`: free particles with friction in a cell, wrapped and not; what it refuses."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from langevin_gas import KELVIN, sample, thermal_speed_squared
from recorded_runs import read_json, write_frames, write_oscillator_beads, write_water_run

from md_runs.cli import main
from md_runs.commands.prepared_run import open_runs
from md_runs.commands.structure import msd
from md_runs.commands.structure.msd import msd_report
from mlpotential.errors import ConfigError, DataError

CELL = np.array([[8.0, 0, 0], [2.0, 9.0, 0], [1.0, 1.0, 10.0]])  # A
FRICTION_PER_FS = 1 / 100.0


@pytest.fixture(scope="module")
def gas(tmp_path_factory):
    """Positions of He and Ne, unwrapped, and files of them, wrapped and unwrapped."""
    folder, atoms = tmp_path_factory.mktemp("gas"), Atoms("He15Ne15")
    r = sample(atoms.get_masses(), FRICTION_PER_FS, 20.0, 3000)
    r += np.random.default_rng(1).uniform(size=(30, 3)) @ CELL
    fractional = r @ np.linalg.inv(CELL)
    wrapped = (fractional - np.floor(fractional)) @ CELL
    write_frames(folder / "open.frames", atoms, 20.0, CELL, positions=r[:, None])
    write_frames(folder / "wrapped.frames", atoms, 20.0, CELL, positions=wrapped[:, None])
    return folder


def opened(*paths, **options):
    return open_runs(paths, skip_ps=0.0, temperature_K=KELVIN, **options)


def test_diffusion_of_free_particles_with_friction(gas, tmp_path, capsys):
    command = ["msd", str(gas / "wrapped.frames"), "--skip-ps", "0", "--keep-drift"]
    assert main([*command, "--temperature-K", "300", "--output", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "followed through the faces of the cell by nearest images" in text
    assert "displacements drift NOT removed" in text
    assert "in a cube of 8.963 A the D of a fluid lacks 0.07 A^2/ps" in text
    results = read_json(tmp_path / "msd.json")["results"]
    for symbol, mass in (("He", 4.002602), ("Ne", 20.1797)):
        found = results[f"wrapped_{symbol}"]["diffusion_coefficient"]
        exact = 1000 * thermal_speed_squared(np.array([mass]))[0] / FRICTION_PER_FS
        assert abs(found["value"] - exact) < 4 * found["standard_error"]
    assert (tmp_path / "msd.png").read_bytes().startswith(b"\x89PNG")
    header = (tmp_path / "msd_wrapped_He.csv").read_text().splitlines()[0]
    assert header == "times_fs (fs),mean_squares (A^2),standard_error (A^2)"


def test_wrapped_and_unwrapped_are_the_same(gas, monkeypatch):
    """Also where pieces are small, so that atoms are followed from one to the next."""
    whole = msd_report(opened(gas / "open.frames")).results["open_Ne"]
    found = msd_report(opened(gas / "wrapped.frames")).results["wrapped_Ne"]
    np.testing.assert_allclose(found.mean_squares, whole.mean_squares, atol=1e-6)
    assert whole.is_drift_removed
    monkeypatch.setattr(msd, "MOST_BYTES", 1e6)
    monkeypatch.setattr(msd, "FRAMES_AT_ONCE", 70)
    thinned = msd_report(opened(gas / "wrapped.frames"), longest_lag_ps=0.9)
    n = len(thinned.results["wrapped_Ne"].times_fs)
    assert "every 3 frames" in str(thinned)
    np.testing.assert_allclose(
        thinned.results["wrapped_Ne"].mean_squares, whole.mean_squares[: 3 * n : 3], rtol=0.05
    )


def test_a_cell_that_breathes_is_no_diffusion(gas, tmp_path):
    """Every atom goes with the cell, far from the origin by several A a frame."""
    (still,) = opened(gas / "open.frames")
    breath = 1 + 0.02 * np.sin(np.linspace(0, 40 * np.pi, 3000, endpoint=False))
    breath /= breath.mean()
    cells = breath[:, None, None] * CELL
    for name in ("open", "wrapped"):
        (run,) = opened(gas / f"{name}.frames")
        positions = np.asarray(run.segments[0].positions) * breath[:, None, None, None]
        write_frames(
            tmp_path / f"{name}.frames", Atoms("He15Ne15"), 20.0, positions=positions, cells=cells
        )
        found = msd_report(opened(tmp_path / f"{name}.frames"))
        assert "in the mean cell (without the motion of the cell)" in str(found)
        assert "in a cube of 8.9" in str(found)
        for symbol in ("He", "Ne"):
            whole = msd_report([still]).results[f"open_{symbol}"]
            mean_squares = found.results[f"{name}_{symbol}"].mean_squares
            np.testing.assert_allclose(mean_squares, whole.mean_squares, atol=1e-6)


def test_several_runs_are_laid_over_each_other(gas):
    found = msd_report(opened(gas / "open.frames", gas / "wrapped.frames"))
    assert [row[0] for row in found.tables[0].rows] == ["open", "open", "wrapped", "wrapped"]
    assert [len(ax.lines) for ax in found.figures["msd"].axes] == [4, 4]  # curves and lines
    assert not found.warnings
    langevin = opened(gas / "open.frames", dynamics="Langevin", friction_per_fs=0.01)
    (warning,) = msd_report(langevin).warnings
    assert "Langevin, friction 0.01/fs slows diffusion by its friction" in warning


def test_what_does_not_diffuse_is_said(tmp_path):
    write_water_run(tmp_path / "water.frames", n_frames=400)
    found = msd_report(open_runs([tmp_path / "water.frames"]))
    assert sum("does not diffuse, msd grows as t^" in text for text in found.warnings) == 2
    assert "cube" not in str(found)


def test_what_cannot_be_followed_is_refused(gas, tmp_path):
    rng = np.random.default_rng(0)
    r = rng.uniform(size=(100, 1, 4, 3)) @ CELL
    path = write_frames(tmp_path / "rare.frames", Atoms("He4"), 1e4, CELL, positions=r)
    with pytest.raises(DataError, match="Record frames more often"):
        msd_report(opened(path))
    with pytest.raises(ConfigError, match="lags up to 100000 fs are asked for"):
        msd_report(opened(gas / "open.frames"), longest_lag_ps=100.0)
    write_oscillator_beads(tmp_path / "beads.frames", 2, 60)
    with pytest.raises(DataError, match="its time has no meaning"):
        msd_report(open_runs([tmp_path / "beads.frames"]))


def test_mistakes_are_one_line(gas, capsys, monkeypatch):
    monkeypatch.chdir(gas)
    assert main(["msd", "open.frames", "--longest-lag-ps", "-1"]) == 2
    assert "--longest-lag-ps must be a positive number" in capsys.readouterr().err
    assert not Path("open_msd").exists()
