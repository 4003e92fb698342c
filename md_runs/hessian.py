"""Second derivatives of any ASE calculator, by central differences of its forces (and dipoles).

Evaluations of a slow calculator are kept in a file as they come, and are not made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from tqdm import tqdm

from md_runs.trajectories.structure_file import fixed_atoms, other_constraints
from mlpotential.errors import ConfigError, RunError, StructureError
from mlpotential.labelling.worker_calculator import WorkerCalculator
from mlpotential.messages import bar_hidden
from mlpotential.settings_checks import check_number


@dataclass(frozen=True)
class FiniteDifferenceHessian:
    """A Hessian with a measure of its error.

    Attributes:
        hessian: symmetric, of the atoms that are free to move, [3 n_free, 3 n_free] (eV/A^2).
        asymmetry: largest |H_ij - H_ji| before it was made symmetric (eV/A^2).
        dipole_derivatives: of dipole component y with coordinate x of atom i, [n_atoms, 3, 3] (e),
            0 of fixed atoms; None where they were not asked for.
    """

    hessian: np.ndarray
    asymmetry: float
    dipole_derivatives: np.ndarray | None = None


def hessian_by_finite_differences(
    atoms: Atoms,
    displacement: float = 0.005,
    with_dipoles: bool = False,
    kept_file: Path | None = None,
    progress: bool = False,
) -> FiniteDifferenceHessian:
    """H_ij = -(F_j(x_i + h) - F_j(x_i - h)) / 2h, from 6 evaluations for each atom that can move.

    The exact derivatives have H_ij = H_ji, so the asymmetry tells the error: the fourth derivatives
    times h^2, and the noise of the forces divided by h. Atoms that `FixAtoms` holds are not moved,
    and are not in the Hessian.

    Args:
        atoms: with a calculator, without constraints but fixed atoms; not changed.
        displacement: h (A); 0.005 suits float64 forces, 0.02 float32.
        with_dipoles: differentiate the calculator's dipoles, too, for infrared intensities.
        kept_file: keeps evaluations, so that an interrupted call goes on; None for none. Whoever
            has used the result removes it.
        progress: show a bar, if standard error is a terminal.

    Raises:
        ConfigError: a displacement that is not positive, or a calculator without dipoles.
        StructureError: other constraints, whose forces are not those of the potential, or no atom
            that can move.
    """
    check_number("displacement", displacement)
    if names := other_constraints(atoms):
        raise StructureError(
            f"a Hessian needs all forces: remove the constraints of the structure ({names}), or "
            "fix whole atoms (FixAtoms)"
        )
    is_free = np.repeat(~fixed_atoms(atoms), 3)
    if not is_free.any():
        raise StructureError("all atoms are fixed: a Hessian needs one that can move")
    n_atoms, coordinates = len(atoms), np.flatnonzero(is_free)
    rows, dipole_rows = np.zeros((len(coordinates),) * 2), np.zeros((3 * n_atoms, 3))
    moves = [(int(x), sign) for x in coordinates for sign in (1, -1)]
    row_of = {int(x): row for row, x in enumerate(coordinates)}
    kept = _KeptEvaluations.read(kept_file, atoms, displacement)
    for (x, sign), (forces, dipole) in _evaluations(
        atoms, moves, displacement, with_dipoles, kept, progress
    ):
        rows[row_of[x]] -= sign * forces.ravel()[is_free] / (2.0 * displacement)
        if dipole is not None:
            dipole_rows[x] += sign * dipole / (2.0 * displacement)
    return FiniteDifferenceHessian(
        hessian=0.5 * (rows + rows.T),
        asymmetry=float(np.abs(rows - rows.T).max()),
        dipole_derivatives=dipole_rows.reshape(n_atoms, 3, 3) if with_dipoles else None,
    )


_Move = tuple[int, int]  # the coordinate, and to which side
_Found = tuple[np.ndarray, np.ndarray | None]  # forces, [n_atoms, 3] (eV/A), and a dipole (e A)


def _evaluations(
    atoms: Atoms,
    moves: Sequence[_Move],
    displacement: float,
    with_dipoles: bool,
    kept: _KeptEvaluations,
    progress: bool,
) -> Iterator[tuple[_Move, _Found]]:
    """Of every displaced structure, as they come."""
    known = {m: x for m, x in kept.found.items() if not with_dipoles or x[1] is not None}
    yield from ((move, known[move]) for move in moves if move in known)
    todo = [move for move in moves if move not in known]
    with tqdm(
        total=len(moves),
        initial=len(known),
        desc="Hessian",
        unit="evaluation",
        disable=bar_hidden(not progress),
    ) as bar:
        for move, found in _new_evaluations(atoms, todo, displacement, with_dipoles):
            kept.add(move, found)
            bar.update()
            yield move, found


def _new_evaluations(
    atoms: Atoms, moves: Sequence[_Move], displacement: float, with_dipoles: bool
) -> Iterator[tuple[_Move, _Found]]:
    structures = (_displaced(atoms, move, displacement) for move in moves)
    if isinstance(atoms.calc, WorkerCalculator):
        wanted = ("dipole",) if with_dipoles else ()
        for k, values in atoms.calc.answers(structures, wanted):
            yield moves[k], (values["forces"], values["dipole"] if with_dipoles else None)
        return
    for move, displaced in zip(moves, structures, strict=True):
        forces = displaced.get_forces(apply_constraint=False)
        yield move, (forces, _dipole(displaced) if with_dipoles else None)


def _displaced(atoms: Atoms, move: _Move, displacement: float) -> Atoms:
    """One coordinate moved to one side."""
    displaced = atoms.copy()
    displaced.calc = atoms.calc
    displaced.positions.flat[move[0]] += move[1] * displacement
    return displaced


@dataclass(frozen=True)
class _KeptEvaluations:
    """A file with a line for each evaluation, the first of which says of what they are."""

    path: Path | None
    found: Mapping[_Move, _Found] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None, atoms: Atoms, displacement: float) -> _KeptEvaluations:
        """Those of an earlier call. Raises RunError for a file of something else."""
        if path is None:
            return cls(None)
        arrays = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays))
        head = {"structure": digest.hexdigest(), "displacement": displacement}
        head |= getattr(atoms.calc, "identity", {})
        try:
            if not path.exists():
                path.write_text(json.dumps(head) + "\n")
                return cls(path)
            text = path.read_text()
            lines = text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]
            if not lines or json.loads(lines[0]) != head:
                raise RunError(
                    f"{path} keeps evaluations of another structure, displacement or calculator: "
                    "remove it"
                )
            path.write_text("\n".join(lines) + "\n")  # without what a kill has cut
        except OSError as error:
            raise RunError(f"cannot use {path}: {error.strerror}") from error
        found = {}
        for line in lines[1:]:
            x, sign, forces, dipole = json.loads(line)
            found[x, sign] = np.array(forces), None if dipole is None else np.array(dipole)
        return cls(path, found)

    def add(self, move: _Move, found: _Found) -> None:
        """Raises RunError if the disk is full."""
        if self.path is None:
            return
        forces, dipole = found
        line = [*move, forces.tolist(), None if dipole is None else dipole.tolist()]
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror}") from error


def _dipole(atoms: Atoms) -> np.ndarray:
    """The dipole (e A). Raises ConfigError where the calculator has none."""
    try:
        return np.asarray(atoms.get_dipole_moment(), np.float64)
    except PropertyNotImplementedError as error:
        raise ConfigError(
            "infrared intensities need dipoles, which this calculator (or its model) does not give"
        ) from error
