"""Makes what is beside the tests importable; the LAMMPS of an environment of its own."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def lammps(tmp_path_factory):
    """LAMMPS with the plugin, built against its own headers."""
    from lammps_runs import Lammps, environment, why_there_is_none

    if (reason := why_there_is_none()) is not None:
        pytest.skip(reason)
    return Lammps.with_plugin(environment(), tmp_path_factory.mktemp("plugin"))
