"""Says whether a built site loads anything from elsewhere: `python docs/check_site.py site`.

Links that a reader may follow are no matter; scripts, styles, fonts, pictures and frames are.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

LOADING = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
    "embed": "src",
}
LOADED_LINKS = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "manifest"}
IN_STYLES = re.compile(r"(?:@import\s+|url\()\s*['\"]?((?:https?:)?//[^'\")\s]+)")


class Loaded(HTMLParser):
    """Addresses that a browser fetches when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keeps what leads out of the site."""
        values = dict(attrs)
        if tag == "link" and not LOADED_LINKS & set((values.get("rel") or "").split()):
            return
        address = values.get(LOADING.get(tag, "")) or ""
        if address.startswith(("http:", "https:", "//")):
            self.foreign.append(address)


def foreign_resources(site: Path) -> list[str]:
    """Each as `page: address`."""
    found = []
    for page in sorted(site.rglob("*.html")):
        parser = Loaded()
        text = page.read_text()
        parser.feed(text)
        styles = "".join(re.findall(r"<style.*?</style>", text, re.DOTALL))
        addresses = parser.foreign + IN_STYLES.findall(styles)
        found += [f"{page.relative_to(site)}: {address}" for address in addresses]
    for style in sorted(site.rglob("*.css")):
        found += [f"{style.relative_to(site)}: {a}" for a in IN_STYLES.findall(style.read_text())]
    return found


def main() -> None:
    """Prints one line, or what was found and fails."""
    site = Path(sys.argv[1])
    if found := foreign_resources(site):
        raise SystemExit("loaded from elsewhere:\n" + "\n".join(found))
    pages = len(list(site.rglob("*.html")))
    if not pages:
        raise SystemExit(f"there is no page in {site}")
    print(f"{pages} pages in {site}, which load nothing from elsewhere")


if __name__ == "__main__":
    main()
