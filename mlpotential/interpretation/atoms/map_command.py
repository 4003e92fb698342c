"""`interpret map`. Free of torch until the files are there."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlpotential.command_line import Command
from mlpotential.data.sets.named import split_name
from mlpotential.errors import ConfigError, DataError
from mlpotential.interpretation.model_groups import one_model
from mlpotential.interpretation.options import AskedStructures, element_of
from mlpotential.interpretation.result_files import save_npz
from mlpotential.settings_checks import check_count, named_values, require

if TYPE_CHECKING:
    import numpy as np

    from mlpotential.data.reference_data import ReferenceData
    from mlpotential.models.potential import Potential

COMPUTED = ("element", "neighbors", "energy", "charge")  # what `interpret map` knows by itself


def map_features(
    model: str,
    *,
    n_structures: int = 500,
    color: str = "element",
    element: str | None = None,
    **options: Any,
) -> int:
    """Principal components of what the readout sees of each atom.

    Args:
        model: model file (.safetensors).
        n_structures: so many of the set, by chance.
        color: element, neighbors (number of bonds), energy or charge of the atom by the model, or
            a scalar of its structure in the data with its unit, such as gap=eV.
        element: map atoms of this element alone, such as C.
        options: fields of `AskedStructures`.
    """
    asked = AskedStructures(**options)
    check_count("n_structures", n_structures)
    if color not in COMPUTED:
        named_values([color], f"--color takes {', '.join(COMPUTED)}, or a scalar such as gap=eV")
    of_element = None if element is None else element_of(element)
    path, folder = one_model(model), asked.check()
    from mlpotential.interpretation.atoms.feature_map import feature_map, final_features
    from mlpotential.interpretation.figures.feature_maps import class_names, plot_feature_map
    from mlpotential.interpretation.structures import chosen_structures
    from mlpotential.training.evaluation.batches import loaded_potential
    from mlpotential.training.pictures import panels_beside, save_picture

    data = chosen_structures(asked.data, asked.length_unit, n_structures, asked.seed)
    potential = loaded_potential(path, asked.device, None, asked.batch_size)
    colors = _colors(color, potential, data, asked)
    found = feature_map(final_features(potential, data, asked.batch_size), data, of_element)
    kept = slice(None) if of_element is None else data.arrays.all_numbers == of_element
    frames = [data.frame_number(k) for k in range(len(data))]
    named = asdict(found) | {color.partition("=")[0]: colors[kept], "frame_numbers": frames}
    save_npz(folder / "map.npz", named)
    figure, (panel,) = panels_beside(1, 5.6, 4.4)
    names = class_names(color, colors[kept]) if color in ("element", "neighbors") else None
    plot_feature_map(found, colors[kept], _color_label(color), panel, names)
    save_picture(figure, folder / "map.png")
    parts = " and ".join(f"{part:.1%}" for part in found.explained)
    print(f"{len(found.features)} atoms of {len(data)} structures; two components hold {parts}")
    print(f"written: {folder}")
    return 0


def _color_label(color: str) -> str:
    if color in ("element", "neighbors"):
        return color
    units = {"energy": "atomic energy less reference (eV)", "charge": "latent charge (e)"}
    name, _, unit = color.partition("=")
    return units.get(color, f"{name} ({unit})")


def _colors(
    color: str, potential: Potential, data: ReferenceData, asked: AskedStructures
) -> np.ndarray:
    """A number for each atom, [n_atoms]. Raises InputError where there is none."""
    from mlpotential.interpretation.atoms.contributions import atomic_contributions
    from mlpotential.interpretation.atoms.feature_map import neighbor_counts

    if color == "element":
        return data.arrays.all_numbers
    if color == "neighbors":
        return neighbor_counts(data)
    if color in COMPUTED:
        values = atomic_contributions(potential, data, asked.batch_size)
        name = {"energy": "energies", "charge": "charges"}[color]
        if name not in values:
            raise ConfigError(f"the model gives no {name}: choose another --color")
        return values[name]
    return _scalar_of_structures(color, data, asked)[data.arrays.structure_of_atom]


def _scalar_of_structures(color: str, data: ReferenceData, asked: AskedStructures) -> np.ndarray:
    """[n_structures]."""
    from mlpotential.data.read import read_reference_data

    ((name, unit),) = named_values([color], "gap=eV").items()
    frames = [data.frame_number(k) for k in range(len(data))]
    is_named = split_name(asked.data)[0] is not None
    units = {} if is_named else {"energy_unit": "eV", "length_unit": asked.length_unit}
    declared = {"energy_unit": unit} if name == "energy" else {f"{name}_unit": unit}
    labelled = read_reference_data(asked.data, properties=(name,), index=frames, **units | declared)
    if [labelled.frame_number(k) for k in range(len(labelled))] != frames:
        raise DataError(f"{asked.data}: {name} is not known of every structure that was chosen")
    values = labelled.values(name)
    require(values.ndim == 1, "the label of --color", "one number of a structure", name)
    return values


MAP = Command.of(
    map_features,
    "  mlpotential interpret map model.safetensors --data qm9 --folder map\n"
    "  mlpotential interpret map model.safetensors --data qm9 --element C --color neighbors "
    "--folder carbon\n"
    "  mlpotential interpret map model.safetensors --data qm9 --color gap=eV --folder gap",
    more=[AskedStructures],
)
