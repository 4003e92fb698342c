"""Where a field is evaluated: on a surface, in a plane. Free of torch until it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mlpotential.errors import ConfigError, StructureError
from mlpotential.settings_checks import check_number

if TYPE_CHECKING:
    from ase import Atoms

    from mlpotential.interpretation.fields.planes import PlaneGrid
    from mlpotential.interpretation.fields.surfaces import Surface


@dataclass(frozen=True)
class FieldPlaces:
    """Where a field is shown.

    Attributes:
        surface: of the molecule: points of equal sum of inverse squared distances from all atoms,
            or of distances; none for crystals, by default inverse-squares for molecules.
        level: of the surface: 3.7 1/A^2 by default for inverse-squares; in A for distances.
        spacing: of points (A).
        plane: of the cut: best (nearest to all atoms), atoms=0,1,2 (through three, counted from
            0), normal=0,0,1, lattice=1,1,0 (Miller indices), or none.
        origin: a point of the plane (A); default: middle of the atoms, or a crystal's first atom.
        width: of a square cut (A); default: all atoms and 2.5 A around them, 10 A in a crystal.
        cube: write the field in a box as .cube files, too.
        vtk: write the field in a box as .vtk files (ParaView, VisIt, PyVista), too.
    """

    surface: Literal["inverse-squares", "distances", "none"] | None = None
    level: float | None = None
    spacing: float = 0.1
    plane: str = "best"
    origin: Sequence[float] | None = None
    width: float | None = None
    cube: bool = False
    vtk: bool = False

    def check(self) -> None:
        """Raises ConfigError for numbers that are none, and where nothing is asked for."""
        check_number("--spacing", self.spacing)
        for name in ("level", "width"):
            if (value := getattr(self, name)) is not None:
                check_number(f"--{name}", value)
        if self.surface == "none" and self.plane == "none" and not self.volumes:
            raise ConfigError("nothing is left to show: give --surface, --plane, --cube or --vtk")

    @property
    def volumes(self) -> tuple[str, ...]:
        """Suffixes of the files of the field in a box that are asked for."""
        asked = {".cube": self.cube, ".vtk": self.vtk}
        return tuple(suffix for suffix, is_asked in asked.items() if is_asked)

    def surface_kind(self, atoms: Atoms) -> Literal["inverse-squares", "distances", "none"]:
        """Which surface is drawn. Raises ConfigError, StructureError for one that cannot be."""
        from mlpotential.interpretation.fields.surfaces import checked_level, require_marching_cubes
        from mlpotential.interpretation.figures.surface_page import require_plotly

        periodic = bool(atoms.pbc.any())
        kind = self.surface or ("none" if periodic else "inverse-squares")
        if kind == "none":
            return kind
        if periodic:
            raise StructureError(
                "a crystal goes on without end and has no surface around it: leave --surface out"
            )
        checked_level(kind, self.level, atoms.positions)
        require_marching_cubes()
        require_plotly()
        return kind

    def surface_of(self, atoms: Atoms) -> Surface | None:
        """The surface around a structure; None without one. Raises as `surface_kind`."""
        from mlpotential.interpretation.fields.surfaces import surface_around

        kind = self.surface_kind(atoms)
        if kind == "none":
            return None
        return surface_around(atoms.positions, kind, self.level, self.spacing)

    def grid_of(self, atoms: Atoms) -> PlaneGrid | None:
        """Points of the cut; None without one. Raises ConfigError as `plane_of_words`."""
        from mlpotential.interpretation.fields.maps import grid_of_cut
        from mlpotential.interpretation.fields.planes import plane_of_words

        if self.plane == "none":
            return None
        plane = plane_of_words(self.plane, atoms, self.origin)
        return grid_of_cut(plane, atoms, self.spacing, self.width)
