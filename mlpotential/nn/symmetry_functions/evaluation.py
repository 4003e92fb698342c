"""Many symmetry functions of all atoms of many structures, without a loop over atoms.

Functions of the same factors about different elements and neighbours are a batch: one evaluation
serves all of them, and the sum of each pair or triple goes to the slot of its elements. The
formulas are those of `notation`; derivatives come from autograd. Where no gradients of gradients
are wanted and triples are many, they are evaluated block by block of atoms, and once more in the
backward pass instead of being kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mlpotential.errors import ConfigError
from mlpotential.nn.symmetry_functions.factors import (
    Angular,
    AngularFactors,
    Radial,
    RadialFactors,
)
from mlpotential.nn.symmetry_functions.neighborhoods import Neighborhoods, triples_of
from mlpotential.nn.symmetry_functions.notation import SymmetryFunction, elements_of, of_element

MOST_TRIPLES_AT_ONCE = 2**19  # chosen: some 250 MB with their derivatives

LARGEST_TABLES = 2**25  # numbers; chosen: a quarter of a gigabyte

Neighbors = tuple[int, ...]  # places of elements, ascending; none for all elements
# Functions by what a batch has in common, then by places of centre and neighbours.
_Groups = dict[Any, dict[tuple[int, Neighbors], list[SymmetryFunction]]]


@dataclass(frozen=True)
class Batch:
    """Functions of the same factors about any elements.

    Attributes:
        is_radial, is_narrow, is_weighted: of the types.
        radial: g of each function, as numbers of `radial_factors`, [n].
        angular: A of each function, as numbers of `angular_factors`, [n].
        radial_factors: of distances.
        angular_factors: of angles; None for radial functions.
        slots: number of the sum of a pair or triple by places of its elements, -1 for none,
            [n_elements] * 1, 2 or 3; 0 to n_slots - 1.
        n_slots: sums of each atom.
    """

    is_radial: bool
    is_narrow: bool
    is_weighted: bool
    radial: tuple[int, ...]
    angular: tuple[int, ...]
    radial_factors: RadialFactors
    angular_factors: AngularFactors | None
    slots: Tensor
    n_slots: int

    @property
    def n_functions(self) -> int:
        """Of each slot."""
        return len(self.radial)


class SymmetryFunctions:
    """Values of symmetry functions.

    Args:
        functions: as `parse_symmetry_functions` returns them.
        cutoff_type, inner_cutoff: see `shapes.cutoff_function`.

    Attributes:
        elements: atomic numbers of atoms that have functions, ascending.
        cutoff: of the one that reaches farthest (length unit).
        n_functions: of the element that has most of them.
    """

    def __init__(
        self, functions: Sequence[SymmetryFunction], cutoff_type: int, inner_cutoff: float
    ) -> None:
        self.elements = elements_of(functions)
        self.cutoff = max(function.cutoff for function in functions)
        self.n_functions = max(len(of_element(functions, z)) for z in self.elements)
        self._batches, self._columns = _batches(functions, cutoff_type, inner_cutoff)
        angular = [f.cutoff for f in functions if not f.is_radial]
        self._angular_cutoff = max(angular, default=0.0)

    def __call__(
        self,
        places: Tensor,
        pair_index: Tensor,
        displacements: Tensor,
        in_blocks: bool = False,
    ) -> Tensor:
        """Values for each atom, [n_atoms, n_functions], zero where its element has fewer.

        Args:
            places: of the element of each atom in `elements`, [n_atoms].
            pair_index: unordered pairs, [2, n_pairs].
            displacements: of their second atom from their first, [n_pairs, 3] (length unit), of the
                dtype that is wanted.
            in_blocks: evaluate triples block by block.
        """
        n_atoms = len(places)
        pairs = Neighborhoods.of(pair_index, displacements, n_atoms)
        sums = [
            self._radial_sums(batch, places, pairs) for batch in self._batches if batch.is_radial
        ]
        if self._angular_cutoff:
            pairs = pairs.within(self._angular_cutoff)
            blocks = pairs.blocks(MOST_TRIPLES_AT_ONCE) if in_blocks else [(0, n_atoms)]
            sums.append(self._angular_sums(places, pairs, blocks))
        zeros = displacements.new_zeros(n_atoms, 1)
        everything = torch.cat([*sums, zeros], dim=1)
        return everything.gather(1, self._columns.to(places.device)[places])

    def _radial_sums(self, batch: Batch, places: Tensor, pairs: Neighborhoods) -> Tensor:
        """[n_atoms, n_slots * n_functions]."""
        slots = _slots_of(batch, places, pairs.centers, pairs.neighbors)
        rows = _kept(slots, pairs.distances.detach() < batch.radial_factors.cutoff)
        values = batch.radial_factors(_chosen(pairs.distances, rows))
        if batch.is_weighted:
            neighbors = places[_chosen(pairs.neighbors, rows)]
            values = values * self._atomic_numbers(values)[neighbors, None]
        return _summed(batch, values, _chosen(pairs.centers, rows), _chosen(slots, rows), places)

    def _atomic_numbers(self, like: Tensor) -> Tensor:
        return like.new_tensor([float(z) for z in self.elements])

    def _angular_sums(
        self, places: Tensor, pairs: Neighborhoods, blocks: list[tuple[int, int]]
    ) -> Tensor:
        """[n_atoms, all slots and functions of angular batches], block by block of atoms."""
        ends = torch.cumsum(pairs.counts, dim=0).tolist()
        parts = []
        for start, end in blocks:
            first = ends[start - 1] if start else 0
            rows = slice(first, ends[end - 1])
            of_block = replace(
                pairs,
                centers=pairs.centers[rows],
                neighbors=pairs.neighbors[rows],
                counts=pairs.counts[start:end],
            )
            displacements, distances = pairs.displacements[rows], pairs.distances[rows]

            def sums(
                displacements: Tensor,
                distances: Tensor,
                of_block: Neighborhoods = of_block,
                start: int = start,
            ) -> Tensor:
                given = replace(of_block, displacements=displacements, distances=distances)
                return self._sums_of_block(places, given, start)

            if len(blocks) == 1:
                parts.append(sums(displacements, distances))
            else:
                parts.append(_Recomputed.apply(sums, displacements, distances))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _sums_of_block(self, places: Tensor, pairs: Neighborhoods, start: int) -> Tensor:
        """The same for consecutive atoms, of which `start` is the first."""
        triples = _Triples.of(pairs)
        own = places[start : start + len(pairs.counts)]
        parts = []
        for batch in self._batches:
            if batch.is_radial:
                continue
            cutoff = batch.radial_factors.cutoff
            second_neighbors = pairs.neighbors[triples.second]
            slots = _slots_of(batch, places, triples.centers, triples.neighbors, second_neighbors)
            near = pairs.distances.detach() < cutoff
            inside = near[triples.first] & near[triples.second]
            if batch.is_narrow:
                inside = inside & (triples.far_sides().detach() < cutoff)
            rows = _kept(slots, inside)
            of_pairs = batch.radial_factors(pairs.distances)
            if batch.is_weighted:
                weights = self._atomic_numbers(of_pairs)[places[pairs.neighbors]]
                of_pairs = of_pairs * weights[:, None]
            first, second = _chosen(triples.first, rows), _chosen(triples.second, rows)
            radial = of_pairs.index_select(0, first) * of_pairs.index_select(0, second)
            if batch.is_narrow:
                radial = radial * batch.radial_factors(_chosen(triples.far_sides(), rows))
            assert batch.angular_factors is not None
            angular = batch.angular_factors(_chosen(triples.cosines, rows))
            values = _product(batch, radial, angular)
            centers = _chosen(triples.centers, rows) - start
            parts.append(_summed(batch, values, centers, _chosen(slots, rows), own))
        return torch.cat(parts, dim=1)


class _Triples:
    """Two pairs of one atom each, and the triangles that they are.

    Attributes:
        first, second: numbers of the pairs, [n_triples].
        centers, neighbors: atom in the middle and the neighbour of the first pair, [n_triples].
        cosines: of the angle in the middle, [n_triples].
    """

    def __init__(
        self, pairs: Neighborhoods, first: Tensor, second: Tensor, sides: tuple[Tensor, Tensor]
    ) -> None:
        self.first, self.second = first, second
        self.centers, self.neighbors = pairs.centers[first], pairs.neighbors[first]
        self._one, self._other = sides
        lengths = pairs.distances.index_select(0, first) * pairs.distances.index_select(0, second)
        self.cosines = (self._one * self._other).sum(dim=1) / lengths
        self._far_sides: Tensor | None = None

    @classmethod
    def of(cls, pairs: Neighborhoods) -> _Triples:
        """All triples of the atoms whose pairs these are."""
        first, second = triples_of(pairs.counts)
        vectors = pairs.displacements
        sides = (vectors.index_select(0, first), vectors.index_select(0, second))
        return cls(pairs, first, second, sides)

    def far_sides(self) -> Tensor:
        """Distance of the two neighbours, [n_triples]."""
        if self._far_sides is None:
            self._far_sides = torch.linalg.vector_norm(self._other - self._one, dim=1)
        return self._far_sides


class _Recomputed(torch.autograd.Function):
    """A function whose intermediate numbers are not kept, but found again for its derivatives."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
        """function(*arguments)."""
        ctx.function = function
        ctx.save_for_backward(*arguments)
        with torch.no_grad():
            return function(*arguments)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """By autograd of the function, differentiable where that is asked for."""
        is_differentiated = torch.is_grad_enabled()
        arguments = ctx.saved_tensors
        with torch.enable_grad():
            if not is_differentiated:
                arguments = [argument.detach().requires_grad_() for argument in arguments]
            value = ctx.function(*arguments)
            if not value.requires_grad:
                return (None, *(torch.zeros_like(argument) for argument in arguments))
            found = torch.autograd.grad(
                value,
                arguments,
                gradients[0],
                create_graph=is_differentiated,
                allow_unused=True,
                materialize_grads=True,
            )
        return (None, *found)


def _slots_of(batch: Batch, places: Tensor, *atoms: Tensor) -> Tensor | None:
    """Slot of each pair or triple, -1 where it has none; None where all are in slot 0."""
    table = batch.slots.to(places.device)
    if batch.n_slots == 1 and not bool((table < 0).any()):
        return None
    where = tuple(places[a] for a in atoms[: table.dim()])
    return table[where]


def _kept(slots: Tensor | None, inside: Tensor) -> Tensor | None:
    """Numbers of pairs or triples that count, [n]; None for all."""
    kept = inside if slots is None else inside & (slots >= 0)
    return None if bool(kept.all()) else kept.nonzero().squeeze(1)


def _chosen(values: Any, rows: Tensor | None) -> Any:
    return values if rows is None or values is None else values.index_select(0, rows)


def _product(batch: Batch, radial: Tensor, angular: Tensor) -> Tensor:
    """g g A of each function, [n, n_functions], from those of each factor."""
    n_radial, n_angular = radial.shape[1], angular.shape[1]
    if batch.n_functions == n_radial * n_angular:  # each with each, in this order
        return (radial[:, :, None] * angular[:, None, :]).flatten(1)
    return radial[:, list(batch.radial)] * angular[:, list(batch.angular)]


def _summed(
    batch: Batch, values: Tensor, centers: Tensor, slots: Tensor | None, places: Tensor
) -> Tensor:
    """[n, n_functions] -> [n_atoms, n_slots * n_functions]."""
    n_atoms = len(places)
    rows = centers if slots is None else centers * batch.n_slots + slots
    total = values.new_zeros(n_atoms * batch.n_slots, batch.n_functions)
    return total.index_add(0, rows, values).view(n_atoms, -1)


def _batches(
    functions: Sequence[SymmetryFunction], cutoff_type: int, inner_cutoff: float
) -> tuple[list[Batch], Tensor]:
    """Batches, radial ones first, and where the value of each function is among their sums.

    The latter, [n_elements, n_functions], counts the columns of all sums of an atom side by side;
    the last one, which is zero, is for functions that an element has not.
    """
    elements = elements_of(functions)
    groups: _Groups = {}
    for (center, neighbors, kind), members in _families(functions, elements).items():
        factors = tuple((Radial.of(f), None if f.is_radial else Angular.of(f)) for f in members)
        groups.setdefault((kind, factors), {})[center, neighbors] = members
    _check_tables(groups, len(elements))
    ordered = sorted(groups.items(), key=lambda item: not item[0][0][0])
    batches, columns, n_columns = [], {}, 0
    for (kind, factors), channels in ordered:
        ends = (cutoff_type, inner_cutoff)
        batch, slot_of = _batch(kind, factors, list(channels), len(elements), ends)
        for channel, members in channels.items():
            start = n_columns + slot_of[channel] * batch.n_functions
            for k, function in enumerate(members):
                columns[function] = start + k
        n_columns += batch.n_slots * batch.n_functions
        batches.append(batch)
    n_functions = max(len(of_element(functions, z)) for z in elements)
    table = torch.full((len(elements), n_functions), n_columns, device="cpu")
    for row, element in enumerate(elements):
        own = [columns[function] for function in of_element(functions, element)]
        table[row, : len(own)] = torch.tensor(own, device="cpu")
    return batches, table


def _check_tables(groups: _Groups, n_elements: int) -> None:
    """Raises ConfigError where tables of elements would fill the memory."""
    sizes = [1 if is_weighted else 3 - is_radial for ((is_radial, _, is_weighted), _) in groups]
    if sum(n_elements**n for n in sizes) > LARGEST_TABLES:
        raise ConfigError(
            f"{len(groups)} different sets of symmetry functions for {n_elements} elements are too "
            "many: use functions of all neighbours (types 12, 13, 23 to 25), or fewer elements"
        )


def _families(
    functions: Sequence[SymmetryFunction], elements: tuple[int, ...]
) -> dict[tuple[int, Neighbors, tuple[bool, bool, bool]], list[SymmetryFunction]]:
    """Functions by places of centre and neighbours and by radial, narrow, weighted."""
    families: dict[Any, list[SymmetryFunction]] = {}
    for f in dict.fromkeys(functions):  # files have some twice
        neighbors = tuple(elements.index(z) for z in f.neighbors)
        kind = (f.is_radial, f.is_narrow, not f.neighbors)
        families.setdefault((elements.index(f.element), neighbors, kind), []).append(f)
    for members in families.values():
        members.sort(key=lambda f: (repr(Radial.of(f)), repr(Angular.of(f))))
    return families


def _batch(
    kind: tuple[bool, bool, bool],
    factors: tuple[tuple[Radial, Angular | None], ...],
    channels: list[tuple[int, Neighbors]],
    n_elements: int,
    ends: tuple[int, float],
) -> tuple[Batch, dict[tuple[int, Neighbors], int]]:
    """A batch and the slot of each of its channels."""
    is_radial, is_narrow, is_weighted = kind
    radial = list(dict.fromkeys(one for one, _ in factors))
    angular = list(dict.fromkeys(two for _, two in factors if two is not None))
    numbers = {neighbors: k for k, neighbors in enumerate(sorted({n for _, n in channels}))}
    n_places = 1 if is_weighted else 2 if is_radial else 3
    slots = torch.full((n_elements,) * n_places, -1, dtype=torch.int64, device="cpu")
    for center, neighbors in channels:
        for order in _orders(neighbors):
            slots[(center, *order)] = numbers[neighbors]
    batch = Batch(
        is_radial,
        is_narrow,
        is_weighted,
        tuple(radial.index(one) for one, _ in factors),
        tuple(angular.index(two) for _, two in factors if two is not None),
        RadialFactors(radial, *ends),
        AngularFactors(angular) if angular else None,
        slots,
        len(numbers),
    )
    return batch, {channel: numbers[channel[1]] for channel in channels}


def _orders(neighbors: Neighbors) -> Iterator[Neighbors]:
    """The neighbours of a pair or triple either way round."""
    yield neighbors
    yield neighbors[::-1]
