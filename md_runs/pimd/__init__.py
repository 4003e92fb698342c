"""Path integrals by i-PI or in this process: sampling, and ring polymers that move in time.

from md_runs.pimd import PimdRun, run_pimd
run_pimd(atoms, "model.safetensors", PimdRun(n_steps=10_000), "pimd")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlpotential.lazy_names import lazy_names

__all__ = [
    "PimdProperties",
    "PimdResult",
    "PimdRun",
    "SegmentsResult",
    "read_pimd_trajectory",
    "run_pimd",
    "run_ring_polymer_segments",
]

if TYPE_CHECKING:  # for editors and type checkers
    from md_runs.pimd.results import PimdProperties, PimdResult
    from md_runs.pimd.run import run_pimd, run_ring_polymer_segments
    from md_runs.pimd.segments import SegmentsResult
    from md_runs.pimd.settings import PimdRun
    from md_runs.pimd.stored_runs import read_pimd_trajectory

__getattr__ = lazy_names(
    __name__,
    {
        "run": ("run_pimd", "run_ring_polymer_segments"),
        "results": ("PimdProperties", "PimdResult"),
        "segments": ("SegmentsResult",),
        "settings": ("PimdRun",),
        "stored_runs": ("read_pimd_trajectory",),
    },
)
