"""Writes docs/api.md, the reference of every public name, from the source: `python docs/make_api.py`.

Nothing is imported: names come from the packages' stubs, signatures and texts from the syntax trees, as written.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).with_name("api.md")
SOURCE = Path(__file__).parents[1]
WIDTH = 100
INTRODUCTION = """\
# API reference

Every public name, by the package it belongs to; whatever is not on this page may change without notice. `genzoo` offers
the names used most at the top again. In shapes, N is the number of rows, and `*shape` the shape of one x: (C, H, W) for
images, (D,) for vectors. This page is generated from the code by `python docs/make_api.py`, and a test keeps the two
equal.
"""

Definition = ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign


class Entry(NamedTuple):
    """A public name and where it is defined."""

    name: str
    module: str
    """The module that defines it, such as `genzoo.nn.tables`."""
    node: Definition
    text: str
    """Its docstring, or the string below an assignment."""


def page() -> str:
    """Return the page's text."""
    modules = public_modules()
    return "\n".join([INTRODUCTION, *_contents(modules), *(_section(module) for module in modules)])


def public_modules() -> list[str]:
    """Return the names of the public modules, `genzoo` first."""
    return ["genzoo", *(f"genzoo.{name}" for name, source in _stub("genzoo").items() if source is None)]


@cache
def entries(module: str) -> dict[str, Entry]:
    """Return what a public module is the home of, by name."""
    homes = [other for other in public_modules()[1:] if other != module]
    names = _stub(module) or dict.fromkeys(_all(module), module)
    return {
        name: _resolve(source, name)
        for name, source in sorted(names.items(), key=lambda item: item[0].lower())
        if source is not None and not (module == "genzoo" and any(name in names_of(home) for home in homes))
    }


@cache
def names_of(module: str) -> list[str]:
    """Return the names, but not the modules, that a public module offers."""
    names = _stub(module) or dict.fromkeys(_all(module), module)
    return sorted((name for name, source in names.items() if source is not None), key=str.lower)


# Where a name is defined


@cache
def _stub(module: str) -> dict[str, str | None]:
    """Return the names in a package's stub with the module each comes from; None for what is a module itself."""
    path = _folder(module) / "__init__.pyi"
    if not path.exists():
        return {}
    return {
        alias.asname or alias.name: f"{module}.{node.module}" if node.module else None
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _all(module: str) -> list[str]:
    """Return a plain module's `__all__`."""
    (names,) = (
        node.value
        for node in _tree(module).body
        if isinstance(node, ast.Assign) and _source(module, node.targets[0]) == "__all__"
    )
    return [str(name) for name in ast.literal_eval(names)]


def _resolve(module: str, name: str) -> Entry:
    """Return the entry of a name that `module` defines, or imports from where it is defined."""
    stub = _stub(module)
    if stub.get(name):
        return _resolve(str(stub[name]), name)
    body = _tree(module).body
    for position, node in enumerate(body):
        if isinstance(node, ast.ImportFrom) and name in {alias.asname or alias.name for alias in node.names}:
            return _resolve(str(node.module), next(a.name for a in node.names if name in (a.asname, a.name)))
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return Entry(name, module, node, ast.get_docstring(node) or "")
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in _targets(module, node):
            return Entry(name, module, node, _text_below(body, position))
    raise LookupError(f"{name} is not defined in {module}")


def _targets(module: str, node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [_source(module, target) for target in targets]


def _text_below(body: list[ast.stmt], position: int) -> str:
    """Return the string that stands below an assignment, or nothing."""
    below = body[position + 1] if position + 1 < len(body) else None
    if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
        return below.value.value
    return ""


def _bases(entry: Entry) -> list[Entry]:
    """Return the classes of genzoo that a class derives from directly."""
    assert isinstance(entry.node, ast.ClassDef)
    found = []
    for base in entry.node.bases:
        name = _source(entry.module, base)
        if name.isidentifier() and _is_of_genzoo(entry.module, name):
            found.append(_resolve(entry.module, name))
    return found


def _ancestors(entry: Entry) -> Iterator[Entry]:
    for base in _bases(entry):
        if isinstance(base.node, ast.ClassDef):
            yield base
            yield from _ancestors(base)


def _is_of_genzoo(module: str, name: str) -> bool:
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return True
        if isinstance(node, ast.ImportFrom) and name in {alias.asname or alias.name for alias in node.names}:
            return (node.module or "").partition(".")[0] == "genzoo"
    return False


# How it is written


def _contents(modules: list[str]) -> Iterator[str]:
    for module in modules:
        names = " · ".join(f"[{name}](#{anchor(heading(module, name))})" for name in names_of(module))
        yield f"**[{module}](#{anchor(module)})**: {_summary(module)}\n\n{names}\n"


def heading(module: str, name: str) -> str:
    """Return the heading of a name: with its module where a class has the same in capitals."""
    twins = {other for home in public_modules() for other in names_of(home) if other.lower() == name.lower()}
    return name if name == min(twins) else f"{module}.{name}"


def anchor(heading: str) -> str:
    """Return what a heading is linked by."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _section(module: str) -> str:
    text = ast.get_docstring(_tree(module)) or ""
    lines = [f"## {module}", "", _markdown(text.removeprefix("genzoo: "))]
    again = [name for name in names_of(module) if name not in entries(module)]
    if again:
        links = ", ".join(f"[{name}](#{anchor(name)})" for name in again)
        lines += ["", f"The names used most, from the packages below: {links}."]
    for entry in entries(module).values():
        lines += ["", f"### {heading(module, entry.name)}", "", "```python", _signature(entry), "```"]
        lines += ["", _markdown(entry.text)] if entry.text else []
        if isinstance(entry.node, ast.ClassDef):
            lines += _members(entry)
    return "\n".join(lines) + "\n"


def _summary(module: str) -> str:
    """Return what a module is about: its docstring's first sentence without the name in front."""
    first = (ast.get_docstring(_tree(module)) or "").partition("\n")[0].rstrip(".")
    return first.partition(": ")[2] or first


def _signature(entry: Entry) -> str:
    node, module = entry.node, entry.module
    if isinstance(node, ast.FunctionDef):
        return _wrapped(f"def {node.name}", _arguments(module, node), _result(module, node))
    if isinstance(node, ast.ClassDef):
        return _class_signature(entry, node)
    return _one_line(_source(module, node))


def _class_signature(entry: Entry, node: ast.ClassDef) -> str:
    written = [_one_line(_source(entry.module, decorator)) for decorator in node.decorator_list]
    decorators = [f"@{decorator}" for decorator in written if decorator != "described"]  # which only serves `help`
    bases = _wrapped(f"class {node.name}", _public_bases(entry), "") if _public_bases(entry) else f"class {node.name}"
    constructor = next((method for method in _functions(node) if method.name == "__init__"), None)
    if constructor is None:
        return "\n".join([*decorators, bases])
    made = _wrapped(node.name, _arguments(entry.module, constructor)[1:], "")
    return "\n".join([*decorators, bases, "", made])


def _public_bases(entry: Entry) -> list[str]:
    """Return the bases as written, with those of a private base in its place."""
    assert isinstance(entry.node, ast.ClassDef)
    written = []
    for base in entry.node.bases:
        name = _source(entry.module, base)
        written += _public_bases(_resolve(entry.module, name)) if name.startswith("_") else [name]
    return written


def _wrapped(head: str, arguments: list[str], result: str) -> str:
    """Return a signature on one line, or with a line per argument where that is too long."""
    line = f"{head}({', '.join(arguments)}){result}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{head}(", *(f"    {argument}," for argument in arguments), f"){result}"])


def _arguments(module: str, function: ast.FunctionDef) -> list[str]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + [*arguments.defaults]
    written = [_argument(module, argument, value) for argument, value in zip(positional, defaults, strict=True)]
    if arguments.vararg:
        written.append("*" + _argument(module, arguments.vararg, None))
    elif arguments.kwonlyargs:
        written.append("*")
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    written += [_argument(module, argument, value) for argument, value in pairs]
    return written + (["**" + _argument(module, arguments.kwarg, None)] if arguments.kwarg else [])


def _argument(module: str, argument: ast.arg, default: ast.expr | None) -> str:
    annotation = f": {_annotation(module, argument.annotation)}" if argument.annotation else ""
    if default is None:
        return argument.arg + annotation
    equals = " = " if annotation else "="
    return f"{argument.arg}{annotation}{equals}{_one_line(_source(module, default))}"


def _result(module: str, function: ast.FunctionDef) -> str:
    return f" -> {_annotation(module, function.returns)}" if function.returns else ""


def _annotation(module: str, node: ast.expr) -> str:
    """Return an annotation as written, but for the quotes around names that are defined later."""
    text = _one_line(_source(module, node))
    return text if "Literal[" in text else text.replace('"', "")


def _members(entry: Entry) -> list[str]:
    """Return the fields and methods of a class, without those that say the same as a base's."""
    classes = [entry, *_private_bases(entry)]
    above = {
        (member.name, member.text)
        for base in _ancestors(entry)
        if not base.name.startswith("_")
        for member in (*_fields(base), *_methods(base))
    }
    lines = []
    for members in (_fields, _methods):
        shown = [member for one in reversed(classes) for member in members(one)]
        told = [_bullet(member) for member in shown if (member.name, member.text) not in above]
        lines += ["", *told] if told else []
    return lines


def _private_bases(entry: Entry) -> list[Entry]:
    return [base for base in _ancestors(entry) if base.name.startswith("_")]


class Member(NamedTuple):
    """A field or method of a class."""

    name: str
    written: str
    text: str


def _fields(entry: Entry) -> list[Member]:
    """Return the annotated fields of a class, and its properties."""
    assert isinstance(entry.node, ast.ClassDef)
    fields = []
    for position, node in enumerate(entry.node.body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.startswith("_"):
            default = f" = {_one_line(_source(entry.module, node.value))}" if node.value else ""
            written = f"{node.target.id}: {_annotation(entry.module, node.annotation)}{default}"
            fields.append(Member(node.target.id, written, _text_below(entry.node.body, position)))
    for function in _functions(entry.node):
        if _is_property(function) and not function.name.startswith("_"):
            result = _result(entry.module, function).replace(" -> ", ": ")
            fields.append(Member(function.name, f"{function.name}{result}", ast.get_docstring(function) or ""))
    return fields


def _methods(entry: Entry) -> list[Member]:
    assert isinstance(entry.node, ast.ClassDef)
    methods = []
    for function in _functions(entry.node):
        is_public = not function.name.startswith("_") or function.name == "__call__"
        if is_public and not _is_property(function):
            decorators = {ast.unparse(decorator) for decorator in function.decorator_list}
            arguments = _arguments(entry.module, function)["staticmethod" not in decorators :]
            written = f"{function.name}({', '.join(arguments)}){_result(entry.module, function)}"
            methods.append(Member(function.name, written, ast.get_docstring(function) or ""))
    return methods


def _functions(node: ast.ClassDef) -> list[ast.FunctionDef]:
    return [inner for inner in node.body if isinstance(inner, ast.FunctionDef)]


def _is_property(function: ast.FunctionDef) -> bool:
    return {"property", "cached_property"} & {ast.unparse(decorator) for decorator in function.decorator_list} != set()


def _bullet(member: Member) -> str:
    """Return a member on a line of its own with the first paragraph of what is said of it."""
    first = " ".join(member.text.partition("\n\n")[0].split())
    return f"* `{member.written}`" + (f": {_escaped(first)}" if first else "")


def _markdown(text: str) -> str:
    """Return a docstring's paragraphs."""
    return "\n\n".join(_escaped(" ".join(part.split())) for part in text.strip().split("\n\n"))


def _escaped(text: str) -> str:
    """Return text in which no asterisk or angle bracket outside backticks means anything to Markdown."""
    parts = text.split("`")
    return "`".join(re.sub(r"([*<])", r"\\\1", part) if not number % 2 else part for number, part in enumerate(parts))


# The source


def _folder(module: str) -> Path:
    return SOURCE.joinpath(*module.split("."))


@cache
def _path(module: str) -> Path:
    folder = _folder(module)
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


@cache
def _text(module: str) -> str:
    return _path(module).read_text(encoding="utf-8")


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_text(module))


def _source(module: str, node: ast.AST) -> str:
    return ast.get_source_segment(_text(module), node) or ""


def _one_line(text: str) -> str:
    return re.sub(r",? ?([)\]}])", r"\1", re.sub(r"([(\[{]) ", r"\1", " ".join(text.split())))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
