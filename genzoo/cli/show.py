"""`genzoo show`."""

import textwrap
from pathlib import Path
from typing import Any

import click

from genzoo.cli import options
from genzoo.cli.output import columns, gradients_text, result, result_json
from genzoo.errors import PluginError, SettingsError
from genzoo.host.discovery import registry
from genzoo.host.registry import KINDS, Entry
from genzoo.storage.run_folder import Run

_SHOWN = tuple(kind for kind in KINDS if kind != "commands")


@click.command("show", short_help="Show a run, recipe, data set, model or plugin in full.")
@click.argument("name", type=options.Name(*_SHOWN, or_run=True), metavar="NAME|RUN")
@click.option("--model", type=options.Name("models"), metavar="M", help="The model whose networks to show.")
@click.option("--set", "assignments", multiple=True, metavar="PATH=VALUE", help="Override a setting; repeatable.")
@options.as_json
def show_command(name: str, model: str | None, assignments: tuple[str, ...], as_json: bool) -> None:
    """Show NAME in full: a recipe's layer tables, a data card, or a component's settings.

    RUN, a run's path or number, is shown with its settings, curves, scores and files.
    A recipe and the data set of the same name are shown together; dataset:NAME, model:NAME and so on select.
    """
    run = Run(Path(options.run_folder(name)))
    if run.exists:
        _show_run(run, as_json=as_json)
        return
    entries = _find(name)
    if model is not None and entries[0].kind != "recipes":
        raise SettingsError(f"--model shows a recipe's networks, and '{name}' is no recipe")
    cards = [_card(entry, model, assignments) for entry in entries]
    if as_json:
        result_json(cards[0])
        return
    result("\n\n".join(_render(card) for card in cards))


def _show_run(run: Run, *, as_json: bool) -> None:
    from genzoo.cli.runs import run_card, show_run

    if as_json:
        result_json(run_card(run))
    else:
        show_run(run)


def _find(name: str) -> list[Entry]:
    prefix, _, rest = name.partition(":")
    kinds = [kind for kind in _SHOWN if kind[:-1] == prefix]
    wanted, searched = (rest, kinds) if kinds else (name, list(_SHOWN))
    entries = [entry for kind in searched for entry in registry().of(kind)]
    matches = [entry for entry in entries if wanted in (entry.name, entry.qualified)]
    if not matches:
        names = sorted({entry.name for entry in entries})
        raise registry().unknown(prefix if kinds else "component", wanted, names)
    shown_together = [entry for entry in matches if entry.kind in ("recipes", "datasets")] or matches[:1]
    twins = [entry for entry in matches if entry.kind == shown_together[0].kind]
    if len(twins) > 1:
        raise PluginError(f"two plugins offer '{name}'", f"say which: {' or '.join(twin.qualified for twin in twins)}")
    return shown_together


def _card(entry: Entry, model: str | None, assignments: tuple[str, ...]) -> dict[str, Any]:
    from genzoo.evaluation import cards
    from genzoo.runs.job import find_game, find_recipe
    from genzoo.training.settings import resolve_settings

    if entry.kind == "recipes":
        recipe, settings = find_recipe(registry(), entry.qualified), None
        if assignments and model is None:
            raise SettingsError("--set needs a model here", f"type: genzoo show {entry.name} --model MODEL --set …")
        if model is not None:
            overrides = list(options.parse_settings(assignments).items())
            game, resolve = find_game(registry(), model), registry().resolve
            settings = resolve_settings(game, recipe, overrides, of_game=recipe.game, resolve=resolve)
        return cards.recipe_card(recipe, settings)
    component = entry.load()
    if entry.kind == "datasets":
        return cards.dataset_card(component())
    return cards.component_card(entry.kind[:-1], component)


def _render(card: dict[str, Any]) -> str:
    if card["kind"] == "recipe":
        return _render_recipe(card)
    lines = [f"{card['kind']} {card['name']}", "", card["about"], ""]
    if card["kind"] == "dataset":
        lines += [_data(card), *_facts(card["facts"])]
    fields = {key: value for key, value in card["fields"].items() if key != "name"}
    return "\n".join([*lines, *(f"  {key} = {_value(value)}" for key, value in fields.items())]).rstrip()


def _render_recipe(card: dict[str, Any]) -> str:
    title = f"recipe {card['name']}: {card['summary']}"
    lines = [title, *(f"model {card['model']}" for _ in [0] if card["model"])]
    for name, network in card["networks"].items():
        macs = "not counted" if network["macs"] is None else f"{network['macs']:,}"
        lines += ["", f"{name}: {network['parameters']:,} parameters, {macs} multiply-accumulates"]
        if network["layers"]:
            lines.append(_layers(network["layers"]))
    lines.append("")
    for root in ("game", "architecture", "prior", "training"):
        if card[root] is not None:
            fields = "  ".join(f"{key}={_value(value)}" for key, value in card[root].items())
            lines.append(textwrap.fill(f"{root}: {fields}", 110, subsequent_indent="  ", break_on_hyphens=False))
    lines.append(f"size of z: {card['latent']:,}")
    if card["model"]:
        lines.append(f"gradients: {gradients_text(card['per_player_reason'])}")
    lines.append(f"data: {card['data']['name']}, {_data(card['data'])}")
    if card["notes"]:
        lines += ["", "where it departs from what was printed, and why:"]
        lines += [textwrap.fill(note, 100, initial_indent="· ", subsequent_indent="  ") for note in card["notes"]]
    return "\n".join(lines)


def _layers(layers: list[dict[str, Any]]) -> str:
    header = (
        "#",
        "table",
        "operation",
        "input",
        "output",
        "BN",
        "drop",
        "nonlinearity",
        "bias",
        "params",
        "MACs",
    )
    rows = [
        (
            str(layer["number"]),
            layer["table"],
            layer["operation"],
            "×".join(map(str, layer["input"])),
            "×".join(map(str, layer["output"])),
            "yes" if layer["batch_norm"] else "no",
            _dropout(layer),
            layer["nonlinearity"],
            layer["bias"],
            f"{layer['parameters']:,}",
            f"{layer['macs']:,}",
        )
        for layer in layers
    ]
    return columns(rows, header=header, right=(0, 9, 10))


def _dropout(layer: dict[str, Any]) -> str:
    inner = f" +{layer['dropout']:g} inside" if layer["dropout"] else ""
    return f"{layer['input_dropout']:g}{inner}"


def _data(card: dict[str, Any]) -> str:
    shape = "×".join(str(size) for size in card["shape"])
    levels = "" if card["levels"] is None else f", {card['levels']} levels"
    return f"x is {shape}, {card['support']} support{levels}; {_labels(card)}"


def _facts(facts: dict[str, Any]) -> list[str]:
    """Return lines on a prepared data set: counts, images, source, files and steps by hand; empty for others."""
    if not facts:
        return []
    rows = [(split, f"{count:,} images") for split, count in facts["rows"].items()]
    rows += [("images", facts["images"]), ("range", facts["range"]), ("source", facts["source"])]
    for file in facts["files"]:
        rows.append((file["file"], f"MD5 {file['md5']}"))
        rows += [("", url) for url in file["urls"]]
    rows += [(f"{number}.", step) for number, step in enumerate(facts["by_hand"], start=1)]
    return columns(rows).splitlines()


def _labels(card: dict[str, Any]) -> str:
    if card["class_names"]:
        return f"{len(card['class_names'])} classes"
    return f"{len(card['attributes'])} attributes" if card["attributes"] else "no labels"


def _value(value: Any) -> str:
    if isinstance(value, dict) and "name" in value:
        return str(value["name"])
    return "none" if value is None else str(value)
