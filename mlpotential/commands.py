"""What the sub-commands of `mlpotential` do. Free of torch until the files they name are there."""

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
from mlpotential.training.config_schema import settings_list

if TYPE_CHECKING:
    from mlpotential.training.evaluation.evaluate import Evaluation

Dtype = Literal["float32", "float64"]


def train(
    overrides: Sequence[str],
    /,
    config: str | None = None,
    *,
    committee: int | None = None,
    print_config: bool = False,
    print_schema: bool = False,
) -> int:
    """Trains, or continues to train, one model or a committee.

    Args:
        overrides: settings that replace those of the file, such as `--training.seed 1`.
        config: YAML file with data:, model: and training:.
        committee: train N models, with seeds training.seed, training.seed + 1 and so on.
        print_config: only print a configuration with every setting explained: a template or, with
            a file, its own.
        print_schema: only print the JSON schema of such files, for editors.
    """
    from mlpotential.training.config_file import read_config

    if print_schema or print_config:
        _print_settings(config, overrides, print_schema)
        return 0
    if config is None:
        raise ConfigError("a configuration is needed: mlpotential train --print-config > run.yaml")
    settings = read_config(config, overrides)
    data = settings.data
    require_data_files(files_of((data.path, data.validation_path, data.test_path)))
    from mlpotential.training.committee import committee_pattern, run_committee
    from mlpotential.training.optimization.processes import joined_processes
    from mlpotential.training.report import format_errors
    from mlpotential.training.run import run_training

    with joined_processes() as processes:
        if committee is None:
            results = [run_training(settings, processes=processes)]
        else:
            results = run_committee(settings, committee, processes=processes)
    if not processes.is_first:
        return 0
    for result in results:
        print(format_errors(result.errors))
        print(f"model: {result.model_path}")
    if committee is not None:
        print(f"committee: '{committee_pattern(settings)}'")
    return 0


def _print_settings(config: str | None, overrides: Sequence[str], as_schema: bool) -> None:
    import json

    from mlpotential.training.config_file import read_config
    from mlpotential.training.config_schema import EXAMPLE, commented_yaml, json_schema

    if config is None and overrides:
        raise ConfigError(f"{' '.join(overrides)} needs a file whose settings it replaces")
    if as_schema:
        print(json.dumps(json_schema(), indent=2))
    else:
        print(commented_yaml(EXAMPLE if config is None else read_config(config, overrides)))


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


def evaluate(
    model: str,
    data: str,
    *,
    predictions: str | None = None,
    unlabelled: bool = False,
    no_forces: bool = False,
    device: str = "auto",
    dtype: Dtype | None = None,
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
    _write_evaluation(model, data, evaluation, files)
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


def _write_evaluation(
    model: str, data: str, evaluation: Evaluation, files: EvaluationFiles
) -> None:
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
    """`gap=eV` as `gap_unit`. Raises ConfigError for a word that is no such pair."""
    found = {}
    for word in words:
        label, equals, value = word.partition("=")
        if not (label and equals and value):
            raise ConfigError(f"--label-{what}s takes pairs such as gap={what}, not {word!r}")
        found[f"{label}_{what}"] = value
    return found


def info(
    model: str | None = None,
    *,
    check: bool = False,
    backend: bool = False,
    device: str = "cpu",
    dtype: Dtype | None = None,
) -> int:
    """Describes a model; 1 where it does not pass its own check.

    Args:
        model: model file (.safetensors); without one, this installation is described.
        check: evaluate its golden structures here and compare.
        backend: the compiled kernel, the filter tables and the error and time of each backend here.
        device: device of --check: auto, cpu, cuda.
        dtype: dtype of --check.
    """
    if model is None:
        from mlpotential.inference.backend_report import describe_installation

        print(describe_installation())
        return 0
    require_model_files([model])
    from mlpotential.inference.device import resolve_device
    from mlpotential.models.model_file import check_golden, load_model
    from mlpotential.training.report import describe_model

    loaded = load_model(model)
    print(describe_model(loaded))
    if backend:
        from mlpotential.inference.backend_report import describe_backends

        print(describe_backends(loaded))
    if not check:
        return 0
    found = check_golden(loaded, str(resolve_device(device)), dtype)
    print(f"check on {device}: {'passed' if found.passed else 'FAILED'}; {found}")
    return 0 if found.passed else 1


def convert(
    source: str,
    output: str,
    *,
    kind: str = "auto",
    energy_network: str | None = None,
    energy_unit: str | None = None,
    length_unit: str | None = None,
    elements: Sequence[str] | None = None,
    mean: float | None = None,
    std: float | None = None,
) -> int:
    """Writes a model file.

    Args:
        source: folder or file of the other program.
        output: model file to write (.safetensors).
        kind: schnet-tf (folder of the original program), schnetpack (whole model), pyg (model or
            state dictionary of torch_geometric), n2p2 (folder of RuNNer or n2p2), or auto.
        energy_network: a second network, stored beside the first; its energy is a result of its
            own.
        energy_unit: of the source (schnet-tf: kcal/mol; n2p2: Hartree).
        length_unit: of the source (schnet-tf: Angstrom; n2p2: Bohr).
        elements: it was trained on (all it has rows for).
        mean: mean energy per atom (pyg state dictionary).
        std: its standard deviation (likewise).
    """
    require_data_files(p for p in (source, energy_network) if p)
    from mlpotential.models.importers.convert import Declared, convert_model, format_conversion

    declared = Declared(kind, energy_unit, length_unit, elements, mean, std)
    print(format_conversion(convert_model(source, output, declared, energy_network)))
    print(f"model:    {output}")
    return 0


def export(model: str, folder: str, *, energy_unit: str | None = None) -> int:
    """Writes input.nn, scaling.data and weights of a BehlerParrinello model, for n2p2 and RuNNer.

    Args:
        model: model file (.safetensors).
        folder: to be made.
        energy_unit: of the files: Hartree where lengths are in Bohr, else eV. Lengths are in the
            unit of the symmetry functions.
    """
    require_model_files([model])
    from pathlib import Path

    from mlpotential.models.importers.n2p2.convert_folder import export_folder
    from mlpotential.models.model_file import load_model

    written = export_folder(load_model(model), Path(folder), energy_unit)
    print(f"written:  {', '.join(written.files)} in {folder}")
    print(f"units:    {' and '.join(written.units)}")
    print(f"check:    read back, energies and forces within {written.deviation:.1e}")
    for note in written.notes:
        print(f"note:     {note}")
    return 0


def add_domain(
    model: str,
    data: str,
    *,
    energy_unit: str | None = None,
    length_unit: str | None = None,
    energy_key: str | None = None,
) -> int:
    """Writes what the guard knows of the training data into a model file.

    Args:
        model: model file (.safetensors), replaced in one step.
        data: its training data, as for `evaluate`.
        energy_unit: e.g. eV, kcal/mol, Hartree; a published set alone needs none.
        length_unit: e.g. Angstrom, Bohr; a published set alone needs none.
        energy_key: name of the energy label in the file.
    """
    require_model_files([model])
    require_data_files(files_of([data]))
    from mlpotential.data.read import read_reference_data
    from mlpotential.training.seen_in_training import add_training_domain

    labelled = read_reference_data(
        data,
        energy_unit=energy_unit,
        length_unit=length_unit,
        energy_key=energy_key,
        properties=("energy",),
    )
    add_training_domain(model, labelled)
    kept = "shortest distances, feature ranges and neighborhoods"
    print(f"{kept} of {len(labelled)} structures: {model}")
    return 0


TRAIN = Command.of(
    train,
    "  mlpotential train train.yaml\n"
    "  mlpotential train train.yaml --training.seed 1 --model.n_features=64 --folder seed_1\n"
    "  mlpotential train train.yaml --committee 4\n"
    "  torchrun --nproc-per-node 2 -m mlpotential train train.yaml\n"
    "  mlpotential train --print-config > run.yaml\n\n" + settings_list(),
)
EVALUATE = Command.of(
    evaluate,
    "  mlpotential evaluate model.safetensors test.extxyz --energy-unit eV "
    "--length-unit Angstrom --plot parity.png\n"
    "  mlpotential evaluate model.safetensors beads.extxyz --energy-unit eV "
    "--length-unit Angstrom --modes reference.json --record-as beads\n"
    "  mlpotential evaluate model.safetensors candidates.xyz --unlabelled --length-unit Angstrom "
    "--predictions candidates.csv",
    more=[LabelsInFile, EvaluationFiles],
)
INFO = Command.of(
    info,
    "  mlpotential info\n"
    "  mlpotential info model.safetensors --check --device cuda\n"
    "  mlpotential info model.safetensors --backend",
)
CONVERT = Command.of(
    convert,
    "  mlpotential convert force_model c20.safetensors --energy-network energy_model "
    "--elements C\n"
    "  mlpotential convert best_inference_model model.safetensors "
    "--energy-unit eV --length-unit Angstrom\n"
    "  mlpotential convert n2p2_folder model.safetensors --length-unit Bohr --energy-unit Hartree\n"
    "  mlpotential convert state.pt model.safetensors --from pyg --energy-unit eV "
    "--length-unit Angstrom --mean -4.2 --std 0.1",
    aliases={"kind": "--from"},
)
EXPORT = Command.of(export, "  mlpotential export model.safetensors n2p2_folder")
ADD_DOMAIN = Command.of(
    add_domain,
    "  mlpotential add-domain model.safetensors train.extxyz --energy-unit eV "
    "--length-unit Angstrom",
)
