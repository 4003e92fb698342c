"""Results of the benchmarks as text for people and as tables for docs/performance.md.

Needs only the standard library. `markdown(json.loads(text))` is what that page shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Results = dict[str, Any]


def heading(results: Results) -> str:
    """Where and when."""
    place = results["environment"]
    versions = ", ".join(f"{name} {number}" for name, number in place["versions"].items())
    lines = [
        f"{results['date']}  {place['processor']}, {place['cores']} cores, "
        f"{place['memory_GiB']:.0f} GiB, kernel {place['kernel']}, "
        f"load {place['load_at_start']:.1f}",
        versions,
    ]
    peer = place["peer_versions"]
    if peer is not None:
        lines.append("peer: " + ", ".join(f"{name} {number}" for name, number in peer.items()))
    return "\n".join(lines)


def case_text(case: Results) -> str:
    """All contenders of a case."""
    peaks = case["gemm_peak_gflops_per_s"]
    replicas = f"{case['n_replicas']} x " if case["n_replicas"] > 1 else ""
    lines = [
        f"{case['title']}: {replicas}{case['n_atoms']} atoms, {case['n_pairs']} pairs, "
        f"{1e-9 * case['flops']:.4g} GFLOP",
        f"  {_lists(case['list_builds_per_step'])}; GEMM peak of a core "
        f"{peaks['float32']:.0f} GFLOP/s (float32), {peaks['float64']:.0f} (float64)",
        f"  force error: against {case['force_error_against']}",
    ]
    if case["remark"]:
        lines.append(f"  {case['remark']}")
    header = ["program", "dtype", "threads", "clock", "ms, median", "10 % .. 90 %", "blocks"]
    header += ["x SchNetPack", "% of peak", "force error"]
    rows = [
        [
            row["program"],
            row["dtype"],
            str(row["threads"]),
            row["clock"],
            number(row["median_ms"]),
            f"{number(row['p10_ms'])} .. {number(row['p90_ms'])}",
            f"{row['n_blocks']} x {row['evaluations_per_block']}",
            number(row["times_faster_than_schnetpack"]),
            number(row["share_of_gemm_peak"] and 100.0 * row["share_of_gemm_peak"]),
            _error(row["force_error"]),
        ]
        for row in case["rows"]
    ]
    return "\n".join(lines + aligned(header, rows))


def _lists(builds_per_step: float) -> str:
    if builds_per_step == 0.0:
        return "fixed pairs"
    return f"Verlet list made anew every {1.0 / builds_per_step:.0f} steps"


def scaling_text(result: Results) -> str:
    """Time and memory against the number of atoms."""
    header = ["atoms", "pairs", "ms, CPU", "us per atom", "peak memory, MB"]
    rows = [
        [
            f"{size['n_atoms']:,}",
            f"{size['n_pairs']:,}",
            number(size["thread_cpu_ms"]),
            number(size["thread_cpu_us_per_atom"]),
            number(1e-3 * size["peak_memory_growth_kB"]),
        ]
        for size in result["sizes"]
    ]
    return "\n".join(
        [
            f"Diamond of growing size, {result['network']}",
            *aligned(header, rows),
            f"  time grows with atoms to the power of {result['fitted_exponent_of_time']:.3f}, "
            f"memory by {number(result['fitted_peak_memory_kB_per_atom'])} kB per atom",
        ]
    )


def step_text(result: Results) -> str:
    """What ASE adds to the kernel."""
    header = ["model", "kernel, us", "evaluator, us", "ASE NVE step, us", "step above kernel, us"]
    header += ["of it ASE, us"]
    rows = [
        [
            model["model"],
            number(model["kernel_us"]),
            number(model["evaluator_us"]),
            number(model["ase_step_us"]),
            f"{number(model['above_kernel_us'])} ({number(model['above_kernel_p10_us'])} .. "
            f"{number(model['above_kernel_p90_us'])})",
            number(model["ase_step_without_calculator_us"]),
        ]
        for model in result["models"]
    ]
    first = "NVE of C20 with ASE, float32, 1 thread, thread CPU; in brackets 10 % .. 90 %"
    return "\n".join([first, *aligned(header, rows)])


def pimd_text(result: Results) -> str:
    """Path integrals, and how long the run of the paper would take."""
    header = [
        "model",
        "threads",
        "steps/s, wall",
        f"h for {result['full_length_ps'] / 1000.0:g} ns",
    ]
    rows = [
        [
            model["model"],
            str(model["threads"]),
            f"{number(model['median_steps_per_s'])} "
            f"({number(min(model['steps_per_s']))} .. {number(max(model['steps_per_s']))})",
            number(model["hours_for_full_length"]),
        ]
        for model in result["runs"]
    ]
    return "\n".join(
        [
            f"C20, {result['n_beads']} beads, {result['timestep_fs']} fs, i-PI, float32; "
            "in brackets smallest .. largest",
            *aligned(header, rows),
            f"  the paper: {result['paper_hours']:g} h on a GTX 1080 (T = 6, F = 128)",
        ]
    )


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns; the first to the left, all others to the right."""
    table = [list(header), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if k else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in table
    ]


def number(value: float | None) -> str:
    """Three digits, thousands apart; a dash for None."""
    if value is None:
        return "-"
    if abs(value) >= 1000.0:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:#.3g}".removesuffix(".")


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.0e}".replace("e-0", "e-")


def markdown(results: Results) -> str:
    """The table of kernels, one core, and one of runs; of whatever sections there are."""
    tables = []
    if "kernels" in results:
        tables.append(_kernels_markdown(results))
    runs = _runs_of(results)
    if runs:
        tables.append(_markdown_table(["steps and runs", ""], runs))
    return "\n\n".join(tables)


def _kernels_markdown(results: Results) -> str:
    peer = results["environment"]["peer_versions"]
    name = f"SchNetPack {peer['schnetpack']}" if peer else "SchNetPack"
    rows = []
    for case in results["kernels"]["cases"]:
        row = {(r["program"], r["dtype"], r["threads"]): r for r in case["rows"]}
        ours, theirs = row["native", "float32", 1], row.get(("SchNetPack", "float32", 1))
        rows.append(
            [
                case["title"],
                number(theirs and theirs["median_ms"]),
                number(ours["median_ms"]),
                number(ours["times_faster_than_schnetpack"]),
                _error(ours["force_error"]),
            ]
        )
    header = ["energy and forces, one core", f"{name} (ms)", "this package (ms)", "ratio"]
    return _markdown_table([*header, "force error / largest force"], rows)


def _runs_of(results: Results) -> list[list[str]]:
    rows = []
    if "scaling" in results:
        first, last = results["scaling"]["sizes"][0], results["scaling"]["sizes"][-1]
        rows.append(
            [
                f"diamond, {first['n_atoms']:,} to {last['n_atoms']:,} atoms",
                f"time grows with atoms to the power of "
                f"{results['scaling']['fitted_exponent_of_time']:.2f}; "
                f"{number(last['thread_cpu_us_per_atom'])} µs and "
                f"{number(results['scaling']['fitted_peak_memory_kB_per_atom'])} kB per atom",
            ]
        )
    if "step" in results:
        above = max(model["above_kernel_us"] for model in results["step"]["models"])
        rows.append(["NVE step in ASE", f"{number(above)} µs above the kernel"])
    if "pimd" in results:
        run = results["pimd"]
        rows += [
            [
                f"path-integral MD of C20, {run['n_beads']} beads, {model['model']}, "
                f"{model['threads']} {'thread' if model['threads'] == 1 else 'threads'}",
                f"{number(model['median_steps_per_s'])} steps/s: "
                f"{number(model['hours_for_full_length'])} h for "
                f"{run['full_length_ps'] / 1000.0:g} ns",
            ]
            for model in run["runs"]
        ]
    return rows


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---"] + ["---:" if len(header) > 2 else "---"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *rows])
