"""Numbers as papers print them: 1.4592(6), the error in units of the last digits."""

from __future__ import annotations

import math

from md_runs.analysis.uncertainty import Estimate

DIGITS_WITHOUT_ERROR = 5
ROUNDING = 1e-12  # of the number; smaller errors are those of arithmetic


def number_text(value: float, standard_error: float = math.nan) -> str:
    """`1.4592(6)`; an error that begins with 1 has two digits; without one, five digits.

    Args:
        value: the number.
        standard_error: NaN where it is unknown.
    """
    if not math.isfinite(value):
        return "-"
    if not standard_error > ROUNDING * abs(value) or not math.isfinite(standard_error):
        return f"{value:.{DIGITS_WITHOUT_ERROR}g}"
    exponent = math.floor(math.log10(standard_error))
    n_digits = 2 if standard_error / 10.0**exponent < 1.95 else 1
    n_decimals = n_digits - 1 - exponent
    error = round(standard_error * 10.0**n_decimals)
    if error in (10, 100) and n_digits == 1:  # 0.096 has become 0.10
        n_digits, error = 2, error
    if n_decimals > 0:
        return f"{value:.{n_decimals}f}({error})"
    scale = 10**-n_decimals
    return f"{round(value / scale) * scale}({error * scale})"


def estimate_text(estimate: Estimate, unit: str = "") -> str:
    """An estimate with its unit: `1.4592(6) A`."""
    text = number_text(float(estimate.value), float(estimate.standard_error))
    return f"{text} {unit}" if unit and unit != "1" else text
