"""The public names of the packages, and a page of the manual for each package that has some."""

import importlib
import inspect
import re
from pathlib import Path

GENERATED = Path(__file__).parents[1] / "generated"
# Packages whose `__all__` (of `md_runs.analysis`: `CONTENTS`) is public.
PACKAGES = {
    "mlpotential": "data, models and the evaluator",
    "calculators": "the calculator of ASE",
    "md_runs.classical": "classical runs",
    "md_runs.pimd": "path-integral runs",
    "md_runs.analysis": "analysis of arrays",
    "mlpotential.testing": "checks for your own potentials and calculators",
}
# Names that are public where they are defined.
DOORS = {
    "mlpotential.errors": [
        "InputError",
        "ConfigError",
        "DataError",
        "ModelFileError",
        "RunError",
        "StructureError",
        "ExtrapolationError",
        "ExtrapolationWarning",
    ],
    "mlpotential.training.config": ["RunConfig", "DataConfig", "TrainingConfig"],
    "mlpotential.training.run": ["run_training"],
    "mlpotential.training.evaluation.evaluate": ["evaluate_model"],
    "mlpotential.interpretation.fields.local_chemical_potential": ["LocalChemicalPotential"],
    "calculators.ipi_driver": ["driver_path"],
    "md_runs.reading": ["read_run", "ReadOptions"],
    "md_runs.trajectories.trajectory": ["Trajectory"],
    "md_runs.relax": ["relax", "RelaxationResult"],
    "md_runs.molecular_modes": ["molecular_modes", "MolecularModes"],
    "md_runs.force_provider": ["ForceProvider", "ModelForces", "CalculatorForces"],
}
FIGURES = ("distributions", "modes", "path_integrals", "spectra", "transport")


def names() -> dict[str, dict[str, object]]:
    """By page (the name of a package, or `others` or `figures`): what each dotted name means."""
    found: dict[str, dict[str, object]] = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        contents = getattr(module, "CONTENTS", None)
        public = [n for ns in contents.values() for n in ns] if contents else module.__all__
        found[package] = {f"{package}.{name}": getattr(module, name) for name in public}
    found["others"] = {
        f"{module}.{name}": getattr(importlib.import_module(module), name)
        for module, defined in DOORS.items()
        for name in defined
    }
    found["md_runs.figures"] = {}
    for name in FIGURES:
        module = importlib.import_module(f"md_runs.figures.{name}")
        for title, function in inspect.getmembers(module, inspect.isfunction):
            is_figure = title.startswith("plot_") or title.endswith("_figure")
            if is_figure and function.__module__ == module.__name__:
                found["md_runs.figures"][f"{module.__name__}.{title}"] = function
    return found


def lacks_docstring(value: object) -> bool:
    """Whether a function or class explains nothing of its own."""
    if not (inspect.isfunction(value) or inspect.isclass(value)):
        return False
    text = value.__doc__ or ""
    return not text.strip() or text.startswith(f"{value.__name__}(")  # made by dataclass


def undescribed_parameters(value: object) -> list[str]:
    """Parameters of a function that nothing explains.

    A name may be explained in the docstring, in that of another function that it refers to
    ("Arguments are those of `f`"), or, where functions share their arguments, in that of the module
    or package.
    """
    if not inspect.isfunction(value):
        return []
    text = inspect.getdoc(value) or ""
    if re.search(r"(?i)arguments[^.]* (?:are those|as)(?: of)? `", text):
        return []
    package = value.__module__.rpartition(".")[0]
    shared = [importlib.import_module(name).__doc__ or "" for name in (package, value.__module__)]
    described = re.compile(r"\b(\w+)(?:, [\w, ]+)?:|`(\w+)`")
    known = set(re.findall(r"\w+", " ".join(m.group() for m in described.finditer(text))))
    known |= set(re.findall(r"`(\w+)`", " ".join(shared)))
    return [name for name in inspect.signature(value).parameters if name not in known]


def directive(name: str, value: object) -> str:
    """The lines that document a name."""
    if inspect.isclass(value):
        is_exception = issubclass(value, BaseException)
        members = "" if is_exception else "   :members:\n"
        return f".. autoclass:: {name}\n{members}"
    if callable(value):
        return f".. autofunction:: {name}\n"
    return f".. autodata:: {name}\n"


def write_pages(app: object) -> None:
    """Writes `generated/api/`."""
    from repository_pages import write

    titles = PACKAGES | {
        "others": "public names of modules",
        "md_runs.figures": "figures of analysis results",
    }
    for page, public in names().items():
        heading = f"{page}: {titles[page]}" if page != "others" else titles[page].capitalize()
        text = [f"{heading}\n{'=' * len(heading)}\n"]
        if page != "others":
            text.append(f".. automodule:: {page}\n   :no-members:\n")
        text += [directive(name, value) for name, value in public.items()]
        write(GENERATED / "api" / f"{page}.rst", "\n".join(text))


def as_restructured_text(
    app: object, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """What docstrings mean otherwise: bars are absolute values, indented code is no quotation."""
    for k, line in enumerate(lines):
        lines[k] = re.sub(r"`[^`]*`|\|", lambda m: r"\|" if m[0] == "|" else m[0], line)
    if what == "module":
        text = re.sub(r"\n\n(?=    \S)", "\n\n::\n\n", "\n".join(lines))
        lines[:] = text.split("\n")


def setup(app: object) -> dict[str, bool]:
    """Registers the step."""
    app.connect("builder-inited", write_pages)  # type: ignore[attr-defined]
    app.connect("autodoc-process-docstring", as_restructured_text)  # type: ignore[attr-defined]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
