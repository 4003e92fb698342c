"""Normal modes in Molden's format, which Molden, Jmol, Avogadro, Open Babel and others show moving.

G. Schaftenaar, J. H. Noordik, J. Comput.-Aided Mol. Design 14, 123 (2000),
doi:10.1023/A:1008193805436; the format: https://www.theochem.ru.nl/molden/molden_format.html

[FREQ] holds wavenumbers (1/cm, negative where imaginary), [FR-COORD] the structure (Bohr),
[FR-NORM-COORD] the Cartesian displacements of each mode, not mass-weighted, of length 1, and [INT]
infrared intensities (km/mol) and, in a second column, Raman activities (A^4/amu). Programs that
find Raman activities expect infrared intensities before them: unknown ones are 0.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase.data import chemical_symbols

from md_runs.analysis.vibrations.normal_modes import ModeSet, cartesian_displacements
from mlpotential.errors import DataError
from mlpotential.units import ANGSTROM_PER_BOHR


def molden_text(
    modes: ModeSet,
    atomic_numbers: np.ndarray,
    intensities_km_per_mol: np.ndarray | None = None,
    activities: np.ndarray | None = None,
    title: str = "",
) -> str:
    """The content of a file.

    Args:
        modes: of a molecule or a crystal, whose cell the format has no place for.
        atomic_numbers: [n_atoms].
        intensities_km_per_mol: infrared, [n_modes]; None where they are not known.
        activities: Raman (A^4/amu), [n_modes]; likewise.
        title: one line.

    Raises:
        DataError: numbers of atoms or modes that do not belong together.
    """
    _check(modes, atomic_numbers, intensities_km_per_mol, activities)
    lines = ["[Molden Format]", "[Title]", f" {' '.join(title.split())}"]
    lines += _atoms(modes, atomic_numbers)
    lines += ["[FREQ]", *(f"{wavenumber:14.6f}" for wavenumber in modes.wavenumbers_per_cm)]
    lines += _intensities(intensities_km_per_mol, activities)
    lines.append("[FR-COORD]")
    for number, position in zip(atomic_numbers, modes.positions / ANGSTROM_PER_BOHR, strict=True):
        lines.append(f"{chemical_symbols[number]:2} {_numbers(position)}")
    lines.append("[FR-NORM-COORD]")
    for k, displacements in enumerate(cartesian_displacements(modes)):
        lines += [f"vibration {k + 1:6}", *(_numbers(vector) for vector in displacements)]
    return "\n".join(lines) + "\n"


def _atoms(modes: ModeSet, atomic_numbers: np.ndarray) -> Iterator[str]:
    """Symbol, number from 1, nuclear charge and position (A) of each."""
    yield "[Atoms] Angs"
    for k, (number, position) in enumerate(zip(atomic_numbers, modes.positions, strict=True)):
        yield f"{chemical_symbols[number]:2} {k + 1:5} {number:4} {_numbers(position)}"


def _intensities(infrared: np.ndarray | None, raman: np.ndarray | None) -> Iterator[str]:
    if infrared is None and raman is None:
        return
    yield "[INT]"
    if raman is None:
        assert infrared is not None
        yield from (f"{intensity:14.6f}" for intensity in infrared)
        return
    first = np.zeros_like(raman) if infrared is None else infrared
    yield from (f"{a:14.6f} {b:14.6f}" for a, b in zip(first, raman, strict=True))


def _numbers(vector: np.ndarray) -> str:
    return " ".join(f"{x:15.9f}" for x in vector)


def _check(modes: ModeSet, atomic_numbers: np.ndarray, *of_modes: np.ndarray | None) -> None:
    """Raises DataError as `molden_text`."""
    if len(atomic_numbers) != len(modes.positions):
        raise DataError(
            f"the modes are of {len(modes.positions)} atoms, not of {len(atomic_numbers)}"
        )
    n_modes = len(modes.wavenumbers_per_cm)
    for values in of_modes:
        if values is not None and len(values) != n_modes:
            raise DataError(f"there are {n_modes} modes, but intensities of {len(values)}")
