"""Sphinx settings of the manual: `python -m sphinx -W -b html docs site`, without a network."""

import os
import sys
from pathlib import Path

import mlpotential

os.environ["COLUMNS"] = "88"  # argparse folds the usage of commands to it
sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "mlpotential"
author = "The mlpotential developers"
project_copyright = author
version = release = mlpotential.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "mathml",
    "repository_pages",
    "command_pages",
    "configuration_page",
    "public_names",
    "architecture_figure",
]
exclude_patterns = ["extensions", "figures", "**/outputs.json"]

myst_enable_extensions = ["attrs_inline", "deflist", "dollarmath"]
myst_heading_anchors = 4
suppress_warnings = [
    "toc.empty_glob",  # a part leaves room for pages of features that are added as files
    "myst.header",  # pages from elsewhere in the repository begin at levels of their own
]

default_role = "literal"  # docstrings write code in single backticks
add_module_names = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"mlpotential {version}"
html_static_path: list[str] = []
html_copy_source = False
html_show_sphinx = False
