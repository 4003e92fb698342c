"""`mlpotential interpret` with tiny models, from files to files."""

import csv
import re

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from ase.io.cube import read_cube
from matplotlib.image import imread

from mlpotential.cli import main
from mlpotential.graph import AtomGraph
from mlpotential.interpretation.fields.electrostatic_potential import ElectrostaticPotential
from mlpotential.interpretation.fields.local_chemical_potential import LocalChemicalPotential
from mlpotential.interpretation.fields.surfaces import level_function
from mlpotential.models.dtnn import DTNN
from mlpotential.models.dtnn_config import DTNNConfig
from mlpotential.models.model_file import save_model
from mlpotential.models.outputs import Output
from mlpotential.testing import tiny_schnet

COARSE = ("--spacing", "0.4")


@pytest.fixture
def dipole_path(dipole_potential, tmp_path):
    path = tmp_path / "dipole" / "model.safetensors"
    path.parent.mkdir()
    save_model(path, dipole_potential, AtomGraph.from_atoms(molecule("H2O")))
    return path


@pytest.fixture
def water_path(tmp_path):
    path = tmp_path / "water.xyz"
    write(path, molecule("H2O"))
    return path


def interpret(capsys, *words, code=0):
    assert main(["interpret", *(str(word) for word in words)]) == code
    output = capsys.readouterr()
    return output.out if code == 0 else output.err


def arrays(path) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return dict(stored)


def test_chemical_potential_of_two_models(
    model_path, dipole_path, water_path, tmp_path, capsys, potential
):
    """Everything that is written holds what the function gives."""
    folder = tmp_path / "shown" / "here"
    text = interpret(
        capsys, "chemical-potential", model_path, dipole_path, water_path, "--probe", "O",
        *COARSE, "--cube", "--vtk", "--dtype", "float64", "--folder", folder,
    )  # fmt: skip
    water = molecule("H2O")
    omega = LocalChemicalPotential(potential, water, dtype="float64")
    surface, cut = arrays(folder / "surface.npz"), arrays(folder / "cut.npz")
    vertices = surface["vertices_A"]
    np.testing.assert_allclose(
        level_function(vertices, water.positions, "inverse-squares")[0], 3.7, rtol=1e-9
    )
    np.testing.assert_allclose(surface["values"][0], omega.at(vertices, 8), rtol=1e-7)
    assert surface["values"].shape == (2, len(vertices))
    assert not np.allclose(surface["values"][0], surface["values"][1])
    np.testing.assert_allclose(
        cut["values"][0].ravel(), omega.at(cut["points_A"].reshape(-1, 3), 8), rtol=1e-7
    )
    rows = list(csv.reader((folder / "cut.csv").read_text().splitlines()))
    first = f"SchNet 1: {model_path.parent.name} (eV)"
    assert rows[0] == ["u_A", "v_A", "x_A", "y_A", "z_A", first, "SchNet 2: dipole (eV)"]
    assert len(rows) == 1 + cut["values"][0].size
    assert float(rows[5][6]) == pytest.approx(cut["values"][1].ravel()[4], rel=1e-8)
    (cube,) = folder.glob("local_chemical_potential_SchNet_2*.cube")
    with cube.open() as handle:
        volume = read_cube(handle)
    assert "eV" in cube.read_text().splitlines()[0]
    assert len(volume["atoms"]) == 3
    point = volume["origin"] + volume["spacing"].sum(axis=0)  # (1, 1, 1)
    second = LocalChemicalPotential(dipole_path, water, dtype="float64")
    assert volume["data"][1, 1, 1] == pytest.approx(second.at(point[None], 8)[0], rel=1e-4)
    dataset, origin, steps, values = read_vtk(cube.with_suffix(".vtk"))
    assert dataset == "STRUCTURED_POINTS"
    assert origin == pytest.approx(volume["origin"], rel=1e-5)
    assert np.diag(steps) == pytest.approx(volume["spacing"], abs=1e-5)
    assert values == pytest.approx(volume["data"], rel=1e-4)
    for name in ("surface.png", "cut.png"):
        assert imread(folder / name)[..., :3].std() > 0.1
    low, high = re.search(r"surface: (\S+) to (\S+) eV \(SchNet 1", text).groups()
    assert float(low) == pytest.approx(surface["values"][0].min(), rel=1e-3)
    assert float(high) == pytest.approx(surface["values"][0].max(), rel=1e-3)


def read_vtk(path):
    """Dataset, origin, steps as rows or points, and values, [n_x, n_y, n_z]."""
    lines = path.read_text().splitlines()
    assert lines[0] == "# vtk DataFile Version 3.0"
    assert lines[2] == "ASCII"
    dataset = lines[3].removeprefix("DATASET ")
    shape = [int(n) for n in lines[4].split()[1:]]
    start = lines.index("LOOKUP_TABLE default") + 1
    values = np.array(lines[start:], float).reshape(shape[::-1]).transpose(2, 1, 0)
    assert f"POINT_DATA {values.size}" in lines
    if dataset == "STRUCTURED_POINTS":
        origin, steps = (np.array(line.split()[1:], float) for line in lines[5:7])
        return dataset, origin, steps, values
    points = np.array([line.split() for line in lines[6 : 6 + values.size]], float)
    points = points.reshape(*shape[::-1], 3).transpose(2, 1, 0, 3)
    return dataset, points[0, 0, 0], points, values


def test_the_page_turns_without_a_network(model_path, water_path, tmp_path, capsys):
    interpret(capsys, "chemical-potential", model_path, water_path, *COARSE, "--plane", "none",
              "--folder", tmp_path)  # fmt: skip
    page = (tmp_path / "surface.html").read_text()
    assert len(page) > 2_000_000  # the library is inside
    assert not re.search(r"<(script|link)[^>]+(src|href)=", page)
    assert "Mesh3d" in page or "mesh3d" in page
    assert "\\u03a3|r\\u2212r" in page or "Σ|r−r" in page  # which surface it is
    assert not (tmp_path / "cut.png").exists()


def test_without_an_atom_the_surface_stays(model_path, ethanol, tmp_path, capsys):
    write(tmp_path / "ethanol.xyz", ethanol)
    words = ("chemical-potential", model_path, tmp_path / "ethanol.xyz", "--probe", "H")
    interpret(capsys, *words, *COARSE, "--without", "3", "--folder", tmp_path / "less")
    interpret(capsys, *words, *COARSE, "--folder", tmp_path / "whole")
    less, whole = (arrays(tmp_path / name / "surface.npz") for name in ("less", "whole"))
    np.testing.assert_array_equal(less["vertices_A"], whole["vertices_A"])
    np.testing.assert_array_equal(less["values"][0], whole["values"][0])
    assert less["titles"].tolist() == ["SchNet", f"SchNet, without atom 3 ({ethanol.symbols[3]})"]
    assert len(less["atomic_numbers_1"]) == len(ethanol) - 1
    del ethanol[3]
    expected = LocalChemicalPotential(model_path, ethanol).at(less["vertices_A"], 1)
    np.testing.assert_allclose(less["values"][1], expected, rtol=1e-5)


def test_a_crystal_has_a_cut_alone(model_path, tmp_path, capsys):
    write(tmp_path / "diamond.extxyz", bulk("C"))
    text = interpret(
        capsys, "chemical-potential", model_path, tmp_path / "diamond.extxyz", *COARSE, "--plane",
        "lattice=1,1,0", "--width", "6", "--cube", "--vtk", "--folder", tmp_path,
    )  # fmt: skip
    (cube,), (vtk,) = tmp_path.glob("*.cube"), tmp_path.glob("*.vtk")
    with cube.open() as handle:
        volume = read_cube(handle)
    dataset, _, points, values = read_vtk(vtk)
    assert dataset == "STRUCTURED_GRID"  # the primitive cell is skew
    assert values == pytest.approx(volume["data"], rel=1e-4)
    place = (3, 1, 2)
    assert points[place] == pytest.approx(np.array(place) @ volume["spacing"], abs=1e-4)
    assert "lattice plane (1 1 0)" in text
    cut = arrays(tmp_path / "cut.npz")
    assert np.ptp(cut["u_A"]) == pytest.approx(6.0)
    assert len(cut["atomic_numbers_0"]) > 6
    assert not (tmp_path / "surface.png").exists()
    told = interpret(
        capsys, "chemical-potential", model_path, tmp_path / "diamond.extxyz", "--surface",
        "inverse-squares", "--plane", "none", code=2,
    )  # fmt: skip
    assert "goes on without end" in told


def test_electrostatic_potential(dipole_path, water_path, tmp_path, capsys):
    text = interpret(
        capsys, "electrostatic-potential", dipole_path, water_path, *COARSE, "--folder", tmp_path,
        "--surface", "distances", "--level", "6",
    )  # fmt: skip
    assert "sign of charges: as trained on dipole vectors (SchNet)" in text
    surface = arrays(tmp_path / "surface.npz")
    assert str(surface["surface"]) == "Σ|r−rᵢ| = 6 Å"
    potential = ElectrostaticPotential.of_model(dipole_path, molecule("H2O"))
    np.testing.assert_allclose(surface["values"][0], potential.at(surface["vertices_A"]))
    assert imread(tmp_path / "surface.png").shape[2] == 4


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("chemical-potential", "--probe", "N"), "no probe 'N': it was trained on H, C, O"),
        (("chemical-potential", "--output", "gap"), "no output 'gap'"),
        (("chemical-potential", "--without", "3"), "--without must be one of the atoms 0 to 2"),
        (("chemical-potential", "--plane", "atoms=0,1,5"), "three different atoms"),
        (("chemical-potential", "--plane", "worst"), "--plane must be best"),
        (("chemical-potential", "--surface", "distances"), "must be above 1.918"),
        (("chemical-potential", "--surface", "distances", "--level", "1.9"), "not 1.9. 3.7 is"),
        (("chemical-potential", "--spacing", "0"), "--spacing must be a positive number"),
        (("chemical-potential", "--level", "-1"), "--level must be a positive number"),
        (("chemical-potential", "--plane", "none", "--surface", "none"), "nothing is left"),
        (("electrostatic-potential",), "the model has no charges"),
    ],
)
def test_mistakes_are_told_before_work(words, told, model_path, water_path, tmp_path, capsys):
    kind, *options = words
    error = interpret(
        capsys, kind, model_path, water_path, *options, "--folder", tmp_path / "f", code=2
    )
    assert told in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "f").exists()


def test_architectures_stand_side_by_side(model_path, water_path, tmp_path, capsys):
    config = DTNNConfig(n_features=4, n_factors=4, n_interactions=1, rbf_stop=5.0)
    torch.manual_seed(0)
    dtnn = DTNN(config).eval()
    dtnn.elements = (1, 8)
    save_model(tmp_path / "dtnn.safetensors", dtnn, AtomGraph.from_atoms(molecule("H2O")))
    words = (model_path, tmp_path / "dtnn.safetensors", water_path, "--probe", "H")
    text = interpret(capsys, "chemical-potential", *words, *COARSE, "--surface", "none",
                     "--folder", tmp_path)  # fmt: skip
    assert "surface" not in text
    cut = arrays(tmp_path / "cut.npz")
    assert cut["titles"].tolist() == ["SchNet", "DTNN"]
    expected = LocalChemicalPotential(dtnn, molecule("H2O")).at(cut["points_A"].reshape(-1, 3), 1)
    np.testing.assert_allclose(cut["values"][1].ravel(), expected, rtol=1e-5, atol=1e-6)


def test_files_are_asked_for_first(model_path, water_path, tmp_path, capsys):
    kind = "chemical-potential"
    assert "cannot read the model file" in interpret(capsys, kind, "a", water_path, code=2)
    assert "cannot read" in interpret(capsys, kind, model_path, tmp_path / "b.xyz", code=2)
    (tmp_path / "c.xyz").write_text("3\n")
    assert "no structure ASE can read" in interpret(
        capsys, kind, model_path, tmp_path / "c.xyz", code=2
    )
    (tmp_path / "taken").write_text("")
    told = interpret(
        capsys, kind, model_path, water_path, "--folder", tmp_path / "taken", *COARSE, code=2
    )
    assert "cannot make the folder" in told


def test_one_scale_has_one_unit(tmp_path, water_path, capsys):
    paths = []
    for unit in ("eV", "Hartree"):
        model = tiny_schnet(0, {"gap": Output(pooling="mean", unit=unit)})
        paths.append(tmp_path / f"{unit}.safetensors")
        save_model(paths[-1], model, AtomGraph.from_atoms(Atoms("OH", [[0, 0, 0], [0, 0, 1]])))
    told = interpret(capsys, "chemical-potential", *paths, water_path, "--output", "gap", code=2)
    assert "in eV and in Hartree" in told
