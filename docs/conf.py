"""Sphinx's settings: pages in Markdown, the reference from docstrings. See CONTRIBUTING.md."""

import itertools
import re
from pathlib import Path

from sphinx.application import Sphinx

from mnistcore import __version__

project = "mnistcore"
author = "mnistcore developers"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"mnistcore {release}"

highlight_language = "none"
default_role = "literal"  # `x` in a docstring is code, as in Markdown
myst_heading_anchors = 3  # as on GitHub, for links such as using.md#your-own-digits
suppress_warnings = ["myst.header"]

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = False
napoleon_use_ivar = True  # attributes are described by the class, not once more each


def setup(app: Sphinx) -> None:
    """Register what the pages need here and not on a site that shows the repository."""
    app.connect("source-read", _without_links_to_the_repository)
    app.connect("autodoc-process-docstring", _with_one_entry_each, priority=400)
    app.connect("autodoc-skip-member", _fields_without_words)


def _without_links_to_the_repository(app: Sphinx, page: str, source: list[str]) -> None:
    """Keep only the text of links that lead out of docs/ to a folder or to a page."""
    folder = Path(app.srcdir, page).parent

    def text_of(link: re.Match[str]) -> str:
        target = folder / link[2]
        return link[1] if target.is_dir() or target.suffix == ".md" else link[0]

    source[0] = re.sub(r"\[([^\]]+)\]\((\.\./[^)#]+)(?:#[^)]*)?\)", text_of, source[0])


def _fields_without_words(
    app: Sphinx, what: str, name: str, found: object, skip: bool, options: object
) -> bool | None:
    """Leave out the members of a NamedTuple of which Python says only their number."""
    return True if str(found.__doc__).startswith("Alias for field number") else None


def _with_one_entry_each(
    app: Sphinx, what: str, name: str, found: object, options: object, lines: list[str]
) -> None:
    """Split entries such as "scale, shift" of a section Attributes, which napoleon does not."""
    if "Attributes" not in lines:
        return
    first = lines.index("Attributes") + 2
    split: list[str] = []
    for number, line in enumerate(lines[first:], first):
        if re.fullmatch(r"\w+(, \w+)+", line):
            about = list(itertools.takewhile(lambda one: one[:1] == " ", lines[number + 1 :]))
            *others, line = line.split(", ")
            split += itertools.chain.from_iterable((other, *about) for other in others)
        split.append(line)
    lines[first:] = split
