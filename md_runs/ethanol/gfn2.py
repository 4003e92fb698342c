"""GFN2-xTB by tblite, an extra that only new training data needs: `pip install tblite`.

C. Bannwarth, S. Ehlert, S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019),
doi:10.1021/acs.jctc.8b01176.
"""

from __future__ import annotations

from ase.calculators.calculator import Calculator


def gfn2() -> Calculator:
    """Energies, forces and dipoles; quiet."""
    from tblite.ase import TBLite

    calculator: Calculator = TBLite(method="GFN2-xTB", verbosity=0)
    return calculator
