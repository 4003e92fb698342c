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
