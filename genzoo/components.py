"""Components: choices as frozen values, their JSON, and the dotted paths that reach their fields."""

import csv
import io
import math
import types
from abc import ABC
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from genzoo.errors import SettingsError
from genzoo.public.fields import described, docstring
from genzoo.text import nearest, short_repr

__all__ = ["Component"]


@described
@dataclass(frozen=True, kw_only=True)
class Component(ABC):
    """A choice as a frozen value: the thing itself, its configuration and its JSON `{"name": …, fields}`.

    Concrete components are frozen dataclasses. They set `name`, their fields are their hyper-parameters, and
    `__post_init__` raises `ValueError` for a value out of range. Field types may be bool, int, float, str,
    `Literal`, tuples, mappings from str, `X | None`, other dataclasses, and abstract components (by name).
    """

    name: ClassVar[str]
    """Its name on the command line and in JSON."""
    kind: ClassVar[str] = "components"
    """The heading of `genzoo list` that it stands under; set by the abstract class of each kind."""

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        described(cls)

    @classmethod
    def upgraded(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Return fields stored as JSON by an earlier version in today's form; by default, as they are."""
        return settings

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the class's docstring."""
        return docstring(cls).strip().partition("\n")[0]


Resolve = Callable[[type[Component], str], type[Component]]
"""Returns the concrete class that is registered under a name and implements an abstract component class."""

NameOf = Callable[[Component], str]


def plain_name(component: Component) -> str:
    """Return the component's own name."""
    return component.name


def beside_settings(default: Any) -> Any:
    """Return a dataclass field that is no setting: it is neither stored as JSON nor reached by a path."""
    return field(default=default, metadata={"stored": False})


def to_json(value: Any, *, name_of: NameOf = plain_name) -> Any:
    """Return `value` as JSON data; a component becomes `{"name": …, fields}`."""
    if is_dataclass(value) and not isinstance(value, type):
        name = {"name": name_of(value)} if isinstance(value, Component) else {}
        return name | {
            field.name: to_json(getattr(value, field.name), name_of=name_of) for field in _stored_fields(value)
        }
    if isinstance(value, Mapping):
        return {key: to_json(item, name_of=name_of) for key, item in value.items()}
    if isinstance(value, tuple):
        return [to_json(item, name_of=name_of) for item in value]
    return value


def from_json(kind: Any, data: Any, *, resolve: Resolve, path: str = "") -> Any:
    """Return the value of type `kind` that `data` describes; raise `SettingsError` naming `path` otherwise."""
    if kind is Any:
        return data
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _from_union(kind, data, resolve, path)
    if origin is Literal:
        if data in get_args(kind) and type(data) in {type(choice) for choice in get_args(kind)}:
            return data
        choices = ", ".join(repr(choice) for choice in get_args(kind))
        raise SettingsError(
            f"{path} is {short_repr(data)}, expected one of {choices}{_hint(data, get_args(kind))}", _LISTED_BY
        )
    if origin is tuple:
        return _from_sequence(kind, data, resolve, path)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        _expect(isinstance(data, dict), path, data, "an object")
        item = get_args(kind)[1]
        return {key: from_json(item, data[key], resolve=resolve, path=f"{path}.{key}") for key in data}
    if isinstance(kind, type) and issubclass(kind, Component):
        return _from_named(kind, data, resolve, path)
    if is_dataclass(kind) and isinstance(kind, type):
        _expect(isinstance(data, dict), path, data, "an object")
        return _build(kind, data, resolve, path)
    return _from_scalar(kind, data, path)


def override(value: Any, path: str, text: str, *, resolve: Resolve) -> Any:
    """Return the frozen `value` with the field at the dotted `path` set to the value that `text` stands for."""
    return _override(type(value), value, path.split("."), text, resolve, path, value)


def to_text(value: Any) -> str:
    """Return a plain value as it is typed after `--set PATH=`; items that hold commas are quoted as in CSV."""
    if not isinstance(value, tuple | list):
        return str(value)
    text = io.StringIO()
    csv.writer(text).writerow([to_text(item) for item in value])
    return text.getvalue().removesuffix("\r\n")


def items_in(text: str) -> list[str]:
    """Return the items of a list as `to_text` writes it, without empty ones."""
    rows = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        return [item.strip() for row in rows for item in row if item.strip()]
    except csv.Error as error:
        raise SettingsError(f"{short_repr(text)} is no list: {error}", "write its items with commas between") from error


_LISTED = 12
"""So many fields are listed in an error."""
_LISTED_BY = "settings are listed by: genzoo show RECIPE --model MODEL"


def paths(value: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted path of every field below `value`, outer fields first."""
    items: Iterator[tuple[str, Any]]
    if is_dataclass(value):
        items = ((field.name, getattr(value, field.name)) for field in _stored_fields(value))
    elif isinstance(value, Mapping):
        items = iter(value.items())
    else:
        return
    for name, item in items:
        yield f"{prefix}{name}"
        yield from paths(item, f"{prefix}{name}.")


def flat(settings: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the values in a setting's JSON by their dotted paths; a component's name is the value at its own path."""
    if not isinstance(settings, dict):
        yield path, settings
        return
    for key, value in settings.items():
        yield from [(path, value)] if key == "name" else flat(value, f"{path}.{key}")


def _override(kind: Any, value: Any, parts: list[str], text: str, resolve: Resolve, path: str, root: Any) -> Any:
    if not parts:
        return from_json(kind, _parse(kind, text, path), resolve=resolve, path=path)
    head, *rest = parts
    if get_origin(kind) in (Union, types.UnionType) and value is not None:
        kind = type(value)
    if isinstance(value, Mapping):
        item = get_args(kind)[1]
        current = value[head] if head in value else item() if rest else None
        return {**value, head: _override(item, current, rest, text, resolve, path, root)}
    if is_dataclass(value) and head in (hints := _field_types(type(value))):  # type: ignore[arg-type]
        inner = _override(hints[head], getattr(value, head), rest, text, resolve, path, root)
        try:
            return replace(value, **{head: inner})  # type: ignore[type-var]
        except ValueError as error:
            raise SettingsError(f"{path}={text}: {error}", _LISTED_BY) from error
    beside = [field.name for field in _stored_fields(value)] if is_dataclass(value) else []
    remedy = _LISTED_BY
    if 0 < len(beside) <= _LISTED and value is not root:
        remedy = f"{path.removesuffix('.' + '.'.join(parts))} has: {', '.join(beside)}"
    raise SettingsError(f"no setting '{path}'{nearest(path, paths(root))}", remedy)


def _parse(kind: Any, text: str, path: str) -> Any:
    """Return `text` as JSON data of type `kind`, or unchanged if it cannot be read, for `from_json` to refuse."""
    if get_origin(kind) in (Union, types.UnionType):
        arms = [arm for arm in get_args(kind) if arm is not types.NoneType]
        return None if text.lower() == "none" else _parse(arms[0], text, path)
    if get_origin(kind) is tuple:
        item = get_args(kind)[0] if get_args(kind) else str
        return [_parse(item, part, path) for part in items_in(text)]
    if get_origin(kind) is Literal:
        return next((choice for choice in get_args(kind) if str(choice) == text), text)
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            return text
    return text


def _from_union(kind: Any, data: Any, resolve: Resolve, path: str) -> Any:
    arms = [arm for arm in get_args(kind) if arm is not types.NoneType]
    if data is None and len(arms) < len(get_args(kind)):
        return None
    return from_json(arms[0], data, resolve=resolve, path=path)


def _from_sequence(kind: Any, data: Any, resolve: Resolve, path: str) -> Any:
    _expect(isinstance(data, list | tuple), path, data, "a list")
    kinds = get_args(kind)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(data)
    _expect(len(kinds) == len(data), path, data, f"{len(kinds)} values")
    return tuple(
        from_json(item, part, resolve=resolve, path=f"{path}[{index}]")
        for index, (item, part) in enumerate(zip(kinds, data, strict=True))
    )


def _from_named(kind: type[Component], data: Any, resolve: Resolve, path: str) -> Component:
    settings = {"name": data} if isinstance(data, str) else data
    _expect(isinstance(settings, dict) and isinstance(settings.get("name"), str), path, data, "a name")
    component_class = resolve(kind, settings["name"])
    values = component_class.upgraded({key: item for key, item in settings.items() if key != "name"})
    component = _build(component_class, values, resolve, path)
    assert isinstance(component, Component)
    return component


def _from_scalar(kind: Any, data: Any, path: str) -> Any:
    if kind is float and type(data) is int and abs(data) < 2**1023:
        data = float(data)
    exact = type(data) is kind and not (kind is float and not math.isfinite(data))
    expected = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text"}
    _expect(exact, path, data, expected.get(kind, str(kind)))
    return data


def _build(kind: type, data: dict[str, Any], resolve: Resolve, path: str) -> Any:
    field_types = _field_types(kind)
    for key in data:
        if key not in field_types:
            raise SettingsError(
                f"{path or kind.__name__} has no setting '{key}'{nearest(key, field_types)}", _LISTED_BY
            )
    required = {field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING}
    for key in sorted(required - data.keys()):
        raise SettingsError(f"{path or kind.__name__} lacks the setting '{key}'", _LISTED_BY)
    values = {
        key: from_json(field_types[key], item, resolve=resolve, path=f"{path}.{key}".lstrip("."))
        for key, item in data.items()
    }
    try:
        return kind(**values)
    except ValueError as error:
        raise SettingsError(f"{path or kind.__name__}: {error}", _LISTED_BY) from error


@cache
def _field_types(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in _stored_fields(kind)}


def _stored_fields(value: Any) -> Iterator[Field[Any]]:
    """Yield the fields of a dataclass or its value that are settings, and not `beside_settings`."""
    return (field for field in fields(value) if field.metadata.get("stored", True))


def _expect(condition: bool, path: str, data: Any, expected: str) -> None:
    if not condition:
        raise SettingsError(f"{path} is {short_repr(data)}, expected {expected}", _LISTED_BY)


def _hint(data: Any, choices: tuple[Any, ...]) -> str:
    return nearest(data, [str(choice) for choice in choices]) if isinstance(data, str) else ""
