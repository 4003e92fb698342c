"""The output files of i-PI, each as numbers over steps.

Trajectories (xyz and extended xyz) name quantity, unit, bead and step in each comment,

    # CELL(abcABC): a b c A B C  Step: 10  Bead: 0  positions{angstrom}  cell{angstrom}

extras begin each frame with `#EXTRAS(dipole)# Step: 10`, and properties have a header with a line
for each column. i-PI's own parsers make one object of each frame; numbers are read in bulk here,
and tests compare the two.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from ase.geometry import cellpar_to_cell

from md_runs.trajectories.frame_arrays import FrameArray
from md_runs.trajectories.frame_cache import Batch, FrameCache
from md_runs.trajectories.xyz_blocks import XyzBlock, XyzHead, lines_up_to, read_head, xyz_blocks
from mlpotential.data.readers.extended_xyz import column_layout
from mlpotential.errors import RunError

QUANTITY = re.compile(r"\b(?!cell\{)(\w+)\{([^}]*)\}")
_CELL_UNIT = re.compile(r"\bcell\{([^}]*)\}")
_CELL = re.compile(r"CELL[\[(](abcABC|H|GENH)[\])]:\s*((?:[-+.\deE]+\s+)+)")
_LATTICE = re.compile(r"Lattice=\"([^\"]*)\"")
_STEP = re.compile(r"Step:\s+(\d+)")
_BEAD = re.compile(r"Bead:\s+(\d+)")
_EXTRAS = re.compile(r"\s*#EXTRAS\w*\((.+)\)#\s*Step:\s+(\d+)", re.IGNORECASE)
_COLUMN = re.compile(
    r"#\s*(?:column|cols\.)\s+(\d+)(?:-(\d+))?\s*-->\s*(\w+(?:\([^)]+\))?)(?:\(\))?(?:\{([^}]*)\})?"
)
NUMBERS_AT_ONCE = 200_000  # chosen: some megabytes of text in memory
_NO_BRACKETS = bytes.maketrans(b"[],", b"   ")


@dataclass(frozen=True)
class Series:
    """One quantity of one bead (or of the centroid), in the unit of the file.

    Attributes:
        path: the file.
        unit: i-PI's name, "angstrom"; empty for extras, which have none.
        bead: its number.
        steps: [n_frames].
        values: [n_frames, ...].
        symbols: of the atoms; empty for extras.
        cells: lattice vectors as rows, [n_frames, 3, 3] (in `cell_unit`); None where not told.
        cell_unit: i-PI's name.
    """

    path: Path
    unit: str
    bead: int
    steps: np.ndarray
    values: FrameArray
    symbols: tuple[str, ...] = ()
    cells: FrameArray | None = None
    cell_unit: str = ""


def output_kind(path: Path) -> tuple[Literal["trajectory", "extras", "properties"], str] | None:
    """Of which kind an output is, and i-PI's name of what it holds; None for any other file."""
    try:
        with open(path, "rb") as handle:
            first, second = (handle.readline(2000).decode(errors="replace") for _ in range(2))
    except OSError:
        return None
    quantity, extras = QUANTITY.search(second), _EXTRAS.match(first)
    if quantity is not None and first.strip().isdigit() and _STEP.search(second) is not None:
        return "trajectory", quantity[1]
    if extras is not None:
        return "extras", extras[1]
    return None if _COLUMN.match(first) is None else ("properties", "")


def read_trajectory_series(
    path: Path,
    cache: FrameCache,
    with_cells: bool = False,
    progress: bool = True,
    end: int | None = None,
) -> Series:
    """An xyz file, its numbers kept in the cache.

    Args:
        path: the file.
        cache: of the run.
        with_cells: read the cell of every frame, too.
        progress: show a bar, if standard error is a terminal.
        end: how many bytes to read; None for all.

    Raises:
        RunError: for a file that is damaged before its last frame.
    """
    head = read_head(path)
    match, bead = QUANTITY.search(head.comment), _BEAD.search(head.comment)
    if match is None:
        raise RunError(f"{path} does not name its quantity and unit, as positions{{angstrom}}")
    cell_unit = _CELL_UNIT.search(head.comment)
    blocks = xyz_blocks(path, head, _columns(path, head, match[1]), progress, end)
    found = cache.cached_frames(_trajectory_batches(path, blocks, with_cells), path)
    return Series(
        path=path,
        unit=match[2],
        bead=0 if bead is None else int(bead[1]),
        steps=np.asarray(found["steps"]).astype(np.int64),
        values=found["positions"],
        symbols=head.symbols,
        cells=found.get("cells"),
        cell_unit="" if cell_unit is None else cell_unit[1],
    )


def _trajectory_batches(
    path: Path, blocks: Iterable[XyzBlock], with_cells: bool
) -> Iterator[Batch]:
    """Frames as `FrameCache` wants them: any quantity under "positions", [n, n_atoms, 3]."""
    for block in blocks:
        steps = [_STEP.search(comment) for comment in block.comments]
        if None in steps:
            raise RunError(f"frame {block.first_frame + steps.index(None)} of {path} has no step")
        batch = {"steps": np.array([int(step[1]) for step in steps if step], np.float64)}
        if with_cells:
            batch["cells"] = _cells(path, block)
        yield batch | {"positions": block.columns}


def _columns(path: Path, head: XyzHead, quantity: str) -> list[int]:
    """Where the numbers of the quantity stand: in plain xyz behind the symbol."""
    properties = re.search(r"Properties=(\S+)", head.comment)
    if properties is None:
        return [1, 2, 3]
    layout = column_layout(properties[1].strip('"'), f"{path}, frame 0")
    name = "pos" if quantity == "positions" else quantity
    if name not in layout:
        raise RunError(f"{path} should hold {quantity}, but its columns are {properties[1]}")
    columns = layout[name][1]
    return list(range(columns.start, columns.stop))


def _cells(path: Path, block: XyzBlock) -> np.ndarray:
    """Lattice vectors as rows, [n, 3, 3]; i-PI's own h has them as columns."""
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


def read_extras_series(path: Path, cache: FrameCache, end: int | None = None) -> Series:
    """Numbers that a force field gave beside forces; a last frame that is cut is left out.

    Args:
        path: the file.
        cache: of the run.
        end: how many bytes to read; None for all.

    Raises:
        RunError: for a file that is damaged before its last frame.
    """
    bead = re.search(r"_(\d+)$", path.name)
    found = cache.cached_frames(_extras_batches(path, end), path)
    return Series(
        path=path,
        unit="",
        bead=0 if bead is None else int(bead[1]),
        steps=np.asarray(found["steps"]).astype(np.int64),
        values=found["positions"],
    )


def _extras_batches(path: Path, end: int | None) -> Iterator[Batch]:
    """Frames as `FrameCache` wants them: the values under "positions", [n, n_values]."""
    steps: list[int] = []
    rows: list[list[bytes]] = []  # the numbers of each frame, which may stand on many lines
    n_values = n_numbers = 0
    with open(path, "rb") as handle:
        for line in lines_up_to(handle, end):
            if match := _EXTRAS.match(line.decode(errors="replace")):
                # A new frame begins, so those before are whole: they are handed on when many.
                if n_numbers > NUMBERS_AT_ONCE:
                    n_values = n_values or len(rows[0])
                    yield _extras_batch(path, steps, rows, n_values)
                    steps, rows, n_numbers = [], [], 0
                steps.append(int(match[2]))
                rows.append([])
            elif line.endswith(b"\n"):
                if b"_" in line:  # 1_4 is 14 to Python
                    raise RunError(f"{path} is damaged after step {steps[-1]}: {line.decode()!r}")
                numbers = line.translate(_NO_BRACKETS).split()
                rows[-1] += numbers
                n_numbers += len(numbers)
    # A last frame that is shorter was cut, and is found again as a step that is missing.
    n_values = n_values or len(rows[0])
    if len(rows[-1]) < n_values:
        steps.pop()
        rows.pop()
    if rows:
        yield _extras_batch(path, steps, rows, n_values)


def _extras_batch(path: Path, steps: list[int], rows: list[list[bytes]], n_values: int) -> Batch:
    for step, row in zip(steps, rows, strict=True):
        if len(row) != n_values:
            raise RunError(f"{path} has {len(row)} numbers at step {step}, not {n_values}")
    try:
        values = np.array(rows).astype(np.float64)
    except ValueError as error:
        raise RunError(f"{path} is damaged after step {steps[0]}: {error}") from error
    return {"steps": np.array(steps, np.float64), "positions": values}


def read_properties_file(
    path: Path, wanted: tuple[str, ...], end: int | None = None
) -> dict[str, tuple[np.ndarray, str]]:
    """Values [n_records, ...] and unit of those properties that the file has.

    Args:
        path: the file.
        wanted: i-PI's names of properties.
        end: how many bytes to read; None for all.

    Raises:
        RunError: if a line cannot be read; a last line that is cut is left out.
    """
    with open(path, "rb") as handle:
        first_lines = itertools.takewhile(lambda line: line.startswith(b"#"), handle)
        headers = [match for line in first_lines if (match := _COLUMN.match(line.decode()))]
    n_columns = max(int(match[2] or match[1]) for match in headers)
    lines = _whole_lines(path, n_columns, end)
    if (first := next(lines, None)) is None:
        raise RunError(f"{path} holds no complete line")
    try:
        table = np.loadtxt(itertools.chain([first], lines), ndmin=2)  # [n_records, n_columns]
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from error
    if table.shape[1] != n_columns:
        raise RunError(f"{path} is damaged: it has {table.shape[1]} numbers a line")
    found = {}
    for match in headers:
        if match[3] in wanted and match[3] not in found:
            column, last = int(match[1]) - 1, match[2]
            values = table[:, column] if last is None else table[:, column : int(last)]
            found[match[3]] = (values, match[4] or "")
    return found


def _whole_lines(path: Path, n_columns: int, end: int | None) -> Iterator[bytes]:
    """Lines of numbers, each handed on when another one follows; a last one that is cut is not."""
    last = b""
    with open(path, "rb") as handle:
        for line in lines_up_to(handle, end):
            if line.strip() and not line.startswith(b"#"):
                if last:
                    yield last
                last = line
    if last.endswith(b"\n") and len(last.split()) >= n_columns:
        yield last
