"""What the sub-commands of `mlpotential` do. Free of torch until the files they name are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mlpotential.command_line import Command
from mlpotential.data.sets.named import files_of
from mlpotential.errors import ConfigError
from mlpotential.input_files import (
    require_data_files,
    require_model_files,
)
from mlpotential.training.config_schema import settings_list

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
        mean: mean energy per atom, in energy_unit (pyg state dictionary).
        std: its standard deviation, in energy_unit (likewise).
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


def calibrate(
    models: Sequence[str],
    data: str,
    *,
    level: float = 0.95,
    device: str = "auto",
    batch_size: int = 32,
    energy_unit: str | None = None,
    length_unit: str | None = None,
    energy_key: str | None = None,
    forces_key: str | None = None,
) -> int:
    """Fits the error bars of a committee to held-out labels and writes them into its model files.

    Args:
        models: model files (.safetensors) of all members, replaced in one step each, or a quoted
            pattern of them.
        data: structures with energies and forces that no member was trained on, as for `evaluate`.
        level: share of structures that the bound of forces holds for.
        device: auto, cpu, cuda or cuda:N.
        batch_size: structures at once.
        energy_unit: e.g. eV, kcal/mol, Hartree; a published set alone needs none.
        length_unit: e.g. Angstrom, Bohr; a published set alone needs none.
        energy_key: name of the energy label in the file.
        forces_key: name of the forces label in the file.
    """
    from glob import escape

    require_model_files([model for model in models if escape(model) == model])
    require_data_files(files_of([data]))
    from mlpotential.data.read import read_reference_data
    from mlpotential.training.evaluation.calibrate import calibrate_committee

    labelled = read_reference_data(
        data,
        energy_unit=energy_unit,
        length_unit=length_unit,
        energy_key=energy_key,
        forces_key=forces_key,
        properties=("energy", "forces"),
    )
    found = calibrate_committee(models, labelled, level=level, device=device, batch_size=batch_size)
    print(found)
    if found.bound is None:
        print(f"  bound:    none, {len(labelled)} structures are too few for {100 * level:g} %")
    print(f"written into the {len(found.members)} model files")
    return 0


TRAIN = Command.of(
    train,
    "  mlpotential train train.yaml\n"
    "  mlpotential train train.yaml --training.seed 1 --model.n_features=64 --folder seed_1\n"
    "  mlpotential train train.yaml --committee 4\n"
    "  torchrun --nproc-per-node 2 -m mlpotential train train.yaml\n"
    "  mlpotential train --print-config > run.yaml\n\n" + settings_list(),
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
CALIBRATE = Command.of(
    calibrate,
    "  mlpotential calibrate 'runs/*/model.safetensors' held_out.extxyz --energy-unit eV "
    "--length-unit Angstrom",
)
