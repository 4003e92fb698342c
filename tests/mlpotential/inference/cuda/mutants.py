"""Removes one barrier of a CUDA kernel and looks whether the emulator notices.

    python mutants.py            all barriers, one after another, in a table
    python mutants.py systems    those of large and periodic structures alone
    python mutants.py NUMBER     one of them, counted from 0: exit status 0 if it was noticed

A barrier is noticed to be missing where threads in some order deadlock, stop at different lines,
or give other bits than those of the whole kernel in another order. Molecules are run by two plans,
so that every barrier is on the way of one of them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from emulated import ORDERS, SOURCES, EmulatedExecutor  # noqa: E402
from guard_findings import random_domain  # noqa: E402
from kernels import Packed, PackedSystems  # noqa: E402
from random_models import crystal, energy_and_dipole, molecule, random_schnet  # noqa: E402

from mlpotential.graph import collate  # noqa: E402
from mlpotential.inference.cuda.answers import FINDINGS  # noqa: E402
from mlpotential.inference.cuda.plans import Plan  # noqa: E402
from mlpotential.neighbors import connect  # noqa: E402

KERNEL = "molecule.cu"
OF_MOLECULES = {path.name for path in SOURCES.iterdir()}
BARRIER = re.compile(r"\bsync_(block|cluster)\(\);")
EVERYTHING = ("energy", "forces", "virial", "atomic_energies", "charges")
WHOLE = Plan(torch.float32, 32, 16, cluster=2, threads=128)
PLANS = (WHOLE, replace(WHOLE, buffers=1, chunk=64))
MORE_ORDERS = (*ORDERS, 2, 102, 103)


@dataclass(frozen=True)
class Mutant:
    """The kernel without one barrier.

    Attributes:
        place: file and line of the barrier.
        barrier: its text.
        texts: of its file without it, by name.
    """

    place: str
    barrier: str
    texts: dict[str, str]

    @property
    def is_of_systems(self) -> bool:
        """Whether it is of large and periodic structures."""
        return not OF_MOLECULES.issuperset(self.texts)


def mutants() -> list[Mutant]:
    """One for each barrier; where an `if` would lose its statement, an empty one stays."""
    files = sorted(path for path in SOURCES.rglob("*") if path.suffix in (".cu", ".h"))
    texts = {path.name: path.read_text() for path in files if path.name != "device.h"}
    return [
        Mutant(
            f"{name}:{text[: found.start()].count(chr(10)) + 1}",
            found.group(),
            {name: text[: found.start()] + ";" + text[found.end() :]},
        )
        for name, text in texts.items()
        for found in BARRIER.finditer(text)
    ]


def answers(plan: Plan | None, order: int, texts: dict[str, str] | None = None) -> bytes:
    """All bits that the kernels give, of molecules by a plan or, without one, of systems."""
    model = random_schnet("hard", outputs=energy_and_dipole(None), n_features=32)
    domain, executor = random_domain(n_features=32), EmulatedExecutor(order, texts=texts)
    packed: Packed | PackedSystems
    if plan is None:
        graph = collate([crystal((3.3, 1.7, 1.9), skew=0.2), molecule(40)])
        packed = PackedSystems(model, "float32", executor, domain, tile=8)
    else:
        graph = connect(collate([molecule(n, n) for n in (16, 13)]), model.cutoff)
        packed = Packed(model, "float32", plan.cluster, executor, domain, plan)
    answer, outliers = packed(graph, EVERYTHING, monitored=True)
    only, _ = packed(graph, ("energy",))
    arrays = [getattr(answer, name) for name in EVERYTHING] + [only.energy]
    arrays += [getattr(outliers, name) for name in FINDINGS] if outliers is not None else []
    return b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


def differing_order(mutant: Mutant) -> str | None:
    """Where the mutant gives other bits than the whole kernel, in words; None where it does not."""
    for plan in (None,) if mutant.is_of_systems else PLANS:
        expected = answers(plan, 0)
        for order in MORE_ORDERS:
            try:
                found = answers(plan, order, mutant.texts)
            except Exception as error:  # two atoms in one place and the like are no numbers either
                return f"{type(error).__name__} in order {order} of {plan}"
            if found != expected:
                return f"other bits in order {order}" + (f", chunk {plan.chunk}" if plan else "")
    return None


def outcome(number: int) -> tuple[bool, str]:
    """Whether a mutant is noticed, and how; in a process of its own, which may end at any point."""
    command = [sys.executable, __file__, str(number)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode != 1, lines[0] if lines else f"ended with status {done.returncode}"


def main() -> None:
    """As the docstring above says."""
    only_systems = sys.argv[1:] == ["systems"]
    if len(sys.argv) == 2 and not only_systems:
        where = differing_order(mutants()[int(sys.argv[1])])
        print(where or "not noticed")
        sys.exit(1 if where is None else 0)
    missed = 0
    tried = [n for n, mutant in enumerate(mutants()) if mutant.is_of_systems or not only_systems]
    for number in tried:
        mutant = mutants()[number]
        noticed, how = outcome(number)
        missed += not noticed
        print(f"{number:3d}  {mutant.place:16s}{mutant.barrier:16s} {how}", flush=True)
    print(f"{missed} of {len(tried)} not noticed")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
