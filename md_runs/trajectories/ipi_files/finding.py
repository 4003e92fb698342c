"""Which files of i-PI belong to one simulation, and which of them hold a quantity of all beads.

i-PI writes a file for each bead, `prefix.word_BEAD.xyz` (`prefix.word_BEAD` of extras), or one for
the centroid, `prefix.word.xyz`; the words are the user's. A quantity may be there under several
words, of the first bead only, or without one of its beads: what is taken then is said, and what
would be taken for another system than it is, is an error.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from md_runs.trajectories.ipi_files.quantities import (
    OF_BEADS,
    OF_CENTROID,
    OF_EXTRAS,
    QUANTITIES,
)
from md_runs.trajectories.ipi_files.series import output_kind
from mlpotential.errors import RunError

_BEAD_OF_NAME = re.compile(r"_(\d+)(\.\w+)?$")


@dataclass(frozen=True)
class IpiFiles:
    """The files of one simulation.

    Attributes:
        folder: where they are.
        prefix: what their names begin with.
        quantities: by i-PI's name of what they hold, in the order of the beads.
        properties: files of properties.
    """

    folder: Path
    prefix: str
    quantities: dict[str, list[Path]]
    properties: list[Path]

    @property
    def place(self) -> Path:
        """Where they are, for messages."""
        return self.folder / self.prefix


def find_ipi_files(place: Path) -> IpiFiles | None:
    """The simulation that a prefix, a folder or one of its files belongs to; None for no i-PI.

    Raises:
        RunError: a folder with the outputs of several simulations.

    Warns:
        UserWarning: a quantity that is there under several words.
    """
    folder = place if place.is_dir() else place.parent
    if not folder.is_dir() or (place.is_file() and output_kind(place) is None):
        return None
    files = sorted(path for path in folder.iterdir() if path.is_file())
    outputs = {path: found for path in files if (found := output_kind(path))}
    prefixes = {_prefix(path) for path in outputs}
    if not place.is_dir():
        prefixes &= {_prefix(place)}
    if len(prefixes) > 1:
        raise RunError(
            f"{folder} holds outputs of several simulations: give the prefix of one of them, "
            + " or ".join(str(folder / prefix) for prefix in sorted(prefixes))
        )
    if not prefixes:
        return None
    prefix = prefixes.pop()
    words: dict[str, dict[str, list[Path]]] = {}  # by quantity, then by word
    properties = []
    for path, (kind, name) in outputs.items():
        if _prefix(path) == prefix and kind == "properties":
            properties.append(path)
        elif _prefix(path) == prefix:
            words.setdefault(name, {}).setdefault(_word(path), []).append(path)
    quantities = {name: _of_one_word(name, some, place) for name, some in words.items()}
    return IpiFiles(folder, prefix, quantities, properties)


def _prefix(path: Path) -> str:
    return path.name.split(".")[0]


def _word(path: Path) -> str:
    """What the name says of the quantity: `pos` of `sim.pos_3.xyz`."""
    return _BEAD_OF_NAME.sub("", path.name).removesuffix(".xyz").partition(".")[2]


def bead_of(path: Path) -> int:
    """The number of the bead in a file's name; 0 of the centroid, whose files have none."""
    found = _BEAD_OF_NAME.search(path.name)
    return 0 if found is None else int(found[1])


def _of_one_word(name: str, words: Mapping[str, list[Path]], place: Path) -> list[Path]:
    """The files of the word that was asked for, or has most beads, then most frames."""
    sizes = {
        word: (place in paths, len(paths), paths[0].stat().st_size) for word, paths in words.items()
    }
    chosen = max(sizes, key=lambda word: sizes[word])
    if len(words) > 1 and name in QUANTITIES:
        others = ", ".join(paths[0].name for word, paths in words.items() if word != chosen)
        warnings.warn(
            f"{name} are there under several names: {words[chosen][0].name} and the other beads of "
            f"its name are used, not {others} (give a file of the name that counts)",
            stacklevel=4,
        )
    return sorted(words[chosen], key=bead_of)


@dataclass(frozen=True)
class ChosenFiles:
    """What is read of a simulation.

    Attributes:
        quantities: i-PI's names with a file of each bead, one of each field.
        n_beads: of the `Trajectory`.
        of_centroid: the centroid is read, where there are files of it.
    """

    quantities: dict[str, list[Path]]
    n_beads: int
    of_centroid: bool


def choose_files(
    files: IpiFiles, of_centroid: bool, leading: Sequence[str], n_beads: int | None
) -> ChosenFiles:
    """One quantity for each field of `Trajectory`, of all beads or of the centroid.

    Args:
        files: of one simulation.
        of_centroid: prefer the centroid, where there are files of it.
        leading: fields, the first of which that is there is what counts; positions without any. It
            is taken from the centroid where its beads are not all there.
        n_beads: of the ring polymer; None for as many as there are files.

    Raises:
        RunError: a bead is missing, or nothing of the leading fields is there.

    Warns:
        UserWarning: one bead of a ring polymer, or the centroid for the beads.
    """
    shelf = _Shelf.of(files, n_beads)
    fields = shelf.beads.keys() | shelf.centroids.keys()
    lead = next((field for field in [*leading, "positions"] if field in fields), None)
    if lead is None:
        return ChosenFiles({}, shelf.n_beads, of_centroid)
    of_centroid = of_centroid or shelf.has_centroid_alone(lead, bool(leading))
    is_moving_bead = leading and lead in shelf.single
    if is_moving_bead and not (of_centroid and lead in shelf.centroids):
        raise RunError(
            f"{files.place} has {shelf.beads[lead]} of one of {shelf.n_beads} beads only, whose "
            "motion is not that of the atoms: record those of all beads, or of the centroid"
        )
    names = shelf.names(lead, of_centroid)
    shelf.tell_what_lacks(names)
    is_one = of_centroid or lead in shelf.single
    chosen = {name: files.quantities[name] for name in QUANTITIES if name in names.values()}
    return ChosenFiles(chosen, 1 if is_one else shelf.n_beads, of_centroid)


@dataclass(frozen=True)
class _Shelf:
    """What there is of each field of `Trajectory`.

    Attributes:
        files: of one simulation.
        beads, centroids: i-PI's name of what is there of beads, and of the centroid, by field.
        n_beads: of the ring polymer.
        is_known: the number of beads is told, not counted.
        complete, single: fields of which all beads are there, or one of several.
    """

    files: IpiFiles
    beads: dict[str, str]
    centroids: dict[str, str]
    n_beads: int
    is_known: bool
    complete: frozenset[str]
    single: frozenset[str]

    @classmethod
    def of(cls, files: IpiFiles, n_beads: int | None) -> _Shelf:
        """Sorted by what is there."""
        there = files.quantities
        beads, centroids = (_by_field(t, there) for t in (OF_BEADS | OF_EXTRAS, OF_CENTROID))
        numbers = {field: [bead_of(path) for path in there[name]] for field, name in beads.items()}
        counted = max((some[-1] + 1 for some in numbers.values()), default=1)
        every = list(range(n_beads or counted))
        complete = frozenset(field for field, some in numbers.items() if some == every)
        single = frozenset(field for field, some in numbers.items() if len(some) == 1) - complete
        return cls(files, beads, centroids, len(every), n_beads is not None, complete, single)

    def has_centroid_alone(self, lead: str, is_motion: bool) -> bool:
        """Whether the leading field is taken from the centroid, as its beads are not all there."""
        is_one_of_many = not self.is_known and self.n_beads == 1 and self.centroids
        if is_one_of_many:
            self._warn(
                "has files of the centroid, but nothing tells how many beads there are: put the "
                "input beside them"
            )
        if lead not in self.centroids or (lead in self.complete and not is_one_of_many):
            return False
        if not is_motion and lead in self.beads:
            return False
        if not is_motion:
            self._warn(f"has {lead} of the centroid only: they lack the spread of the beads")
        return True

    def names(self, lead: str, of_centroid: bool) -> dict[str, str]:
        """i-PI's name of what is read of each field. Raises RunError where a bead is missing."""
        names = {}
        for field in dict.fromkeys([*self.beads, *self.centroids]):
            if of_centroid and field in self.centroids:
                names[field] = self.centroids[field]
            elif field in self.complete:
                names[field] = self.beads[field]
            elif field in self.single:
                if of_centroid or lead in self.single:
                    names[field] = self.beads[field]
            elif field in self.beads:
                _refuse_missing(self.files, self.beads[field], self.n_beads)
        return names

    def tell_what_lacks(self, names: Mapping[str, str]) -> None:
        """Warns of single beads that are used, and of what is not used."""
        used = [names[f] for f in self.beads if f in self.single and names.get(f) == self.beads[f]]
        if used:
            self._warn(
                f"has {' and '.join(used)} of one of {self.n_beads} beads only: they are used as "
                "those of one particle"
            )
        unused = [of[f] for of in (self.beads, self.centroids) for f in of if f not in names]
        if unused:
            self._warn(
                f"has {' and '.join(unused)} not of all {self.n_beads} beads: they are not used"
            )

    def _warn(self, text: str) -> None:
        warnings.warn(f"{self.files.place} {text}", stacklevel=6)


def _by_field(table: Mapping[str, tuple[str, str]], there: Mapping[str, object]) -> dict[str, str]:
    """Of each field the first quantity that is there: velocities may be there as momenta, too."""
    return {table[name][0]: name for name in reversed(list(table)) if name in there}


def _refuse_missing(files: IpiFiles, name: str, n_beads: int) -> None:
    there = [bead_of(path) for path in files.quantities[name]]
    lacking = ", ".join(str(k) for k in range(n_beads) if k not in there)
    what = f"bead {lacking} is missing" if lacking else "a bead is there twice, or too many are"
    raise RunError(
        f"{files.place} has {name} of the beads {', '.join(map(str, there))}, but there are "
        f"{n_beads} beads (numbered from 0): {what}. Put the files of all beads there"
    )
