"""Configurations: what a training is to be, read from a file and written to one. Needs no torch."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genzoo.components import to_text
from genzoo.errors import SettingsError, UnreadableError
from genzoo.text import in_a_line, nearest

if TYPE_CHECKING:
    import yaml


KEYS = ("model", "recipe", "seed", "steps", "device", "precision", "deterministic", "execution", "data", "track")
"""What a configuration may say beside `settings`: fields of a `TrainingRequest`."""
RECIPE_KEYS = ("recipe", "summary")
"""What the file of a recipe may say beside `settings`: the recipe that it derives from, and a line about itself."""
_OPTIONS_OF_COMPARISON = ("jobs", "together", "on", "device", "deterministic", "data", "track")
COMPARISON_KEYS = ("recipe", "seeds", "steps", "labels", "report", *_OPTIONS_OF_COMPARISON)
"""What the file of a comparison may say beside `settings`, `contestants` and `sweep`: options of `genzoo compare`."""
CONTESTANT_KEYS = ("model", "run", "recipe", "steps")
"""What it may say of a contestant beside `settings`."""
_ENDINGS = (".yaml", ".yml", ".json")
_OF_RECORD = ("model", "recipe", "seed", "precision", "deterministic", "settings")
"""What is read of a run's record; the rest of it is no choice."""
_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp")}
_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What a document says of a training: YAML, or JSON such as a run's `run.json`.

    Its keys are those of `KEYS`, and `settings`, below which stand the paths of `--set` as a tree:
    `settings: {training: {learning_rate: 3e-4}}`. A component is its name, or a mapping of `name` and its fields.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    """Fields of a `TrainingRequest`, as they are typed on the command line."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Values by dotted path, as they are typed after `--set PATH=`."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Where each of both stands, by key or path: `run.yaml, line 3`."""
    name: str = ""
    """What the document is called."""
    is_record: bool = False
    """Whether it is a run's `run.json`."""


@dataclass(frozen=True, kw_only=True)
class ComparisonConfiguration:
    """What a document says of a comparison: YAML or JSON."""

    common: Configuration = Configuration()
    """The settings of all contestants, and among its values the options of `genzoo compare`."""
    contestants: Mapping[str, Configuration] = field(default_factory=dict)
    """What differs, by label; a contestant's values are those of `CONTESTANT_KEYS`."""
    sweeps: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Values by PATH or NAME:PATH, as after `--sweep`."""


def is_file(recipe: str) -> bool:
    """Return whether the name of a recipe is that of a file."""
    return recipe.lower().endswith(_ENDINGS)


def read_configuration(path: str, *, keys: Sequence[str] = KEYS) -> Configuration:
    """Return the configuration in the YAML or JSON file at `path`, or for `-` in standard input.

    A recipe's file that it names lies where it does.
    """
    return _with_recipe_beside(configuration_in(*_text_in(path), keys=keys), path)


def read_comparison(path: str) -> ComparisonConfiguration:
    """Return the comparison in the YAML or JSON file at `path`, or for `-` in standard input.

    A recipe's file that it names lies where it does.
    """
    read = comparison_in(*_text_in(path))
    contestants = {label: _with_recipe_beside(each, path) for label, each in read.contestants.items()}
    return replace(read, common=_with_recipe_beside(read.common, path), contestants=contestants)


def configuration_in(text: str, name: str, *, keys: Sequence[str] = KEYS) -> Configuration:
    """Return the configuration in `text`, a YAML or JSON document called `name`, with `keys` beside `settings`.

    Raises `UnreadableError` for what is no such document, and `SettingsError` with the line of what cannot be read.
    """
    root = _document(text, name)
    is_record = {"schema_version", "sessions"} <= {_scalar(key, name) for key, _ in root.value}
    if is_record:
        root.value = [(key, value) for key, value in root.value if key.value in _OF_RECORD]
    return _configuration(root, name, keys, is_record=is_record)


def comparison_in(text: str, name: str) -> ComparisonConfiguration:
    """Return the comparison in `text`, a YAML or JSON document called `name`; errors are those of `configuration_in`.

    Its keys are those of `COMPARISON_KEYS`, `settings` for all contestants, `contestants` by label, each a model or a
    mapping of `CONTESTANT_KEYS` and `settings`, and `sweep` with lists of values by path.
    """
    root = _document(text, name)
    contestants, sweeps = _taken(root, "contestants", name), _taken(root, "sweep", name)
    return ComparisonConfiguration(
        common=_configuration(root, name, COMPARISON_KEYS, more=("contestants", "sweep")),
        contestants={label: _contestant_at(label, node, name) for label, node in _items(contestants, name)},
        sweeps={path: _swept_values(node, name) for path, node in _items(sweeps, name)},
    )


def _configuration(
    root: "yaml.MappingNode", name: str, keys: Sequence[str], *, is_record: bool = False, more: Sequence[str] = ()
) -> Configuration:
    """Return what stands below `root`; `more` are keys that were read before, which an error lists as well."""
    values, overrides, places = {}, {}, {}
    for path, value, place in _leaves(root, name):
        key, _, below = path.partition(".")
        if (is_record and path == "settings.game") or (path == "settings" and value == "none"):
            continue
        if key == "settings" and below:
            overrides[below], places[below] = value, place
        elif key in keys and not below:
            values[key], places[key] = value, place
        elif not (is_record and key in _OF_RECORD):
            listed = [*keys, *more, "settings"]
            raise SettingsError(f"{place}: no key '{path}'{nearest(path, listed)}", f"keys: {', '.join(listed)}")
    return Configuration(values=values, overrides=overrides, places=places, name=name, is_record=is_record)


def _text_in(path: str) -> tuple[str, str]:
    """Return the text of a file, or for `-` of standard input, and what it is called in errors."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path} cannot be read: {in_a_line(error)}", "name a YAML or JSON file") from error
    return text, "stdin" if path == "-" else path


def _with_recipe_beside(read: Configuration, path: str) -> Configuration:
    """Return what was read at `path`, with the file of its recipe, if it names one, as it is reached from here."""
    recipe = read.values.get("recipe", "")
    if not is_file(recipe) or path == "-":
        return read
    return replace(read, values={**read.values, "recipe": str(Path(path).parent / recipe)})


def _taken(root: "yaml.MappingNode", key: str, name: str) -> "yaml.Node | None":
    """Take a key out of a mapping, and return its value."""
    pairs = [(key_node, value) for key_node, value in root.value if key_node.value == key]
    root.value = [pair for pair in root.value if pair not in pairs]
    if len(pairs) > 1:
        raise SettingsError(f"{_line_of(pairs[1][0], name)}: '{key}' stands here twice", "leave one")
    return pairs[0][1] if pairs else None


def _items(node: "yaml.Node | None", name: str) -> "Iterator[tuple[str, yaml.Node]]":
    """Yield the keys and values of a mapping, or none where there is no node."""
    import yaml

    if node is None:
        return
    if not isinstance(node, yaml.MappingNode):
        raise SettingsError(f"{_line_of(node, name)}: expected keys and values", "such as: contestants: {NAME: MODEL}")
    yield from _pairs(node, name)


def _pairs(node: "yaml.MappingNode", name: str) -> "Iterator[tuple[str, yaml.Node]]":
    """Yield the keys and values of a mapping; raise `SettingsError` for a key that stands there twice."""
    keys: set[str] = set()
    for key_node, value in node.value:
        key = _scalar(key_node, name)
        if key in keys:
            raise SettingsError(f"{_line_of(key_node, name)}: '{key}' stands here twice", "leave one")
        keys.add(key)
        yield key, value


def _contestant_at(label: str, node: "yaml.Node", name: str) -> Configuration:
    """Return what stands at a contestant's label: the name of its model, nothing for its label, or a mapping."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        read = _configuration(node, name, CONTESTANT_KEYS)
        if "model" in read.values and "run" in read.values:
            raise SettingsError(f"{_line_of(node, name)}: '{label}' has a model and a run", "leave one of them")
        if "run" in read.values and (read.overrides or len(read.values) > 1):
            raise SettingsError(
                f"{_line_of(node, name)}: the run '{label}' has its settings", "leave nothing beside run"
            )
        return read
    model = _scalar(node, name)
    return Configuration(values={} if model == "none" else {"model": model}, places={"model": _line_of(node, name)})


def _swept_values(node: "yaml.Node", name: str) -> list[str]:
    """Return the values in a list, each of which may hold commas, or in a text with commas between them."""
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return [_typed_text(item, name) for item in node.value]
    return [text.strip() for text in _scalar(node, name).split(",")]


def _line_of(node: "yaml.Node", name: str) -> str:
    return f"{name}, line {node.start_mark.line + 1}"


def comparison_text(read: ComparisonConfiguration) -> str:
    """Return a comparison as YAML, which `comparison_in` reads."""
    import yaml

    content = _as_data(read.common)
    content["contestants"] = {label: _as_data(each) for label, each in read.contestants.items()}
    content |= {"sweep": {path: [*map(_plain, texts)] for path, texts in read.sweeps.items()}} if read.sweeps else {}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _as_data(read: Configuration) -> dict[str, Any]:
    """Return a configuration as data for YAML."""
    settings: dict[str, Any] = {}
    for path, text in sorted(read.overrides.items(), key=lambda pair: pair[0].count(".")):
        *roots, last = path.split(".")
        inner = settings
        for root in roots:  # what has fields below it is a component, whose own value is its name
            if not isinstance(inner.setdefault(root, {}), dict):
                inner[root] = {"name": inner[root]}
            inner = inner[root]
        inner[last] = _plain(text)
    return {key: _plain(text) for key, text in read.values.items()} | ({"settings": settings} if settings else {})


def _plain(text: str) -> Any:
    """Return a typed value as YAML writes it: a number or a truth value where it is one."""
    import yaml

    value = yaml.safe_load(text) if text.strip() else text
    return value if isinstance(value, bool | int | float) else text


def _document(text: str, name: str) -> "yaml.MappingNode":
    """Return the mapping that a document is, with its lines and without making objects of it."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnreadableError(
            f"{name} is no YAML: {in_a_line(error)}", "keys and values look like this: model: MODEL"
        ) from error
    if not isinstance(root, yaml.MappingNode):
        raise UnreadableError(f"{name} holds no keys", "write at least: model: MODEL")
    return root


def _leaves(root: "yaml.MappingNode", name: str) -> Iterator[tuple[str, str, str]]:
    """Yield the dotted path, text and place of every value below `root`; a component's name stands at its own path."""
    import yaml

    seen: set[int] = set()
    waiting: list[tuple[str, yaml.Node]] = [("", root)]
    while waiting:
        path, node = waiting.pop(0)
        place = _line_of(node, name)
        if id(node) in seen:
            raise SettingsError(f"{place}: it is used twice (an alias)", "write it out")
        seen.add(id(node))
        if not isinstance(node, yaml.MappingNode):
            yield path, _typed_text(node, name), place
            continue
        for key, value in _pairs(node, name):
            waiting.append((path if key == "name" and path else f"{path}.{key}".lstrip("."), value))


def _typed_text(node: "yaml.Node", name: str) -> str:
    """Return a value as it is typed after `--set PATH=`: items of a list as `to_text` has them, and null as none."""
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return to_text([_scalar(item, name) for item in node.value])
    return _scalar(node, name)


def _scalar(node: "yaml.Node", name: str) -> str:
    import yaml

    if not isinstance(node, yaml.ScalarNode) or node.tag not in _PLAIN:
        expected = "expected text, a number, true, false or null"
        raise SettingsError(f"{_line_of(node, name)}: {expected}", "lists hold these alone")
    return "none" if node.tag == _NULL else str(node.value)
