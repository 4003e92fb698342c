"""Committees: several models of one potential energy surface, their mean and their disagreement.

    x = (1/M) sum_k x_k,    std^2 = (1/(M - 1)) sum_k (x_k - x)^2,   (1)

for energies, forces and all else, as i-PI's `ffcommittee` has it. The mean of forces is the
derivative of the mean of energies. The disagreement is no error bar as it is: it has to be scaled
by its ratio to true errors, as `calibration` does. Where all model files of a committee hold its
calibration, `energy_std` and `forces_std` are scaled.
"""

from __future__ import annotations

import glob
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from mlpotential.errors import ConfigError, ModelFileError
from mlpotential.graph import Prediction
from mlpotential.inference.prepared_model import PreparedModel
from mlpotential.models.model_file import LoadedModel, load_model
from mlpotential.models.potential import ModelTraits, Potential
from mlpotential.properties import PROPERTIES

Model = Potential | LoadedModel | str | Path
Models = Model | Sequence[Model]

SPREADS = {"energy_std": "energy", "forces_std": "forces"}
MEMBER_ENERGIES = "member_energies"
OF_COMMITTEES = frozenset({*SPREADS, MEMBER_ENERGIES, "members"})
AVERAGED = PROPERTIES.keys() - {"features"}


def members_of(models: Models) -> list[Model]:
    """One model, or the members of a committee: of a list, or of a pattern such as `a/*/m`.

    Raises:
        ModelFileError: if no file matches the pattern.
        ConfigError: for a committee of less than two.
    """
    if isinstance(models, Potential | LoadedModel):
        return [models]
    if isinstance(models, str | Path):
        pattern = str(models)
        if glob.escape(pattern) == pattern or Path(pattern).exists():
            return [models]
        members: list[Model] = [Path(path) for path in sorted(glob.glob(pattern))]
        if not members:
            raise ModelFileError(f"no model file matches {pattern!r}")
    else:
        members = list(models)
    if len(members) < 2:
        raise ConfigError(
            f"a committee has at least two models, not {len(members)}: give more, or a single "
            "one by itself"
        )
    return members


def member_files(models: str | Path | Sequence[str | Path]) -> list[Path]:
    """`members_of` where all are files. Raises as it does."""
    return [Path(member) for member in members_of(models) if isinstance(member, str | Path)]


def read_members(models: Models) -> list[Potential | LoadedModel]:
    """`members_of` with all files read. Raises as it does, and as `load_model`."""
    return [load_model(m) if isinstance(m, str | Path) else m for m in members_of(models)]


def check_alike(members: Sequence[PreparedModel]) -> None:
    """Raises ConfigError unless all see the same atoms, the same elements and the same extras."""
    first = members[0]
    for number, member in enumerate(members[1:], start=1):
        for name, one, other in (
            ("cutoff (A)", first.potential.cutoff, member.potential.cutoff),
            ("elements", sorted(first.potential.elements), sorted(member.potential.elements)),
            ("dtype", str(first.potential.dtype), str(member.potential.dtype)),
            ("extra networks", sorted(first.extras), sorted(member.extras)),
            ("scalars", _scalars(first), _scalars(member)),
        ):
            if one != other:
                raise ConfigError(
                    f"the models of a committee must have the same {name}, but that of model 0 is "
                    f"{one} and that of model {number} {other}"
                )


def _scalars(member: PreparedModel) -> list[tuple[str, str]]:
    rows = member.potential.rows
    return sorted((name, row.unit) for name, row in rows.items() if name not in PROPERTIES)


def common_traits(potentials: Sequence[Potential]) -> ModelTraits:
    """What all of them promise."""
    return ModelTraits(
        **{f.name: all(getattr(p.traits, f.name) for p in potentials) for f in fields(ModelTraits)}
    )


def needed_of_members(properties: Collection[str]) -> list[str]:
    """What each member has to give for the committee to have these properties."""
    of_member = SPREADS | {MEMBER_ENERGIES: "energy"}
    needed = {of_member.get(name, name) for name in properties} - {"members"}
    return sorted(needed)


def combined(
    predictions: Sequence[Prediction],
    properties: Collection[str],
    scales: Mapping[str, float] = MappingProxyType({}),
) -> Prediction:
    """The prediction of a committee, whose members gave `needed_of_members`. Eq. (1).

    Args:
        predictions: of the members.
        properties: that were asked for.
        scales: of the spreads, where they are calibrated.
    """
    results: dict[str, Any] = {"energy": None}
    for name in {"energy", *properties}.intersection(AVERAGED):
        values = [getattr(p, name) for p in predictions]
        results[name] = None if values[0] is None else np.mean(values, axis=0)
    for name in SPREADS.keys() & set(properties):
        spread = np.std([getattr(p, SPREADS[name]) for p in predictions], axis=0, ddof=1)
        results[name] = scales[name] * spread if name in scales else spread
    if MEMBER_ENERGIES in properties:
        results[MEMBER_ENERGIES] = np.stack([p.energy for p in predictions], axis=1)
    if predictions[0].scalars:
        results["scalars"] = {
            name: np.mean([p.scalars[name] for p in predictions], axis=0)
            for name in predictions[0].scalars
        }
    if "extra_energies" in properties:
        results["extra_energies"] = {
            name: np.mean([p.extra_energies[name] for p in predictions], axis=0)
            for name in predictions[0].extra_energies
        }
    if "members" in properties:
        results["members"] = tuple(predictions)
    return Prediction(**results)
