"""`mlpotential label`: labels structures with any calculator."""

from __future__ import annotations

from pathlib import Path

from mlpotential.command_line import Command
from mlpotential.input_files import require_data_files

EXAMPLES = """  mlpotential label frames.extxyz --calculator tblite.ase:TBLite \\
      --calculator-arguments '{method: GFN2-xTB, verbosity: 0}' --output labelled.extxyz
  mlpotential label frames.traj --calculator my_dft.py --processes 4 --output labelled.extxyz
  mlpotential label ions.extxyz --calculator my_dft.py --charge 1 --multiplicity 2 \\
      --calculator-timeout-s 600 --output labelled.extxyz"""


def label(
    frames: Path,
    *,
    calculator: str,
    output: Path,
    calculator_arguments: str | None = None,
    processes: int = 1,
    calculator_timeout_s: float = 3600.0,
    charge: int | None = None,
    multiplicity: int | None = None,
    hessians: bool = False,
) -> int:
    """Labels them, or goes on; 1 where some structures could not be labelled.

    Args:
        frames: structures, any format ASE reads.
        calculator: module:name, such as tblite.ase:TBLite, a name that ASE knows, such as emt, or a
            Python file with a function calculator().
        output: labelled structures, .extxyz; eV, eV/A, e A. Those that failed are listed in
            OUTPUT.failures.csv.
        calculator_arguments: what the calculator is made with, '{method: GFN2-xTB}'.
        processes: structures evaluated at a time.
        calculator_timeout_s: longest time for one structure (s); it has failed then.
        charge: of all structures (what their info says).
        multiplicity: 2 S + 1 of all structures (what their info says).
        hessians: write Hessians, too, of a calculator that has them, to STEM_hessians.npz
            (eV/A^2), for training.curvature_from.
    """
    from mlpotential.labelling.named_calculator import NamedCalculator

    named = NamedCalculator.told(calculator, calculator_arguments)
    require_data_files([frames])
    from mlpotential.labelling.label import label_structures

    result = label_structures(
        frames,
        named,
        output,
        n_processes=processes,
        timeout_s=calculator_timeout_s,
        charge=charge,
        multiplicity=multiplicity,
        hessians=hessians,
    )
    print(result)
    return 1 if result.failures else 0


LABEL = Command.of(label, EXAMPLES)
