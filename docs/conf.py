"""How Sphinx builds these pages: `make docs`, or `make docs-live` while writing.

The pages are Markdown that a code host shows as it is. Three things are added when they are built:
the reference from the docstrings, links between the names in these, and pages of what lies
elsewhere in the repository, such as the changelog.
"""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import roles
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from ml_dash import Recorder, __version__

project = "ML-Dash"
author = "The ML-Dash authors"
project_copyright = "The ML-Dash authors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["images"]
myst_heading_anchors = 3  # those that code hosts give

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
add_module_names = False
maximum_signature_line_length = 88
default_role = "name"
toc_object_entries_show_parents = "hide"

html_theme = "sphinx_rtd_theme"
html_theme_options = {"navigation_depth": 4}
html_title = f"ML-Dash {version}"
html_static_path = ["style"]
html_css_files = ["pages.css"]
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
linkcheck_timeout = 20
linkcheck_retries = 2

# -- pages of what lies elsewhere in the repository -----------------------------------------------

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGES = {
    ROOT / "README.md": "/index.md",
    ROOT / "README.md#what-it-does-not-do": "/limits.md",
    ROOT / "examples" / "README.md": "/examples.md",
    ROOT / "CHANGELOG.md": "/changelog.md",
    ROOT / "CONTRIBUTING.md": "/contributing.md",
    ROOT / "benchmarks" / "README.md": "/benchmarks.md",
}
_LINK = re.compile(r"\[([^\]\n]+)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def _lead_to_pages(text: str, folder: Path, shown: str) -> str:
    """Markdown with its links to other places of the repository led to their pages.

    Other files are led to from the page's own folder. A folder has no page, and so no link.

    Args:
        text: of a page, or of a file that it includes.
        folder: where that file lies, which its links begin at.
        shown: the page.
    """

    def led(link: re.Match[str]) -> str:
        label, target, anchor = link[1], (folder / link[2]).resolve(), link[3] or ""
        if (page := PAGES.get(Path(f"{target}{anchor}"))) is not None:
            return f"[{label}]({page})"
        if target in PAGES:
            return f"[{label}]({PAGES[target]}{anchor})"
        if target.is_dir():
            return label
        place = os.path.relpath(target, (HERE / shown).parent)
        return f"[{label}]({place}{anchor})" if target.is_file() else link[0]

    return _LINK.sub(led, text)


def _read_page(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = _lead_to_pages(source[0], (HERE / page).parent, page)


def _read_elsewhere(app: Sphinx, path: Path, page: str, source: list[str]) -> None:
    source[0] = _lead_to_pages(source[0], (HERE / path).resolve().parent, page)


# -- names in docstrings: `Experiment` and `Recorder.step` are links, `step` is not ---------------

_NAME = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*")


def _name_role(
    role: str, raw: str, text: str, line: int, inliner: Any, *_: Any
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """What stands between single backticks, which `missing-reference` makes a link, or nothing."""
    shown = nodes.literal(raw, text)
    name = text.removesuffix("()")
    if not _NAME.fullmatch(name) or not ("." in name or name[0].isupper() or "_" in name):
        return [shown], []
    return [addnodes.pending_xref("", shown, reftype="name", reftarget=name, refwarn=False)], []


def _link_name(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, shown: nodes.TextElement
) -> nodes.Node | None:
    """A link to the one object of that name; the name alone where there are none, or several."""
    if node.get("reftype") != "name":
        return None
    name, objects = node["reftarget"], env.domains.python_domain.objects
    found = [full for full in objects if full == name or full.endswith(f".{name}")]
    public = [full for full in found if full.count(".") == name.count(".") + 1]
    if len(found) != 1 and len(public) != 1:
        return shown
    place = objects[found[0] if len(found) == 1 else public[0]]
    uri = app.builder.get_relative_uri(node["refdoc"], place.docname)
    return nodes.reference("", "", shown, internal=True, refuri=f"{uri}#{place.node_id}")


# -- docstrings -----------------------------------------------------------------------------------


def _is_handed_out(what: str, name: str) -> bool:
    """Whether users are given objects of a class, and never make one."""
    return what == "class" and name.startswith("ml_dash.") and name.count(".") > 1


_PRIVATE = re.compile(r", _\w+: \w+ = \w+")
"""An argument that is not for users."""


def _signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, arguments: str, returned: str
) -> tuple[str, str] | None:
    if _is_handed_out(what, name):
        return "", ""
    if name == "ml_dash.Experiment.recorder":  # passes all that it gets on to the class
        names = [*inspect.signature(Recorder).parameters.values()][1:]
        return re.sub(r": '([^']*)'", r": \1", str(inspect.Signature(names))), returned
    return (_PRIVATE.sub("", arguments), returned) if arguments else None


def _docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Before napoleon reads it: tables, and no arguments where nobody gives any."""
    if _is_handed_out(what, name) and "Args:" in lines:
        first = lines.index("Args:")
        lines[first:] = lines[lines.index("", first) + 1 :] if "" in lines[first:] else []
    text = _TABLE.sub(lambda table: _list_table(table[0]), "\n".join(lines) + "\n")
    lines[:] = text.splitlines()
    if what == "property":
        lines.insert(0, "\\ ")  # shows nothing; what is before a colon would be taken for a type


_TABLE = re.compile(r"^\|.*\|\n\|[-|]+\|\n(?:\|.*\|\n)+", re.MULTILINE)


def _list_table(markdown: str) -> str:
    """A table of Markdown, as docstrings have it, in reStructuredText."""
    head, _, *rows = markdown.splitlines()
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [head, *rows]:
        for number, cell in enumerate(row.strip("|").split("|")):
            # A `*` outside of code would begin emphasis.
            parts = cell.strip().split("`")
            parts[::2] = [part.replace("*", r"\*") for part in parts[::2]]
            lines.append(f"   {' ' if number else '*'} - {'`'.join(parts)}")
    return "\n".join([*lines, ""]) + "\n"


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the above."""
    roles.register_local_role("name", _name_role)
    app.connect("source-read", _read_page)
    app.connect("include-read", _read_elsewhere)
    app.connect("missing-reference", _link_name)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _docstring, priority=400)  # napoleon has 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
