"""What a learning run came to: a table, `summary.json` and a page."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from md_runs.figures.html_page import REPORT_STYLE, html_page
from md_runs.figures.learning import plot_force_errors
from md_runs.figures.style import figure_of
from md_runs.learning.folders import ALL_LABELS_NAME, PAGE_NAME, SUMMARY_NAME
from md_runs.learning.settings import LearningRun
from md_runs.learning.study import LEARNED, Learned
from mlpotential.messages import aligned
from mlpotential.run_folder import write_atomically, write_json

HEADINGS = (
    "round", "labels", "trained on", "expected (eV/A)", "measured (eV/A)", "scale",
    "stopped", "longest (ps)", "outside (%)", "modes off (%)", "minutes",
)  # fmt: skip
ENDINGS = {
    LEARNED: "learned: errors are below the bound, and nothing changed in the last round",
    "budget spent": "NOT learned: the budget is spent. More labels (--budget) go on from here",
    "rounds spent": "NOT learned: all rounds are spent (--max-rounds)",
    "nothing new": "NOT learned: the dynamics holds no structure that is not labelled yet",
}


def write_report(learned: Learned, settings: LearningRun, folder: Path) -> str:
    """Writes summary and page; the table for the screen."""
    write_json(folder / SUMMARY_NAME, summary_of(learned, settings))
    write_atomically(folder / PAGE_NAME, _page(learned, settings))
    return "\n".join([*aligned([HEADINGS, *rows_of(learned.rounds)]), "", *said(learned)])


def rows_of(rounds: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Of the table, one a round."""
    first = rounds[0]
    rows = [("0", str(first["n_asked"]), *["-"] * 8, _minutes(first))]
    for record in rounds[1:]:
        found, runs = record["assessment"], record["dynamics"]
        rows.append(
            (
                str(record["round"]),
                str(record["n_asked"]),
                str(record["n_trained"]),
                f"{found['expected_error']:.3f}",
                _or_dash(found["measured_error"], "{:.3f}"),
                f"{record['calibration']['scale']:.2f}",
                f"{len(runs['stopped'])} of {runs['runs']}",
                f"{runs['longest_ps']:.2f}",
                f"{100.0 * runs['n_outside'] / max(1, runs['n_evaluated']):.2f}",
                _or_dash(found["modes_from_reference"], "{:.2f}", 100.0),
                _minutes(record),
            )
        )
    return rows


def said(learned: Learned) -> list[str]:
    """What was spent, how it ended, and what remains uncertain, in lines."""
    summary = spent_of(learned)
    others = ", ".join(f"{n} {name}" for name, n in summary["other_evaluations"].items())
    lines = [
        f"{summary['n_labels']} labels (and {others} evaluations), {summary['hours']:.2f} h",
        ENDINGS[learned.ending],
    ]
    if summary["failures"]:
        failed = ", ".join(f"{n} {reason}" for reason, n in summary["failures"].items())
        lines.append(f"without labels: {failed}")
    if learned.ending != LEARNED and len(learned.rounds) > 1:
        lines += [f"uncertain: {text}" for text in learned.rounds[-1]["assessment"]["doubts"]]
    return [*lines, *learned.error_bars.splitlines()]


def spent_of(learned: Learned) -> dict[str, Any]:
    """Labels, evaluations beside them, failures and hours of all rounds."""
    failures: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for record in learned.rounds:
        for reason, n in record["failures"].items():
            failures[reason] = failures.get(reason, 0) + n
        for stage, value in record["seconds"].items():
            seconds[stage] = seconds.get(stage, 0.0) + value
    return {
        "n_labels": sum(record["n_asked"] for record in learned.rounds),
        "other_evaluations": learned.rounds[0]["other_evaluations"],
        "failures": failures,
        "hours": sum(seconds.values()) / 3600.0,
        "seconds": seconds,
    }


def summary_of(learned: Learned, settings: LearningRun) -> dict[str, Any]:
    """As `summary.json` has it."""
    from dataclasses import asdict

    return {
        "ending": learned.ending,
        "learned": learned.ending == LEARNED,
        "models": [str(path.relative_to(path.parent.parent)) for path in learned.models],
        "labels": ALL_LABELS_NAME,
        "error_bars": learned.error_bars,
        "settings": asdict(settings),
        "spent": spent_of(learned),
        "rounds": learned.rounds,
    }


def _page(learned: Learned, settings: LearningRun) -> str:
    spent = spent_of(learned)
    lines = "\n".join(
        f'<p class="doubt">{html.escape(t)}</p>'
        if t.startswith("NOT ")
        else f"<p>{html.escape(t)}</p>"
        for t in said(learned)
    )
    rounds = _table(HEADINGS, rows_of(learned.rounds))
    stages = _table(
        ("stage", "minutes"), [(k, f"{v / 60:.1f}") for k, v in spent["seconds"].items()]
    )
    reasons = "\n".join(
        f"<li>round {record['round']}: {html.escape(reason)}</li>"
        for record in learned.rounds[1:]
        for reason in record["dynamics"]["stopped"]
    )
    stopped = f"<h2>Runs that were stopped</h2>\n<ul>{reasons}</ul>" if reasons else ""
    body = (
        f"{lines}\n{_figure(learned, settings)}\n<h2>Rounds</h2>\n{rounds}\n<p class='remarks'>"
        "Errors are root mean squares of force components in the fresh dynamics of a round: "
        "expected from the disagreement of the committee, calibrated by held-out labels, and "
        f"measured by labels of random beads.</p>\n{stopped}\n<h2>Time</h2>\n{stages}"
    )
    return html_page(f"A force field for {settings.dynamics} dynamics", REPORT_STYLE, body)


def _figure(learned: Learned, settings: LearningRun) -> str:
    rounds, n_labels, before = learned.rounds, [], 0
    for record in rounds:
        n_labels.append(before)
        before += record["n_asked"]
    found = [record["assessment"] for record in rounds[1:]]
    expected = [f["expected_error"] for f in found]
    measured = [f["measured_error"] for f in found]
    ax = plot_force_errors(n_labels[1:], expected, measured, settings.force_error_eV_A)
    content = io.BytesIO()
    figure_of(ax).savefig(content, format="png")
    data = base64.b64encode(content.getvalue()).decode()
    return f'<figure><img alt="force errors" src="data:image/png;base64,{data}"></figure>'


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    return (
        f'<div class="scroll"><table><thead>{line(headings, "th")}</thead><tbody>\n{body}\n'
        "</tbody></table></div>"
    )


def _or_dash(value: float | None, form: str, factor: float = 1.0) -> str:
    return "-" if value is None else form.format(factor * value)


def _minutes(record: dict[str, Any]) -> str:
    return f"{sum(record['seconds'].values()) / 60.0:.1f}"
