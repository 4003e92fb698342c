"""The picture of the packages, from the imports that their files write.

Rows are the layers that `tests/test_architecture.py` numbers and enforces; lines are imports. A
line is left out where two rooms are connected by others.
"""

import ast
from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure
from repository_pages import GENERATED, ROOT
from sphinx.application import Sphinx

PACKAGES = ("mlpotential", "calculators", "md_runs")
COLORS = {"mlpotential": "#dbe9f6", "calculators": "#fde9cf", "md_runs": "#dff0df"}
STEP = 1.0  # between boxes of a row


def layers() -> dict[str, int]:
    """The number of each room, as the test of the architecture states it."""
    for node in ast.parse((ROOT / "tests/test_architecture.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS":
            found: dict[str, int] = ast.literal_eval(node.value)
            return found
    raise ValueError("tests/test_architecture.py has no table LAYERS")


def room(module: str, rooms: dict[str, int]) -> str | None:
    """The room of a module; None for what is no part of these packages, and for their fronts."""
    parts = module.split(".")
    return next((n for k in (2, 1) if (n := ".".join(parts[:k])) in rooms), None)


def imported_modules(path: Path) -> set[str]:
    """Names that the import statements of a file mention."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def boxes(rooms: dict[str, int]) -> dict[str, tuple[str, int, str]]:
    """By room, the box that it is drawn in: package, layer, and a title.

    Folders have boxes of their own; the single files of a layer share one.
    """
    found = {}
    for name, layer in rooms.items():
        package, _, rest = name.partition(".")
        is_file = (ROOT / package / f"{rest}.py").exists()
        files = [
            other.partition(".")[2]
            for other, number in rooms.items()
            if number == layer and (ROOT / f"{other.replace('.', '/')}.py").exists()
        ]
        shown = [file for file in files if not file.startswith("_")]
        found[name] = (package, layer, _in_lines(shown) if is_file else rest or package)
    return found


def _in_lines(names: list[str]) -> str:
    """Two or three names a line."""
    return "\n".join("  ".join(names[k : k + 3]) for k in range(0, len(names), 3))


Box = tuple[str, int, str]


def imports(box_of: dict[str, Box], rooms: dict[str, int]) -> dict[Box, set[Box]]:
    """Which boxes each box imports, without itself."""
    found: dict[Box, set[Box]] = {box: set() for box in box_of.values()}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if own := room(module.removesuffix(".__init__"), rooms):
                others = {room(name, rooms) for name in imported_modules(path)}
                found[box_of[own]] |= {box_of[other] for other in others if other}
    return {box: others - {box} for box, others in found.items()}


def reduced(graph: dict[Box, set[Box]]) -> list[tuple[Box, Box]]:
    """The lines without those that follow from others (transitive reduction)."""

    def reachable(start: Box) -> set[Box]:
        seen: set[Box] = set()
        waiting = list(graph[start])
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += graph[name]
        return seen

    behind = {name: reachable(name) for name in graph}
    return [
        (name, other)
        for name, others in graph.items()
        for other in others
        if not any(other in behind[between] for between in others - {other})
    ]


def figure() -> Figure:
    """Boxes in rows, the highest layer above."""
    rooms = layers()
    graph = imports(boxes(rooms), rooms)
    rows = defaultdict(list)
    for box in graph:
        rows[box[1]].append(box)
    height = {layer: rank for rank, layer in enumerate(sorted(rows))}
    places = {
        box: (STEP * (index - (len(row) - 1) / 2), float(height[layer]))
        for layer, row in rows.items()
        for index, box in enumerate(row)
    }
    picture = Figure(figsize=(9.5, 11), layout="constrained")
    ax = picture.add_subplot()
    for box, other in reduced(graph):
        (x, y), (x_other, y_other) = places[box], places[other]
        ax.plot((x, x_other), (y, y_other), color="#9a9a9a", linewidth=0.8, zorder=1)
    for (package, _, title), (x, y) in places.items():
        style = {"boxstyle": "round,pad=0.4", "facecolor": COLORS[package], "edgecolor": "#555555"}
        ax.text(x, y, title, ha="center", va="center", fontsize=10, bbox=style, zorder=2)
    for package, color in COLORS.items():
        ax.scatter([], [], marker="s", s=90, color=color, edgecolor="#555555", label=package)
    ax.legend(loc="upper right", frameon=False, fontsize=10)
    ax.set_xlim(-2.2 * STEP, 2.2 * STEP)
    ax.set_axis_off()
    return picture


def draw(app: Sphinx) -> None:
    """Draws it where a source has changed since."""
    target = GENERATED / "architecture.svg"
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    newest = max(path.stat().st_mtime for path in [*sources, Path(__file__)])
    if not target.exists() or target.stat().st_mtime < newest:
        target.parent.mkdir(exist_ok=True)
        figure().savefig(target)


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the step."""
    app.connect("builder-inited", draw)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
