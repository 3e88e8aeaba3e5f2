"""How Sphinx builds these pages: ``sphinx-build -W docs build/docs``, with convnet and its extra ``docs`` installed.

The pages are plain Markdown that reads as well on a code host. What only Sphinx needs is added here, while it reads
them: tables of contents from their links, and links from the names in their text to the API.
"""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

from docutils import nodes
from numpydoc.xref import DEFAULT_LINKS
from sphinx.util.nodes import make_refnode

import convnet

PAGES = Path(__file__).parent

project = "convnet"
author = "The convnet developers"
project_copyright = author
release = version = convnet.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
templates_path = ["_templates"]
default_role = "py:obj"
smartquotes = False
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(abc|collections|matplotlib|numpy|pathlib|sklearn|typing)\..*")
]  # others' pages are out of reach

myst_heading_anchors = 3
autodoc_preserve_defaults = True
autodoc_typehints = "none"  # the docstrings tell types, shapes included
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = {
    name: f"convnet.{name}" for name in (*convnet.__all__, "Epoch", "Loss", "Merge", "Optimizer") if name[0].isupper()
}
DEFAULT_LINKS.clear()  # to Python's own pages
copybutton_exclude = ".linenos, .gp, .go"  # no prompts, no output
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["convnet.css"]
html_logo = html_favicon = "_static/logo.svg"
html_title = "convnet"
html_show_sourcelink = html_copy_source = False
html_sidebars = {"*": []}  # a page on the top level has no neighbours to show
html_theme_options = {
    "logo": {"text": "convnet"},
    "header_links_before_dropdown": 5,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}

# ---- Markdown that a code host shows too ---------------------------------------------------------------------------

ABOVE = {"](../CONTRIBUTING.md": "](contributing.md", "](../CHANGELOG.md": "](changes.md"}
CONTENTS = "\n```{{toctree}}\n:hidden:\n\n{}\n```\n"


def complete(app, docname, source):
    """Turn links to files above docs/ into links to their pages; add the list of an index as its table of contents."""
    for path, page in ABOVE.items():
        source[0] = source[0].replace(path, page)
    source[0] = re.sub(r"^!\[.*\]\((gallery/.*)\)$", if_drawn, source[0], flags=re.MULTILINE)
    if docname in ("index", "guide/index"):
        links = re.findall(r"^[-*] \[(.+)\]\((.+)\.(?:md|rst)\)", source[0], re.MULTILINE)
        source[0] += CONTENTS.format("\n".join(f"{name} <{page}>" for name, page in links))


def if_drawn(picture):
    """A picture of the gallery, or nothing where that was not drawn, for want of the data set say."""
    return picture[0] if (PAGES / picture[1]).exists() else ""


def draw(app):
    """Have the pictures of the gallery drawn, unless they are there; without CIFAR-10, which takes minutes."""
    script, folder = PAGES.parent / "examples" / "gallery.py", PAGES / "gallery"
    if script.exists() and not any(folder.glob("*.png")):
        environment = {name: value for name, value in os.environ.items() if name != "CONVNET_DATA"}
        subprocess.run([sys.executable, script, folder], check=True, stdout=subprocess.DEVNULL, env=environment)


# ---- links to the API ----------------------------------------------------------------------------------------------

PLAIN = re.compile(r"api/generated/convnet\.((data|models)\.)?\w+")  # where ``save``, ``digits``, ``lenet`` may lead


def find(env, name):
    """What is documented under a short name such as ``Conv2d``, ``optim.SGD`` or ``Trainer.fit``, or None."""
    objects = env.domains.python_domain.objects
    name = name.removeprefix("convnet.")
    full = [key for key, entry in objects.items() if key.endswith(f".{name}") and not entry.aliased]
    if "." not in name:  # a method has its class in front
        full = [key for key in full if objects[key].objtype not in ("method", "attribute", "property")]
    return objects[min(full, key=lambda key: key.count("."))] if full else None


def resolve(app, env, node, contnode):
    """Find what a docstring calls by its short name: anything public, or a method that the class inherits."""
    if node.get("refdomain") != "py":
        return None
    entry = next(filter(None, (find(env, name) for name in (node["reftarget"], *inherited(node)))), None)
    if entry is None:
        return None
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode)


def inherited(node):
    """The names that a method has in the base classes of the class whose docstring speaks."""
    if not node.get("py:class"):
        return []
    owner = getattr(importlib.import_module(node["py:module"]), node["py:class"].partition(".")[0])
    return [f"{base.__name__}.{node['reftarget']}" for base in owner.__mro__]


def without_bare_bases(app, doctree):
    """Say nothing of classes that derive from nothing in particular."""
    for paragraph in [*doctree.findall(nodes.paragraph)]:
        if paragraph.astext() in ("Bases: object", "Bases: ABC"):
            paragraph.parent.remove(paragraph)


def link_code(app, doctree, docname):
    """Make links of the names in running text: ``Conv2d`` or ``Trainer.fit(...)``, written as code."""
    for literal in [] if docname.startswith("api/") else [*doctree.findall(nodes.literal)]:
        entry = None if isinstance(literal.parent, (nodes.reference, nodes.title)) else meant(app.env, literal.astext())
        if entry is not None:
            link = make_refnode(app.builder, docname, entry.docname, entry.node_id, literal.deepcopy())
            literal.replace_self(link)


def meant(env, code):
    """What a piece of code in running text means, or None: a plain word may as well be a variable of the page."""
    name = re.fullmatch(r"([A-Za-z_][\w.]+)(?:\(.*\))?", code)
    entry = find(env, name[1]) if name else None
    plain = entry is not None and name[1].isalpha() and name[1].islower()
    return None if plain and not PLAIN.fullmatch(entry.docname) else entry


def public_bases(app, name, cls, options, bases):
    """Leave out classes that are an implementation detail."""
    bases[:] = [public(base) for base in bases]


def public(cls):
    """A class or, where it is no public one, the first such that it derives from."""
    hidden = cls.__name__ in ("ConvNet", "Elementwise", "Engine") or cls.__name__.startswith("_")
    return public(cls.__base__) if hidden and cls.__module__.startswith("convnet.") else cls


def setup(app):
    """Take part in the build."""
    app.connect("builder-inited", draw)
    app.connect("source-read", complete)
    app.connect("missing-reference", resolve)
    app.connect("doctree-resolved", link_code)
    app.connect("doctree-read", without_bare_bases)
    app.connect("autodoc-process-bases", public_bases)
