"""One HTML page of findings that holds everything it shows: no network, no scripts."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from md_runs.commands.findings import Findings, Table, figure_bytes

STYLE = """
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; color: #333;
  font: 15px/1.5 system-ui, sans-serif; background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem;
  border-top: 1px solid #ddd; padding-top: 1rem; } h3 { font-size: 1rem; margin-bottom: .3rem; }
nav a { margin-right: 1rem; } a { color: #0072b2; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; } figcaption { color: #777; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin-bottom: 1rem; }
th, td { padding: 2px 12px; text-align: right; white-space: nowrap; border-bottom: 1px solid #eee; }
th { background: #f4f4f4; } th:first-child, td:first-child { text-align: left; }
.doubt { background: #a03000; color: #fff; padding: .4rem .8rem; border-radius: 4px;
  margin: .4rem 0; font-weight: 600; }
.remarks, details li { font-size: .9rem; }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{lead}
<nav>{links}</nav>
{sections}
</body>
</html>
"""


@dataclass(frozen=True)
class Picture:
    """An image that exists already.

    Attributes:
        name: for the caption.
        content: PNG.
    """

    name: str
    content: bytes


def report_page(
    title: str, lead: Sequence[str], sections: Sequence[Findings], pictures: Sequence[Picture] = ()
) -> str:
    """The page.

    Args:
        title: of the page.
        lead: lines below it.
        sections: in their order.
        pictures: shown at the end.
    """
    links = [f'<a href="#{_anchor(s.name)}">{html.escape(s.name)}</a>' for s in sections]
    parts = [_section(section) for section in sections]
    if pictures:
        links.append('<a href="#pictures">more figures</a>')
        shown = "\n".join(_figure(picture.name, picture.content) for picture in pictures)
        parts.append(
            f'<section id="pictures">\n<h2>figures found in the folder</h2>\n{shown}\n</section>'
        )
    return PAGE.format(
        title=html.escape(title),
        style=STYLE,
        lead="\n".join(f"<p>{html.escape(line)}</p>" for line in lead),
        links="\n".join(links),
        sections="\n".join(parts),
    )


def read_pictures(paths: Iterable[Path]) -> list[Picture]:
    """PNG files as pictures."""
    return [Picture(path.name, path.read_bytes()) for path in paths]


def _section(findings: Findings) -> str:
    doubts = "\n".join(f'<p class="doubt">{html.escape(text)}</p>' for text in findings.doubts)
    figures = "\n".join(
        _figure(name, figure_bytes(figure, "png")) for name, figure in findings.figures.items()
    )
    tables = "\n".join(_table(table) for table in findings.tables)
    remarks = "\n".join(f'<p class="remarks">{html.escape(text)}</p>' for text in findings.remarks)
    assumed = "\n".join(f"<li>{html.escape(text)}</li>" for text in findings.assumptions)
    return (
        f'<section id="{_anchor(findings.name)}">\n<h2>{html.escape(findings.title)}</h2>\n'
        f"{doubts}\n{figures}\n{tables}\n{remarks}\n"
        f"<details open><summary>assumed</summary><ul>\n{assumed}\n</ul></details>\n</section>"
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in table.columns)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    return (
        f'<h3>{html.escape(table.title)}</h3>\n<div class="scroll"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>\n{rows}\n</tbody></table></div>"
    )


def _figure(name: str, png: bytes) -> str:
    data = base64.b64encode(png).decode()
    caption = html.escape(name)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _anchor(name: str) -> str:
    return html.escape(name.replace(" ", "-"))
