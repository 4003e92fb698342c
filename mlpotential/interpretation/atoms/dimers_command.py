"""`interpret dimers`. Free of torch until the files are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from mlpotential.command_line import Command
from mlpotential.errors import ConfigError
from mlpotential.interpretation.model_groups import model_groups
from mlpotential.interpretation.options import element_of
from mlpotential.messages import bar_hidden
from mlpotential.run_folder import csv_text, made_folder, write_atomically
from mlpotential.settings_checks import check_count, require

if TYPE_CHECKING:
    pass

N_MINIMA = 3  # of dimers, printed


def dimers(
    models: Sequence[str],
    *,
    elements: Sequence[str],
    folder: str,
    from_A: float = 0.8,
    to_A: float = 8.0,
    n_points: int = 361,
    zero: Literal["atoms", "none"] = "atoms",
    device: str = "auto",
) -> int:
    """Energies of a pair of atoms alone, with the spread over the models of a group.

    Args:
        models: model files, patterns of them, or NAME=MODEL; those of one pattern are one line.
        elements: of the two atoms, such as C C.
        folder: of the table and the picture.
        from_A: shortest distance (A).
        to_A: longest distance (A).
        n_points: equidistant.
        zero: energies are relative to the two atoms by themselves, as the model has them, or to
            none: as it gives them.
        device: auto, cpu, cuda or cuda:N.
    """
    if len(elements) != 2:
        raise ConfigError(f"a dimer has two atoms: --elements takes two, not {len(elements)}")
    pair = (element_of(elements[0]), element_of(elements[1]))
    check_count("n_points", n_points, smallest=3)
    require(0.0 < from_A < to_A, "from_A", f"positive and below to_A = {to_A:g} A", from_A)
    groups, path = model_groups(models), made_folder(folder)
    import numpy as np
    from tqdm import tqdm

    from mlpotential.interpretation.atoms.dimers import (
        ZERO_IN_WORDS,
        DimerCurves,
        dimer_energies,
    )
    from mlpotential.interpretation.figures.dimers import plot_dimers
    from mlpotential.training.evaluation.batches import loaded_potential
    from mlpotential.training.pictures import panels_beside, save_picture

    r, curves = np.linspace(from_A, to_A, n_points), []
    for group in tqdm(groups, "dimers", disable=bar_hidden()):
        energies = np.stack(
            [
                dimer_energies(loaded_potential(file, device, "float64", 1), pair, r, zero)
                for file in group.paths
            ]
        )
        curves.append(DimerCurves(group.name, group.model_names, pair, zero, r, energies))
    write_atomically(path / "dimers.csv", csv_text([row for c in curves for row in c.rows()]))
    figure, (panel,) = panels_beside(1, 5.6, 3.8)
    plot_dimers(curves, panel)
    save_picture(figure, path / "dimers.png")
    print(f"energies {ZERO_IN_WORDS[zero]}; spreads are standard deviations over models")
    for curve in curves:
        minima = [f"{at:.3f} A ({depth:.3f} eV)" for at, depth in curve.minima[:N_MINIMA]]
        words = f"deepest minima: {', '.join(minima)}" if minima else "no minimum"
        print(f"{curve.name} ({len(curve.models)} models): {words}")
    print(f"written: {path}")
    return 0


DIMERS = Command.of(
    dimers,
    "  mlpotential interpret dimers 'QM9=qm9_*/model.safetensors' "
    "'aspirin=aspirin_*/model.safetensors' --elements C C --folder dimers",
)
