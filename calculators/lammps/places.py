"""Where the plugin lies: asked by whoever builds it, and by LAMMPS each time it starts."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

PLUGIN = "mlpotentialplugin.so"  # LAMMPS loads each file *plugin.so of a folder it is told


def plugin_folder() -> Path:
    """Beside this file, where that can be written or has one; else in the user's data folder.

    There the name of its folder tells this installation from others, whose plugins may be for
    another LAMMPS.
    """
    own = Path(__file__).parent / "built"
    if (own / PLUGIN).is_file() or os.access(own.parent, os.W_OK):
        return own
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    installation = hashlib.sha256(str(own).encode()).hexdigest()[:12]
    return data / "mlpotential" / "lammps" / installation


def folder_for_lammps() -> str:
    """The same for the entry point `lammps.plugins`; a folder that is not there troubles nobody."""
    return str(plugin_folder())
