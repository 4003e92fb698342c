"""The process that i-PI runs in, with another program in its place."""

import os
import subprocess
import sys
from pathlib import Path

import md_runs.pimd

LAUNCHER = Path(md_runs.pimd.__file__).with_name("ipi_launcher.py")
PROGRAM = """
import sys, types, warnings
from md_runs.model_warnings import warn_of_hard_cutoff

traits = types.SimpleNamespace(smooth_at_cutoff=False)
for stacklevel in (1, 2):
    warn_of_hard_cutoff(traits, stacklevel)
warnings.warn("of i-PI")
print(sys.argv)
"""


def test_warnings_of_the_model_are_lines_in_the_log(tmp_path):
    """Without Python's file and code, each once; those of others as Python has them."""
    program = tmp_path / "i-pi"
    program.write_text(PROGRAM)
    command = [sys.executable, "-P", LAUNCHER, str(os.getpid()), program, "input.xml"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [f"['{program}',", "'input.xml']"]
    first, *others = result.stderr.splitlines()
    assert first.startswith("mlpotential: warning: the model has a hard cutoff")
    assert len(others) == 2
    assert others[0].endswith("i-pi:8: UserWarning: of i-PI")
