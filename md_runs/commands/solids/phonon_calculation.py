"""Phonons of any ASE calculator, by finite displacements in a supercell, through phonopy.

A. Togo, J. Phys. Soc. Jpn. 92, 012001 (2023), doi:10.7566/JPSJ.92.012001. Atoms that symmetry makes
distinct are displaced, one by one; the forces that follow are force constants, from which the
dynamical matrix at every q is summed. Forces of the undisplaced supercell are subtracted, so that a
structure that is not quite at rest does no harm to first order. The path is the standard one of
ASE for the Bravais lattice (W. Setyawan, S. Curtarolo, Comput. Mater. Sci. 49, 299 (2010),
doi:10.1016/j.commatsci.2010.05.010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from ase import Atoms
from tqdm import tqdm

from md_runs.analysis.structure.periodic_images import plane_spacings
from md_runs.analysis.vibrations.phonons import (
    PhononBands,
    PhononDensity,
    Phonons,
    PhononThermodynamics,
    imaginary_modes,
)
from mlpotential.errors import ConfigError, StructureError
from mlpotential.messages import bar_hidden
from mlpotential.settings_checks import check_number
from mlpotential.units import EV_PER_KJ_PER_MOL, WAVENUMBER_PER_INVERSE_FS

PER_CM_PER_THZ = 1e-3 * WAVENUMBER_PER_INVERSE_FS
SHORTEST_EDGE = 10.0  # A; chosen: forces of most models do not reach beyond half of it
DENSITY_POINTS = 400  # chosen: of the axis of the density of states
LAST_TEMPERATURE_K, TEMPERATURE_STEP_K = 1000.0, 10.0
PERIODIC = (True, True, True)


@dataclass(frozen=True)
class PhononSettings:
    """How phonons are computed.

    Attributes:
        supercell: numbers of cells along each axis, three or one for all (edges of 10 A or more).
        displacement: of atoms, A.
        symmetry: use the space group: fewer displacements, and the path of the primitive cell.
        symmetry_tolerance: how far atoms may lie from where a symmetry takes their image, A.
        path: points of high symmetry, as GXWKG (the standard path of the lattice).
        points: q-points of each line of the path.
        mesh: numbers of q-points of the mesh, three or one for all (spacings of 0.06 1/A).

    Raises:
        ConfigError: for numbers that make no sense.
    """

    supercell: Sequence[int] | None = None
    displacement: float = 0.01
    symmetry: bool = True
    symmetry_tolerance: float = 1e-5
    path: str | None = None
    points: int = 51
    mesh: Sequence[int] | None = None

    def __post_init__(self) -> None:
        check_number("--displacement", self.displacement)
        check_number("--symmetry-tolerance", self.symmetry_tolerance)
        _three(self.supercell, "--supercell")
        _three(self.mesh, "--mesh")
        if self.points < 2:
            raise ConfigError(f"--points must be 2 or more, not {self.points}")


def require_phonopy() -> None:
    """Raises ConfigError where phonopy is not installed."""
    try:
        import phonopy  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "phonons need the package phonopy: pip install 'mlpotential[phonons]'"
        ) from error


def phonons(
    atoms: Atoms,
    settings: PhononSettings | None = None,
    temperatures_K: Sequence[float] = (),
) -> Phonons:
    """Bands, density of states and thermodynamics of a crystal.

    Args:
        atoms: relaxed, with a calculator, periodic in all directions; not changed.
        settings: how; None for those of `PhononSettings`.
        temperatures_K: in addition to 0, 10 and so on to 1000.

    Raises:
        ConfigError: where phonopy is not installed, a path or a supercell makes no sense.
        StructureError: for what is no crystal, or has constraints.
    """
    require_phonopy()
    settings = settings or PhononSettings()
    _check_crystal(atoms, settings)
    supercell = _three(settings.supercell, "--supercell") or shortest_supercell(atoms)
    made = _prepared(atoms, supercell, settings)
    max_force, n_displacements = _evaluate(made, atoms.calc, settings.displacement)
    constants = made.force_constants
    violation, largest = np.abs(constants.sum(axis=1)).max(), np.abs(constants).max()
    made.symmetrize_force_constants(show_drift=False)
    bands = _bands(made, settings)
    mesh = made.run_mesh(_three(settings.mesh, "--mesh") or 100.0)  # phonopy's length, A
    wavenumbers = np.concatenate([mesh.frequencies * PER_CM_PER_THZ, bands.wavenumbers_per_cm])
    weights = np.concatenate([mesh.weights, np.zeros(len(bands.distances))])
    dataset = made.symmetry.dataset
    return Phonons(
        formula=_atoms_of(made.primitive).symbols.formula.format("reduce"),
        space_group=dataset.international if settings.symmetry else None,
        supercell=supercell,
        displacement=settings.displacement,
        n_displacements=n_displacements,
        sum_rule_violation=float(violation),
        largest_force_constant=float(largest),
        max_force=max_force,
        gamma_per_cm=made.run_qpoints([[0.0, 0.0, 0.0]]).frequencies[0] * PER_CM_PER_THZ,
        bands=bands,
        density=_density(made),
        thermodynamics=_thermodynamics(made, temperatures_K),
        imaginary=imaginary_modes(
            wavenumbers, np.concatenate([mesh.qpoints, bands.q_points]), weights
        ),
    )


def shortest_supercell(atoms: Atoms) -> tuple[int, int, int]:
    """The smallest one whose planes lie 10 A or more apart."""
    a, b, c = np.ceil(SHORTEST_EDGE / plane_spacings(atoms.cell.array[None], PERIODIC).ravel())
    return int(a), int(b), int(c)


def _three(numbers: Sequence[int] | None, option: str) -> tuple[int, int, int] | None:
    """One number for all axes, or one for each. Raises ConfigError for others."""
    if numbers is None:
        return None
    given = tuple(numbers) * 3 if len(numbers) == 1 else tuple(numbers)
    if len(given) != 3 or min(given) < 1:
        words = " ".join(map(str, numbers))
        raise ConfigError(f"{option} takes one or three whole numbers of 1 or more, not {words}")
    return given


def _check_crystal(atoms: Atoms, settings: PhononSettings) -> None:
    """Raises StructureError, ConfigError as `phonons`."""
    if not atoms.pbc.all():
        raise StructureError(
            "phonons are of crystals, periodic in all three directions: of molecules and "
            "surfaces, take md-runs modes"
        )
    if atoms.constraints:
        raise StructureError(
            "phonons need atoms that are free to move: remove the constraints "
            "(atoms.set_constraint())"
        )
    masses = atoms.get_masses()
    for number in np.unique(atoms.numbers):
        if settings.symmetry and np.ptp(masses[atoms.numbers == number]) > 0:
            raise ConfigError(
                f"atoms of one element ({Atoms([number]).symbols}) have different masses, which "
                "symmetry does not see: give --no-symmetry"
            )


def _prepared(atoms: Atoms, supercell: tuple[int, int, int], settings: PhononSettings) -> Any:
    """A `Phonopy` with cells, symmetry and displacements; no type, since it may be absent."""
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms
    from phonopy.structure.cells import guess_primitive_matrix

    cell = PhonopyAtoms(
        symbols=list(atoms.symbols),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
    )
    tolerance = settings.symmetry_tolerance
    primitive = guess_primitive_matrix(cell, symprec=tolerance) if settings.symmetry else np.eye(3)
    made = Phonopy(
        cell,
        np.diag(supercell),
        primitive_matrix=primitive,
        symprec=tolerance,
        is_symmetry=settings.symmetry,
    )
    made.generate_displacements(distance=settings.displacement)
    return made


def _evaluate(made: Any, calculator: Any, displacement: float) -> tuple[float, int]:
    """Forces of all displaced supercells; the longest force at rest, and how many there are."""
    at_rest = _forces(made.supercell, calculator)
    displaced = made.supercells_with_displacements
    progress = tqdm(displaced, desc="displacements", disable=bar_hidden())
    made.forces = [_forces(cell, calculator) - at_rest for cell in progress]
    made.produce_force_constants(show_drift=False)
    return float(np.linalg.norm(at_rest, axis=1).max()), len(displaced)


def _atoms_of(cell: Any) -> Atoms:
    """A cell of phonopy for ASE."""
    return Atoms(
        cell.symbols,
        scaled_positions=cell.scaled_positions,
        cell=cell.cell,
        masses=cell.masses,
        pbc=True,
    )


def _forces(cell: Any, calculator: Any) -> np.ndarray:
    atoms = _atoms_of(cell)
    atoms.calc = calculator
    return np.asarray(atoms.get_forces(), np.float64)


def _bands(made: Any, settings: PhononSettings) -> PhononBands:
    """Along the path. Raises ConfigError for points that the lattice does not have."""
    from ase.dft.kpoints import parse_path_string  # with scipy.integrate, which a help has not

    primitive = _atoms_of(made.primitive)
    try:
        path = primitive.cell.bandpath(settings.path, npoints=0)
        corners = [list(pairwise(names)) for names in parse_path_string(path.path)]
    except (KeyError, ValueError) as error:
        known = primitive.cell.bandpath(npoints=0)
        raise ConfigError(
            f"the path {settings.path!r} has points that this lattice does not have: its standard "
            f"path is {known.path}"
        ) from error
    lines = [line for part in corners for line in part]
    if not lines:
        raise ConfigError(f"the path {settings.path!r} has no line: name two points or more")
    reciprocal = 2.0 * np.pi * primitive.cell.reciprocal().array
    q_points, distances, marks, names = [], [], [0.0], [lines[0][0]]
    for first, last in lines:
        begin, end = (path.special_points[name] for name in (first, last))
        shares = np.linspace(0.0, 1.0, settings.points)
        if names[-1] != first:  # a jump
            names[-1] += f"|{first}"
        q_points.append(begin + shares[:, None] * (end - begin))
        distances.append(marks[-1] + shares * np.linalg.norm((end - begin) @ reciprocal))
        marks.append(float(distances[-1][-1]))
        names.append(last)
    all_points = np.concatenate(q_points)
    starts = settings.points * np.arange(len(lines))
    return PhononBands(
        path=path.path,
        q_points=all_points,
        distances=np.concatenate(distances),
        wavenumbers_per_cm=made.run_qpoints(all_points).frequencies * PER_CM_PER_THZ,
        segments=np.column_stack([starts, starts + settings.points]),
        corner_distances=np.array(marks),
        corner_names=tuple(names),
    )


def _density(made: Any) -> PhononDensity:
    """By the tetrahedron method, from one end of the mesh's frequencies to the other."""
    mesh = made.mesh
    lowest, highest = float(mesh.frequencies.min()), float(mesh.frequencies.max())
    found = made.run_total_dos(
        freq_min=lowest,
        freq_max=highest,
        freq_pitch=max(highest - lowest, 1e-6) / DENSITY_POINTS,
    )
    a, b, c = (int(n) for n in mesh.mesh_numbers)
    return PhononDensity(
        wavenumbers_per_cm=found.frequency_points * PER_CM_PER_THZ,
        density=found.dos / PER_CM_PER_THZ,
        mesh=(a, b, c),
    )


def _thermodynamics(made: Any, more_K: Sequence[float]) -> PhononThermodynamics:
    """From the mesh, per primitive cell."""
    steps = np.arange(0.0, LAST_TEMPERATURE_K + 0.5 * TEMPERATURE_STEP_K, TEMPERATURE_STEP_K)
    temperatures = np.union1d(steps, np.asarray(more_K, float))
    found = made.run_thermal_properties(temperatures=temperatures, exclude_gamma_acoustic=True)
    eV_per_joule_per_mol = 1e-3 * EV_PER_KJ_PER_MOL
    return PhononThermodynamics(
        temperatures_K=found.temperatures,
        free_energies=found.free_energy * EV_PER_KJ_PER_MOL,
        entropies_eV_per_K=found.entropy * eV_per_joule_per_mol,
        heat_capacities_eV_per_K=found.heat_capacity * eV_per_joule_per_mol,
        n_atoms=len(made.primitive),
    )
