"""Pages that are made from the program: recipes, settings, documents on disk. They cannot go out of date.

- `{recipes}`: every recipe, with its description and its file.
- `{settings} SECTION`: a table of the settings of `data`, `train`, `method.NAME` or `network.NAME`.
- `{documents}`: the files that ganvas writes as versioned models, with their fields.
"""

import importlib
import os
import pkgutil
import re
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from docutils import nodes
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import ganvas
from ganvas.core.documents import Document
from ganvas.core.settings import typed
from ganvas.methods import METHODS
from ganvas.networks import NETWORKS
from ganvas.recipes import library


class Generated(SphinxDirective):
    """A directive whose content is Markdown that `lines` makes."""

    optional_arguments = 1
    lines: Callable[..., Iterator[str]]

    def run(self) -> list[nodes.Node]:
        text = "\n".join(type(self).lines(*self.arguments))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def recipes() -> Iterator[str]:
    for name in library.names():
        file = resources.files("ganvas.recipes") / f"{name}.toml"
        recipe = ganvas.load_recipe(name)
        _, rest = file.read_text(encoding="utf-8").split("\n\n", 1)
        yield from (f"## {name}", "", f"{recipe.description}.", "")
        yield f"Method {link('method', recipe.method)}, networks {link('network', recipe.network)}."
        yield from ("", "```toml", rest.strip(), "```", "")


def link(section: str, settings: BaseModel) -> str:
    name: str = settings.name
    return f"[`{name}`](settings.md#{section}-{name.replace('_', '-')})"


def settings(section: str) -> Iterator[str]:
    kind, _, name = section.partition(".")
    of_recipe = {key: field.type for key, field in ganvas.Recipe.__dataclass_fields__.items()}
    models = {"method": {key: method.Settings for key, method in METHODS.items()}, "network": NETWORKS}
    model: type[BaseModel] = models[kind][name] if name else of_recipe[kind]
    yield from table(model, "setting", lambda key: f"{kind}.{key}", skip=("name",) if name else ())


def documents() -> Iterator[str]:
    for module in pkgutil.walk_packages(ganvas.__path__, "ganvas."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    kinds = [kind for kind in subclasses(Document) if hasattr(kind, "KIND")]
    for kind in sorted(kinds, key=lambda kind: kind.__name__):
        yield from (f"## {kind.__name__}", "", f"{kind.KIND[:1].upper()}{kind.KIND[1:]}, version {kind.VERSION}.", "")
        for part in dict.fromkeys(parts(kind)):
            if part is not kind:
                yield from (f"`{part.__name__}`:", "")
            yield from table(part, "field", str, skip=("version",))


def parts(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and those that its fields hold."""
    yield model
    for field in model.model_fields.values():
        for annotation in flat(field.annotation):
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                yield from parts(annotation)


def flat(annotation: Any) -> Iterator[Any]:
    """All types within one: `dict[str, X] | None` -> dict, str, X, none."""
    yield get_origin(annotation) or annotation
    for each in get_args(annotation):
        yield from flat(each)


def subclasses(model: type) -> Iterator[type]:
    for each in model.__subclasses__():
        yield each
        yield from subclasses(each)


def table(model: type[BaseModel], first: str, named: Callable[[str], str], skip: tuple[str, ...]) -> Iterator[str]:
    yield from (f"| {first} | type | default | meaning |", "|---|---|---|---|")
    for key, field in model.model_fields.items():
        if key not in skip:
            cells = (f"`{named(key)}`", f"`{kind(field.annotation)}`", default(field), field.description or "")
            yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
    yield ""


def kind(annotation: Any) -> str:
    """A type as a reader wants it: `int`, `adam or sgd`, `float or none`."""
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return kind(parts[0])
    if get_origin(annotation) is Literal:
        return " or ".join(map(str, parts))
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(map(kind, parts))
    if parts:
        return f"{get_origin(annotation).__name__}[{', '.join('...' if p is ... else kind(p) for p in parts)}]"
    return "none" if annotation is NoneType else getattr(annotation, "__name__", str(annotation))


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel | dict | tuple | list) and not value:
        return "(empty)"
    return f"`{typed(value)}`" if typed(value) else "(empty)"


def as_rst(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text with `code`: escape what reStructuredText would take for markup."""
    if what == "module":  # its page says what it is for
        lines.clear()
    parts = "\n".join(lines).split("`")
    parts[::2] = [re.sub(r"([*|\\]|_(?=\W|$))", r"\\\1", part) for part in parts[::2]]
    lines[:] = "".join(f"``{part}``" if i % 2 else part for i, part in enumerate(parts)).split("\n")


def as_file(app: Sphinx, page: nodes.document) -> None:
    """A link to a Markdown file of the repository that is not a page, such as dev/LOG.md, gives the file."""
    for link in list(page.findall(addnodes.pending_xref)):
        if link.get("refdomain") == "doc" and link["reftarget"] not in app.env.found_docs:
            target = Path(os.path.relpath(f"{link['reftarget']}.md", Path(app.srcdir, link["refdoc"]).parent))
            link.replace_self(addnodes.download_reference("", "", *link.children, reftarget=target.as_posix()))


def setup(app: Sphinx) -> dict[str, bool]:
    for function in (recipes, settings, documents):
        app.add_directive(function.__name__, type(function.__name__, (Generated,), {"lines": staticmethod(function)}))
    app.connect("autodoc-process-docstring", as_rst)
    app.connect("doctree-read", as_file, priority=100)  # before Sphinx collects the files that pages link to
    return {"parallel_read_safe": True, "parallel_write_safe": True}
