"""Texts of fields: the string below an annotated name of a class, for `help` and `genzoo show`."""

import ast
import inspect
import linecache
import sys
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

Kind = TypeVar("Kind")

_TEXTS_BELOW = "\n\nFields:\n"


def described(kind: type[Kind]) -> type[Kind]:
    """Have `help` show the texts of a class's fields: of a named tuple beside each field, else below the docstring."""
    texts = field_texts(kind)
    if issubclass(kind, tuple):
        for name, text in texts.items():
            vars(kind)[name].__doc__ = text
    elif kind.__doc__:
        shown = _own_texts(kind).keys() | {field.name for base in kind.__mro__[1:] for field in _settings_of(base)}
        lines = [f"    {name}: {text}" for name, text in texts.items() if name in shown]
        kind.__doc__ = docstring(kind) + (_TEXTS_BELOW + "\n".join(lines) if lines else "")
    return kind


def docstring(kind: type) -> str:
    """Return a class's docstring as it is written, without the texts of its fields."""
    return inspect.cleandoc(kind.__doc__ or "").partition(_TEXTS_BELOW)[0]


def field_texts(kind: type) -> dict[str, str]:
    """Return the first paragraph of the string below each field of a class or its bases, by the field's name."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        texts |= _own_texts(base)
    return texts


def _own_texts(kind: type) -> dict[str, str]:
    """Return the texts of the fields that a class itself annotates, from the source of its module."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file is None:
        return {}
    linecache.checkcache(file)
    return _texts_in("".join(linecache.getlines(file))).get(kind.__qualname__, {})


def _settings_of(kind: type) -> tuple[Field[Any], ...]:
    return fields(kind) if is_dataclass(kind) else ()


@cache
def _texts_in(source: str) -> dict[str, dict[str, str]]:
    """Return the texts of the fields of every class in a source, by the class's qualified name."""
    return dict(_texts_below(ast.parse(source), ""))


def _texts_below(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
    for inner in node.body:
        if isinstance(inner, ast.ClassDef):
            pairs = zip(inner.body, inner.body[1:], strict=False)
            texts = [(_field_of(first), _text_of(second)) for first, second in pairs]
            yield f"{prefix}{inner.name}", {name: text for name, text in texts if name and text}
            yield from _texts_below(inner, f"{prefix}{inner.name}.")


def _field_of(node: ast.stmt) -> str:
    """Return the name that a line of a class annotates, if it is public, else nothing."""
    name = node.target.id if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else ""
    return "" if name.startswith("_") else name


def _text_of(node: ast.stmt) -> str:
    """Return the first paragraph of a string that stands alone, in a line, else nothing."""
    value = node.value if isinstance(node, ast.Expr) else None
    text = value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
    return " ".join(inspect.cleandoc(text).partition("\n\n")[0].split())
