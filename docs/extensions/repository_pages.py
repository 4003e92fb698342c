"""Pages of the manual that lie elsewhere in the repository, and links that leave `docs/`.

The pages are copied to `docs/generated/` when the site is built, with their links and pictures
turned towards their new place. A link of any page to a file that is a page of the manual leads to
that page; other files of the repository can be downloaded from the page that names them.
"""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = DOCS / "generated"
# By file of the repository, the page of the manual that it becomes.
PAGES = {
    "md_runs/c20/README.md": "generated/c20",
    "md_runs/ethanol/README.md": "generated/ethanol",
    "md_runs/examples/README.md": "generated/examples",
    "tests/reference/README.md": "generated/reference_numbers",
    "tests/ase_suite/README.md": "generated/ase_suite",
    "CONTRIBUTING.md": "generated/contributing",
    "CHANGELOG.md": "generated/changelog",
    "README.md": "index",
}
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")


def write(page: Path, text: str) -> None:
    """Writes a generated page, and leaves one alone that is right: Sphinx then does not read it."""
    page.parent.mkdir(parents=True, exist_ok=True)
    if not page.exists() or page.read_text() != text:
        page.write_text(text)


def with_links_from(text: str, origin: Path, place: Path) -> str:
    """The text of a page with its links made for the manual.

    Args:
        text: Markdown.
        origin: folder that relative links of the text are meant from.
        place: folder of the page in the manual.
    """

    def turned(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        if ":" in target:
            return match.group()
        path = Path(os.path.normpath(origin / target))
        if path.is_relative_to(ROOT) and (page := PAGES.get(str(path.relative_to(ROOT)))):
            path = DOCS / f"{page}.md"
        return f"{before}{os.path.relpath(path, place)}{after}"

    return LINK.sub(turned, text)


def write_pages(app: Sphinx) -> None:
    """Copies the pages of `PAGES`."""
    for name, page in PAGES.items():
        if page.startswith("generated/"):
            source = ROOT / name
            text = with_links_from(source.read_text(), source.parent, GENERATED)
            write(DOCS / f"{page}.md", text)


def turn_links(app: Sphinx, docname: str, content: list[str]) -> None:
    """Turns the links of a page that is written for the place where it lies."""
    folder = (DOCS / f"{docname}.md").parent
    content[0] = with_links_from(content[0], folder, folder)


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers both steps."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", turn_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
