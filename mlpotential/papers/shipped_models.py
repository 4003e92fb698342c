"""`mlpotential models`: models that come with the package, each a row of the papers' tables.

They were trained here by the commands in `models/README.md`, which also says on whose data.
"""

from __future__ import annotations

import fnmatch
from pathlib import Path

from mlpotential.command_line import Command
from mlpotential.errors import ConfigError, nearest_name

FOLDER = Path(__file__).parent / "models"


def shipped_models(pattern: str = "*") -> dict[str, Path]:
    """Their files by name.

    Args:
        pattern: of names.

    Raises:
        ConfigError: if no name is like it.
    """
    models = {path.stem: path for path in sorted(FOLDER.glob("*.safetensors"))}
    found = fnmatch.filter(models, pattern)
    if not found:
        near = nearest_name(pattern, models)
        raise ConfigError(f"no model {pattern} is shipped.{near} There are: {', '.join(models)}")
    return {name: models[name] for name in found}


def run(pattern: str | None = None) -> int:
    """Lists the models that come with the package, or prints where some of them are.

    Args:
        pattern: a name, or several as 'qm9_SchNet_*': the paths of their files, a line each.
    """
    if pattern is not None:
        for path in shipped_models(pattern).values():
            print(path)
        return 0
    from mlpotential.models.model_file import load_model

    for name, path in shipped_models().items():
        model = load_model(path)
        errors = model.record.errors.get("test", {})
        outputs = [output for output in model.potential.outputs if f"{output}_mae" in errors]
        accuracy = ", ".join(
            f"{output} MAE {errors[f'{output}_mae']:.3g} {model.potential.rows[output].unit}"
            for output in outputs
        )
        print(f"{name:38} {path.stat().st_size / 1e6:.1f} MB  {accuracy}")
    return 0


MODELS = Command.of(
    run,
    "  mlpotential models\n"
    "  mlpotential models 'qm9_SchNet_U0_*'\n"
    "  mlpotential info $(mlpotential models qm9_SchNet_U0_split_0)",
)
