"""Writes docs/paper-recipes.md from the code: `python docs/make_paper_recipes.py`."""

from pathlib import Path

from genzoo.evaluation.cards import recipe_card
from genzoo.host.discovery import registry
from genzoo.runs.job import find_game, find_recipe
from genzoo.training.settings import resolve_settings

PAGE = Path(__file__).with_name("paper-recipes.md")
RECIPES = (
    ("cifar10", "ali"),
    ("svhn", "ali"),
    ("celeba64", "ali"),
    ("celeba64-conditional", "conditional-ali"),
    ("imagenet64", "ali"),
    ("tinyimagenet64", "ali"),
    ("mixture25-paper", "ali"),
)
INTRODUCTION = """\
# The paper's recipes

*Adversarially Learned Inference* (Dumoulin et al., ICLR 2017), network by network, as
`genzoo show RECIPE --model MODEL` prints them. This page is generated from the code by
`python docs/make_paper_recipes.py`, and a test keeps the two equal.

Sizes are maps × height × width. *drop* is the dropout on a row's input. Multiply-accumulates are those of one image
(one pair for the critic), of convolutions and linear maps alone. Under the tables stands where the recipe departs from
what the paper printed, and why. Everything trains with Adam in today's convention of β.
"""


def page():
    """Return the page's text."""
    return "\n".join([INTRODUCTION, *(_section(recipe, model) for recipe, model in RECIPES)])


def _section(recipe_name, model):
    recipe = find_recipe(registry(), recipe_name)
    settings = resolve_settings(
        find_game(registry(), model), recipe, (), of_game=recipe.game, resolve=registry().resolve
    )
    card = recipe_card(recipe, settings)
    training = card["training"]
    lines = [f"## {recipe_name}", "", f"{card['summary'][0].upper()}{card['summary'][1:]}.", ""]
    lines.append(
        f"`genzoo train {model} --recipe {recipe_name}`: {training['steps']:,} steps of {training['batch_size']}, "
        f"learning rate {training['learning_rate']:g}, β1 {training['beta1']:g}, β2 {training['beta2']:g}, "
        f"ε {training['epsilon']:g}; {card['latent']} latent numbers; weights N(0, "
        f"{card['architecture']['init_std']:g}²)."
    )
    for name, network in card["networks"].items():
        macs = "" if not network["layers"] else f", {network['macs']:,} multiply-accumulates"
        lines += ["", f"**{name[0].upper()}{name[1:]}**: {network['parameters']:,} parameters{macs}", ""]
        lines += _table(network["layers"])
    lines += ["Where it departs from what was printed:", "", *(f"* {note}" for note in card["notes"])]
    return "\n".join(lines) + "\n"


def _table(layers):
    if not layers:
        return []
    header = ("#", "table", "operation", "input", "output", "BN", "drop", "nonlinearity", "bias", "parameters", "MACs")
    rows = [
        (
            str(layer["number"]),
            layer["table"],
            layer["operation"],
            _size(layer["input"]),
            _size(layer["output"]),
            "yes" if layer["batch_norm"] else "",
            f"{layer['input_dropout']:g}" if layer["input_dropout"] else "",
            layer["nonlinearity"],
            layer["bias"],
            f"{layer['parameters']:,}",
            f"{layer['macs']:,}",
        )
        for layer in layers
    ]
    return [_row(header), _row(["---"] * len(header)), *map(_row, rows), ""]


def _row(cells):
    return f"| {' | '.join(cells)} |"


def _size(shape):
    return "×".join(map(str, shape))


if __name__ == "__main__":
    PAGE.write_text(page())
