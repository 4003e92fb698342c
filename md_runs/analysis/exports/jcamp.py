"""Spectra in JCAMP-DX, the format in which spectrometers and databases exchange them.

R. S. McDonald, P. A. Wilks, Appl. Spectrosc. 42, 151 (1988), doi:10.1366/0003702884428734 (version
4.24). Points at equal distances are lines of (X++(Y..Y)), others pairs of (XY..XY). Ordinates are
whole numbers times YFACTOR: an exponent (1e-05) reads as a compressed number to some programs.
Several spectra are blocks of one file (LINK).

The format knows absorbance and transmittance, but no absolute absorption or density of states:
YUNITS is ARBITRARY UNITS, and the unit stands in the comment $$ beside it and in the title.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from md_runs.analysis.spectra.spectrum import Spectrum
from mlpotential.errors import DataError

VERSION = "4.24"
ORIGIN = "mlpotential"
LINE_VALUES = 5  # per line, which then has less than 80 characters, as the standard demands
DIGITS = 8  # significant ones, of abscissas and what stands beside the table
LARGEST = 2**31 - 1  # ordinate in the table, by the standard
UNEVEN = 1e-6  # chosen: of the spacing; rounding is 1e-12
DATA_TYPES = {  # by the unit of the intensity; a type of its own where the standard has none
    "cm": "VIBRATIONAL DENSITY OF STATES",
    "km/mol cm": "INFRARED SPECTRUM",
    "A^4/amu cm": "RAMAN SPECTRUM",
    "1e-30 cm^2/sr cm": "RAMAN SPECTRUM",
}


def jcamp_text(spectra: Mapping[str, Spectrum]) -> str:
    """The content of a file: one spectrum, or a block for each.

    Args:
        spectra: by title.

    Raises:
        DataError: for no spectrum.
    """
    if not spectra:
        raise DataError("there is no spectrum to write")
    blocks = [list(_block(title, one)) for title, one in spectra.items()]
    if len(blocks) == 1:
        return "\n".join(blocks[0]) + "\n"
    lines = [
        "##TITLE=" + _text(", ".join(spectra)),
        f"##JCAMP-DX={VERSION}",
        "##DATA TYPE=LINK",
        f"##BLOCKS={len(blocks)}",
        f"##ORIGIN={ORIGIN}",
        "##OWNER=",
    ]
    for number, block in enumerate(blocks, start=1):
        lines += [block[0], block[1], f"##BLOCK_ID={number}", *block[2:]]
    return "\n".join([*lines, "##END="]) + "\n"


def _block(title: str, spectrum: Spectrum) -> Iterator[str]:
    """One spectrum, title first, version second."""
    x, y = spectrum.wavenumbers_per_cm, spectrum.intensity
    unit = spectrum.UNITS["intensity"]
    yield "##TITLE=" + _text(f"{title}: {spectrum.quantity} ({unit})")
    yield f"##JCAMP-DX={VERSION}"
    yield f"##DATA TYPE={DATA_TYPES.get(unit, 'VIBRATIONAL SPECTRUM')}"
    yield f"##ORIGIN={ORIGIN}"
    yield "##OWNER="
    yield "##SAMPLE DESCRIPTION=" + _text(f"{spectrum.dynamics}, {spectrum.n_frames} frames")
    yield "##DATA PROCESSING=" + _text(
        f"{spectrum.window} lag window of {spectrum.n_lags} frames; quantum correction "
        f"{spectrum.quantum_correction}" + "".join(f"; {text}" for text in spectrum.corrections)
    )
    yield f"##RESOLUTION={spectrum.resolution_per_cm:.6g}"
    yield "##XUNITS=1/CM"
    yield f"##YUNITS=ARBITRARY UNITS $$ {unit}"
    yield "##XFACTOR=1"
    factor = float(np.abs(y).max(initial=0.0)) / LARGEST or 1.0
    ordinates = np.rint(y / factor).astype(int)
    yield f"##YFACTOR={factor!r}"
    yield f"##FIRSTX={_number(x[0])}"
    yield f"##LASTX={_number(x[-1])}"
    yield f"##FIRSTY={_number(y[0])}"
    yield f"##MINY={_number(y.min())}"
    yield f"##MAXY={_number(y.max())}"
    yield f"##NPOINTS={len(x)}"
    spacing = (x[-1] - x[0]) / max(1, len(x) - 1)
    if np.allclose(x, np.linspace(x[0], x[-1], len(x)), rtol=0, atol=UNEVEN * spacing):
        yield f"##DELTAX={spacing:.12g}"
        yield "##XYDATA=(X++(Y..Y))"
        for start in range(0, len(x), LINE_VALUES):
            values = " ".join(map(str, ordinates[start : start + LINE_VALUES]))
            yield f"{_number(x[start])} {values}"
    else:
        yield "##XYPOINTS=(XY..XY)"
        yield from (f"{_number(a)}, {b}" for a, b in zip(x, ordinates, strict=True))
    yield "##END="


def _number(value: float) -> str:
    """A decimal of `DIGITS` digits, without a minus zero."""
    return f"{float(value) + 0.0:.{DIGITS}g}"


def _text(words: str) -> str:
    """One line, in the characters of the standard, without what begins a label or a comment."""
    line = " ".join(words.split()).replace("##", "# #").replace("$$", "$ $")
    return line.encode("ascii", "replace").decode()
