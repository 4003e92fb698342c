"""The analysis never imports torch."""

import pkgutil
import subprocess
import sys

import pytest

import md_runs.analysis


def test_no_module_of_the_analysis_imports_torch() -> None:
    names = [m.name for m in pkgutil.walk_packages(md_runs.analysis.__path__, "md_runs.analysis.")]
    assert "md_runs.analysis.spectra.spectrum" in names
    program = (
        f"import sys, importlib\nfor name in {[*names, 'md_runs.figures.spectra']!r}:\n"
        "    importlib.import_module(name)\nprint('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr


def test_the_table_of_contents_is_right() -> None:
    for names in md_runs.analysis.CONTENTS.values():
        for name in names:
            assert callable(getattr(md_runs.analysis, name))
    with pytest.raises(AttributeError, match=r"'md_runs.analysis' has no attribute 'normal_mode'"):
        _ = md_runs.analysis.normal_mode
