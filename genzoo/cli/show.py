"""`genzoo show`."""

import re
import textwrap
from typing import Any

import click

from genzoo.cli import options
from genzoo.cli.output import console, draws_results, gradients_text, result, result_json, show_table
from genzoo.errors import PluginError, SettingsError
from genzoo.host.discovery import registry
from genzoo.host.registry import KINDS, SINGULAR, Entry, Plugin
from genzoo.runs.configuration import is_file
from genzoo.runs.stores import run_called
from genzoo.storage.run_folder import Run

_SHOWN = tuple(kind for kind in KINDS if kind != "commands")


@click.command("show")
@click.argument("name", type=options.Name(*_SHOWN, or_run=True), metavar="NAME|FILE|RUN")
@click.option("--model", type=options.Name("models"), metavar="M", help="The model whose networks to show.")
@click.option("--set", "assignments", multiple=True, metavar="PATH=VALUE", help="Override a setting; repeatable.")
@options.as_json
def show_command(name: str, model: str | None, assignments: tuple[str, ...], as_json: bool) -> None:
    """Show NAME in full: a recipe's layer tables, a data card, or a component's settings.

    FILE holds a recipe, as --recipe reads it. RUN, a run's path or number, is shown with its settings, curves, scores
    and files, and a plugin or distribution with what it offers.
    A recipe and the data set of the same name are shown together; dataset:NAME, model:NAME and so on select.
    """
    run = run_called(name)
    if run.exists:
        _show_run(run, as_json=as_json)
        return
    if plugins := [plugin for plugin in registry().plugins if name in (plugin.name, plugin.distribution)]:
        _show_plugins(name, plugins, as_json=as_json)
        return
    cards = [_recipe_card(name, model, assignments)] if is_file(name) else _cards(name, model, assignments)
    if as_json:
        result_json(cards[0])
        return
    for number, card in enumerate(cards):
        if number:
            result("")
        _show_card(card)


def _cards(name: str, model: str | None, assignments: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the cards of what is registered under a name: the recipe first."""
    entries = _find(name)
    if model is not None and entries[0].kind != "recipes":
        raise SettingsError(
            f"--model shows a recipe's networks, and '{name}' is no recipe",
            "recipes are listed by: genzoo list recipes",
        )
    return [_card(entry, model, assignments) for entry in entries]


def _show_run(run: Run, *, as_json: bool) -> None:
    from genzoo.cli.runs import run_card, show_run

    if as_json:
        result_json(run_card(run))
    else:
        show_run(run)


def _show_plugins(name: str, plugins: list[Plugin], *, as_json: bool) -> None:
    """Show what the plugins called `name`, or those of the distribution of that name, offer."""
    shown = {plugin.name for plugin in plugins}
    offers = {
        kind: {entry.name: entry.summary for entry in registry().of(kind) if entry.plugin.name in shown}
        for kind in KINDS
    }
    first = plugins[0]
    card = {"kind": "plugin", "name": name, "distribution": first.distribution, "version": first.version}
    card["about"] = "; ".join(f"broken: {plugin.cause}" if plugin.cause else plugin.summary for plugin in plugins)
    if as_json:
        result_json(card | {"offers": offers})
        return
    result(f"plugin {name} ({first.distribution} {first.version}): {card['about']}", fold=True)
    for kind, names in offers.items():
        if names:
            result(f"\n{kind}")
            show_table([(f"  {each}", summary) for each, summary in names.items()], fold=(1,))


def _posterior_error(name: str) -> SettingsError | None:
    """Return the error for the name of a posterior, which is a choice of architectures and no component, or None."""
    from genzoo.nn.architecture import Architecture

    kinds = (entry.load() for entry in registry().of("architectures") if entry.implements(Architecture))
    offers = [kind.name for kind in kinds if name in kind.posteriors]
    if not offers:
        return None
    return SettingsError(
        f"'{name}' is no component but a posterior, which these architectures offer: {', '.join(offers)}",
        f"choose it with: --set game.posterior={name}",
    )


def _commands() -> list[str]:
    """Return the names of all commands, those of plugins included."""
    context = click.get_current_context().find_root()
    return context.command.list_commands(context) if isinstance(context.command, click.Group) else []


def _find(name: str) -> list[Entry]:
    prefix, _, rest = name.partition(":")
    kinds = [kind for kind in _SHOWN if SINGULAR[kind] == prefix]
    wanted, searched = (rest, kinds) if kinds else (name, list(_SHOWN))
    entries = [entry for kind in searched for entry in registry().of(kind)]
    matches = [entry for entry in entries if wanted in (entry.name, entry.qualified)]
    if not matches:
        if error := _posterior_error(name):
            raise error
        if name in _commands():
            raise SettingsError(f"'{name}' is a command", f"type: genzoo {name} --help")
        if name.isdecimal():
            raise SettingsError(f"there is no run {name}", "runs are listed by: genzoo runs")
        names = sorted({entry.name for entry in entries})
        raise registry().unknown(prefix if kinds else "run, model, recipe or component", wanted, names)
    shown_together = [entry for entry in matches if entry.kind in ("recipes", "datasets")] or matches[:1]
    twins = [entry for entry in matches if entry.kind == shown_together[0].kind]
    if len(twins) > 1:
        raise PluginError(f"two plugins offer '{name}'", f"say which: {' or '.join(twin.qualified for twin in twins)}")
    return shown_together


def _card(entry: Entry, model: str | None, assignments: tuple[str, ...]) -> dict[str, Any]:
    from genzoo.evaluation import cards

    if entry.kind == "recipes":
        return _recipe_card(entry.qualified, model, assignments)
    component = entry.load()
    if entry.kind == "datasets":
        return cards.dataset_card(component())
    return cards.component_card(SINGULAR[entry.kind], component)


def _recipe_card(name: str, model: str | None, assignments: tuple[str, ...]) -> dict[str, Any]:
    from genzoo.evaluation import cards
    from genzoo.runs.job import find_game, find_recipe
    from genzoo.training.settings import resolve_settings

    recipe, settings = find_recipe(registry(), name), None
    if assignments and model is None:
        raise SettingsError("--set needs a model here", "type the same with: --model MODEL")
    if model is not None:
        overrides = list(options.parse_settings(assignments).items())
        game, resolve = find_game(registry(), model), registry().resolve
        settings = resolve_settings(game, recipe, overrides, of_game=recipe.game, resolve=resolve)
    return cards.recipe_card(recipe, settings)


def _show_card(card: dict[str, Any]) -> None:
    if card["kind"] == "recipe":
        _show_recipe(card)
        return
    result(f"{card['kind']} {card['name']}\n")
    result(_in_paragraphs(card["about"]) if draws_results() else card["about"], fold=True)
    if card["kind"] == "dataset":
        result(f"\n{_data(card)}", fold=True)
        show_table(_facts(card["facts"]), fold=(1,))
    fields = {key: value for key, value in card["fields"].items() if key != "name"}
    if fields:
        result("")
        texts = card["texts"]
        show_table([(f"  {key} = {_value(value)}", texts.get(key, "")) for key, value in fields.items()], fold=(1,))


def _show_recipe(card: dict[str, Any]) -> None:
    from genzoo.evaluation.cards import evaluations_text

    result(f"recipe {card['name']}: {card['summary']}", fold=True)
    if card["model"]:
        result(f"model {card['model']}")
    for name, network in card["networks"].items():
        macs = "not counted" if network["macs"] is None else f"{network['macs']:,}"
        result(f"\n{name}: {network['parameters']:,} parameters, {macs} multiply-accumulates", fold=True)
        if network["layers"]:
            _show_layers(network["layers"])
    result("")
    for root in ("game", "architecture", "prior", "training"):
        if card[root] is not None:
            fields = "  ".join(f"{key}={_value(value)}" for key, value in card[root].items())
            result(_wrapped(f"{root}: {fields}", 110))
    result(f"size of z: {card['latent']:,}")
    result(f"network evaluations per sample: {evaluations_text(card['evaluations'])}")
    if card["model"]:
        result(f"gradients: {gradients_text(card['per_player_reason'])}", fold=True)
    if card["not_taken"]:
        result(f"not taken from the recipe: {', '.join(card['not_taken'])}", fold=True)
    result(f"data: {card['data']['name']}, {_data(card['data'])}", fold=True)
    if card["notes"]:
        result("\nwhere it departs from what was printed, and why:")
        for note in card["notes"]:
            result(_wrapped(f"· {note}", 100))


def _in_paragraphs(text: str) -> str:
    """Return a docstring with the lines of a paragraph joined, for a terminal to fold; indented ones stay."""
    return re.sub(r"^(\S.*)\n(?=\S)", r"\1 ", text, flags=re.MULTILINE)


def _wrapped(text: str, most: int) -> str:
    """Return text in lines of at most so many characters, and no wider than the terminal."""
    width = min(most, console().width) if draws_results() else most
    return textwrap.fill(text, width, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)


def _show_layers(layers: list[dict[str, Any]]) -> None:
    header = ("#", "table", "operation", "input", "output", "BN", "drop", "nonlinearity", "bias", "params", "MACs")
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
    show_table(rows, header=header, right=(0, 9, 10), fold=(2, 6, 7), drop=(8, 1, 6, 5, 10, 9))


def _dropout(layer: dict[str, Any]) -> str:
    inner = f" +{layer['dropout']:g} inside" if layer["dropout"] else ""
    return f"{layer['input_dropout']:g}{inner}"


def _data(card: dict[str, Any]) -> str:
    shape = "×".join(str(size) for size in card["shape"])
    levels = "" if card["levels"] is None else f", {card['levels']} levels"
    return f"x is {shape}, {card['support']} support{levels}; {_labels(card)}"


def _facts(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return rows on a prepared data set: counts, images, source, files and steps by hand; empty for others."""
    if not facts:
        return []
    rows = [(split, f"{count:,} images") for split, count in facts["rows"].items()]
    rows += [("images", facts["images"]), ("range", facts["range"]), ("source", facts["source"])]
    for file in facts["files"]:
        rows.append((file["file"], f"MD5 {file['md5']}"))
        rows += [("", url) for url in file["urls"]]
    rows += [(f"{number}.", step) for number, step in enumerate(facts["by_hand"], start=1)]
    return rows


def _labels(card: dict[str, Any]) -> str:
    if card["class_names"]:
        return f"{len(card['class_names'])} classes"
    return f"{len(card['attributes'])} attributes" if card["attributes"] else "no labels"


def _value(value: Any) -> str:
    if isinstance(value, dict) and "name" in value:
        return str(value["name"])
    return "none" if value is None else str(value)
