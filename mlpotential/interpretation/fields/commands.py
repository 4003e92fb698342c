"""`interpret chemical-potential` and `electrostatic-potential`; torch waits for the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlpotential.command_line import Command
from mlpotential.errors import ConfigError, StructureError
from mlpotential.input_files import require_data_files, require_model_files, unreadable
from mlpotential.interpretation.fields.places import FieldPlaces
from mlpotential.run_folder import made_folder

if TYPE_CHECKING:
    from ase import Atoms

    from mlpotential.interpretation.fields.maps import Field, Quantity
    from mlpotential.interpretation.fields.planes import PlaneGrid
    from mlpotential.models.model_file import LoadedModel


@dataclass(frozen=True)
class FieldPictures(FieldPlaces):
    """Where a field is shown, and the files.

    Attributes:
        folder: of all files, made where needed.
    """

    folder: str = "interpretation"


def chemical_potential(
    models: Sequence[str],
    structure: str,
    *,
    probe: str = "C",
    without: int | None = None,
    output: str = "energy",
    dtype: Literal["float32", "float64"] = "float32",
    **options: Any,
) -> int:
    """Draws local chemical potentials on a surface and in a plane.

    Args:
        models: model files (.safetensors), side by side on one colour scale.
        structure: file of a molecule, or of a crystal for models with a cutoff.
        probe: element of the probe.
        without: leave out this atom, counted from 0: shown beside the whole molecule, on its
            surface.
        output: energy, or a scalar of the model that atoms contribute to.
        dtype: of the evaluation.
        options: fields of `FieldPictures`.
    """
    pictures = FieldPictures(**options)
    atoms = _read(models, structure, pictures)
    from mlpotential.interpretation.fields.local_chemical_potential import LocalChemicalPotential
    from mlpotential.interpretation.fields.maps import Field, Quantity

    structures = {"": atoms}
    if without is not None:
        structures |= _without(atoms, without)
    fields, units = [], {}
    for model, title in _loaded(models):
        for what, shown in structures.items():
            omega = LocalChemicalPotential(model, shown, output, dtype)
            values_at = partial(omega.at, probe=omega.checked_probe(probe))
            fields.append(Field(", ".join(filter(None, [title, what])), shown, values_at))
            units[omega.unit] = title
    if len(units) > 1:
        raise ConfigError(
            f"one colour scale has one unit, and {output} is in {' and in '.join(units)}: show "
            "these models one by one"
        )
    symbol = f"$\\Omega_{{{probe}}}$"
    quantity = Quantity("local_chemical_potential", symbol, next(iter(units)), False)
    return _show(fields, quantity, pictures)


def electrostatic_potential(models: Sequence[str], structure: str, **options: Any) -> int:
    """Draws potentials on a surface and in a plane, for a probe of +e: V is eV per e.

    Args:
        models: model files (.safetensors) with a dipole, side by side on one colour scale.
        structure: file of a molecule.
        options: fields of `FieldPictures`.
    """
    pictures = FieldPictures(**options)
    atoms = _read(models, structure, pictures)
    from mlpotential.interpretation.fields.electrostatic_potential import ElectrostaticPotential
    from mlpotential.interpretation.fields.maps import Field, Quantity

    fields = []
    for model, title in _loaded(models):
        potential = ElectrostaticPotential.of_model(model, atoms)
        fields.append(Field(title, atoms, potential.at))
        print(f"sign of charges: {potential.sign} ({title})")
    quantity = Quantity("electrostatic_potential", "$\\varphi$", "V", True, True)
    return _show(fields, quantity, pictures)


def _read(models: Sequence[str], path: str, pictures: FieldPictures) -> Atoms:
    """The structure, once files are there and numbers are sensible."""
    require_model_files(models)
    require_data_files([path])
    pictures.check()
    from ase import Atoms
    from ase.io import read

    try:
        atoms = read(path)
    except Exception as error:  # ASE's readers raise whatever their parsing happens to meet
        reason = unreadable(path, error)
        raise StructureError(f"{path} is no structure ASE can read: {reason}") from error
    assert isinstance(atoms, Atoms)
    return atoms


def _loaded(models: Sequence[str]) -> list[tuple[LoadedModel, str]]:
    """Models with titles that tell them apart."""
    from mlpotential.models.model_file import load_model

    loaded = [load_model(model) for model in models]
    names = [type(model.potential).__name__ for model in loaded]
    counts = Counter(names)
    titles = [
        name if counts[name] == 1 else f"{name} {number}: {Path(model).parent.name or model}"
        for number, (name, model) in enumerate(zip(names, models, strict=True), start=1)
    ]
    return list(zip(loaded, titles, strict=True))


def _without(atoms: Atoms, atom: int) -> dict[str, Atoms]:
    """What is left without an atom, by words. Raises ConfigError for one that is not there."""
    if not 0 <= atom < len(atoms) or len(atoms) == 1:
        there = f"one of the atoms 0 to {len(atoms) - 1} of a molecule of two or more"
        raise ConfigError(f"--without must be {there}, not {atom}")
    left = atoms.copy()
    del left[atom]
    return {f"without atom {atom} ({atoms.symbols[atom]})": left}


def _show(fields: Sequence[Field], quantity: Quantity, pictures: FieldPictures) -> int:
    """Writes everything that was asked for; what cannot be shown is told before the work.

    The surface and the plane are those of the first field's structure.
    """
    from mlpotential.interpretation.fields.files import file_stem, write_volume
    from mlpotential.interpretation.fields.maps import volume_of

    atoms = fields[0].atoms
    kind = pictures.surface_kind(atoms)
    grid = pictures.grid_of(atoms)
    folder = made_folder(pictures.folder)
    if grid is not None:
        _show_cut(fields, grid, quantity, folder)
    if kind != "none":
        _show_surface(fields, pictures, quantity, folder)
    for field in fields if pictures.volumes else ():
        volume = volume_of(field, pictures.spacing)
        for suffix in pictures.volumes:
            path = folder / f"{quantity.name}_{file_stem(field.title)}{suffix}"
            write_volume(*volume, quantity, path)
            print(f"volume:  {path}")
    return 0


def _show_cut(fields: Sequence[Field], grid: PlaneGrid, quantity: Quantity, folder: Path) -> None:
    from mlpotential.interpretation.fields.files import write_cut
    from mlpotential.interpretation.fields.maps import map_in_plane
    from mlpotential.interpretation.figures.cut_picture import save_cut_picture

    cut = map_in_plane(fields, grid, quantity)
    write_cut(cut, folder / "cut.npz")
    save_cut_picture([cut], folder / "cut.png")
    print(f"cut:     {folder / 'cut.png'}, {folder / 'cut.npz'} ({grid.plane.words})")


def _show_surface(
    fields: Sequence[Field],
    pictures: FieldPictures,
    quantity: Quantity,
    folder: Path,
) -> None:
    from mlpotential.interpretation.fields.files import write_surface
    from mlpotential.interpretation.fields.maps import map_on_surface
    from mlpotential.interpretation.figures.surface_page import save_surface_page
    from mlpotential.interpretation.figures.surface_picture import save_surface_picture

    surface = pictures.surface_of(fields[0].atoms)
    assert surface is not None
    shown = map_on_surface(fields, surface, quantity)
    write_surface(shown, folder / "surface.npz")
    save_surface_picture([shown], folder / "surface.png")
    save_surface_page([shown], folder / "surface.html")
    for title, values in zip(shown.titles, shown.values, strict=True):
        print(f"surface: {values.min():.4g} to {values.max():.4g} {quantity.unit} ({title})")
    names = ", ".join(str(folder / f"surface.{ending}") for ending in ("png", "html", "npz"))
    print(f"surface: {names} ({surface.formula})")


CHEMICAL_POTENTIAL = Command.of(
    chemical_potential,
    "  mlpotential interpret chemical-potential model.safetensors benzene.xyz --probe C "
    "--folder benzene\n"
    "  mlpotential interpret chemical-potential schnet.safetensors dtnn.safetensors toluene.xyz "
    "--folder both\n"
    "  mlpotential interpret chemical-potential model.safetensors amide.xyz --probe H --without 8\n"
    "  mlpotential interpret chemical-potential model.safetensors diamond.cif "
    "--plane lattice=1,1,0",
    more=[FieldPictures],
)
ELECTROSTATIC_POTENTIAL = Command.of(
    electrostatic_potential,
    "  mlpotential interpret electrostatic-potential model.safetensors benzene.xyz "
    "--plane atoms=0,1,2 --folder benzene_esp",
    more=[FieldPictures],
)
