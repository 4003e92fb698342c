"""A PES for i-PI's ffdirect: ASE's Lennard-Jones through i-PI's own ASE driver."""

from ase.calculators.lj import LennardJones
from ipi.pes._ase import ASEDriver

__DRIVER_NAME__ = "lennard_jones"
__DRIVER_CLASS__ = "LennardJonesDriver"


class LennardJonesDriver(ASEDriver):
    """As `fake_evaluators.LennardJonesCrystal`."""

    def __init__(self, template, verbosity=None):
        super().__init__(template)

    def check_parameters(self):
        super().check_parameters()
        self.ase_calculator = LennardJones(sigma=2.5, epsilon=0.1, rc=5.0, smooth=True)
