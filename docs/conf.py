"""The site of the documentation: ``sphinx-build -W docs docs/_build``. Needs no network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import figures

from e2edist import __version__

project = "e2edist"
author = "The e2edist founders"
release = version = __version__
extensions = ["myst_parser"]
exclude_patterns = ["_build", "reference/packages.md"]  # that one is included
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"e2edist {version}"
html_show_sphinx = html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]


def setup(app: object) -> None:
    """Draw the figures before any page is read."""
    app.connect("builder-inited", lambda app: figures.draw_all(Path(app.srcdir) / figures.FOLDER))
