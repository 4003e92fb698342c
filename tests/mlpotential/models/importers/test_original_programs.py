"""The programs that networks come from, asked themselves: only where they are installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from saved_models import FOREIGN

from mlpotential.models.importers.convert import Declared, convert_model
from mlpotential.models.model_file import check_golden, load_model


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("schnetpack", "schnetpack_2_silu"),
        ("schnetpack", "schnetpack_2_shared"),
        ("torch_geometric", "torch_geometric_model"),
        ("torch_geometric", "torch_geometric_state"),
    ],
)
def test_they_agree(tmp_path: Path, program: str, name: str) -> None:
    """In other units, too: theirs are converted by another road than our network."""
    pytest.importorskip(program, exc_type=ImportError)
    declared = Declared(energy_unit="kcal/mol", length_unit="Bohr")
    conversion = convert_model(FOREIGN / f"{name}.pt", tmp_path / "m.safetensors", declared)
    assert conversion.original_check is not None
    assert conversion.original_check.relative_deviations["forces"] < 1e-13
    model = load_model(tmp_path / "m.safetensors")
    assert model.golden_origin.lower().startswith(program)
    assert check_golden(model, dtype="float64").passed
