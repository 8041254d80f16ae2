"""Configurations: what a training is to be, read from a file and written to one. Needs no torch."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genzoo.components import to_json
from genzoo.errors import SettingsError, UnreadableError
from genzoo.text import in_a_line, nearest

if TYPE_CHECKING:
    import yaml

    from genzoo.host.registry import Registry
    from genzoo.runs.job import Job

KEYS = ("model", "recipe", "seed", "steps", "device", "precision", "deterministic", "execution", "data")
"""What a configuration may say beside `settings`: fields of a `TrainingRequest`."""
RECIPE_KEYS = ("recipe", "summary")
"""What the file of a recipe may say beside `settings`: the recipe that it derives from, and a line about itself."""
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


def is_file(recipe: str) -> bool:
    """Return whether the name of a recipe is that of a file."""
    return recipe.lower().endswith(_ENDINGS)


def read_configuration(path: str, *, keys: Sequence[str] = KEYS) -> Configuration:
    """Return the configuration in the YAML or JSON file at `path`, or for `-` in standard input.

    A recipe's file that it names lies where it does.
    """
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path} cannot be read: {in_a_line(error)}", "name a YAML or JSON file") from error
    read = configuration_in(text, "stdin" if path == "-" else path, keys=keys)
    if "recipe" in read.values and is_file(read.values["recipe"]):
        beside = Path() if path == "-" else Path(path).parent
        return replace(read, values={**read.values, "recipe": str(beside / read.values["recipe"])})
    return read


def configuration_in(text: str, name: str, *, keys: Sequence[str] = KEYS) -> Configuration:
    """Return the configuration in `text`, a YAML or JSON document called `name`, with `keys` beside `settings`.

    Raises `UnreadableError` for what is no such document, and `SettingsError` with the line of what cannot be read.
    """
    root = _document(text, name)
    is_record = {"schema_version", "sessions"} <= {_scalar(key, name) for key, _ in root.value}
    if is_record:
        root.value = [(key, value) for key, value in root.value if key.value in _OF_RECORD]
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
            listed = ", ".join((*keys, "settings"))
            raise SettingsError(f"{place}: no key '{path}'{nearest(path, [*keys, 'settings'])}", f"keys: {listed}")
    return Configuration(values=values, overrides=overrides, places=places, name=name, is_record=is_record)


def configuration_text(job: "Job", registry: "Registry", *, recipe: str | None = None) -> str:
    """Return a job with all its settings as YAML, which `configuration_in` reads; `recipe` is its recipe's file."""
    import yaml

    content: dict[str, Any] = {"model": job.model, "recipe": recipe or job.recipe}
    content |= {"seed": job.seed, "precision": job.precision, "deterministic": job.deterministic}
    content |= {"settings": to_json(job.settings, name_of=registry.name_of)}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


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
        place = f"{name}, line {node.start_mark.line + 1}"
        if id(node) in seen:
            raise SettingsError(f"{place}: it is used twice (an alias)", "write it out")
        seen.add(id(node))
        if not isinstance(node, yaml.MappingNode):
            yield path, _typed_text(node, name), place
            continue
        found: set[str] = set()
        for key_node, value in node.value:
            key = _scalar(key_node, name)
            if key in found:
                raise SettingsError(
                    f"{name}, line {key_node.start_mark.line + 1}: '{key}' stands here twice", "leave one"
                )
            found.add(key)
            waiting.append((path if key == "name" and path else f"{path}.{key}".lstrip("."), value))


def _typed_text(node: "yaml.Node", name: str) -> str:
    """Return a value as it is typed after `--set PATH=`: items of a list with commas between them, and null as none."""
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return ",".join(_scalar(item, name) for item in node.value)
    return _scalar(node, name)


def _scalar(node: "yaml.Node", name: str) -> str:
    import yaml

    if not isinstance(node, yaml.ScalarNode) or node.tag not in _PLAIN:
        place = f"{name}, line {node.start_mark.line + 1}"
        raise SettingsError(f"{place}: expected text, a number, true, false or null", "lists hold these alone")
    return "none" if node.tag == _NULL else str(node.value)
