"""The output files of i-PI, each as numbers over steps.

Trajectories (xyz and extended xyz) name quantity, unit, bead and step in each comment,

    # CELL(abcABC): a b c A B C  Step: 10  Bead: 0  positions{angstrom}  cell{angstrom}

extras begin each frame with `#EXTRAS(dipole)# Step: 10`, and properties have a header with a line
for each column. i-PI's own parsers make one object of each frame; numbers are read in bulk here,
and tests compare the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.geometry import cellpar_to_cell

from md_runs.trajectories.frame_cache import Batch, spooled
from md_runs.trajectories.xyz_blocks import XyzBlock, XyzHead, read_head, xyz_blocks
from mlpotential.errors import RunError

QUANTITY = re.compile(r"\b(?!cell\{)(\w+)\{([^}]*)\}")
_CELL_UNIT = re.compile(r"\bcell\{([^}]*)\}")
_CELL = re.compile(r"CELL[\[(](abcABC|H|GENH)[\])]:\s*((?:[-+.\deE]+\s+)+)")
_LATTICE = re.compile(r"Lattice=\"([^\"]*)\"")
_STEP = re.compile(r"Step:\s+(\d+)")
_BEAD = re.compile(r"Bead:\s+(\d+)")
_EXTRAS = re.compile(r"\s*#EXTRAS\w*\((.+)\)#\s*Step:\s+(\d+)", re.IGNORECASE)
_COLUMN = re.compile(
    r"#\s*(?:column|cols\.)\s+(\d+)(?:-(\d+))?\s*-->\s*(\w+)(?:\([^)]*\))?(?:\{([^}]*)\})?"
)
EXTRAS_LINES_AT_ONCE = 50_000  # chosen: some megabytes of text in memory


@dataclass(frozen=True)
class Series:
    """One quantity of one bead (or of the centroid), in the unit of the file.

    Attributes:
        path: the file.
        quantity: i-PI's name, "positions" or "v_centroid".
        unit: i-PI's name, "angstrom"; empty for extras, which have none.
        bead: its number.
        steps: [n_frames].
        values: [n_frames, ...].
        symbols: of the atoms; empty for extras.
        cells: lattice vectors as rows, [n_frames, 3, 3] (in `cell_unit`); None where not told.
        cell_unit: i-PI's name.
    """

    path: Path
    quantity: str
    unit: str
    bead: int
    steps: np.ndarray
    values: np.ndarray
    symbols: tuple[str, ...] = ()
    cells: np.ndarray | None = None
    cell_unit: str = ""


def trajectory_quantity(path: Path) -> tuple[str, str] | None:
    """What an xyz file of i-PI holds, and its unit; None for another kind of file."""
    try:
        with open(path, "rb") as handle:
            first, comment = handle.readline(80), handle.readline(2000).decode(errors="replace")
    except OSError:
        return None
    match = QUANTITY.search(comment)
    if match is None or not first.strip().isdigit() or _STEP.search(comment) is None:
        return None
    return match[1], match[2]


def read_trajectory_series(path: Path, with_cells: bool, progress: bool = True) -> Series:
    """Raises RunError for a file that is damaged before its last frame."""
    head = read_head(path)
    match, bead = QUANTITY.search(head.comment), _BEAD.search(head.comment)
    if match is None:
        raise RunError(f"{path} does not name its quantity and unit, as positions{{angstrom}}")
    cell_unit = _CELL_UNIT.search(head.comment)
    batches = _trajectory_batches(path, head, match[1], with_cells, progress)
    found = spooled(batches, path)
    return Series(
        path=path,
        quantity=match[1],
        unit=match[2],
        bead=0 if bead is None else int(bead[1]),
        steps=np.array(found["steps"]).astype(np.int64),
        values=found["positions"],
        symbols=head.symbols,
        cells=found.get("cells"),
        cell_unit="" if cell_unit is None else cell_unit[1],
    )


def _trajectory_batches(
    path: Path, head: XyzHead, quantity: str, with_cells: bool, progress: bool
) -> Iterator[Batch]:
    for block in xyz_blocks(path, head, _columns(path, head, quantity), progress):
        steps = [_STEP.search(comment) for comment in block.comments]
        if None in steps:
            raise RunError(f"frame {block.first_frame + steps.index(None)} of {path} has no step")
        batch = {"steps": np.array([int(step[1]) for step in steps if step], np.float64)}
        if with_cells:
            batch["cells"] = _cells(path, block)
        yield batch | {"positions": block.columns}


def _columns(path: Path, head: XyzHead, quantity: str) -> list[int]:
    """Where the numbers of the quantity stand."""
    properties = re.search(r"Properties=(\S+)", head.comment)
    if properties is None:
        return [1, 2, 3]
    words, place = properties[1].strip('"').split(":"), 0
    name = "pos" if quantity == "positions" else quantity
    for column, count in zip(words[::3], map(int, words[2::3]), strict=True):
        if column == name:
            return list(range(place, place + count))
        place += count
    raise RunError(f"{path} should hold {quantity}, but its columns are {properties[1]}")


def _cells(path: Path, block: XyzBlock) -> np.ndarray:
    """Rows, [n, 3, 3]."""
    cells = []
    for k, comment in enumerate(block.comments):
        lattice, cell = _LATTICE.search(comment), _CELL.search(comment)
        if lattice is not None:
            cells.append(np.array(lattice[1].split(), np.float64).reshape(3, 3))
        elif cell is not None and cell[1] == "abcABC":
            cells.append(cellpar_to_cell(np.array(cell[2].split()[:6], np.float64)))
        elif cell is not None:
            cells.append(np.array(cell[2].split()[:9], np.float64).reshape(3, 3).T)
        else:
            raise RunError(f"frame {block.first_frame + k} of {path} has no cell")
    return np.stack(cells)


def extras_name(path: Path) -> str | None:
    """What a file of extras holds; None for another kind of file."""
    try:
        with open(path, "rb") as handle:
            match = _EXTRAS.match(handle.readline(2000).decode(errors="replace"))
    except OSError:
        return None
    return None if match is None else match[1]


def read_extras_series(path: Path) -> Series:
    """Numbers that a force field gave beside forces; a last frame that is cut is left out."""
    bead = re.search(r"_(\d+)$", path.name)
    found = spooled(_extras_batches(path), path)
    return Series(
        path=path,
        quantity=str(extras_name(path)),
        unit="",
        bead=0 if bead is None else int(bead[1]),
        steps=np.array(found["steps"]).astype(np.int64),
        values=found["positions"],
    )


def _extras_batches(path: Path) -> Iterator[Batch]:
    """Frames as `spooled` wants them: the values under "positions"."""
    steps: list[int] = []
    frames: list[str] = []
    n_values = None
    with open(path) as handle:
        for line in handle:
            if match := _EXTRAS.match(line):
                if len(frames) >= EXTRAS_LINES_AT_ONCE:
                    n_values, batch = _extras_batch(path, steps, frames, n_values)
                    steps, frames = [], []
                    yield batch
                steps.append(int(match[2]))
                frames.append("")
            elif line.endswith("\n"):
                frames[-1] += line
    if frames and n_values is not None and len(frames[-1].split()) < n_values:
        steps, frames = steps[:-1], frames[:-1]  # cut; found again as a step that is missing
    elif len(frames) > 1 and len(frames[-1].split()) < len(frames[0].split()):
        steps, frames = steps[:-1], frames[:-1]
    if frames:
        yield _extras_batch(path, steps, frames, n_values)[1]


def _extras_batch(
    path: Path, steps: list[int], frames: list[str], n_values: int | None
) -> tuple[int, Batch]:
    rows = [frame.replace("[", " ").replace("]", " ").split() for frame in frames]
    n_values = len(rows[0]) if n_values is None else n_values
    for step, row in zip(steps, rows, strict=True):
        if len(row) != n_values:
            raise RunError(f"{path} has {len(row)} numbers at step {step}, not {n_values}")
    try:
        values = np.array(rows, np.float64)
    except ValueError as error:
        raise RunError(f"{path} is damaged after step {steps[0]}: {error}") from error
    return n_values, {"steps": np.array(steps, np.float64), "positions": values}


def is_properties(path: Path) -> bool:
    """Whether a file is one of i-PI's properties."""
    try:
        with open(path, "rb") as handle:
            return _COLUMN.match(handle.readline(2000).decode(errors="replace")) is not None
    except OSError:
        return False


def read_properties_file(path: Path, wanted: tuple[str, ...]) -> dict[str, tuple[np.ndarray, str]]:
    """Values [n_records, ...] and unit of those properties that the file has.

    Raises:
        RunError: if a line cannot be read; a last line that is cut is left out.
    """
    lines = path.read_text().splitlines(keepends=True)
    headers = [match for line in lines if (match := _COLUMN.match(line))]
    n_columns = max(int(match[2] or match[1]) for match in headers)
    data = [line for line in lines if line.strip() and not line.startswith("#")]
    if data and (not data[-1].endswith("\n") or len(data[-1].split()) < n_columns):
        data.pop()
    if not data:
        raise RunError(f"{path} holds no complete line")
    found = {}
    for match in headers:
        if match[3] in wanted and match[3] not in found:
            first, last = int(match[1]) - 1, int(match[2] or match[1])
            try:
                values = np.loadtxt(data, usecols=range(first, last), ndmin=2)
            except ValueError as error:
                raise RunError(f"{path} is damaged: {error}") from error
            found[match[3]] = (values[:, 0] if match[2] is None else values, match[4] or "")
    return found
