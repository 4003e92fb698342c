"""From Raman activities to what a spectrometer counts: Stokes scattering of a laser.

A transition of wavenumber k and activity S = 45 a'^2 + 7 g'^2 scatters a polarised laser of
wavenumber k_0, at a right angle and summed over both polarisations, with the cross section (D. A.
Long, "The Raman Effect", Wiley 2002, ch. 5; P. L. Polavarapu, J. Phys. Chem. 94, 8106 (1990),
doi:10.1021/j100384a024)

    d sigma / d Omega = (16 pi^4 / 45) (k_0 - k)^4 h / (8 pi^2 c k) S / (1 - exp(-h c k / kT))   (1)

the last factor being 1 + n of the Bose distribution: low wavenumbers gain, most so when it is warm.
"""

from __future__ import annotations

import numpy as np
from scipy.constants import Planck, atomic_mass, speed_of_light

from mlpotential.errors import ConfigError
from mlpotential.settings_checks import check_number
from mlpotential.units import EV_PER_KELVIN, EV_PER_WAVENUMBER

CROSS_SECTION_UNIT = "1e-30 cm^2/sr"
NM_TIMES_PER_CM = 1e7  # a wavelength (nm) times its wavenumber (1/cm)
# (1) in its unit, for k in 1/cm and S in A^4/amu: 1e34 of it in 1 m^2/sr, 1e-40 m^4 in 1 A^4
PREFACTOR = (
    1e34 * (16 * np.pi**4 / 45) * Planck / (8 * np.pi**2 * speed_of_light) * 1e-40 / atomic_mass
) * 100.0**3


def stokes_weights(
    wavenumbers_per_cm: np.ndarray, laser_nm: float, temperature_K: float
) -> np.ndarray:
    """Equation (1) for a unit activity.

    Args:
        wavenumbers_per_cm: of the transitions, of any shape.
        laser_nm: wavelength of the laser in vacuum.
        temperature_K: of what scatters.

    Returns:
        Of the shape of the wavenumbers (1e-30 cm^2/sr per A^4/amu); NaN where they are not
        positive, which no light is scattered by.

    Raises:
        ConfigError: a wavelength or temperature that is not positive, or light with less energy
            than a transition takes.
    """
    check_number("laser_nm", laser_nm)
    check_number("temperature_K", temperature_K)
    k = np.asarray(wavenumbers_per_cm, np.float64)
    k_0 = NM_TIMES_PER_CM / laser_nm
    if k.max(initial=0.0) >= k_0:
        raise ConfigError(
            f"light of {laser_nm:g} nm ({k_0:.0f} 1/cm) cannot lose {k.max():.0f} 1/cm: is the "
            "wavelength in nm?"
        )
    k = np.where(k > 0, k, np.nan)
    occupied = -np.expm1(-EV_PER_WAVENUMBER * k / (EV_PER_KELVIN * temperature_K))
    return np.asarray(PREFACTOR * (k_0 - k) ** 4 / (k * occupied))  # (1)
