"""`md-runs learn`: from a molecule and a reference calculator to a force field."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from md_runs.commands.options import OtherCalculator, check_folder, try_calculator
from md_runs.learning.settings import LearningRun
from mlpotential.command_line import Command

EXAMPLES = """  md-runs learn start.xyz --calculator tblite.ase:TBLite --folder learning \\
      --calculator-arguments '{method: GFN2-xTB, verbosity: 0}' --for pimd --budget 500
  md-runs learn start.xyz --calculator my_dft.py --drivers 4 --folder learning \\
      --temperature-K 400 --force-error-eV-A 0.03 --trusted-ps 10"""


def run(
    structure: Path,
    *,
    calculator: str,
    folder: Path,
    calculator_arguments: str | None = None,
    calculator_timeout_s: float = 3600.0,
    drivers: int = 1,
    charge: int | None = None,
    multiplicity: int | None = None,
    **options: Any,
) -> int:
    """Learns, or goes on; 1 where the force field is not as good as it was to be.

    Args:
        structure: a molecule, near the minimum to begin at, any format ASE reads.
        calculator: the reference: module:name, such as tblite.ase:TBLite, a name that ASE knows,
            such as emt, or a Python file with a function calculator().
        folder: for all rounds; the same command goes on in it.
        calculator_arguments: what the calculator is made with, '{method: GFN2-xTB}'.
        calculator_timeout_s: longest time for one structure (s); it has no label then.
        drivers: processes of the calculator.
        charge: of the molecule (what the structure says).
        multiplicity: 2 S + 1 of the molecule (what the structure says).
        options: fields of `LearningRun`.
    """
    from md_runs.trajectories.structure_file import read_structure
    from mlpotential.labelling.charges import set_charge

    settings = LearningRun(**options)
    forces = OtherCalculator(
        calculator, calculator_arguments, calculator_timeout_s, drivers
    ).forces()
    check_folder(folder, "--folder")
    atoms = read_structure(structure)
    set_charge(atoms, charge, multiplicity, str(structure))
    if not folder.exists():
        try_calculator(forces, atoms, f"{settings.budget} labels", settings.budget // drivers)
    from md_runs.learning.report import write_report
    from md_runs.learning.study import LEARNED, learn

    learned = learn(atoms, forces, settings, folder)
    print(write_report(learned, settings, folder))
    print(f"committee, labels, summary.json and report.html: {os.path.relpath(folder)}")
    return 0 if learned.ending == LEARNED else 1


COMMAND = Command.of(run, EXAMPLES, more=[LearningRun], aliases={"dynamics": "--for"})
