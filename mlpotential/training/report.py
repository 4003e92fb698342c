"""Errors and models in words: tables for the screen, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from ase.data import chemical_symbols

from mlpotential.errors import ModelFileError, printable
from mlpotential.inference.calibration import Calibration
from mlpotential.models.model_file import LoadedModel
from mlpotential.models.potential import Potential
from mlpotential.properties import LABELS
from mlpotential.training.metrics import OWN_FIELDS, Errors
from mlpotential.units import (
    ANGSTROM_PER_BOHR,
    E_ANGSTROM_PER_DEBYE,
    EV_PER_ANGSTROM3_PER_PRESSURE_UNIT,
    EV_PER_KCAL_PER_MOL,
)

KCAL_PER_MOL_PER_EV = 1.0 / EV_PER_KCAL_PER_MOL
# Units of the papers, with factors, beside those of the program.
SECOND_UNITS = {
    "eV": ("kcal/mol", KCAL_PER_MOL_PER_EV),
    "eV/A": ("kcal/mol/A", KCAL_PER_MOL_PER_EV),
    "e A": ("Debye", 1.0 / E_ANGSTROM_PER_DEBYE),
    "eV/A^3": ("GPa", 1.0 / EV_PER_ANGSTROM3_PER_PRESSURE_UNIT["GPa"]),
    "A^2": ("Bohr^2", ANGSTROM_PER_BOHR**-2),
    "A^3": ("Bohr^3", ANGSTROM_PER_BOHR**-3),
}
IN_THOUSANDTHS = ("eV", "eV/A", "eV/A^3", "e A")  # the units in which errors are small numbers


def format_errors(errors: Mapping[str, Errors]) -> str:
    """A table of MAE and RMSE, in meV and, as the papers give them, kcal/mol; dipoles in Debye."""
    lines = []
    for name, e in errors.items():
        lines.append(f"{name} ({e.n_structures} structures)")
        units = {label: LABELS[label].unit for label in OWN_FIELDS if label in LABELS}
        for label, unit in (units | e.other_units).items():
            shown = (unit, SECOND_UNITS.get(unit))
            lines += _line(label, *e.pair(label), *shown)
            if label == "energy":
                lines += _line("energy per atom", *e.pair("energy_per_atom"), "eV")
            elif label == "forces" and len(e.forces_mae_by_element) > 1:
                for symbol, mae in e.forces_mae_by_element.items():
                    rmse = e.forces_rmse_by_element[symbol]
                    lines += _line(f"forces on {symbol}", mae, rmse, *shown)
    return "\n".join(lines)


def _line(
    name: str,
    mae: float | None,
    rmse: float | None,
    unit: str,
    second_unit: tuple[str, float] | None = None,
) -> list[str]:
    """In our unit, or thousandths of it, and, where there is one, another one times its factor."""
    if mae is None:
        return []
    factor, unit = (1e3, f"m{unit}") if unit in IN_THOUSANDTHS else (1.0, unit)
    parts = [f"  {name:<18} MAE {factor * mae:10.3f} {unit}"]
    if second_unit:
        parts.append(f"({mae * second_unit[1]:.4f} {second_unit[0]})")
    if rmse is not None:
        parts.append(f"  RMSE {factor * rmse:10.3f} {unit}")
    return [" ".join(parts)]


def errors_as_json(errors: Mapping[str, Errors]) -> str:
    """Errors in eV, eV/A, e A and the units they state, by data set."""
    return json.dumps({name: asdict(e) for name, e in errors.items()}, indent=2) + "\n"


def describe_model(model: LoadedModel) -> str:
    """A model file in a few lines.

    Raises:
        ModelFileError: if its record of data and errors cannot be understood.
    """
    try:
        return printable("\n".join(_lines_about(model)))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ModelFileError(f"the record in the model file cannot be read: {error}") from error


def _output_in_words(potential: Potential, name: str) -> str:
    """`gap (eV, mean, activation=silu)`."""
    row, output = potential.rows[name], asdict(potential.outputs[name])
    pooling = [output.pop("pooling")] if output["pooling"] else []
    del output["unit"]
    others = [f"{k}={v}" for k, v in output.items() if v is not None]
    return f"{name} ({', '.join([row.unit, *pooling, *others])})"


def _on_one_line(text: str) -> str:
    """What a file says must not look like other lines."""
    return " ".join(str(text).splitlines())


def _short(setting: object) -> str:
    """A setting; one of many lines as their number."""
    n_lines = len(str(setting).splitlines())
    return f"({n_lines} lines)" if n_lines > 1 else str(setting)


def _lines_about(model: LoadedModel) -> list[str]:
    potential, record = model.potential, model.record
    n_parameters = sum(p.numel() for p in potential.parameters())
    cutoff = "none (all pairs)" if potential.cutoff is None else f"{potential.cutoff} A"
    settings = ", ".join(
        f"{k}={_short(v)}" for k, v in asdict(potential.config).items() if v is not None
    )
    outputs = "; ".join(_output_in_words(potential, name) for name in potential.outputs)
    traits = ", ".join(f"{k}={v}" for k, v in asdict(potential.traits).items())
    lines = [
        _on_one_line(record.title) or "(untitled)",
        f"architecture: {potential.config.architecture}, {n_parameters} parameters, "
        f"{str(potential.dtype).removeprefix('torch.')}",
        f"settings:     {settings}",
        f"outputs:      {outputs}",
        f"elements:     {', '.join(chemical_symbols[z] for z in potential.elements)}",
        f"cutoff:       {cutoff}",
        f"promises:     {traits}",
        f"sha256:       {model.sha256}",
    ]
    if potential.terms:
        terms = (f"{k} ({v.functional})" if v.functional else k for k, v in potential.terms.items())
        lines.append(f"terms:        {', '.join(terms)} added to the network")
    if model.extra_networks:
        lines.append(f"extra:        energies of {', '.join(model.extra_networks)}")
    if converted := record.training.get("converted_from"):
        lines.append(f"converted:    from a network of {_on_one_line(converted['program'])}")
        golden = _on_one_line(model.golden_origin)
        lines.append(f"golden:       structures evaluated by {golden}")
    for name, origin in record.training.get("data", {}).items():
        source = f"{origin['n_structures']} structures of {_on_one_line(origin['source'])}"
        lines.append(f"{_on_one_line(name)} data: ".ljust(14) + source)
    if record.shortest_distances:
        shortest = ", ".join(f"{k} {v:.3f}" for k, v in record.shortest_distances.items())
        lines.append(f"shortest distances seen in training (A): {shortest}")
    kept = ["shortest distances"] if record.shortest_distances else []
    kept += ["feature ranges"] if record.feature_ranges else []
    kept += ["neighborhoods"] if record.neighborhoods else []
    lines.append(f"guard:        {', '.join(kept) or 'nothing'} of the training data stored")
    if (calibration := Calibration.of_record(record.calibration)) is not None:
        lines.append(str(calibration))
    if record.errors:
        lines.append(format_errors({k: Errors(**v) for k, v in record.errors.items()}))
    for name, found in record.wavenumbers.items():
        mean, largest = found["mean_relative_deviation"], found["max_relative_deviation"]
        lines.append(
            f"wavenumbers beside {name} ({len(found['reference_per_cm'])} modes): "
            f"{100 * mean:.2f} % off on average, at most {100 * largest:.2f} %"
        )
    return lines
