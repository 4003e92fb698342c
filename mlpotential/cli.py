"""The command `mlpotential`: train or convert a model, measure it, look into a model file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mlpotential import __version__
from mlpotential.command_line import add_command, add_commands, add_subcommands, exit_code
from mlpotential.input_files import require_data_files, require_model_files

EXAMPLES = """examples:
  mlpotential train train.yaml
  mlpotential train train.yaml --training.learning_rate 5e-4 --folder second_try
  mlpotential evaluate model.safetensors test.extxyz --energy-unit eV --length-unit Angstrom
  mlpotential info model.safetensors --check
  mlpotential convert best_inference_model model.safetensors --energy-unit eV --length-unit Angstrom
  mlpotential add-domain model.safetensors train.extxyz --energy-unit eV --length-unit Angstrom
"""

PLUG_INS = "mlpotential.commands"  # the group of their entry points, see `command_line`


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one subcommand; a user's mistake becomes one line on standard error and code 2."""
    parser = build_parser()
    options, overrides = parser.parse_known_args(arguments)
    if overrides and options.command != "train":
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    name = f"mlpotential {options.command}"
    if options.command in COMMANDS:
        return exit_code(name, COMMANDS[options.command], options, overrides)
    given = vars(options)
    del given["command"]
    return exit_code(name, given.pop("run_command"), **given)


def build_parser() -> argparse.ArgumentParser:
    """The command line, without importing torch."""
    parser = argparse.ArgumentParser(
        prog="mlpotential",
        description="Machine-learned force fields: training, evaluation, model files.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mlpotential {__version__}")
    commands = add_subcommands(parser)

    train = add_command(
        commands,
        "train",
        "train a model as a YAML file says, or continue an interrupted training",
        "  mlpotential train train.yaml\n"
        "  mlpotential train train.yaml --training.seed 1 --model.n_features=64 --folder seed_1\n"
        "  mlpotential train train.yaml --committee 4",
    )
    train.add_argument("config", help="YAML file with data:, model: and training:")
    train.add_argument(
        "--committee",
        type=int,
        metavar="N",
        help="train N models, with seeds training.seed, training.seed + 1, ...",
    )

    evaluate = add_command(
        commands,
        "evaluate",
        "errors of a model on labelled data (MAE and RMSE), with a parity plot",
        "  mlpotential evaluate model.safetensors test.extxyz --energy-unit eV "
        "--length-unit Angstrom --plot parity.png",
    )
    evaluate.add_argument("model", help="model file (.safetensors)")
    evaluate.add_argument("data", help=".xyz, .extxyz (also .gz), .npz or ASE .db")
    evaluate.add_argument("--energy-unit", required=True, help="e.g. eV, kcal/mol, Hartree")
    evaluate.add_argument("--length-unit", required=True, help="e.g. Angstrom, Bohr")
    evaluate.add_argument("--energy-key", help="name of the energy label in the file")
    evaluate.add_argument("--forces-key", help="name of the forces label in the file")
    evaluate.add_argument("--dipole-unit", help="e*Angstrom, Debye or a.u.: compare dipoles, too")
    evaluate.add_argument("--dipole-key", help="name of the dipole label in the file")
    evaluate.add_argument("--no-forces", action="store_true", help="the data has energies only")
    evaluate.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    evaluate.add_argument("--dtype", choices=("float32", "float64"), help="default: the model's")
    evaluate.add_argument("--batch-size", type=int, default=32, help="structures at once (32)")
    evaluate.add_argument("--plot", metavar="PNG", help="write a parity plot")
    evaluate.add_argument("--json", metavar="FILE", help="write the errors as JSON")

    info = add_command(
        commands,
        "info",
        "what a model file holds, where it comes from and how good it is",
        "  mlpotential info model.safetensors --check --device cuda\n"
        "  mlpotential info model.safetensors --backend",
    )
    info.add_argument("model", help="model file (.safetensors)")
    info.add_argument(
        "--check", action="store_true", help="evaluate its golden structures here and compare"
    )
    info.add_argument(
        "--backend",
        action="store_true",
        help="the compiled kernel, the filter tables and the error and time of each backend here",
    )
    info.add_argument("--device", default="cpu", help="device of --check: auto, cpu, cuda (cpu)")
    info.add_argument("--dtype", choices=("float32", "float64"), help="dtype of --check")

    convert = add_command(
        commands,
        "convert",
        "a model file from a SchNet that another program trained, executing nothing of it",
        "  mlpotential convert force_model c20.safetensors --energy-network energy_model "
        "--elements C\n"
        "  mlpotential convert best_inference_model model.safetensors "
        "--energy-unit eV --length-unit Angstrom\n"
        "  mlpotential convert state.pt model.safetensors --from pyg --energy-unit eV "
        "--length-unit Angstrom --mean -4.2 --std 0.1",
    )
    convert.add_argument("source", help="folder or file of the other program")
    convert.add_argument("output", help="model file to write (.safetensors)")
    convert.add_argument(
        "--from",
        dest="kind",
        metavar="KIND",
        default="auto",
        help="schnet-tf (folder of the original program), schnetpack (whole model), pyg (model or "
        "state dictionary of torch_geometric), or auto (auto)",
    )
    convert.add_argument(
        "--energy-network",
        metavar="SOURCE",
        help="a second network, stored beside the first; its energy is a result of its own",
    )
    convert.add_argument("--energy-unit", help="of the source (schnet-tf: kcal/mol)")
    convert.add_argument("--length-unit", help="of the source (schnet-tf: Angstrom)")
    convert.add_argument(
        "--elements", nargs="+", metavar="SYMBOL", help="it was trained on (all it has rows for)"
    )
    convert.add_argument("--mean", type=float, help="mean energy per atom (pyg state dictionary)")
    convert.add_argument("--std", type=float, help="its standard deviation (likewise)")

    domain = add_command(
        commands,
        "add-domain",
        "tell a model file what it was trained on, which its guard needs and old files lack",
        "  mlpotential add-domain model.safetensors train.extxyz --energy-unit eV "
        "--length-unit Angstrom",
    )
    domain.add_argument("model", help="model file (.safetensors), replaced in one step")
    domain.add_argument("data", help="its training data: .xyz, .extxyz (also .gz), .npz or ASE .db")
    domain.add_argument("--energy-unit", required=True, help="e.g. eV, kcal/mol, Hartree")
    domain.add_argument("--length-unit", required=True, help="e.g. Angstrom, Bohr")
    domain.add_argument("--energy-key", help="name of the energy label in the file")
    add_commands(commands, {}, PLUG_INS)
    return parser


def _train(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    from mlpotential.training.config_file import read_config

    config = read_config(options.config, overrides)
    data = config.data
    require_data_files(p for p in (data.path, data.validation_path, data.test_path) if p)
    from mlpotential.training.committee import committee_pattern, run_committee
    from mlpotential.training.report import format_errors
    from mlpotential.training.run import run_training

    if options.committee is None:
        results = [run_training(config)]
    else:
        results = run_committee(config, options.committee)
    for result in results:
        print(format_errors(result.errors))
        print(f"model: {result.model_path}")
    if options.committee is not None:
        print(f"committee: '{committee_pattern(config)}'")
    return 0


def _evaluate(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    require_model_files([options.model])
    require_data_files([options.data])
    from mlpotential.training.evaluate import evaluate_model
    from mlpotential.training.report import errors_as_json, format_errors

    evaluation = evaluate_model(
        options.model,
        options.data,
        energy_unit=options.energy_unit,
        length_unit=options.length_unit,
        energy_key=options.energy_key,
        forces_key=options.forces_key,
        dipole_unit=options.dipole_unit,
        dipole_key=options.dipole_key,
        with_forces=not options.no_forces,
        device=options.device,
        dtype=options.dtype,
        batch_size=options.batch_size,
    )
    print(format_errors({options.data: evaluation.errors}))
    if options.json:
        from pathlib import Path

        from mlpotential.run_folder import write_atomically

        write_atomically(Path(options.json), errors_as_json({options.data: evaluation.errors}))
    if options.plot:
        from mlpotential.training.parity_plot import save_parity_plot

        save_parity_plot(evaluation, options.plot)
        print(f"parity plot: {options.plot}")
    return 0


def _info(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    require_model_files([options.model])
    from mlpotential.inference.device import resolve_device
    from mlpotential.models.model_file import check_golden, load_model
    from mlpotential.training.report import describe_model

    model = load_model(options.model)
    print(describe_model(model))
    if options.backend:
        from mlpotential.inference.backend_report import describe_backends

        print(describe_backends(model))
    if not options.check:
        return 0
    check = check_golden(model, str(resolve_device(options.device)), options.dtype)
    verdict = "passed" if check.passed else "FAILED"
    print(
        f"check on {options.device}: {verdict}; energies within {check.energy_deviation:.1e} "
        f"eV/atom, forces within {check.forces_deviation:.1e} of the largest "
        f"(both may be {check.tolerance:.0e})"
    )
    return 0 if check.passed else 1


def _convert(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    require_data_files(p for p in (options.source, options.energy_network) if p)
    from mlpotential.models.importers.convert import Declared, convert_model, format_conversion

    declared = Declared(
        options.kind,
        options.energy_unit,
        options.length_unit,
        options.elements,
        options.mean,
        options.std,
    )
    conversion = convert_model(options.source, options.output, declared, options.energy_network)
    print(format_conversion(conversion))
    print(f"model:    {options.output}")
    return 0


def _add_domain(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    from mlpotential.data.read import read_reference_data
    from mlpotential.training.seen_in_training import add_training_domain

    data = read_reference_data(
        options.data,
        energy_unit=options.energy_unit,
        length_unit=options.length_unit,
        energy_key=options.energy_key,
        properties=("energy",),
    )
    add_training_domain(options.model, data)
    print(f"shortest distances and feature ranges of {len(data)} structures: {options.model}")
    return 0


COMMANDS = {
    "train": _train,
    "evaluate": _evaluate,
    "info": _info,
    "convert": _convert,
    "add-domain": _add_domain,
}
