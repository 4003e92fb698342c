"""Whether a model file is whole, and gives here what it gave where it was made."""

from __future__ import annotations

from pathlib import Path

from mlpotential.doctor.finding import Finding


def check_model_file(path: str | Path) -> Finding:
    """Its stored structures evaluated anew, by the network itself and by the fastest backend.

    What is stored was computed in float64; what is computed here may differ by the rounding of the
    dtype in use (`GOLDEN_TOLERANCE`).

    Raises:
        ModelFileError: for a file that cannot be read.
    """
    from mlpotential.inference.backend_report import fastest_check
    from mlpotential.models.model_file import check_golden, load_model

    model = load_model(path)
    found, fastest = check_golden(model), fastest_check(model)
    n_graphs = model.golden.n_graphs
    if not found.passed:
        return Finding(
            f"{path} does not give its stored values here ({found}): the file or this "
            "installation is damaged; take the file anew from where it comes, or install torch "
            "again",
            "broken",
        )
    if fastest is None:
        return Finding(f"{n_graphs} stored structures: {found}")
    if not fastest.passed:
        return Finding(
            f"{path} is evaluated wrongly by the {fastest.at_work}: {fastest}. Install the package "
            "again, and use --backend reference until then",
            "broken",
        )
    return Finding(f"{n_graphs} stored structures: {found}; {fastest}")
