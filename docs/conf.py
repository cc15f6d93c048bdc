"""The documentation, from the docstrings and the pages beside this file: `make docs`."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from sphinx.application import Sphinx

import robusttune
from docs.example import write_report

project = "robusttune"
author = "the robusttune authors"
version = release = robusttune.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

# In the docstrings, `name` is code.
default_role = "code"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Source", "notes")]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"robusttune {release}"
html_copy_source = False
html_show_sphinx = False


def _example_report(app: Sphinx) -> None:
    write_report(Path(app.outdir, "example-report.html"))


def setup(app: Sphinx) -> None:
    """Make the report that the pages link to."""
    app.connect("builder-inited", _example_report)
