"""Radial distribution functions of MDAnalysis, for test_rdf.py.

    python make_mdanalysis_rdf_reference.py

writes mdanalysis_rdf.npz beside this file. It runs in an environment of its own:

    pip install MDAnalysis==2.11.0

Made with MDAnalysis 2.11.0: `InterRDF` of a synthetic trajectory, 30 oxygens and 60 hydrogens in a
skewed cell, 20 frames. Hydrogens stand about 1 A from their oxygen, the oxygens anywhere, so that
g(r) has structure. The positions are stored in float32, as MDAnalysis keeps them: counts are then
the same to the last pair. `exclusion_block=(1, 1)` leaves an atom out of its own neighbours, also
in the number of pairs MDAnalysis divides by.
"""

from importlib.metadata import version
from pathlib import Path

import MDAnalysis
import numpy as np
from MDAnalysis.analysis.rdf import InterRDF
from MDAnalysis.coordinates.memory import MemoryReader

N_OXYGENS, N_FRAMES, MAX_DISTANCE, N_BINS = 30, 20, 4.5, 90
BOX = np.array([11.0, 10.0, 12.0, 80.0, 75.0, 70.0], np.float32)  # lengths (A), angles (degree)


def trajectory(cell: np.ndarray) -> np.ndarray:
    """[n_frames, 90, 3] (A): the oxygens first."""
    rng = np.random.default_rng(17)
    oxygens = rng.uniform(size=(N_FRAMES, N_OXYGENS, 3)) @ cell
    directions = rng.normal(size=(N_FRAMES, 2 * N_OXYGENS, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    lengths = rng.normal(1.0, 0.1, size=(N_FRAMES, 2 * N_OXYGENS, 1))
    hydrogens = np.repeat(oxygens, 2, axis=1) + lengths * directions
    return np.concatenate([oxygens, hydrogens], axis=1).astype(np.float32)


def main() -> None:
    cell = MDAnalysis.lib.mdamath.triclinic_vectors(BOX).astype(np.float64)
    positions = trajectory(cell)
    universe = MDAnalysis.Universe.empty(3 * N_OXYGENS, trajectory=True)
    universe.add_TopologyAttr("elements", ["O"] * N_OXYGENS + ["H"] * 2 * N_OXYGENS)
    universe.load_new(positions, format=MemoryReader, dimensions=BOX)
    groups = {name: universe.select_atoms(f"element {name}") for name in "OH"}
    results = {}
    for first, second in ("OO", "OH", "HH"):
        blocks = (1, 1) if first == second else None
        found = InterRDF(
            groups[first],
            groups[second],
            nbins=N_BINS,
            range=(0.0, MAX_DISTANCE),
            exclusion_block=blocks,
        ).run()
        results[f"count_{first}{second}"] = found.results.count
        results[f"g_{first}{second}"] = found.results.rdf
    np.savez_compressed(
        Path(__file__).with_name("mdanalysis_rdf.npz"),
        positions=positions,
        cell=cell,
        edges=found.results.edges,
        version=version("MDAnalysis"),
        **results,
    )


if __name__ == "__main__":
    main()
