"""`md-runs interpret` with tiny models, from runs to files."""

import csv
import json
import re

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import write
from ase.io.cube import read_cube
from matplotlib.image import imread
from recorded_runs import write_frames
from scipy.spatial.transform import Rotation

from md_runs.cli import main
from md_runs.commands.interpretation.interpret import interpret_report
from md_runs.commands.prepared_run import open_runs
from mlpotential.errors import ConfigError, DataError
from mlpotential.graph import AtomGraph
from mlpotential.interpretation.fields.electrostatic_potential import ElectrostaticPotential
from mlpotential.interpretation.fields.local_chemical_potential import LocalChemicalPotential
from mlpotential.models.model_file import save_model

COARSE = {"spacing": 0.6, "plane": "none"}
ESP = "electrostatic-potential"


@pytest.fixture
def dipole_path(dipole_potential, tmp_path):
    path = tmp_path / "dipole.safetensors"
    save_model(path, dipole_potential, AtomGraph.from_atoms(molecule("H2O")))
    return path


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def turned(positions: np.ndarray, seed: int) -> np.ndarray:
    """Each bead of each frame turned and shifted somewhere, [n_frames, n_beads, n_atoms, 3]."""
    flat = positions.reshape(-1, *positions.shape[2:])
    turns = Rotation.random(len(flat), random_state=seed).as_matrix()
    shifts = np.random.default_rng(seed).normal(scale=4.0, size=(len(flat), 1, 3))
    return (flat @ turns.swapaxes(1, 2) + shifts).reshape(positions.shape)


def vibrating(atoms, n_frames, n_beads, rng, amplitude=0.05):
    """Structures about one, each turned its own way; without turns, too."""
    shape = (n_frames, n_beads, *atoms.positions.shape)
    positions = atoms.positions + rng.normal(scale=amplitude, size=shape)
    return turned(positions, 2), positions


def laid_on(structures, atoms):
    """Mass-weighted superpositions by a method of its own, [n, n_atoms, 3]."""
    masses = atoms.get_masses()
    center = masses @ atoms.positions / masses.sum()
    found = []
    for frame in structures.reshape(-1, *atoms.positions.shape):
        r = frame - masses @ frame / masses.sum()
        rotation, _ = Rotation.align_vectors(atoms.positions - center, r, weights=masses)
        found.append(rotation.apply(r) + center)
    return np.array(found)


def saved(report, name, folder) -> dict[str, np.ndarray]:
    """One of the files of a report, without its pictures."""
    report.files[name](folder / name)
    return arrays(folder / name)


def arrays(path) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return dict(stored)


@pytest.mark.parametrize("kind", ["chemical-potential", ESP])
def test_one_frame_turned_many_ways_has_its_own_field(kind, dipole_path, ethanol, tmp_path):
    """Around the mean structure and around one of a file."""
    repeated = turned(np.tile(ethanol.positions, (12, 2, 1, 1)), 1)
    run = write_frames(tmp_path / "run.frames", ethanol, 1.0, positions=repeated)
    write(tmp_path / "ethanol.xyz", ethanol)
    for reference in (None, tmp_path / "ethanol.xyz"):
        report = interpret_report(
            open_runs([run], skip_ps=0.0), model=dipole_path, kind=kind, probe="H", frames=10,
            reference=reference, surface="inverse-squares", spacing=0.6,
        )  # fmt: skip
        for name in ("surface", "cut"):
            found = saved(report, f"{name}.npz", tmp_path)
            extent = np.ptp(found["reference"])
            np.testing.assert_allclose(found["mean"][0], found["reference"], atol=1e-4 * extent)
            assert extent > 0.0
            assert found["spread"].max() < 1e-4 * extent
        atoms = ethanol.copy()
        atoms.positions = found["positions_A"]
        points = found["points_A"].reshape(-1, 3)
        if kind == ESP:
            expected = ElectrostaticPotential.of_model(dipole_path, atoms).at(points)
        else:
            expected = LocalChemicalPotential(dipole_path, atoms).at(points, "H")
        np.testing.assert_allclose(found["reference"].ravel(), expected, rtol=1e-4, atol=1e-6)
        if reference is not None:
            np.testing.assert_allclose(atoms.positions, ethanol.positions, atol=1e-7)


def test_means_spreads_and_errors_of_a_vibrating_molecule(dipole_path, tmp_path, rng):
    """Against each structure by itself, superposed by other means."""
    water = molecule("H2O")
    structures, _ = vibrating(water, 30, 2, rng)
    run = write_frames(tmp_path / "run.frames", water, 1.0, positions=structures)
    write(tmp_path / "water.xyz", water)
    report = interpret_report(
        open_runs([run], skip_ps=0.0), model=dipole_path, kind=ESP, frames=10,
        reference=tmp_path / "water.xyz", **COARSE,
    )  # fmt: skip
    found = saved(report, "surface.npz", tmp_path)
    chosen = structures[1::3]  # the middle of every three
    fields = np.array(
        [
            ElectrostaticPotential.of_model(dipole_path, _with(water, positions)).at(
                found["points_A"]
            )
            for positions in laid_on(chosen, water)
        ]
    ).reshape(10, 2, -1)
    np.testing.assert_allclose(found["mean"][0], fields.mean(axis=(0, 1)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["spread"][0], fields.std(axis=(0, 1)), rtol=1e-3)
    error = fields.mean(axis=1).std(axis=0, ddof=1) / np.sqrt(10)
    np.testing.assert_allclose(found["standard_error"][0], error, rtol=1e-3)
    assert "10 frames spread evenly, 2 beads each; error bars from 10 blocks" in str(report)
    certain = np.abs(fields.mean(axis=(0, 1)) - found["reference"]) > 2.0 * error
    (told,) = [text for text in report.remarks if "standard errors" in text]
    share = float(re.search(r"on (\d+) % of the surface", told)[1])
    assert share == pytest.approx(100.0 * certain.mean(), abs=15.0)  # of areas, not of points
    whole = report.results["run_surface"]
    assert whole.mean[0] - whole.reference[0] == pytest.approx(
        (whole.mean - whole.reference)[1:] @ whole.area_share[1:], rel=1e-6
    )


def _with(atoms, positions):
    moved = atoms.copy()
    moved.positions = positions
    return moved


def test_the_command_writes_everything(dipole_path, ethanol, tmp_path, rng, capsys):
    _, positions = vibrating(ethanol, 24, 3, rng, 0.02)
    run = write_frames(tmp_path / "pimd.frames", ethanol, 1.0, positions=positions)
    words = ["interpret", run, "--model", dipole_path, "--probe", "O", "--spacing", "0.5",
             "--frames", "5", "--skip-ps", "0", "--cube", "--width", "6"]  # fmt: skip
    assert main([str(word) for word in words]) == 0
    told, folder = capsys.readouterr().out, tmp_path / "pimd_interpret"
    assert "chemical potential of O, averaged over frames and beads" in told
    assert re.search(r"all +pimd +100.0 ", told)
    assert "Eckart frame (mass-weighted)" in told
    assert "points that come inside atoms" in told
    for name in ("surface.png", "cut.png"):
        assert imread(folder / name)[..., :3].std() > 0.1
    page = (folder / "surface.html").read_text()
    for words in ("reference structure", "mean of pimd, 3 beads"):
        assert words in page
    assert "coloraxis2" in page
    cut = arrays(folder / "cut.npz")
    rows = list(csv.reader((folder / "cut.csv").read_text().splitlines()))
    assert rows[0] == [
        "u (A)", "v (A)", "x (A)", "y (A)", "z (A)", "reference (eV)", "pimd mean (eV)",
        "pimd standard error (eV)", "pimd spread (eV)",
    ]  # fmt: skip
    assert len(rows) == 1 + cut["reference"].size
    assert float(rows[8][6]) == pytest.approx(cut["mean"][0].ravel()[7])
    assert rows[8][7] == ""  # five frames are too few for ten blocks
    with (folder / "local_chemical_potential_pimd_mean.cube").open() as handle:
        volume = read_cube(handle)
    assert np.ptp(volume["data"]) > 0.0
    assert (folder / "local_chemical_potential_pimd_spread.cube").exists()
    found = json.loads((folder / "interpret.json").read_text())["results"]["pimd_surface"]
    assert found["units"]["mean"] == "eV"
    assert found["parts"][:2] == ["all", "C0"]


def test_quantum_against_classical(dipole_path, ethanol, tmp_path, rng):
    """The difference of the means, in the frame of one reference."""
    paths = [
        write_frames(
            tmp_path / f"{name}.frames", ethanol, 1.0,
            positions=vibrating(ethanol, 20, n_beads, rng, amplitude)[0],
        )
        for name, n_beads, amplitude in (("classical", 1, 0.01), ("pimd", 2, 0.05))
    ]  # fmt: skip
    write(tmp_path / "ethanol.xyz", ethanol)
    report = interpret_report(
        open_runs(paths, skip_ps=0.0), model=dipole_path, kind=ESP, frames=20,
        reference=tmp_path / "ethanol.xyz", **COARSE,
    )  # fmt: skip
    assert report.tables[1].title == "pimd against classical"
    ratio = float(report.tables[1].rows[0][2])
    assert 3.0 < ratio < 7.0  # of amplitudes: 5
    q, c = (report.results[f"{name}_surface"] for name in ("pimd", "classical"))
    assert report.tables[1].rows[0][1].startswith(f"{q.mean[0] - c.mean[0]:.2g}"[:4])
    assert "sign of charges" in str(report)


def test_a_group_that_turns_has_no_mean_structure(dipole_path, tmp_path):
    """The hydrogen of O-H all around, and the rest at rest."""
    ethanol = molecule("CH3CH2OH")
    carbon, oxygen, hydrogen = 0, 2, 3
    assert ethanol.get_distance(oxygen, hydrogen) < 1.0
    axis = ethanol.positions[oxygen] - ethanol.positions[carbon]
    bond = ethanol.positions[hydrogen] - ethanol.positions[oxygen]
    positions = np.tile(ethanol.positions, (12, 1, 1, 1))
    for frame, angle in enumerate(np.linspace(0.0, 2.0 * np.pi, 12, endpoint=False)):
        turn = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis))
        positions[frame, 0, hydrogen] = ethanol.positions[oxygen] + turn.apply(bond)
    run = write_frames(tmp_path / "run.frames", ethanol, 1.0, positions=positions)
    report = interpret_report(open_runs([run], skip_ps=0.0), model=dipole_path, **COARSE)
    (doubt,) = [text for text in report.warnings if "none that the molecule has" in text]
    assert "O2 and H3 are 0." in doubt
    assert "--reference" in doubt


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"frames": 0}, "--frames must be"),
        ({"plane": "none", "surface": "none"}, "nothing is left to show"),
        ({"probe": "N"}, "no probe 'N'"),
        ({"kind": ESP}, "has no charges"),
        ({"spacing": -1.0}, "--spacing must be a positive number"),
    ],
)
def test_mistakes(options, told, model_path, ethanol, tmp_path):
    positions = np.tile(ethanol.positions, (4, 1, 1, 1))
    run = write_frames(tmp_path / "run.frames", ethanol, 1.0, positions=positions)
    with pytest.raises(ConfigError, match=told):
        interpret_report(open_runs([run]), model=model_path, **(COARSE | options))


def test_runs_and_structures_that_do_not_fit(model_path, ethanol, tmp_path, capsys):
    crystal = bulk("C")
    of_crystal = write_frames(
        tmp_path / "crystal.frames", crystal, 1.0, np.array(crystal.cell),
        positions=np.tile(crystal.positions, (4, 1, 1, 1)),
    )  # fmt: skip
    runs = {}
    for name, atoms in (("water", molecule("H2O")), ("ethanol", ethanol)):
        positions = np.tile(atoms.positions, (4, 1, 1, 1))
        runs[name] = write_frames(tmp_path / f"{name}.frames", atoms, 1.0, positions=positions)
        write(tmp_path / f"{name}.xyz", atoms)
    with pytest.raises(DataError, match="is periodic"):
        interpret_report(open_runs([of_crystal]), model=model_path, **COARSE)
    with pytest.raises(DataError, match="of different molecules"):
        interpret_report(open_runs(list(runs.values())), model=model_path, **COARSE)
    with pytest.raises(ConfigError, match=r"water.xyz is OH2, but .* is of C2"):
        interpret_report(
            open_runs([runs["ethanol"]]), model=model_path, reference=tmp_path / "water.xyz"
        )
    words = ["interpret", runs["water"], "--model", model_path, "--skip-ps", "1"]
    assert main([str(word) for word in words]) == 2
    assert "--skip-ps must leave some" in capsys.readouterr().err
    words = ["interpret", runs["water"], "--model", tmp_path / "none.safetensors"]
    assert main([str(word) for word in words]) == 2
    assert "cannot read the model file" in capsys.readouterr().err
    assert not (tmp_path / "water_interpret").exists()


def test_segments_are_one_run(dipole_path, tmp_path, rng):
    """Frames are spread over all of them."""
    water = molecule("H2O")
    for k in range(3):
        write_frames(
            tmp_path / f"nve/segment_{k}.frames", water, 1.0,
            positions=vibrating(water, 4, 1, rng)[0],
        )  # fmt: skip
    report = interpret_report(
        open_runs([tmp_path / "nve"]), model=dipole_path, kind=ESP, frames=6, **COARSE
    )
    assert "nve: 6 frames spread evenly, 1 bead each" in str(report)
