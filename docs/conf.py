"""Settings of the documentation site, which `make site` builds into build/site (genzoo[docs]).

Sources are read from the root of the repository, so that a relative link leads to the same page there and on GitHub.
"""

project = "genzoo"
copyright = "The genzoo developers, Apache-2.0"
extensions = ["myst_nb", "sphinx_copybutton"]
root_doc = "docs/index"
highlight_language = "none"  # of a block that names none: commands and trees
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**"]
exclude_patterns = [".*", "build", "comparisons", "docs/examples/genzoo-*", "genzoo", "plugins", "runs", "tests"]

myst_heading_anchors = 4  # as GitHub makes them
nb_execution_mode = "off"  # a notebook is shown with the pictures that were saved in it
nb_mime_priority_overrides = [("linkcheck", "text/html", 0), ("linkcheck", "image/png", 1)]

html_theme = "furo"
html_title = "genzoo"
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_extra_path = ["site/extra"]  # index.html, which leads to the front page
html_show_sourcelink = False

linkcheck_ignore = ["https?://"]  # what leads elsewhere is listed in build/links/output.json and never fetched
