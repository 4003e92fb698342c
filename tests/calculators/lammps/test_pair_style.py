"""The pair style in LAMMPS itself, on 1, 2 and 4 processes, against the Evaluator."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read
from ase.io.lammpsdata import write_lammps_data
from ase.units import kcal, mol
from lammps_runs import ROOT, Frame, Lammps, answers, headers, read_frame

from calculators.lammps.export import export
from md_runs.c20 import MODEL
from md_runs.ethanol import MODEL as ETHANOL
from md_runs.ethanol import STRUCTURE as MOLECULE
from mlpotential.graph import AtomGraph
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.model_file import save_model
from mlpotential.testing import tiny_schnet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ELEMENTS = ("H", "C", "O")
# Of the energy, the largest force and the largest of the virial.
BOUNDS = {"float64": (1e-12, 1e-11, 1e-11), "float32": (2e-6, 2e-6, 4e-6)}


def mixed(atoms: Atoms) -> Atoms:
    """With elements at random, moved by 0.1 A."""
    atoms.symbols[:] = np.random.default_rng(0).choice(ELEMENTS, len(atoms))
    atoms.rattle(0.1, seed=1)
    return atoms


def standard(atoms: Atoms) -> Atoms:
    """In the orientation of LAMMPS."""
    cell, _ = atoms.cell.standard_form()
    atoms.set_cell(cell, scale_atoms=True)
    return atoms


def ethanol() -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.set_cell([12.0] * 3)
    atoms.center()
    atoms.pbc = True
    return atoms


def triclinic() -> Atoms:
    """Eight atoms in a cell smaller than the cutoff: many images of one atom are neighbours."""
    return standard(mixed(bulk("C", "diamond", a=3.9) * (2, 2, 1)))


def slab() -> Atoms:
    atoms = mixed(bulk("C", "diamond", a=3.9, cubic=True) * (2, 2, 1))
    atoms.pbc = (True, True, False)
    atoms.center(vacuum=1.0, axis=2)
    return atoms


def crystal() -> Atoms:
    """216 atoms: some processes do not see all of them."""
    return mixed(bulk("C", "diamond", a=3.9, cubic=True) * (3, 3, 3))


STRUCTURES = {"ethanol": ethanol, "triclinic": triclinic, "slab": slab, "crystal": crystal}


@dataclass(frozen=True)
class Case:
    """A structure and a model, each in files of this name."""

    structure: str
    cutoff: str
    dtype: str

    @property
    def name(self) -> str:
        return f"{self.structure}_{self.cutoff}_{self.dtype}"

    def input(self, before: str = "", newton: str = "on", after: str = "", steps: int = 0) -> str:
        atoms = STRUCTURES[self.structure]()
        boundary = " ".join("p" if periodic else "s" for periodic in atoms.pbc)
        return f"""
clear
newton          {newton}
units           metal
boundary        {boundary}
{before}
read_data       case_{self.structure}.data
pair_style      mlpotential {self.cutoff}_{self.dtype}.mlpk guard off
pair_coeff      * * H C O
neighbor        1.0 bin
{after}
{answers(self.name, steps)}
"""


CASES = [
    Case(structure, cutoff, dtype)
    for structure in STRUCTURES
    for cutoff, dtype in (("cosine", "float64"), ("cosine", "float32"), ("hard", "float64"))
]


def save(path: Path, model) -> Path:
    golden = molecule("CH3CH2OH")
    save_model(path, model, AtomGraph.from_arrays(golden.numbers, golden.positions))
    return path


def write_data(path: Path, atoms: Atoms) -> None:
    write_lammps_data(path, atoms, specorder=list(ELEMENTS), masses=True, units="metal")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Models, kernel files and data files of all cases, and of C20."""
    folder = tmp_path_factory.mktemp("files")
    for cutoff in ("cosine", "hard"):
        settings = {} if cutoff == "cosine" else {"cutoff_function": "hard"}
        model = tiny_schnet(n_interactions=3, n_features=24, **settings)
        path = save(folder / f"{cutoff}.safetensors", model)
        for dtype in BOUNDS:
            export(path, folder / f"{cutoff}_{dtype}.mlpk", dtype)
    for name, make in STRUCTURES.items():
        write_data(folder / f"case_{name}.data", make())
    examples = ROOT / "calculators/lammps/examples"
    for path in examples.iterdir():
        shutil.copy(path, folder)
    export(Path(MODEL), folder / "c20.mlpk", "float64")
    export(Path(ETHANOL), folder / "ethanol.mlpk")
    export(Path(ETHANOL), folder / "ethanol_float64.mlpk", "float64")
    return folder


def assert_agrees(frame: Frame, model: Path | str, atoms: Atoms, dtype: str) -> None:
    """With the Evaluator at LAMMPS's own positions."""
    evaluator = Evaluator(
        model, atoms.numbers, pbc=atoms.pbc, dtype=dtype, device="cpu", guard="off"
    )
    cells = atoms.cell.array[None] if atoms.pbc.any() else None
    wanted = ("energy", "forces", "atomic_energies", *(("virial",) if atoms.pbc.any() else ()))
    expected = evaluator.evaluate(frame.positions[None], cells, wanted)
    of_energy, of_forces, of_virial = BOUNDS[dtype]
    assert abs(frame.energy - expected.energy[0]) <= of_energy * abs(expected.energy[0])
    error = np.abs(frame.atomic_energies - expected.atomic_energies).max()
    assert error <= of_energy * np.abs(expected.atomic_energies).max()
    largest = np.abs(expected.forces).max()
    assert np.abs(frame.forces - expected.forces).max() <= of_forces * largest
    if atoms.pbc.any():
        virial = expected.virial[0][[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
        assert np.abs(frame.virial - virial).max() <= of_virial * np.abs(virial).max()


def assert_all_agree(files: Path, cases: list[Case]) -> None:
    for case in cases:
        model = files / f"{case.cutoff}.safetensors"
        frame = read_frame(files, case.name)
        assert_agrees(frame, model, STRUCTURES[case.structure](), case.dtype)


@pytest.mark.parametrize(
    ("ranks", "newton", "style"),
    [(1, "on", "brick"), (2, "on", "brick"), (2, "off", "brick"), (4, "on", "brick"),
     (4, "on", "tiled"), (3, "off", "tiled")],
)  # fmt: skip
def test_agreement(lammps: Lammps, files, ranks, newton, style):
    tiled = style == "tiled"
    # LAMMPS itself refuses tiles in boxes smaller than the cutoff
    cases = [case for case in CASES if not tiled or case.structure in ("ethanol", "crystal")]
    after = "balance 1.0 rcb" if tiled else ""
    before = f"comm_style {style}"
    lammps.run("".join(case.input(before, newton, after) for case in cases), files, ranks)
    assert_all_agree(files, cases)


def test_threads(lammps: Lammps, files):
    text = "".join(case.input() for case in CASES).replace("guard off", "guard off threads 2")
    lammps.run(text, files, 2)
    assert_all_agree(files, CASES)


def test_units_real(lammps: Lammps, files):
    """Energies in kcal/mol, the same structure."""
    case = CASES[0]
    lammps.run(case.input().replace("metal", "real"), files, 2)
    frame = read_frame(files, case.name)
    evaluator = Evaluator(files / "cosine.safetensors", ethanol().numbers, True, "cpu", "float64")
    expected = evaluator.evaluate(frame.positions[None], ethanol().cell.array[None])
    np.testing.assert_allclose(frame.energy * kcal / mol, expected.energy[0], rtol=1e-8)
    scale = np.abs(expected.forces).max()
    np.testing.assert_allclose(frame.forces * kcal / mol, expected.forces, atol=1e-8 * scale)


def many_ethanol() -> Atoms:
    """Eight molecules, 12 A apart, that all drift."""
    one = read(MOLECULE)
    one.set_cell([12.0] * 3)
    one.center()
    one.pbc = True
    return one * (2, 2, 2)


DRIFT = """
units           metal
comm_style      {style}
read_data       many.data
pair_style      mlpotential ethanol_float64.mlpk
pair_coeff      * * H C O
neighbor        1.0 bin
velocity        all create 300.0 7 mom yes rot yes dist gaussian loop all
velocity        all set 20.0 13.0 7.0 sum yes
timestep        0.0005
fix             move all nve
{fix}
"""


@pytest.mark.parametrize(
    ("style", "fix"),
    [("brick", "fix even all balance 50 1.0 shift xyz 10 1.05"),
     ("tiled", "fix even all balance 50 1.0 rcb")],
)  # fmt: skip
def test_atoms_that_cross_domains(lammps: Lammps, files, style, fix):
    """2,000 steps on two processes: forces are still those of the Evaluator."""
    atoms = many_ethanol()
    write_lammps_data(files / "many.data", atoms, specorder=list(ELEMENTS), masses=True)
    name = f"many_{style}"
    text = DRIFT.format(style=style, fix=fix)
    log = lammps.run(text + "thermo 200\n" + answers(name, 2000), files, 2)
    assert re.search(r"Loop time of \S+ on 2 procs for 2000 steps", log)
    frame = read_frame(files, name)
    moved = np.abs(frame.positions - atoms.positions)
    assert np.minimum(moved, 24.0 - moved).max(axis=0).min() > 5.0
    assert_agrees(frame, ETHANOL, atoms, "float64")


def test_energy_is_conserved_on_two_processes(lammps: Lammps, files):
    log = lammps.run((files / "c20_nve.in").read_text(), files, 2)
    rows = thermo_rows(log)
    total = rows[:, 3]
    assert np.ptp(total) < 5e-3
    assert rows[-1, 0] == 2000


def thermo_rows(log: str) -> np.ndarray:
    """The table of the last run."""
    tables = re.findall(r"^\s+Step .*\n((?:[\s\d.e+-]+\n)+)", log, re.MULTILINE)
    return np.array([line.split() for line in tables[-1].strip().splitlines()], float)


def test_path_integrals(lammps: Lammps, files):
    text = (files / "c20_pimd.in").read_text().replace("run             400", "run 20")
    text = text.replace("thermo          100", "thermo 10")
    lammps.run(text, files, 4, "-partition", "4x1")
    assert (files / "log.lammps.3").read_text().count("Loop time") == 1


def test_minimization(lammps: Lammps, files):
    rows = thermo_rows(lammps.run((files / "c20_minimize.in").read_text(), files, 2))
    assert rows[-1, 2] < 0.01
    assert rows[-1, 1] < rows[0, 1] - 0.5


def test_metadynamics(lammps: Lammps, files):
    text = (files / "ethanol_metadynamics.in").read_text().replace("4000", "200")
    rows = thermo_rows(lammps.run(text.replace("thermo          500", "thermo 100"), files, 2))
    assert np.isfinite(rows).all()
    assert (files / "ethanol.colvars.traj").is_file()


def test_restart(lammps: Lammps, files):
    """The second part knows model, elements and options, and goes on where the first ended."""
    first = (files / "c20_write_restart.in").read_text().replace("c20.mlpk", "c20.mlpk threads 2")
    end = thermo_rows(lammps.run(first, files, 2))[-1]
    log = lammps.run((files / "c20_read_restart.in").read_text(), files, 2)
    assert "float64, 2 threads" in log
    start = thermo_rows(log)[0]
    np.testing.assert_allclose(start, end, rtol=1e-6)


def test_hybrid_overlay(lammps: Lammps, files):
    """Two pair styles add up; one type is not for the model."""
    case = CASES[3]
    styles = "pair_style hybrid/overlay zbl 1.0 2.0 mlpotential"
    text = case.input().replace("pair_style      mlpotential", styles)
    coefficients = "pair_coeff * * zbl 6 6\npair_coeff * * mlpotential NULL C C"
    log = lammps.run(text.replace("pair_coeff      * * H C O", coefficients), files, 2)
    assert "Loop time" in log
    together = read_frame(files, case.name)
    only_zbl = text.replace(f"mlpotential {case.cutoff}_{case.dtype}.mlpk guard off", "")
    lammps.run(only_zbl.replace("pair_coeff      * * H C O", "pair_coeff * * zbl 6 6"), files)
    zbl = read_frame(files, case.name)
    atoms = triclinic()
    kept = atoms.numbers != 1
    rest = atoms[kept]
    rest.symbols[:] = "C"
    evaluator = Evaluator(files / "cosine.safetensors", rest.numbers, True, "cpu", "float64")
    expected = evaluator.evaluate(together.positions[kept][None], atoms.cell.array[None])
    assert abs(together.energy - zbl.energy - expected.energy[0]) < 1e-10 * abs(together.energy)
    found = (together.forces - zbl.forces)[kept]
    assert np.abs(found - expected.forces).max() < 1e-10 * np.abs(together.forces).max()


def test_charges(lammps: Lammps, files):
    """Of the ethanol model; they add up to its total charge."""
    text = """
units           metal
read_data       ethanol.data
pair_style      mlpotential ethanol.mlpk
pair_coeff      * * H C O
fix             q all pair 1 mlpotential charges 1
dump            out all custom 1 q.dump id x y z f_q
dump_modify     out sort id format float %.17g
run             0
"""
    lammps.run(text, files, 2)
    lines = (files / "q.dump").read_text().splitlines()[-9:]
    table = np.array([line.split() for line in lines], float)
    evaluator = Evaluator(ETHANOL, read(MOLECULE).numbers, device="cpu")
    expected = evaluator.evaluate(table[None, :, 1:4], None, ("charges",))
    np.testing.assert_allclose(table[:, 4], expected.charges, atol=2e-6)
    assert abs(table[:, 4].sum()) < 1e-9


def test_a_process_without_atoms(lammps: Lammps, files):
    """A molecule in one corner of its box, which four processes share."""
    case = CASES[0]
    text = case.input("processors 4 1 1", after="displace_atoms all move -3.0 0.0 0.0")
    log = lammps.run(text, files, 4)
    assert re.search(r"Nlocal: .* 0 min", " ".join(log.split()))
    assert_all_agree(files, [case])


def test_without_a_cutoff(lammps: Lammps, files):
    """All pairs of a molecule, in a box that is not periodic."""
    model = save(files / "none.safetensors", tiny_schnet(cutoff_function="none", cutoff=None))
    export(model, files / "none.mlpk", "float64")
    case = Case("ethanol", "none", "float64")
    text = case.input().replace("none_float64.mlpk", "none.mlpk")
    lammps.run(text.replace("p p p", "s s s"), files, 2)
    atoms = ethanol()
    atoms.pbc, atoms.cell[:] = False, 0.0
    assert_agrees(read_frame(files, case.name), model, atoms, "float64")
    assert "no cutoff, so each atom would see all its periodic images: set boundary s s s" in (
        lammps.error(text, files)
    )


GUARD = """
units           metal
read_data       c20.data
pair_style      mlpotential c20.mlpk {options}
pair_coeff      * * C
group           one id 1
displace_atoms  one move 0.0 0.0 {move}
compute         m all pair mlpotential
thermo_style    custom step c_m[1] c_m[2] c_m[3] c_m[4]
run             2
"""


def test_the_guard_warns_once_and_counts(lammps: Lammps, files):
    log = lammps.run(GUARD.format(options="", move=-3.0), files, 2)
    assert log.count("outside the training data") == 1
    assert "This is said once a run; guard stop would stop here" in log
    assert thermo_rows(log)[0, 1] >= 1
    log = lammps.run(GUARD.format(options="guard off", move=-3.0), files, 2)
    assert "outside the training data" not in log
    log = lammps.run(GUARD.format(options="", move=0.0), files, 2)
    assert "outside the training data" not in log
    assert (thermo_rows(log)[:, 1:] == 0).all()


def test_the_guard_stops(lammps: Lammps, files):
    words = lammps.error(GUARD.format(options="guard stop", move=0.6), files, 2)
    assert re.search(
        r"outside the training data: .*atom \d+ \(C\).* Energies and forces are", words
    )


INPUT = """
units           metal
read_data       ethanol.data
pair_style      mlpotential cosine_float32.mlpk guard off
pair_coeff      * * H C O
run             0
"""
STYLE, COEFF = "mlpotential cosine_float32.mlpk guard off", "* * H C O"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("units           metal", "units lj", "it needs units metal or real, not lj"),
        (STYLE, "mlpotential", "it is written pair_style mlpotential FILE.mlpk"),
        (STYLE, "mlpotential absent.mlpk", "absent.mlpk cannot be read: make it with"),
        (STYLE, "mlpotential cosine.safetensors", "is a model file: mlpotential lammps export"),
        (STYLE, "mlpotential ethanol.data", "ethanol.data is no kernel file: mlpotential lammps"),
        (STYLE, "mlpotential truncated.mlpk", "truncated.mlpk is cut short or damaged: make it"),
        (STYLE, "mlpotential short.mlpk", "short.mlpk is cut short: make it anew"),
        (STYLE, "mlpotential other.mlpk", "is for kernels of interface 99, and this plugin is for"),
        (STYLE, "mlpotential stale.mlpk", "stale.mlpk was made of an earlier /.*stale.safetensors"),
        (STYLE, f"{STYLE} threads 0", "threads must be from 1 to 1024, not 0"),
        ("guard off", "guard on", "guard must be warn, stop or off, not on"),
        ("guard off", "gard off", "there is no option gard: pair_style mlpotential FILE.mlpk"),
        (COEFF, "* * H C", "an element, or NULL, for each of the 3 atom types"),
        (COEFF, "* * H C Si", r"the model knows the elements C H O, not Si \(of atom type 3\)"),
        (COEFF, "* * NULL NULL NULL", "every atom type is NULL"),
        ("run ", "neigh_modify exclude type 1 1\nrun ", "neigh_modify exclude leaves pairs out"),
        ("run ", "compute s all stress/atom NULL\ndump d all custom 1 s.dump c_s[1]\nrun ",
         "it has no virial per atom"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ranks", [1, 2])
def test_errors(lammps: Lammps, files, old, new, words, ranks):
    content = (files / "cosine_float32.mlpk").read_bytes()
    (files / "truncated.mlpk").write_bytes(content[:-100])
    (files / "short.mlpk").write_bytes(content[:100])
    (files / "other.mlpk").write_bytes(re.sub(rb"interface \d+", b"interface 99", content))
    if not (files / "stale.mlpk").exists():
        model = save(files / "stale.safetensors", tiny_schnet(1))
        export(model, files / "stale.mlpk")
        save(model, tiny_schnet(2))
    assert old in INPUT
    error = lammps.error(INPUT.replace(old, new, 1), files, ranks)
    assert re.search(words, error), error
    assert "Pair style mlpotential" in error


def test_atoms_in_one_place(lammps: Lammps, files):
    text = INPUT.replace("run ", "set atom 2 x 6.0 y 6.0 z 6.0\nset atom 3 x 6.0 y 6.0 z 6.0\nrun ")
    for ranks in (1, 2):
        error = lammps.error(text, files, ranks)
        assert re.search(r"atoms (2 and 3|3 and 2) are in one place", error), error


def test_bonds_that_would_leave_pairs_out(lammps: Lammps, files):
    text = """
units           metal
atom_style      bond
region          box block 0 10 0 10 0 10
create_box      1 box bond/types 1 extra/bond/per/atom 2 extra/special/per/atom 2
create_atoms    1 single 5 5 5
create_atoms    1 single 6 5 5
mass            1 12.0
bond_style      zero
bond_coeff      1
create_bonds    single/bond 1 1 2
{special}
pair_style      mlpotential cosine_float32.mlpk guard off
pair_coeff      * * C
run             0
"""
    assert "special_bonds lj/coul 1.0 1.0 1.0" in lammps.error(text.format(special=""), files)
    lammps.run(text.format(special="special_bonds lj/coul 1.0 1.0 1.0"), files)


def test_a_plugin_of_another_lammps(lammps: Lammps, files, tmp_path):
    """Built as if for the version of another day."""
    from calculators.lammps.build import build
    from calculators.lammps.installation import Headers

    folder, mpi = headers(lammps.venv)
    build(Headers(folder, mpi, 20240829), tmp_path)
    other = Lammps(lammps.venv, tmp_path)
    error = other.error(INPUT, files)
    assert "LAMMPS is version 20250722 and the plugin was built for 20240829: build" in error
    other.run("units metal\n", files)  # whoever does not use it is not troubled


def test_a_kernel_that_went_away(lammps: Lammps, files, tmp_path, monkeypatch):
    """The package was removed after the plugin was built."""
    from calculators.lammps import build as builder
    from calculators.lammps.installation import find_headers
    from mlpotential.inference.schnet import kernel

    there = kernel.library_path("portable")
    gone = tmp_path / "gone" / there.name
    monkeypatch.setattr(kernel, "library_path", lambda name: gone)
    builder.build(find_headers(*headers(lammps.venv)), tmp_path)
    error = Lammps(lammps.venv, tmp_path).error(INPUT, files, 2)
    assert "cannot open the kernel" in error
    assert "build the plugin anew with mlpotential lammps build" in error


def test_a_killed_process_ends_the_run(lammps: Lammps, files):
    text = (files / "c20_nve.in").read_text().replace("run             2000", "run 10000000")
    (files / "in.long").write_text(text)
    command = lammps.command(2, "-in", "in.long")
    with subprocess.Popen(command, cwd=files, env=lammps.environ(), stdout=-1, stderr=-2) as run:
        workers: list[int] = []
        deadline = time.monotonic() + 60
        while len(workers) < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
            workers = [pid for pid in descendants(run.pid) if is_lammps(pid)]
        assert len(workers) == 2
        time.sleep(2.0)
        assert run.poll() is None
        os.kill(workers[-1], signal.SIGKILL)
        assert run.wait(timeout=60) != 0
    for _ in range(50):
        if not any(is_lammps(pid) for pid in workers):
            return
        time.sleep(0.2)
    raise AssertionError("a process lives on")


def descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def is_lammps(pid: int) -> bool:
    """Of the program itself, not of the script that starts it."""
    try:
        return Path(f"/proc/{pid}/exe").resolve().name == "lmp"
    except OSError:
        return False


def test_lmp_finds_the_plugin_by_its_entry_point(lammps: Lammps, files, tmp_path):
    """As in the environment where the package is installed."""
    package = tmp_path / "calculators/lammps"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    shutil.copy(ROOT / "calculators/lammps/places.py", package)
    shutil.copytree(lammps.plugins, package / "built")
    record = tmp_path / "mlpotential-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: mlpotential\nVersion: 1.0\n")
    points = (ROOT / "setup.cfg").read_text().partition("lammps.plugins =\n")[2]
    (record / "entry_points.txt").write_text(f"[lammps.plugins]\n{points.strip()}\n")
    log = lammps.run(INPUT, files, LAMMPS_PLUGIN_PATH="", PYTHONPATH=str(tmp_path))
    assert "Loop time" in log
