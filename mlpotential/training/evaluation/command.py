"""`mlpotential evaluate`. Free of torch until the files it names are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlpotential.command_line import Command, comparison_with
from mlpotential.data.sets.named import files_of
from mlpotential.errors import ConfigError
from mlpotential.input_files import (
    check_output_file,
    check_picture_file,
    require_data_files,
    require_model_files,
)
from mlpotential.run_folder import write_atomically
from mlpotential.settings_checks import named_values

if TYPE_CHECKING:
    from mlpotential.training.evaluation.evaluate import Evaluation


@dataclass(frozen=True)
class LabelsInFile:
    """What there is to compare with, and in which units.

    Attributes:
        energy_unit: e.g. eV, kcal/mol, Hartree; a published set alone needs none.
        length_unit: e.g. Angstrom, Bohr; a published set alone needs none.
        energy_key: name of the energy label in the file.
        forces_key: name of the forces label in the file.
        force_unit: e.g. Hartree/Bohr; default: the energy unit per length unit.
        label_units: compare other labels, too: their names and units, such as dipole=Debye gap=eV.
        label_keys: names of these labels in the file, such as dipole=mu gap=GAP.
    """

    energy_unit: str | None = None
    length_unit: str | None = None
    energy_key: str | None = None
    forces_key: str | None = None
    force_unit: str | None = None
    label_units: Sequence[str] = ()
    label_keys: Sequence[str] = ()

    @property
    def declared(self) -> dict[str, Any]:
        """As `read_reference_data` takes them."""
        given = asdict(self)
        units, keys = given.pop("label_units"), given.pop("label_keys")
        return given | _by_label(units, "unit") | _by_label(keys, "key")


@dataclass(frozen=True)
class EvaluationFiles:
    """What is written and kept of errors.

    Attributes:
        plot: write a parity plot (.png).
        histogram: write histograms of absolute errors on logarithmic axes (.png).
        json: write the errors as JSON.
        modes: relax the molecule of a file of `md-runs modes --json` and compare its wavenumbers,
            too, in float64.
        record_as: keep the errors in the model file, under this name (and those of --modes).
    """

    plot: str | None = None
    histogram: str | None = None
    json: str | None = None
    modes: str | None = None
    record_as: str | None = None

    def check(self) -> None:
        """Raises InputError, before the work, for files that are not there or cannot be written."""
        require_data_files(files_of([self.modes]))
        check_output_file(self.json)
        check_picture_file(self.plot, "the plot ")
        check_picture_file(self.histogram, "the histogram ")


def run(
    model: str,
    data: str,
    *,
    predictions: str | None = None,
    unlabelled: bool = False,
    no_forces: bool = False,
    device: str = "auto",
    dtype: Literal["float32", "float64"] | None = None,
    batch_size: int = 32,
    **options: Any,
) -> int:
    """Prints MAE and RMSE of all labels, and writes predictions of each structure.

    Args:
        model: model file (.safetensors).
        data: .xyz, .extxyz, .data (RuNNer, n2p2), .json (pymatgen), all also .gz; .npz, ASE .db, a
            folder of DeePMD-kit; or a published set such as qm9. With --unlabelled, any other file
            of structures that ASE reads, too.
        predictions: write all outputs of the model, but forces, for each structure (.csv).
        unlabelled: the structures have no labels, or none that count: write --predictions alone.
        no_forces: the data has energies only.
        device: auto, cpu, cuda or cuda:N.
        dtype: default: the model's.
        batch_size: structures at once.
        options: fields of `LabelsInFile` and `EvaluationFiles`.
    """
    labels = LabelsInFile(**{field.name: options.pop(field.name) for field in fields(LabelsInFile)})
    files = EvaluationFiles(**options)
    require_model_files([model])
    require_data_files(files_of([data]))
    check_output_file(predictions)
    files.check()
    how: dict[str, Any] = {"device": device, "dtype": dtype, "batch_size": batch_size}
    if unlabelled:
        _refuse_beside_unlabelled({"no_forces": no_forces} | asdict(labels) | asdict(files))
        return _predict(model, data, predictions, length_unit=labels.length_unit, **how)
    from mlpotential.training.evaluation.evaluate import evaluate_model

    how |= {"with_forces": not no_forces, "predictions": predictions}
    evaluation = evaluate_model(model, data, **how, **labels.declared)
    if predictions:
        print(f"predictions: {predictions}")
    _tell(model, data, evaluation, files)
    return 0


def _predict(model: str, data: str, predictions: str | None, **how: Any) -> int:
    """The table alone, of structures without labels."""
    if predictions is None:
        raise ConfigError(
            "--unlabelled leaves nothing to compare: name the file to be written, --predictions "
            "out.csv"
        )
    from mlpotential.training.evaluation.predictions import predict_structures

    n_structures = predict_structures(model, data, predictions, **how)
    print(f"predictions: {predictions} ({n_structures} structures, no errors)")
    return 0


def _refuse_beside_unlabelled(options: Mapping[str, object]) -> None:
    """Raises ConfigError for options of labels and errors: one of them is a mistake."""
    given = [name for name, value in options.items() if value and name != "length_unit"]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(
            f"--unlabelled compares with no labels: leave it out, or {names}. Predictions are in "
            "the units that their columns name"
        )


def _tell(model: str, data: str, evaluation: Evaluation, files: EvaluationFiles) -> None:
    """Prints errors, and writes and keeps what was asked for."""
    from mlpotential.training.evaluation.evaluate import add_errors
    from mlpotential.training.report import errors_as_json, format_errors

    print(format_errors({data: evaluation.errors}))
    if files.json:
        write_atomically(Path(files.json), errors_as_json({data: evaluation.errors}))
    if files.plot:
        from mlpotential.training.evaluation.parity_plot import save_parity_plot

        save_parity_plot(evaluation, files.plot)
        print(f"parity plot: {files.plot}")
    if files.histogram:
        from mlpotential.training.evaluation.error_histogram import save_error_histograms

        save_error_histograms(evaluation, files.histogram)
        print(f"histogram of errors: {files.histogram}")
    wavenumbers = {}
    if files.modes:
        comparison = comparison_with("modes")(model, files.modes)
        print(comparison)
        wavenumbers[files.modes] = comparison.record
    if files.record_as:
        add_errors(model, {files.record_as: evaluation.errors}, wavenumbers)
        kept = ", ".join([files.record_as, *wavenumbers])
        print(f"kept in the model file: errors of {kept}")


def _by_label(words: Sequence[str], what: str) -> dict[str, str]:
    """`gap=eV` as `gap_unit`. Raises ConfigError as `named_values`."""
    values = named_values(words, f"--label-{what}s takes pairs such as gap={what}")
    return {f"{label}_{what}": value for label, value in values.items()}


COMMAND = Command.of(
    run,
    "  mlpotential evaluate model.safetensors test.extxyz --energy-unit eV "
    "--length-unit Angstrom --plot parity.png\n"
    "  mlpotential evaluate model.safetensors beads.extxyz --energy-unit eV "
    "--length-unit Angstrom --modes reference.json --record-as beads\n"
    "  mlpotential evaluate model.safetensors candidates.xyz --unlabelled --length-unit Angstrom "
    "--predictions candidates.csv",
    more=[LabelsInFile, EvaluationFiles],
)
