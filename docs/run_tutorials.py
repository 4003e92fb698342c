"""Runs the tutorials and writes what they print into their pages: `python docs/run_tutorials.py`.

A page says by comments before its blocks what is done with them:

    <!-- file: run.yaml -->     the block is written to this file
    <!-- stored -->             the block (sh or python) is run; the ```text block behind is output
    <!-- stored: 12 -->         of which so many lines are kept, from the beginning and from the end
    <!-- picture: nvt/a.png --> the file is copied to the picture that the next line shows
    <!-- made -->               the next line says with which version and when

Blocks of a page run one after the other in one folder (`runs/tutorials/PAGE`). What was run is not
run again until it, or a block before it, is changed; `--again` begins anew. `outputs.json` keeps
the fingerprints of commands and outputs, by which the tests notice a page that was edited but not
run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
PAGES = HERE / "tutorials"
OUTPUTS = PAGES / "outputs.json"
MARKED = re.compile(
    r"^<!-- (?P<what>file|stored)(?:: (?P<how>[^\n]+?))? -->\n"
    r"```(?P<language>\w+)\n(?P<text>.*?)^```\n"
    r"(?P<output>\n```text\n(?P<printed>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
PICTURE = re.compile(r"<!-- picture: (\S+) -->\n!\[[^\]]*\]\((\S+)\)")
MADE = re.compile(r"(<!-- made -->\n)[^\n]*\n")
MOST_LINES = 40  # chosen: about a screen


@dataclass(frozen=True)
class Block:
    """A marked block of a page.

    Attributes:
        what: `file` or `stored`.
        how: name of the file, or the number of lines that are kept.
        language: of the fence.
        text: what is in it.
        printed: the output that the page shows; empty where there is none.
    """

    what: str
    how: str
    language: str
    text: str
    printed: str

    @property
    def fingerprint(self) -> str:
        """Of the command or file."""
        return fingerprint(f"{self.what} {self.language} {self.text}")


def fingerprint(text: str) -> str:
    """Short, for people to compare."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def blocks(page: str) -> Iterator[Block]:
    """The marked blocks of the text of a page."""
    for found in MARKED.finditer(page):
        yield Block(
            found["what"], found["how"] or "", found["language"], found["text"],
            found["printed"] or "",
        )  # fmt: skip


def shortened(text: str, most: int) -> str:
    """The beginning and the end of an output."""
    lines = text.rstrip().splitlines()
    if len(lines) <= most:
        return "\n".join(lines)
    head = (most + 1) // 2
    return "\n".join([*lines[:head], "...", *lines[len(lines) - (most - head) :]])


def run_block(block: Block, folder: Path, number: int) -> str:
    """What a block prints on both streams; it must not fail."""
    if block.language == "python":
        program = folder / f"block_{number}.py"
        program.write_text(block.text)
        command = [sys.executable, program.name]
    else:
        command = ["bash", "-euc", block.text]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, stdout=-1, stderr=subprocess.STDOUT
    )
    if done.returncode != 0:
        raise SystemExit(f"block {number} of {folder.name} failed:\n{block.text}\n{done.stdout}")
    places = {f"{folder}/": "", f"{HERE.parent}/": "", f"{sys.prefix}/": ""}
    text = done.stdout
    for place, instead in places.items():
        text = text.replace(place, instead)
    return text


def run_page(path: Path, folder: Path) -> dict[str, object]:
    """Runs what was not run yet, and gives what `outputs.json` keeps of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    record_file = folder / "blocks.json"
    records: list[dict[str, object]] = (
        json.loads(record_file.read_text()) if record_file.exists() else []
    )
    page = path.read_text()
    for number, block in enumerate(blocks(page)):
        if len(records) > number and records[number]["command"] != block.fingerprint:
            del records[number:]
        if len(records) > number:
            continue
        start, printed = time.perf_counter(), ""
        if block.what == "file":
            (folder / block.how).write_text(block.text)
        else:
            print(f"{path.stem}, block {number}: {block.text.splitlines()[0]}", flush=True)
            printed = run_block(block, folder, number)
        seconds = round(time.perf_counter() - start, 1)
        records.append({"command": block.fingerprint, "printed": printed, "seconds": seconds})
        record_file.write_text(json.dumps(records, indent=1))
    del records[len(list(blocks(page))) :]
    page = path.read_text()  # its prose may have been edited meanwhile
    if [block.fingerprint for block in blocks(page)] != [r["command"] for r in records]:
        raise SystemExit(f"{path.name} was changed while it ran: run it again")
    path.write_text(with_outputs(page, [str(r["printed"]) for r in records], folder, path))
    printed_fingerprints = [fingerprint(block.printed) for block in blocks(path.read_text())]
    return {
        "version": _version(),
        "date": date.today().isoformat(),
        "machine": processor(),
        "seconds": round(sum(float(str(r["seconds"])) for r in records)),
        "commands": [r["command"] for r in records],
        "outputs": printed_fingerprints,
    }


def with_outputs(page: str, printed: list[str], folder: Path, path: Path) -> str:
    """The page with the outputs of its blocks, and its pictures copied beside it."""
    texts = iter(printed)

    def filled(found: re.Match[str]) -> str:
        text = next(texts)
        whole = found.group()
        bare = whole.removesuffix(found["output"] or "")
        if found["what"] == "file" or not text.strip():
            return bare
        most = int(found["how"]) if found["how"] else MOST_LINES
        return f"{bare}\n```text\n{shortened(text, most)}\n```\n"

    page = MARKED.sub(filled, page)
    for source, target in PICTURE.findall(page):
        place = path.parent / target
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(folder / source, place)
    made = f"Outputs of mlpotential {_version()}, {date.today()}, one thread of {processor()}."
    return MADE.sub(rf"\g<1>*{made}*\n", page)


def _version() -> str:
    from mlpotential import __version__

    return __version__


def processor() -> str:
    """Its name, where the system tells one."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    """Runs the pages that are named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pages", nargs="*", help="names without .md (all)")
    parser.add_argument("--again", action="store_true", help="begin anew")
    parser.add_argument(
        "--folder", type=Path, default=HERE.parent / "runs/tutorials", help="where they run"
    )
    options = parser.parse_args()
    for path in sorted(PAGES.glob("*.md")):
        if path.stem == "index" or (options.pages and path.stem not in options.pages):
            continue
        folder = options.folder.resolve() / path.stem
        if options.again:
            shutil.rmtree(folder, ignore_errors=True)
        record = run_page(path, folder)
        kept = json.loads(OUTPUTS.read_text()) if OUTPUTS.exists() else {}
        same = kept.get(path.stem, {}).get("commands") == record["commands"]
        if not (same and kept[path.stem]["outputs"] == record["outputs"]):
            OUTPUTS.write_text(
                json.dumps(kept | {path.stem: record}, indent=1, sort_keys=True) + "\n"
            )
        print(f"{path.stem}: {record['seconds']} s in all", flush=True)


if __name__ == "__main__":
    main()
