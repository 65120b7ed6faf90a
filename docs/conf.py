"""How `make docs` builds the site: Sphinx, MyST-NB, furo. Warnings are errors."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

from ganvas.core.version import VERSION

project = "ganvas"
copyright = "The ganvas authors"
release = VERSION
extensions = ["myst_nb", "sphinx.ext.autodoc", "cyclopts.ext.sphinx", "generated", "mathml"]
exclude_patterns = ["_build", "jupyter_execute"]
html_theme = "furo"
html_title = f"ganvas {VERSION}"
html_math_renderer = "mathml"
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["math.css"]
smartquotes_action = "qe"  # no dashes: --set is an option
myst_enable_extensions = ["dollarmath", "html_image"]
nb_execution_mode = "off"  # the pages show the outputs that are in the files
myst_heading_anchors = 3
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
autodoc_member_order = "bysource"
pygments_style = "friendly"
