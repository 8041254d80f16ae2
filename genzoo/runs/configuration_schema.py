"""JSON schemas of configuration files, made of the fields of the components that are installed, for editors."""

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import partial
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from genzoo.components import Component, to_json
from genzoo.errors import PluginError
from genzoo.games.game import Game
from genzoo.host.registry import KINDS, Registry
from genzoo.public.fields import field_texts
from genzoo.runs.configuration import COMPARISON_KEYS, CONTESTANT_KEYS, KEYS, RECIPE_KEYS
from genzoo.runs.request import TrainingRequest
from genzoo.training.settings import Recipe, Settings

_Schema = dict[str, Any]
_SCALARS: dict[Any, _Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
}
_NONE: _Schema = {"enum": [None, "none"]}
_TEXT: _Schema = {"type": "string"}
_COUNT: _Schema = {"type": "integer", "minimum": 1}
_OF_OPTIONS: dict[str, _Schema] = {
    "seeds": {**_COUNT, "description": "How many seeds every contestant is trained with, from 0 on."},
    "labels": {**_COUNT, "description": "Learn from so many labels, equally many of every class."},
    "jobs": {**_COUNT, "description": "Trainings at a time."},
    "together": {"type": "boolean", "description": "Whether trainings that differ only in seed run as one program."},
    "on": {**_TEXT, "description": "Where trainings run: an executor."},
    "report": {**_TEXT, "description": "The folder of the report."},
    "run": {**_TEXT, "description": "The folder of a run that exists, or its number."},
    "summary": {**_TEXT, "description": "One line about the recipe."},
}
"""The keys that no field of a request has."""


def configuration_schema(registry: Registry, kind: str) -> _Schema:
    """Return the JSON schema of a file of `kind`: `training`, `recipe` or `comparison`."""
    maker = _Maker(registry)
    settings = maker.settings()
    keys = {"training": KEYS, "recipe": RECIPE_KEYS, "comparison": COMPARISON_KEYS}[kind]
    properties = maker.options(keys) | {"settings": settings}
    if kind == "comparison":
        settings["properties"]["on"] = {"type": "object", "description": "Settings of what `on` names."}
        contestant = _object(maker.options(CONTESTANT_KEYS) | {"settings": settings})
        properties["contestants"] = {
            "description": "What is compared, by label: a model, or its settings.",
            "type": "object",
            "additionalProperties": {"anyOf": [{"type": "null"}, maker.names("models"), contestant]},
        }
        values = {"type": ["string", "number", "boolean", "null"]}
        properties["sweep"] = {
            "description": "Values by PATH or NAME:PATH, of which every combination is a contestant.",
            "type": "object",
            "additionalProperties": {"anyOf": [{"type": "array", "items": values, "minItems": 1}, _TEXT]},
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A {kind} of genzoo's",
        **_object(properties),
        "$defs": maker.definitions,
    }


class _Maker:
    """Makes the schemas of types, and collects those of components as definitions."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._components = list(_components(registry))
        self.definitions: dict[str, _Schema] = {}

    def settings(self) -> _Schema:
        """Return the schema of `settings`: the roots of the paths of `--set`."""
        texts = field_texts(Settings)
        roots = {name: self._of_type(kind) for name, kind in _types(Settings).items() if name != "source"}
        return _object({name: schema | _description(texts.get(name)) for name, schema in roots.items()})

    def options(self, keys: Iterable[str]) -> dict[str, _Schema]:
        """Return the schemas of keys beside `settings`."""
        hints, texts = get_type_hints(TrainingRequest, localns=_of_request()), field_texts(TrainingRequest)
        schemas: dict[str, _Schema] = {
            "model": {**self.names("models"), "description": "The model, by name or FILE.py:CLASS."},
            "recipe": {**self.names("recipes"), "description": "The recipe, by name or as the file of one."},
            "data": {**_TEXT, "description": texts.get("data", "")},
            "track": _any_of([self.names("trackers"), {"type": "array", "items": self.names("trackers")}])
            | {"description": "The trackers to tell of it: NAME or NAME.FIELD=VALUE, one or a list."},
            **_OF_OPTIONS,
        }
        for name in keys:
            if name not in schemas:
                schemas[name] = self._of_type(hints[name]) | _description(texts.get(name))
        return {name: schemas[name] for name in keys}

    def names(self, kind: Any) -> _Schema:
        """Return the schema of a name that a plugin offers, which an editor completes, or any other text."""
        return {"anyOf": [{"enum": [entry.name for entry in self._registry.of(kind)]}, _TEXT]}

    def _of_type(self, kind: Any) -> _Schema:
        """Return the schema of a field's type."""
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            arms = [self._of_type(arm) for arm in arguments if arm is not types.NoneType]
            return {"anyOf": [*arms, *([_NONE] if types.NoneType in arguments else [])]}
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin is tuple:
            return {"type": "array", "items": self._of_type(arguments[0])} if arguments else {"type": "array"}
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self._of_type(arguments[1])}
        if isinstance(kind, type) and issubclass(kind, Component):
            return self._reference(kind.__name__, lambda: self._of_component(kind))
        if is_dataclass(kind) and isinstance(kind, type):
            return self._reference(kind.__name__, lambda: _object(self._properties(kind, defaults=False)))
        return dict(_SCALARS.get(kind, {}))

    def _reference(self, name: str, make: Callable[[], _Schema]) -> _Schema:
        """Return a reference to a definition, which is made once; components may hold others of their own kind."""
        if name not in self.definitions:
            self.definitions[name] = {}
            self.definitions[name] = make()
        return {"$ref": f"#/$defs/{name}"}

    def _of_component(self, base: type[Component]) -> _Schema:
        """Return the schema of a choice: a name, a name and its fields, or fields of the one that is chosen already."""
        chosen = {name: kind for name, kind in self._components if issubclass(kind, base)}
        names = {"enum": list(chosen), "description": f"One of: {', '.join(chosen)}; or MODULE:CLASS."}
        code = {"type": "string", "pattern": ":"}
        whole = [
            self._reference(f"{base.kind}.{name}".replace("/", "."), partial(self._named, name, kind))
            for name, kind in chosen.items()
        ]
        beside: dict[str, list[_Schema]] = {}
        for kind in chosen.values():
            for name, schema in self._properties(kind, defaults=False).items():
                beside.setdefault(name, []).append(schema)
        alternatives = {name: _any_of(schemas) for name, schemas in beside.items()}
        return {"anyOf": [names, code, *whole, _object(alternatives)]}

    def _named(self, name: str, kind: type[Component]) -> _Schema:
        """Return the schema of a component with its name and fields."""
        properties = {"name": {"const": name, "description": kind.summary()}} | self._properties(kind, defaults=True)
        return {**_object(properties), "required": ["name"], "description": kind.summary()}

    def _properties(self, kind: type, *, defaults: bool) -> dict[str, _Schema]:
        """Return the schemas of a dataclass's fields, with their texts; defaults where nothing else decides them."""
        hints, texts = _types(kind), field_texts(kind)
        return {
            field.name: self._of_type(hints[field.name])
            | _description(texts.get(field.name))
            | (_default(field) if defaults else {})
            for field in fields(kind)
            if field.name in hints
        }


def _components(registry: Registry) -> Iterable[tuple[str, type[Component]]]:
    """Yield name and class of every component that can be loaded."""
    for entry in (entry for kind in KINDS for entry in registry.of(kind) if kind not in ("recipes", "commands")):
        try:
            loaded = entry.load()
        except PluginError:
            continue  # its error is reported to those who use it
        if isinstance(loaded, type) and issubclass(loaded, Component):
            yield entry.name, loaded


def _types(kind: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields that are settings, by name."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind) if field.metadata.get("stored", True)}


def _of_request() -> dict[str, Any]:
    """Return the names that the annotations of a request need, and that it imports for type checkers alone."""
    return {"Game": Game, "Recipe": Recipe}


def _object(properties: dict[str, _Schema]) -> _Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _description(text: str | None) -> _Schema:
    return {"description": text} if text else {}


def _default(field: Field[Any]) -> _Schema:
    if field.default is not MISSING:
        return {"default": to_json(field.default)}
    return {} if field.default_factory is MISSING else {"default": to_json(field.default_factory())}


def _any_of(schemas: list[_Schema]) -> _Schema:
    """Return the schema of what one of these allows."""
    distinct = [schema for number, schema in enumerate(schemas) if schema not in schemas[:number]]
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
