"""The analysis never imports torch, and figures need none of pyplot's global state."""

import pkgutil
import subprocess
import sys

import md_runs.analysis


def test_no_module_of_the_analysis_imports_torch_or_pyplot() -> None:
    names = [m.name for m in pkgutil.walk_packages(md_runs.analysis.__path__, "md_runs.analysis.")]
    assert "md_runs.analysis.spectra.spectrum" in names
    names += ["md_runs.figures.spectra", "md_runs.figures.path_integrals"]
    program = (
        f"import sys, importlib\nfor name in {names!r}:\n    importlib.import_module(name)\n"
        "print({'torch', 'matplotlib.pyplot'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)
    assert result.stdout.strip() == "set()", result.stderr
