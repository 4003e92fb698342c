"""`interpret embeddings`, `filters`, `activations` and `basis`. No torch before it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlpotential.command_line import Command
from mlpotential.data.sets.named import files_of
from mlpotential.errors import ConfigError, DataError
from mlpotential.input_files import require_data_files
from mlpotential.interpretation.model_groups import one_model
from mlpotential.interpretation.result_files import save_npz
from mlpotential.run_folder import csv_text, made_folder, write_atomically
from mlpotential.settings_checks import check_count, check_number, require

N_SHOWN = 4  # features; chosen

if TYPE_CHECKING:
    from mlpotential.graph import AtomGraph
    from mlpotential.interpretation.network.filters import FilterCut
    from mlpotential.models.potential import Potential


def embeddings(
    model: str,
    *,
    folder: str,
    all_elements: bool = False,
    n_components: int = 2,
    n_nearest: int = 3,
) -> int:
    """Prints how much of the variance the components hold, and what lies beside what.

    Args:
        model: model file (.safetensors) of a SchNet or a DTNN.
        folder: of tables, arrays and the picture.
        all_elements: of the training, also those of no main group.
        n_components: in the table; the picture has two.
        n_nearest: neighbours that are listed of each element.
    """
    check_count("n_components", n_components, smallest=2)
    check_count("n_nearest", n_nearest)
    path, into = one_model(model), made_folder(folder)
    import numpy as np

    from mlpotential.interpretation.figures.embeddings import embeddings_figure
    from mlpotential.interpretation.network.embeddings import (
        embeddings_of,
        main_group,
        order_rows,
        orders_in_groups,
    )
    from mlpotential.interpretation.network.principal_components import principal_components
    from mlpotential.models.model_file import load_model
    from mlpotential.training.pictures import save_picture

    found = embeddings_of(load_model(path).potential)
    found = found if all_elements else found.of_main_groups()
    components = principal_components(found.vectors, n_components)
    at = components.coordinates(found.vectors)
    rows = [
        {"element": symbol, "atomic_number": int(z), "main_group": main_group(int(z))}
        | {f"component_{k + 1}": x for k, x in enumerate(at[row])}
        | {"nearest": " ".join(nearest)}
        for row, (symbol, z, nearest) in enumerate(
            zip(found.symbols, found.atomic_numbers, found.nearest(n_nearest), strict=True)
        )
    ]
    orders = order_rows(orders_in_groups(found.atomic_numbers, at[:, :2]))
    write_atomically(into / "embeddings.csv", csv_text(rows))
    write_atomically(into / "orders.csv", csv_text(orders))
    arrays = {"atomic_numbers": found.atomic_numbers, "vectors": found.vectors}
    save_npz(into / "embeddings.npz", arrays | {"cosine_similarities": found.similarities})
    picture = embeddings_figure(found, at[:, :2], components.explained[:2])
    save_picture(picture, into / "embeddings.png")
    parts = ", ".join(f"{part:.1%}" for part in components.explained)
    print(f"{len(rows)} elements; the components hold {parts} of the variance")
    within, others = found.similarity_in_groups
    if np.isfinite([within, others]).all():
        print(f"mean cosine {within:.3f} within main groups, {others:.3f} of all other pairs")
    for row in rows:
        print(f"{row['element']:>2}: nearest {row['nearest']}")
    for row in orders:
        line = row["along_line"]
        print(f"group {row['group']}: {line} along its line, tau {row['kendall_tau']:.2f}")
    print(f"written: {into}")
    return 0


def filters(
    model: str,
    *,
    folder: str,
    structure: str | None = None,
    length_unit: str | None = None,
    atom: int = 0,
    interaction: int = 0,
    features: Sequence[int] | None = None,
    normal: Sequence[float] = (0.0, 0.0, 1.0),
    width_A: float = 5.0,
    from_A: float = 0.8,
    to_A: float | None = None,
) -> int:
    """Filters of all interactions by distance; with a structure, cuts through those of an atom.

    Args:
        model: model file (.safetensors) of a SchNet; of a DTNN, factors by distance alone.
        folder: of tables, arrays and pictures.
        structure: one molecule or crystal, in any file that ASE reads.
        length_unit: of the structure, e.g. Angstrom, Bohr; files of ASE need none.
        atom: of the structure, from 0: its filters and those of its images are drawn.
        interaction: of the cuts, from 0.
        features: of the lines and cuts, from 0 (default: the four that vary most).
        normal: of the plane of the cuts, Cartesian (0 0 1); it goes through the atom.
        width_A: of the cuts (A).
        from_A: shortest distance (A); no pair of atoms that a model was trained on is nearer.
        to_A: longest distance (A; default: the cutoff, or the last Gaussian).
    """
    check_number("width_A", width_A)
    require(len(normal) == 3, "normal", "three numbers", list(normal))
    path = one_model(model)
    require_data_files(files_of([structure]))
    into = made_folder(folder)
    import numpy as np

    from mlpotential.interpretation.figures.filters import filters_figure
    from mlpotential.interpretation.network.filters import filter_curves, most_varying
    from mlpotential.models.model_file import load_model
    from mlpotential.training.pictures import save_picture

    potential = load_model(path).potential
    reach: float = getattr(potential.config, "rbf_stop", 1.0)
    largest = to_A or potential.cutoff or reach
    require(0.0 <= from_A < largest, "from_A", f"from 0 to below {largest:g} A", from_A)
    curves = filter_curves(potential, np.linspace(from_A, largest, 401))
    n = len(curves.values)
    _check_indices("feature", features or (), curves.values.shape[2])
    _check_indices("interaction", [interaction], n)
    if features is None:
        shown = [most_varying(curves, k, N_SHOWN) for k in range(n)]
    else:
        shown = [list(features)] * n
    if structure is not None:
        graph = _single(structure, length_unit)
        _cuts(potential, graph, atom, interaction, shown[interaction], normal, width_A, into)
    arrays = {"distances_A": curves.distances, f"{curves.what}s": curves.values}
    if curves.cutoff_function is not None:
        arrays["cutoff_function"] = curves.cutoff_function
    save_npz(into / "filters.npz", arrays)
    save_picture(filters_figure(curves, shown), into / "filters.png")
    print(f"{n} interactions, {curves.values.shape[2]} {curves.what}s each, to {largest:g} A")
    print(f"written: {into}")
    return 0


def _check_indices(what: str, given: Sequence[int], n: int) -> None:
    """Raises ConfigError for one that is not there."""
    for index in given:
        if not 0 <= index < n:
            raise ConfigError(f"there is no {what} {index}: there are {n}, from 0")


def _single(path: str, length_unit: str | None) -> AtomGraph:
    from mlpotential.data.read import read_structures

    data = read_structures(path, length_unit=length_unit)
    if len(data) != 1:
        raise DataError(f"{path} holds {len(data)} structures: give a file of one")
    return data[0]


def _cuts(
    potential: Potential,
    graph: AtomGraph,
    atom: int,
    interaction: int,
    features: Sequence[int],
    normal: Sequence[float],
    width: float,
    folder: Path,
) -> None:
    from tqdm import tqdm

    from mlpotential.interpretation.figures.filters import cuts_figure
    from mlpotential.interpretation.network.filters import filter_cut
    from mlpotential.training.pictures import save_picture

    kinds = (True,) if potential.cutoff is None else (True, False)
    cuts: list[FilterCut] = [
        filter_cut(
            potential, graph, atom, interaction, features, width=width, normal=normal,
            with_cutoff=with_cutoff,
        )
        for with_cutoff in tqdm(kinds, "cuts", disable=None)
    ]  # fmt: skip
    arrays: dict[str, Any] = {"x_A": cuts[0].x, "features": cuts[0].features}
    for cut in cuts:
        arrays["with_cutoff" if cut.with_cutoff else "without_cutoff"] = cut.values
    save_npz(folder / "cuts.npz", arrays)
    save_picture(cuts_figure(cuts), folder / "cuts.png")


def activations(*, folder: str) -> int:
    """Writes both functions from -4 to 4.

    Args:
        folder: of the table and the picture.
    """
    into = made_folder(folder)
    import numpy as np

    from mlpotential.interpretation.figures.functions import activations_figure
    from mlpotential.interpretation.network.activations import elu_curves, shifted_softplus_curves
    from mlpotential.training.pictures import save_picture

    x = np.linspace(-4.0, 4.0, 401)
    curves = [shifted_softplus_curves(x), elu_curves(x)]
    rows = [
        {"activation": c.name, "x": a, "value": b, "first_derivative": d, "second_derivative": e}
        for c in curves
        for a, b, d, e in zip(c.x, c.value, c.first, c.second, strict=True)
    ]
    write_atomically(into / "activations.csv", csv_text(rows))
    save_picture(activations_figure(curves), into / "activations.png")
    print(f"written: {into}")
    return 0


def basis(*, folder: str) -> int:
    """Fits a Morse potential of H2 by linear regressions and tells their errors.

    Args:
        folder: of the table and the picture.
    """
    into = made_folder(folder)
    from mlpotential.interpretation.figures.functions import plot_fit
    from mlpotential.interpretation.network.distance_basis import fit_bond
    from mlpotential.training.pictures import panels_beside, save_picture

    fit = fit_bond()
    columns = (fit.distances, fit.energies, fit.of_distance, fit.of_gaussians)
    names = ("distance_angstrom", "energy_eV", "linear_in_distance_eV", "linear_in_gaussians_eV")
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    write_atomically(into / "basis.csv", csv_text(rows))
    figure, (panel,) = panels_beside(1, 4.6, 3.4)
    plot_fit(fit, panel)
    save_picture(figure, into / "basis.png")
    first, second = fit.errors
    print(f"linear in r: RMSE {first:.3g} eV; in {fit.n_gaussians} Gaussians: {second:.3g} eV")
    print(f"written: {into}")
    return 0


EMBEDDINGS = Command.of(
    embeddings, "  mlpotential interpret embeddings model.safetensors --folder embeddings"
)
FILTERS = Command.of(
    filters,
    "  mlpotential interpret filters model.safetensors --folder filters\n"
    "  mlpotential interpret filters model.safetensors --structure graphite.cif --features 3 17 "
    "--folder filters",
)
ACTIVATIONS = Command.of(activations, "  mlpotential interpret activations --folder activations")
BASIS = Command.of(basis, "  mlpotential interpret basis --folder basis")
