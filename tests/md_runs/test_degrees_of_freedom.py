"""Runs and analysis count the same degrees of freedom: the same temperature, the same integral."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import fcc100, molecule
from ase.constraints import FixAtoms, FixBondLength
from ase.io import read, write
from harmonic_molecules import HarmonicCharges, dodecahedron
from linear_triatomic import CO2, HCN, linear_triatomic
from numpy.testing import assert_allclose, assert_array_equal
from spring_network import SpringNetwork

from md_runs.analysis.spectra.density_of_states import (
    VibrationalSpectrum,
    decomposed_density_of_states,
    vibrational_density_of_states,
)
from md_runs.analysis.spectra.vibrational_motion import ModeProjection
from md_runs.analysis.vibrations.degrees_of_freedom import (
    LINEAR_AT_REST_DEGREES,
    degrees_of_freedom,
    is_linear,
)
from md_runs.classical import checkpoint
from md_runs.classical.checkpoint import ClassicalState
from md_runs.classical.nve_segments import run_nve_segments
from md_runs.classical.run import CHECKPOINT_NAME, TRAJECTORY_NAME, run_classical
from md_runs.classical.settings import ClassicalRun
from md_runs.commands.prepared_run import measured_temperature_K, open_runs
from md_runs.commands.vdos import vdos_report
from md_runs.force_provider import IpiDriver
from md_runs.pimd.segments import run_segments_with_driver, thermal_bead_velocities
from md_runs.pimd.settings import PimdRun
from md_runs.reading import read_run
from md_runs.thermal_velocities import maxwell_boltzmann, n_degrees_of_freedom
from md_runs.trajectories.extxyz_writer import write_extended_xyz
from md_runs.trajectories.frames_file import read_header, read_records, read_trajectory
from md_runs.trajectories.h5md_writer import write_h5md
from md_runs.trajectories.trajectory import Trajectory
from mlpotential.errors import DataError, RunError, StructureError
from mlpotential.units import EV_PER_KELVIN

KELVIN = 300.0
CONSERVED = BOTH, TRANSLATION, NOTHING = "translation and rotation", "translation", "nothing"


def springs(atoms: Atoms, spring: float) -> Atoms:
    """With springs between all atoms, at rest as they are."""
    atoms.calc = SpringNetwork(atoms.get_positions(), spring)
    return atoms


def slab() -> Atoms:
    """Two layers of copper, periodic along x and y, with springs to near images of neighbors."""
    atoms = fcc100("Cu", (2, 2, 2), vacuum=5.0)
    atoms.pbc = (True, True, False)
    hessian = np.zeros((8, 3, 8, 3))
    shifts = np.array([[a, b, 0] for a in (-1, 0, 1) for b in (-1, 0, 1)]) @ atoms.cell.array
    for i in range(8):
        for j in range(8):
            for d in atoms.positions[j] + shifts - atoms.positions[i]:
                if 0.1 < np.linalg.norm(d) < 3.0:
                    block = 2.0 * np.outer(d, d) / (d @ d)
                    hessian[i, :, i] += block
                    hessian[i, :, j] -= block
    atoms.calc = HarmonicCharges(atoms.get_positions(), hessian.reshape(24, 24), np.zeros(8))
    return atoms


SYSTEMS = {
    "Ar2": lambda: springs(Atoms("Ar2", [[0, 0, 0], [1.0, 2.0, 3.0]]), 1.0),
    "N2": lambda: springs(molecule("N2"), 140.0),
    "CO2": lambda: linear_triatomic(*CO2),
    "HCN": lambda: linear_triatomic(*HCN),
    "H2O": lambda: springs(molecule("H2O"), 20.0),
    "C20": lambda: springs(Atoms("C20", dodecahedron()), 2.0),
    "slab": slab,
}
# fixed atoms: degrees of freedom where translation and rotation, translation, nothing is conserved
COUNTS = {
    "Ar2": {(): (1, 3, 6), (0,): (1, 3, 3), (0, 1): (0, 0, 0)},
    "N2": {(): (1, 3, 6), (1,): (1, 3, 3)},
    "CO2": {(): (4, 6, 9), (0,): (4, 6, 6), (1,): (4, 6, 6), (0, 1): (3, 3, 3), (0, 2): (3, 3, 3)},
    "HCN": {(): (4, 6, 9), (1,): (4, 6, 6), (1, 2): (3, 3, 3)},
    "H2O": {(): (3, 6, 9), (0,): (3, 6, 6), (0, 1): (2, 3, 3), (0, 1, 2): (0, 0, 0)},
    "C20": {(): (54, 57, 60), (3,): (54, 57, 57), (3, 9): (53, 54, 54), (3, 9, 5): (51, 51, 51)},
    "slab": {(): (21, 21, 24), (0,): (21, 21, 21), (0, 1, 2, 3): (12, 12, 12)},
}
CASES = [(name, fixed) for name, counts in COUNTS.items() for fixed in counts]
MOVING = [(name, fixed) for name, fixed in CASES if COUNTS[name][fixed][0] > 0]
FEW = [case for case in MOVING if case[1] in ((), next(reversed(COUNTS[case[0]])))]


def system(name: str, fixed: tuple[int, ...] = ()) -> Atoms:
    atoms = SYSTEMS[name]()
    atoms.set_constraint(FixAtoms(fixed) if fixed else None)
    return atoms


def mask(n_atoms: int, fixed: tuple[int, ...]) -> np.ndarray:
    return np.isin(np.arange(n_atoms), fixed)


def bent(name: str, degrees: float = 20.0) -> np.ndarray:
    """A linear molecule in motion: its middle atom, or the atoms beside it, off the line."""
    atoms = SYSTEMS[name]()
    r = atoms.positions - atoms.positions[1]
    normal = np.cross(r[0], [0.3, 0.2, -0.9])
    normal *= np.linalg.norm(r[0]) / np.linalg.norm(normal)
    r[0] = np.cos(np.radians(degrees)) * r[0] + np.sin(np.radians(degrees)) * normal
    return r


# ---------------------------------------------------------------- the count itself, exactly


@pytest.mark.parametrize(("name", "fixed"), CASES)
def test_the_count(name, fixed):
    atoms = SYSTEMS[name]()
    masses = atoms.get_masses()
    structures = [atoms.positions]
    if name in ("CO2", "HCN") and len(fixed) < 2:
        structures.append(bent(name))
    for positions in structures:
        for conserved, expected in zip(CONSERVED, COUNTS[name][fixed], strict=True):
            found = degrees_of_freedom(
                positions, masses, conserved, fixed=mask(len(atoms), fixed), pbc=atoms.pbc
            )
            assert found.n_thermal == expected, conserved


@pytest.mark.parametrize(("name", "fixed"), CASES)
def test_rigid_motions_are_orthonormal_conserved_and_leave_fixed_atoms(name, fixed):
    """And they are all there are, by linear algebra of another kind."""
    atoms = SYSTEMS[name]()
    r = bent(name) if name in ("CO2", "HCN") and len(fixed) < 2 else atoms.positions
    masses, is_fixed = atoms.get_masses(), mask(len(atoms), fixed)
    freedom = degrees_of_freedom(r, masses, fixed=is_fixed, pbc=atoms.pbc)
    rigid = freedom.rigid_vectors(r)
    flat = rigid.reshape(len(rigid), r.size)
    assert_allclose(flat @ flat.T, np.eye(len(flat)), atol=1e-12)
    assert not rigid[:, is_fixed].any()
    # Rigid motions do not change distances, of free atoms to fixed ones either.
    displacements = rigid / np.sqrt(masses)[:, None]
    if not atoms.pbc.any():
        pairs = r[:, None] - r
        slopes = np.einsum(
            "ijx,uijx->uij", pairs, displacements[:, :, None] - displacements[:, None]
        )
        assert_allclose(slopes, 0.0, atol=1e-12)
    # All combinations of three translations and three rotations that move no fixed atom.
    generators = [np.tile(e, (len(r), 1)) for e in np.eye(3)]
    if not atoms.pbc.any():
        generators += [np.cross(e, r) for e in np.eye(3)]
    generators = np.array(generators)
    moved = generators[:, is_fixed].reshape(len(generators), -1)
    u, s, _ = np.linalg.svd(moved, full_matrices=True)
    unmoving = u[:, np.sum(s > 1e-9) :].T
    allowed = np.einsum("ug,gix->uix", unmoving, generators)
    n_allowed = np.linalg.matrix_rank(allowed.reshape(len(allowed), r.size), tol=1e-9)
    is_bent_line = freedom.is_linear and r is not atoms.positions
    assert len(rigid) == n_allowed - int(is_bent_line)
    # The projection takes out exactly these: its trace is the number of what is left.
    units = np.eye(3 * len(r)).reshape(-1, len(r), 3) / np.sqrt(masses)[:, None]
    left = freedom.without_rigid_motion(units, np.broadcast_to(r, units.shape))
    left = (left * np.sqrt(masses)[:, None]).reshape(len(units), -1)
    assert np.trace(left) == pytest.approx(freedom.n_thermal, abs=1e-9)
    assert_allclose(left @ left, left, atol=1e-12)
    assert_allclose(flat @ left, 0.0, atol=1e-12)


def test_an_atom_and_a_crystal():
    one = np.zeros((1, 3))
    for conserved, expected in ((BOTH, 0), (TRANSLATION, 0), (NOTHING, 3)):
        assert degrees_of_freedom(one, np.ones(1), conserved).n_thermal == expected
    cube = np.array(np.meshgrid([0, 1.0], [0, 1.0], [0, 1.0])).reshape(3, -1).T
    assert degrees_of_freedom(cube, np.ones(8), pbc=(True, True, True)).n_thermal == 21


def thermal_frames(name: str, temperature_K: float, n_frames: int, quantum: float = 1.0):
    """Bent at random, as the bends of a linear triatomic are, [n_frames, 3, 3] (A)."""
    atoms = SYSTEMS[name]()
    bend = {"CO2": CO2, "HCN": HCN}[name][3]
    rng = np.random.default_rng(0)
    axis = atoms.positions[0] - atoms.positions[1]
    normals = np.linalg.svd(axis[None])[2][1:]
    width = np.sqrt(quantum * EV_PER_KELVIN * temperature_K / bend)
    angles = width * rng.normal(size=(n_frames, 2))
    frames = np.repeat(atoms.positions[None], n_frames, axis=0)
    frames[:, 0] += np.linalg.norm(axis) * angles @ normals
    return frames


def test_linear_molecules_are_linear_however_they_bend():
    for name, temperature_K in (("CO2", 300.0), ("HCN", 300.0), ("HCN", 1000.0)):
        frames = thermal_frames(name, temperature_K, 1000)
        assert is_linear(frames)
        assert is_linear(SYSTEMS[name]().positions, LINEAR_AT_REST_DEGREES)
        if temperature_K == 300.0:
            assert np.mean([is_linear(frame) for frame in frames]) > 0.999
    beads = thermal_frames("HCN", 300.0, 800, quantum=1.8)  # with zero-point motion
    assert is_linear(beads.reshape(100, 8, 3, 3))


@pytest.mark.parametrize("name", ["H2O", "NO2", "HCO", "C2H4", "H2CO", "CH4", "C3H4_D2d", "C6H6"])
def test_bent_molecules_are_not(name):
    assert not is_linear(molecule(name).positions)


@pytest.mark.parametrize("name", ["C2H2", "CO2", "HCN", "OCS", "N2O", "LiF"])
def test_molecules_of_ase_that_are_linear(name):
    assert is_linear(molecule(name).positions, LINEAR_AT_REST_DEGREES)


# ---------------------------------------------------------------- runs against their analysis


SHORT = ClassicalRun(
    timestep_fs=0.5, n_steps=160, stride=2, friction_per_fs=0.02, time_constant_fs=20.0, seed=7
)


def spectrum_of(run: Trajectory, removed: str, temperature_K: float) -> VibrationalSpectrum:
    velocities, positions = run.velocities_angstrom_per_fs, run.positions
    assert velocities is not None
    return vibrational_density_of_states(
        [np.asarray(velocities).mean(axis=1)],
        [np.asarray(positions).mean(axis=1)] if removed == BOTH else None,
        run.masses, run.frame_interval_fs, 20, removed,
        temperature_K=temperature_K, fixed=run.fixed,
    )  # fmt: skip


def assert_agree(path: Path, removed: str, n_modes: int, rtol: float) -> None:
    """Temperature and integral of the analysis are those of the run, frame for frame."""
    run, in_run_K = read_trajectory(path), read_records(path)["temperature_K"].mean()
    spectrum = spectrum_of(run, removed, in_run_K)
    assert spectrum.n_modes == n_modes
    assert_allclose(spectrum.kinetic_temperature_K.value, in_run_K, rtol=rtol)
    assert_allclose(spectrum.integral.value, n_modes, rtol=1e-3)
    (integral,) = [check for check in spectrum.checks if check.name == "integral (modes)"]
    assert integral.passed
    assert integral.expected == n_modes
    if removed == BOTH:
        assert_allclose(measured_temperature_K([run]), in_run_K, rtol=rtol)


@pytest.mark.parametrize("ensemble", ["nve", "bussi", "nose-hoover", "langevin"])
@pytest.mark.parametrize(
    ("name", "fixed"),
    [pytest.param(*case, marks=[] if case in FEW else pytest.mark.slow) for case in MOVING],
)
def test_a_run_and_its_analysis_agree(name, fixed, ensemble, tmp_path):
    """Where rotation is thermal, too, in the run, the analysis takes off translation only."""
    atoms = system(name, fixed)
    result = run_classical(atoms, replace(SHORT, ensemble=ensemble), tmp_path)
    removed = TRANSLATION if ensemble == "langevin" or atoms.pbc.any() else BOTH
    n_dof = COUNTS[name][fixed][(BOTH, TRANSLATION).index(removed)]
    assert result.n_degrees_of_freedom == n_dof
    # 1e-3: the axis of a linear molecule wobbles about its vibrational angular momentum
    rtol = 1e-3 if name in ("CO2", "HCN") else 1e-9
    assert_agree(tmp_path / TRAJECTORY_NAME, removed, n_dof, rtol)
    run = read_trajectory(tmp_path / TRAJECTORY_NAME)
    there = np.asarray(run.positions)[:, 0][:, list(fixed)]
    assert_array_equal(there, np.broadcast_to(atoms.positions[list(fixed)], there.shape))
    assert not np.asarray(run.velocities_angstrom_per_fs)[:, 0][:, list(fixed)].any()


@pytest.mark.parametrize(
    ("name", "fixed"), [("CO2", ()), ("HCN", (1,)), ("H2O", ()), ("slab", (0,))]
)
def test_segments_from_bent_frames_and_their_analysis_agree(name, fixed, tmp_path):
    """A single frame bent by 35 degrees does not tell that the molecule is linear; `atoms` do."""
    atoms = system(name, fixed)
    rng = np.random.default_rng(3)
    starts = []
    for _ in range(2):
        r = bent(name, 35.0) if name in ("CO2", "HCN") else atoms.positions
        momenta = maxwell_boltzmann(system(name, fixed), 100.0, True, rng)
        starts.append((r, momenta / atoms.get_masses()[:, None] / 10.0))
    segments = run_nve_segments(atoms, starts, 160, 0.5, 2, tmp_path, progress=False)
    assert len(segments) == 2
    for k in range(2):
        removed = TRANSLATION if atoms.pbc.any() else BOTH
        rtol = 0.05 if name in ("CO2", "HCN") else 1e-9  # bent so far they wobble much
        assert_agree(tmp_path / f"segment_{k}.frames", removed, COUNTS[name][fixed][0], rtol)


def test_a_bent_start_keeps_the_motion_of_its_bend():
    """The mean kinetic energy of drawn velocities is that of 3N - 5 directions."""
    atoms = SYSTEMS["CO2"]()
    atoms.positions, atoms.info["linear_molecule"] = bent("CO2"), True
    rng = np.random.default_rng(0)
    energies = []
    for _ in range(400):
        atoms.set_momenta(maxwell_boltzmann(atoms, KELVIN, False, rng))
        energies.append(atoms.get_kinetic_energy())
    mean = np.mean(energies) / (0.5 * EV_PER_KELVIN * KELVIN)
    assert abs(mean - 4.0) < 4.0 * np.sqrt(2 * 4.0 / 400)
    momenta, r = atoms.get_momenta(), atoms.positions - atoms.get_center_of_mass()
    assert np.abs(momenta.sum(axis=0)).max() < 1e-12
    assert np.linalg.norm(np.cross(r, momenta).sum(axis=0)) > 0.01


def test_beads_of_a_linear_molecule_keep_it_too():
    atoms = SYSTEMS["CO2"]()
    beads = thermal_frames("CO2", KELVIN, 4, quantum=1.7)
    settings = PimdRun(n_steps=1, n_beads=4)
    velocities = [
        thermal_bead_velocities(atoms, beads, replace(settings, seed=k)) for k in range(400)
    ]
    twice = np.einsum("i,sbix->s", atoms.get_masses(), np.array(velocities) ** 2)
    mean = twice.mean() / (EV_PER_KELVIN * KELVIN * 4)
    assert abs(mean - (3 * 3 * 4 - 5)) < 4.0 * np.sqrt(2 * 31 / 400)


def test_a_run_that_continues_from_a_bent_frame_counts_as_before(tmp_path):
    settings = replace(SHORT, ensemble="bussi")
    first = run_classical(SYSTEMS["CO2"](), settings, tmp_path / "first")
    atoms = first.atoms
    atoms.positions = bent("CO2", 35.0)
    assert not is_linear(atoms.positions)
    write(tmp_path / "last.extxyz", atoms)
    assert n_degrees_of_freedom(atoms, rotates=False) == 4
    assert n_degrees_of_freedom(read(tmp_path / "last.extxyz"), rotates=False) == 4


# ---------------------------------------------------------------- old runs, files, refusals


def as_version_1(folder: Path) -> None:
    """The checkpoint as the first version wrote it: no count, no fixed atoms, no chain."""
    state = ClassicalState.read(folder / CHECKPOINT_NAME)
    assert state.n_degrees_of_freedom is not None
    del state.start["fixed atoms"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "WITHOUT_CELL", 1)
        old = replace(state, n_degrees_of_freedom=None)
        thermostat = vars(old).pop("thermostat")
        vars(old)["transferred_energy"] = thermostat.get("transferred_energy", 0.0)
        old.write(folder / CHECKPOINT_NAME)


@pytest.mark.parametrize("ensemble", ["bussi", "nve", "langevin"])
def test_old_runs_are_continued_or_refused(ensemble, tmp_path):
    settings = replace(SHORT, ensemble=ensemble, n_steps=20)
    longer = replace(settings, n_steps=40)
    for name in ("CO2", "H2O"):
        atoms = SYSTEMS[name]()
        run_classical(atoms, settings, tmp_path / name)
        as_version_1(tmp_path / name)
        if name == "CO2" and ensemble != "langevin":
            with pytest.raises(RunError, match=r"begun with 3 degrees of freedom, and 4 are right"):
                run_classical(atoms, longer, tmp_path / name)
        else:
            result = run_classical(atoms, longer, tmp_path / name)
            whole = run_classical(atoms, longer, tmp_path / f"{name} at once")
            assert_array_equal(result.atoms.positions, whole.atoms.positions)


@pytest.mark.parametrize("ensemble", ["bussi", "nose-hoover", "nve", "langevin"])
def test_fixed_atoms_stay_fixed_over_a_restart(ensemble, tmp_path):
    settings = replace(SHORT, ensemble=ensemble, n_steps=40, checkpoint_stride=12)
    for name in ("whole", "parts"):  # of a linear molecule as well, whose rotation is taken out
        carbon_dioxide = system("CO2", (1,))
        if name == "parts":
            run_classical(carbon_dioxide, replace(settings, n_steps=18), tmp_path / "CO2 parts")
        run_classical(carbon_dioxide, settings, tmp_path / f"CO2 {name}")
    one, other = (tmp_path / f"CO2 {name}" / TRAJECTORY_NAME for name in ("whole", "parts"))
    assert one.read_bytes() == other.read_bytes()
    whole = run_classical(system("C20", (3, 9)), settings, tmp_path / "whole")
    run_classical(system("C20", (3, 9)), replace(settings, n_steps=18), tmp_path / "parts")
    parts = run_classical(system("C20", (3, 9)), settings, tmp_path / "parts")
    assert parts.trajectory_file.read_bytes() == whole.trajectory_file.read_bytes()
    with pytest.raises(RunError, match="the fixed atoms of the structure differ"):
        run_classical(system("C20", (3,)), settings, tmp_path / "parts")
    with pytest.raises(RunError, match="the fixed atoms of the structure differ"):
        run_classical(system("C20"), settings, tmp_path / "parts")
    assert parts.atoms.constraints[0].index.tolist() == [3, 9]


def test_files_tell_which_atoms_are_fixed(tmp_path):
    run = run_classical(system("slab", (0, 1, 2, 3)), SHORT, tmp_path / "run")
    expected = mask(8, (0, 1, 2, 3))
    whole = read_run(tmp_path / "run")
    assert_array_equal(whole.fixed, expected)
    write_extended_xyz(whole, tmp_path / "run.extxyz")
    write(tmp_path / "run.traj", read(tmp_path / "run.extxyz", ":"))
    for name in ("run.extxyz", "run.traj"):
        other = read_run(tmp_path / name)
        assert_array_equal(other.fixed, expected)
        assert_allclose(other.positions, whole.positions, atol=1e-7)
    with pytest.warns(UserWarning, match="H5MD does not tell that 4 atoms are fixed"):
        write_h5md(whole, tmp_path / "run.h5")
    free = run_classical(system("slab"), SHORT, tmp_path / "free")
    assert read_trajectory(free.trajectory_file).fixed is None
    header = read_header(free.trajectory_file).to_bytes()
    assert b'"format_version": 1' in header
    assert b"fixed" not in header  # as older versions wrote them, and can read them
    assert b'"format_version": 2' in read_header(run.trajectory_file).to_bytes()


def test_the_command_leaves_fixed_atoms_out(tmp_path):
    run_classical(system("slab", (0, 1, 2, 3)), SHORT, tmp_path / "run")
    (run,) = open_runs([tmp_path / "run"], temperature_K=KELVIN)
    found = vdos_report([run])
    assert found.results["run"].n_modes == 12
    assert any("4 fixed atoms left out" in line for line in found.assumptions)


def test_what_cannot_be_counted_is_told(tmp_path):
    atoms = system("H2O")
    atoms.set_constraint(FixBondLength(0, 1))
    atoms.info["time_fs"] = 0.0
    write(tmp_path / "rigid.traj", [atoms, atoms])
    with pytest.warns(UserWarning, match=r"constraints of .* are not counted \(FixBondLengths\)"):
        assert read_run(tmp_path / "rigid.traj", 1.0).fixed is None
    with pytest.raises(StructureError, match="FixBondLengths"):
        run_classical(atoms, SHORT, tmp_path / "run")
    modes = np.eye(9)[:3].reshape(3, 3, 3)
    v = np.ones((30, 3, 3))
    with pytest.raises(DataError, match="it turns about atoms that are fixed"):
        decomposed_density_of_states(
            v, v, np.ones(3), 1.0, ModeProjection(modes, v[0]), fixed=mask(3, (0,))
        )


# ---------------------------------------------------------------- ring polymers, and statistics


def ring_polymer_segments(folder: Path, settings: PimdRun) -> None:
    """The temperature of the centroids, counted by the run, is that of the analysis."""
    atoms = SYSTEMS["CO2"]()
    pes = str(Path(__file__).parent / "systems" / "linear_pes.py")
    result = run_segments_with_driver(
        atoms, IpiDriver(pes, {}), settings, folder, None, False, 60.0
    )
    in_run_K = result.centroid_temperature_K.value
    spectra = [spectrum_of(run, BOTH, in_run_K) for run in result.trajectories]
    assert {spectrum.n_modes for spectrum in spectra} == {4}
    mean = np.mean([spectrum.kinetic_temperature_K.value for spectrum in spectra])
    # 2 %: the angular momentum of all beads is conserved, that of the centroid nearly
    assert_allclose(mean, in_run_K, rtol=1e-3 if settings.n_beads == 1 else 0.02)


RPMD = PimdRun(
    n_steps=80, n_beads=2, dynamics="rpmd", segment_ps=0.04, start_spacing_ps=0.02, stride=2,
    properties_stride=20, checkpoint_stride=1000, thermostat_time_fs=20.0, seed=2,
)  # fmt: skip


@pytest.mark.slow
def test_ring_polymer_segments_and_their_analysis_agree(tmp_path):
    ring_polymer_segments(tmp_path / "run", RPMD)
    # begun by a version that took the bend out
    record = tmp_path / "run" / "segment_0" / "pimd.json"
    record.write_text(record.read_text().replace('"degrees of freedom": "3N - 5"', '"x": "y"'))
    with pytest.raises(RunError, match="degrees of freedom was None and is now '3N - 5'"):
        ring_polymer_segments(tmp_path / "run", RPMD)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_beads", "dynamics"),
    [
        (1, "rpmd"),
        (4, "trpmd"),
        pytest.param(1, "trpmd", marks=pytest.mark.torture),
        pytest.param(4, "rpmd", marks=pytest.mark.torture),
    ],
)
def test_longer_ring_polymer_segments(dynamics, n_beads, tmp_path):
    settings = replace(RPMD, dynamics=dynamics, n_beads=n_beads, n_steps=800, segment_ps=0.2)
    ring_polymer_segments(tmp_path / "run", settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fixed", "ensemble"),
    [
        ("CO2", (), "bussi"),
        pytest.param("CO2", (1,), "bussi", marks=pytest.mark.torture),
        pytest.param("HCN", (), "bussi", marks=pytest.mark.torture),
        pytest.param("CO2", (), "langevin", marks=pytest.mark.torture),
        ("H2O", (0,), "langevin"),
    ],
)
def test_the_temperature_is_that_of_the_thermostat(name, fixed, ensemble, tmp_path):
    """In the run, and in the analysis without the rotation that Langevin heats as well.

    One degree of freedom more or less would be seen: it is worth five standard errors and more.
    Rescaling must not have moved the energy of a bend into rotation: the analysis would be cold.
    """
    settings = replace(SHORT, ensemble=ensemble, n_steps=40_000, stride=10, seed=11)
    result = run_classical(system(name, fixed), settings, tmp_path)
    mean, n_dof = result.mean_temperature_K, result.n_degrees_of_freedom
    measured_K = measured_temperature_K([read_trajectory(result.trajectory_file)])
    print(name, fixed, ensemble, n_dof, mean, measured_K)
    assert 5.0 * mean.standard_error < KELVIN / n_dof
    assert abs(mean.value - KELVIN) < 4.0 * mean.standard_error
    more = np.sqrt(n_dof / COUNTS[name][fixed][0])  # fewer degrees of freedom, a larger error
    assert abs(measured_K - KELVIN) < 4.0 * more * mean.standard_error
