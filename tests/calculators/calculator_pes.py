"""A PES for i-PI's ffdirect: the package's ASE calculator through i-PI's own ASE driver."""

from ipi.pes._ase import ASEDriver

from calculators.ase_calculator import MLPotentialCalculator

__DRIVER_NAME__ = "calculator"
__DRIVER_CLASS__ = "CalculatorDriver"


class CalculatorDriver(ASEDriver):
    """The model as ASE sees it."""

    def __init__(self, template, model, verbosity=None):
        self.model = model
        super().__init__(template)

    def check_parameters(self):
        super().check_parameters()
        self.ase_calculator = MLPotentialCalculator(self.model, device="cpu")
