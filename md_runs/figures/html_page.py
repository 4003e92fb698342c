"""The shell of every HTML page: one file that holds all it shows and loads nothing from outside."""

from __future__ import annotations

import html

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; {allowed}; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

REPORT_STYLE = """
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; color: #333;
  font: 15px/1.5 system-ui, sans-serif; background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem;
  border-top: 1px solid #ddd; padding-top: 1rem; } h3 { font-size: 1rem; margin-bottom: .3rem; }
nav a { margin-right: 1rem; } a { color: #0072b2; }
.gallery { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); }
.gallery figure { margin: 0; cursor: zoom-in; }
.gallery figure:focus { grid-column: 1 / -1; outline: none; cursor: auto; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; } figcaption { color: #777; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin-bottom: 1rem; }
th, td { padding: 2px 12px; text-align: right; white-space: nowrap; border-bottom: 1px solid #eee; }
th { background: #f4f4f4; } th:first-child, td:first-child { text-align: left; }
.doubt { background: #a03000; color: #fff; padding: .4rem .8rem; border-radius: 4px;
  margin: .4rem 0; font-weight: 600; }
.remarks, details li { font-size: .9rem; } summary { cursor: pointer; }
h2 + details > summary { font-weight: 600; }
"""


def html_page(title: str, style: str, body: str, heading: str = "<h1>{title}</h1>") -> str:
    """A page.

    Args:
        title: any text.
        style: CSS.
        body: HTML, whose texts are escaped; a page with a program may run it and shows no image.
        heading: HTML before the body, with the place of the title.
    """
    allowed = "script-src 'unsafe-inline'" if "<script>" in body else "img-src data:"
    shown = html.escape(title)
    whole = f"{heading.format(title=shown)}\n{body}"
    return PAGE.format(allowed=allowed, title=shown, style=style, body=whole)
