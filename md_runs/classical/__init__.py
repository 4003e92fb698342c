"""Classical molecular dynamics with ASE's integrators: runs and segments that survive a kill.

from md_runs.classical import ClassicalRun, run_classical
run_classical(atoms, ClassicalRun(n_steps=20_000), "nvt")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlpotential.lazy_names import lazy_names

__all__ = ["ClassicalResult", "ClassicalRun", "run_classical", "run_nve_segments"]

if TYPE_CHECKING:  # for editors and type checkers
    from md_runs.classical.nve_segments import run_nve_segments
    from md_runs.classical.run import ClassicalResult, run_classical
    from md_runs.classical.settings import ClassicalRun

__getattr__ = lazy_names(
    __name__,
    {
        "run": ("ClassicalResult", "run_classical"),
        "nve_segments": ("run_nve_segments",),
        "settings": ("ClassicalRun",),
    },
)
