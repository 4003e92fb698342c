"""The analysis and the runs of i-PI never import torch, and figures never import pyplot."""

import pkgutil
import subprocess
import sys

import pytest

import md_runs.analysis


def test_neither_torch_nor_pyplot_is_imported() -> None:
    names = [m.name for m in pkgutil.walk_packages(md_runs.analysis.__path__, "md_runs.analysis.")]
    assert "md_runs.analysis.spectra.spectrum" in names
    names += ["md_runs.figures.spectra", "md_runs.figures.path_integrals", "md_runs.pimd.run"]
    program = (
        f"import sys, importlib\nfor name in {names!r}:\n    importlib.import_module(name)\n"
        "print({'torch', 'matplotlib.pyplot'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)
    assert result.stdout.strip() == "set()", result.stderr


def test_the_table_of_contents_is_right() -> None:
    for names in md_runs.analysis.CONTENTS.values():
        for name in names:
            assert callable(getattr(md_runs.analysis, name))
    with pytest.raises(AttributeError, match=r"'md_runs.analysis' has no attribute 'normal_mode'"):
        _ = md_runs.analysis.normal_mode
