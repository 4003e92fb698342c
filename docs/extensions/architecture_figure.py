"""The picture of the packages, from the imports that their files write.

Rows are the layers that `tests/test_architecture.py` numbers and enforces; lines are imports. A line
is left out where two rooms are connected by others.
"""

import ast
from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure
from repository_pages import GENERATED, ROOT
from sphinx.application import Sphinx

PACKAGES = ("mlpotential", "calculators", "md_runs")
COLORS = {"mlpotential": "#dbe9f6", "calculators": "#fde9cf", "md_runs": "#dff0df"}
WIDTH, HEIGHT = 0.95, 0.5  # chosen: of a box, in units of the distance between two


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


def imports(rooms: dict[str, int]) -> dict[str, set[str]]:
    """Which rooms each room imports, without itself."""
    found: dict[str, set[str]] = {name: set() for name in rooms}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if own := room(module.removesuffix(".__init__"), rooms):
                others = {room(name, rooms) for name in imported_modules(path)}
                found[own] |= {other for other in others if other} - {own}
    return found


def reduced(graph: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The lines without those that follow from others (transitive reduction)."""

    def reachable(start: str) -> set[str]:
        seen, waiting = set(), list(graph[start])
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
    rows = defaultdict(list)
    for name, number in rooms.items():
        rows[number].append(name)
    height = {number: rank for rank, number in enumerate(sorted(rows))}
    places = {
        name: (index - (len(names) - 1) / 2, height[number])
        for number, names in rows.items()
        for index, name in enumerate(names)
    }
    picture = Figure(figsize=(14, 11), layout="constrained")
    ax = picture.add_subplot()
    for name, other in reduced(imports(rooms)):
        (x, y), (x_other, y_other) = places[name], places[other]
        ends = (y - HEIGHT / 2, y_other + HEIGHT / 2) if y != y_other else (y, y_other)
        ax.plot((x, x_other), ends, color="#9a9a9a", linewidth=0.7, zorder=1)
    for name, (x, y) in places.items():
        package, _, rest = name.partition(".")
        style = {"boxstyle": "round,pad=0.35", "facecolor": COLORS[package], "edgecolor": "#555555"}
        ax.text(
            x, y, (rest or package).replace("_", "_\n", 1), ha="center", va="center",
            fontsize=8.5, bbox=style, zorder=2,
        )  # fmt: skip
    for package, color in COLORS.items():
        ax.scatter([], [], marker="s", s=90, color=color, edgecolor="#555555", label=package)
    ax.legend(loc="upper right", frameon=False, title="package")
    ax.set_xlim(min(x for x, _ in places.values()) - 0.8, max(x for x, _ in places.values()) + 0.8)
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
