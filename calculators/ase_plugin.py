"""What ASE finds through the entry point `ase.plugins`; `ase info --plugins` lists it.

Free of torch. That part of ASE is experimental: importing `MLPotentialCalculator` remains the main
way to use it.
"""

from __future__ import annotations

from ase._4.plugins.plugin import CalculatorPlugin

import mlpotential

__ase_plugins__ = {
    CalculatorPlugin(
        "mlpotential",
        citation="K. T. Schütt et al., J. Chem. Phys. 148, 241722 (2018), doi:10.1063/1.5019779",
        module=mlpotential,  # ASE looks up the version under the name of the distribution
        implementation="calculators.ase_calculator.MLPotentialCalculator",
    )
}
