"""Writes docs/zoo.md, a card for every model, from the code and the measured results: `python docs/make_zoo.py`.

What a model can do is asked of its class, on the recipe `digits`. Its losses are the section `Losses:` of its
docstring, and its source the first paragraph. The numbers and pictures below docs/zoo are made by
`python docs/train_zoo.py`.
"""

import inspect
import json
import re
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

from genzoo import Game
from genzoo.errors import SettingsError
from genzoo.evaluation.cards import evaluations_text, networks_card, networks_of
from genzoo.games import AdversarialGame, Objective
from genzoo.host.discovery import registry
from genzoo.public.fields import docstring as written_docstring
from genzoo.runs.job import find_game, find_recipe
from genzoo.training.settings import resolve_settings

PAGE = Path(__file__).with_name("zoo.md")
MEASURED = Path(__file__).with_name("zoo")
RECIPE = "digits"
TASKS = ("digits", "mixture25")
INTRODUCTION = """\
# The zoo

Every model that comes with genzoo: what it does, what it minimises, where it is from, and what it reached on two small
tasks. This page is generated from the code by `python docs/make_zoo.py`, and a test keeps the two equal; its numbers
and pictures are made by `python docs/train_zoo.py`. What these words mean stands in [concepts](concepts.md).

## Choose a model in two minutes

Take the first line that is true of you. Where the models of a line have been measured, the one whose samples are
nearest to the data comes first.
"""
NOTATION = """\
## How to read a card

E is the encoder, G the decoder, D the critic's logit, C or P(y|x) a classifier. x is data and z a draw from the prior;
x̃ = G(z) is a sample, ẑ the code that the encoder draws for x, and x̂ = G(ẑ) a reconstruction. σ is the logistic
function, sp(t) = ln(1 + e^t), KL the divergence of two distributions, H an entropy, and CE(y, P) the cross-entropy of
labels. Other Greek letters and w are settings. *min … max …* is a value function; what both sides minimise in its place
is the objective's choice:
"""
LEFT_OUT = (
    (
        "SWWAE (Zhao et al., 2015)",
        "it is one architecture, whose unpooling needs the switches of its pooling; it has no prior and cannot sample",
        "SVHN, 1,000 labels: 23.56 % wrong with dropout, 27.83 % without",
    ),
    (
        "SDGM and ADGM (Maaløe et al., 2016)",
        "they need networks of more variables than any architecture here offers; [m2](#m2) is what they extend",
        "SVHN, 1,000 labels: 16.61 ± 0.24 % and 22.86 % wrong; MNIST, 100 labels: 132 ± 7 and 96 ± 2 wrong of 10,000",
    ),
    (
        "EDM (Karras et al., 2022)",
        "it integrates a network from noise to data as a rectified flow does, with other weights and noise levels",
        "CIFAR10 without classes: FID 1.97 at 35 network evaluations per image",
    ),
    (
        "introspective adversarial network (Brock et al., 2017)",
        "its critic and its encoder are one network with several heads, which no architecture here offers",
        "SVHN, L2-SVM on its features, 1,000 labels: 18.50 ± 0.38 % wrong",
    ),
    (
        "ALAE (Pidhorskyi et al., 2020)",
        "its encoder belongs to two players, and players that move at once may share no parameters",
        "no result on data that genzoo has",
    ),
    (
        "HALI (Belghazi et al., 2018)",
        "its two levels of codes need an encoder and a decoder for each, which no architecture here offers",
        "not checked",
    ),
    (
        "minibatch discrimination (Salimans et al., 2016)",
        "it compares the rows of each side among themselves, and a critic here sees both sides as one batch; "
        "[other parts](stabilisers.md) keep the modes",
        "in words: better pictures and worse classes than feature matching",
    ),
    (
        "label smoothing, historical averaging, virtual batch norm (Salimans et al., 2016)",
        "penalties and averaged weights have taken their place, see [stabilisers](stabilisers.md)",
        "–",
    ),
    (
        "ten feature-matching GANs together (Salimans et al., 2016)",
        "it is ten trainings and no model",
        "SVHN, 1,000 labels: 5.88 ± 1.0 % wrong; CIFAR10, 4,000 labels: 15.59 ± 0.47 %",
    ),
    (
        "nearest neighbours, transductive SVM, virtual adversarial training",
        "rows of the paper's table 1 that generate nothing",
        "SVHN, 1,000 labels: 77.93, 66.55 and 24.63 % wrong",
    ),
)
"""Systems that are not built, why, and what they published."""
NEEDS = {
    "another run": "a trained run whose networks stay as they are (`--from RUN`)",
    "few labels": "labels of a few rows, and want classes",
    "conditions": "a class or attributes of every row, and want samples of what you ask for",
    "density": "rows alone, and want codes and a (bound of the) log-likelihood",
    "codes": "rows alone, and want samples, codes of your rows, and reconstructions",
    "reconstructions": "rows alone, and want codes and reconstructions, and no samples",
    "samples": "rows alone, and want samples",
    "other": "something else in mind",
}
"""What a reader has and wants, by the first of a model's traits that is among these."""
SCORES = {
    "digits": {
        "classifier-distance": "distance ↓",
        "coverage": "coverage ↑",
        "reconstruction/ratio": "reconstruction ↓",
        "reconstruction/same-class": "same class ↑",
        "classification": "test error ↓",
    },
    "mixture25": {
        "modes/high-quality": "high quality ↑",
        "modes/counted": "modes ↑",
        "reconstruction/ratio": "reconstruction ↓",
    },
}
"""The columns of both tables."""
ABOUT = {
    "digits": "*Distance* is that of samples from the training rows in a small classifier's features, *coverage* the "
    "share of training rows with a sample near them, *reconstruction* the error of x̂ over that of wrong pairs, and "
    "*same class* the share of x̂ that a classifier puts into the class of x; see [scores](scores.md).",
    "mixture25": "*High quality* is the share of samples within three standard deviations of a mean, *modes* how many "
    "of 25 have at least 20 of 10,000 samples, and *reconstruction* the error of x̂ over that of wrong pairs.",
}


@dataclass(frozen=True, kw_only=True)
class Zoo:
    """A model with what its class says of it."""

    name: str
    summary: str
    game: Game
    networks: dict[str, int]
    """Parameters by network, on digits; None for one that comes from another run."""
    players: dict[str, list[str]]
    conditional: bool
    needs_labels: bool

    @property
    def parts(self):
        """The names of all its networks."""
        return [*dict.fromkeys((*self.networks, *self.game.inherits))]

    @property
    def classifies(self):
        """Whether it predicts classes."""
        return type(self.game).classify is not Game.classify

    @property
    def density(self):
        """What it knows of ln p(x): `exact`, a `bound`, or nothing."""
        kind = type(self.game)
        if kind.log_probability is not Game.log_probability:
            return "exact"
        return "bound" if kind.log_weight is not Game.log_weight else ""

    @property
    def abilities(self):
        """What it can do, in the order of the columns."""
        reads, writes = "encoder" in self.parts, "decoder" in self.parts
        able = {
            "sample": writes and self.game.sampling_obstacle is None,
            "encode": reads,
            "reconstruct": reads and writes,
            "classify": self.classifies,
            "density": bool(self.density),
        }
        return [name for name, can in able.items() if can]

    @property
    def needs(self):
        """What it must be given beside rows of data."""
        kind = self.game.inherits_from
        parts = f"a run with {' and '.join(self.game.inherits)}" if self.game.inherits else ""
        of_run = f"a run of {kind.name}" if kind else parts
        labels = ("a few labels" if self.takes_few_labels else "labels of all rows") if self.needs_labels else ""
        return ", ".join(filter(None, (of_run, labels)))

    @property
    def takes_few_labels(self):
        """Whether some labels are enough for it."""
        return self.needs_labels and (not self.conditional or self.game.takes_few_labels)

    @property
    def kind(self):
        """The line of the first table that it stands in."""
        traits = {
            "another run": bool(self.game.inherits) and not self.takes_few_labels,
            "few labels": self.takes_few_labels,
            "conditions": self.conditional,
            "density": bool(self.density),
            "codes": {"sample", "encode"} <= set(self.abilities),
            "reconstructions": "encoder" in self.parts,
            "samples": "decoder" in self.parts,
        }
        return next((name for name, is_so in traits.items() if is_so), "other")


@cache
def zoo():
    """Return every model of genzoo's own plugins, by name."""
    return {entry.name: _described(entry) for entry in registry().of("models") if entry.plugin.distribution == "genzoo"}


def settings_for(name, recipe_name):
    """Return the settings of a model on a recipe; raise `SettingsError` where it cannot be played."""
    recipe = find_recipe(registry(), recipe_name)
    return resolve_settings(find_game(registry(), name), recipe, (), of_game=recipe.game, resolve=registry().resolve)


def _described(entry):
    settings = settings_for(entry.name, RECIPE)
    networks = networks_of(settings)
    return Zoo(
        name=entry.name,
        summary=entry.summary,
        game=settings.game,
        networks={name: card["parameters"] for name, card in networks_card(networks).items()},
        players={player: _owners(networks, owned) for player, owned in settings.game.players(networks).items()},
        conditional=networks.is_conditional,
        needs_labels=_needs_labels(settings),
    )


def _owners(networks, parameters):
    """Return the names of the networks that hold some of the parameters."""
    owned = {id(parameter) for parameter in parameters}
    return [
        name
        for name, network in networks.named_children()
        if any(id(parameter) in owned for parameter in network.parameters())
    ]


def _needs_labels(settings):
    """Return whether the networks cannot be built for data without classes."""
    bare = replace(settings.dataset.spec, class_names=(), attributes=())
    try:
        settings.game.build(settings.architecture, bare)
    except SettingsError:
        return True
    return False


def docstring(documented):
    """Return a class's docstring as its paragraphs without the losses, and the lines of its losses."""
    paragraphs = inspect.cleandoc(written_docstring(documented)).split("\n\n")
    losses = [part for part in paragraphs if part.startswith("Losses:\n")]
    lines = [line.removeprefix("    ") for part in losses for line in part.splitlines()[1:]]
    return [" ".join(part.split()) for part in paragraphs if part not in losses], lines


# The page


def page():
    """Return the page's text."""
    models, measured = zoo(), measurements()
    return "\n".join(
        [
            INTRODUCTION,
            *_choice(models, measured.get("digits")),
            *(line for task in TASKS for line in _scores(task, measured.get(task), models)),
            *_abilities(models),
            NOTATION,
            *_objectives(),
            "## The models",
            "",
            *(line for model in models.values() for line in _card(model)),
            *_left_out(),
        ]
    )


def measurements():
    """Return what `docs/train_zoo.py` measured, by task."""
    files = {task: MEASURED / f"{task}.json" for task in TASKS}
    return {task: json.loads(path.read_text()) for task, path in files.items() if path.exists()}


def _choice(models, measured):
    """Return the table of what a reader has and wants, with the models for it."""
    lines = ["| you have | take |", "|---|---|"]
    for kind, text in NEEDS.items():
        names = [name for name, model in models.items() if model.kind == kind]
        if names:
            links = ", ".join(_link(name) for name in sorted(names, key=lambda name: _rank(name, measured)))
            lines.append(f"| {text} | {links} |")
    return [*lines, ""]


def _rank(name, measured):
    """Return the key by which the models of a line are ordered: measured ones first, then by name."""
    scores = (measured or {}).get("models", {}).get(name, {}).get("scores", {})
    distance = scores.get("classifier-distance")
    return (distance is None, distance["mean"] if distance else 0, name)


def _abilities(models):
    columns = ("sample", "encode", "reconstruct", "classify", "density")
    lines = ["## What each can do", "", _row(("model", *columns, "what it needs beside rows of data")), _rule(7)]
    for model in models.values():
        ticks = ["✓" if column in model.abilities else "" for column in columns[:-1]] + [model.density]
        lines.append(_row((_link(model.name), *ticks, model.needs)))
    return [
        *lines,
        "",
        "*density*: `genzoo evaluate` gives a bound of ln p(x), or its exact value for data of grey levels.",
        "",
    ]


def _scores(task, measured, models):
    """Return the table of a task, or nothing where it was not measured."""
    if measured is None:
        return []
    named = SCORES[task]
    header = ("model", *named.values(), "n", "ms a step", "evaluations", "parameters")
    lines = [f"## On {task}", "", *_protocol(task, measured), "", _row(header), _rule(len(header))]
    lines += [_score_row(name, model, named) for name, model in measured["models"].items() if "scores" in model]
    baseline = measured.get("held_out")
    if baseline:
        values = [f"{baseline[score]:.3g}" if score in baseline else "" for score in named]
        lines.append(_row(("*held-out rows*", *values, "", "", "", "")))
    missing = {name: model["obstacle"] for name, model in measured["models"].items() if "obstacle" in model}
    untrained = sorted(set(models) - set(measured["models"]))
    lines += ["", *(f"* `{name}` is not here: {reason}" for name, reason in missing.items())]
    silent = {name: models[name].game.sampling_obstacle for name in measured["models"] if name in models}
    lines += [f"* `{name}` has no samples: {reason}." for name, reason in silent.items() if reason]
    lines += [f"* Not measured yet: {', '.join(untrained)}."] if untrained else []
    return [*lines, ""]


def _protocol(task, measured):
    seeds = ", ".join(map(str, measured["seeds"]))
    spread = f"mean ± standard deviation over seeds {seeds}" if len(measured["seeds"]) > 1 else f"seed {seeds}"
    yield (
        f"{measured['steps']:,} steps of {measured['batch_size']}, where the recipe `{task}` takes "
        f"{measured['recipe_steps']:,}; {spread}, on the test split. Models that learn from a few labels have "
        f"{measured['labels']}. {ABOUT[task]}"
    )
    yield (
        "*ms a step* is the CPU time of a step in one thread, and *evaluations* how often a "
        f"network runs for a sample. Measured on {measured['date']}: {measured['machine']}."
    )


def _score_row(name, model, named):
    values = [_mean(model["scores"].get(score)) for score in named]
    count = f"{model['n']}; {model['failed']} failed" if model["failed"] else str(model["n"])
    evaluations = evaluations_text(model["evaluations"])
    time = f"{model['milliseconds']:.1f}" if model["milliseconds"] is not None else ""
    costs = (time, evaluations, f"{model['parameters']:,}")
    return _row((_link(name), *values, count, *costs))


def _mean(score):
    if score is None:
        return ""
    return f"{score['mean']:.3g} ± {score['std']:.2g}" if score["n"] > 1 else f"{score['mean']:.3g}"


def _objectives():
    lines = ["| `game.objective` | D minimises | the other side minimises |", "|---|---|---|"]
    for entry in registry().of("components"):
        if entry.implements(Objective):
            kind = entry.load()
            losses = (inspect.getdoc(rule).partition("\n")[0] for rule in (kind.critic, kind.generator))
            lines.append(_row((f"`{entry.name}`", *(loss.removeprefix("Return ").rstrip(".") for loss in losses))))
    return [*lines, "", "s_q is the critic's logit on the side of the data, and s_p that on the side of the prior.", ""]


def _left_out():
    lines = ["## Deliberately left out", "", _row(("system", "why", "what it published")), _rule(3)]
    return [*lines, *map(_row, LEFT_OUT), ""]


def _card(model):
    (first, *others), losses = docstring(type(model.game))
    lines = [f"### {model.name}", "", f"{model.summary[0].upper()}{model.summary[1:]}.", ""]
    lines += ["```text", *losses, "```", ""] if losses else []
    lines += [first, *([" ".join(others)] if others else []), ""]
    lines += ["| | |", "|---|---|", *(_row(pair) for pair in _facts(model)), ""]
    pictures = [MEASURED / f"{model.name}-{task}.png" for task in TASKS]
    shown = [f"![{path.stem}](zoo/{path.name})" for path in pictures if path.exists()]
    return [*lines, *([" ".join(shown), ""] if shown else [])]


def _facts(model):
    sizes = [f"{name} ({parameters:,})" for name, parameters in model.networks.items()]
    sizes += [f"{name} (from the other run)" for name in model.game.inherits if name not in model.networks]
    yield "can", ", ".join(model.abilities) or "–"
    if model.game.sampling_obstacle:
        yield "cannot sample", model.game.sampling_obstacle
    if model.needs:
        yield "needs", model.needs
    yield f"networks (parameters on {RECIPE})", ", ".join(sizes)
    yield "players", "; ".join(f"{player}: {', '.join(parts)}" for player, parts in model.players.items())
    if isinstance(model.game, AdversarialGame):
        default = type(model.game)()
        yield "plays", f"{default.objective.name}, {default.schedule.name}{_penalty(default)}"
    chosen = [field.name for field in fields(model.game) if field.name not in _COMMON]
    if chosen:
        yield "settings", ", ".join(f"`game.{name}`" for name in chosen)
    yield "try", f"`{_command(model)}`"


_COMMON = {field.name for field in fields(AdversarialGame)}


def _penalty(game):
    return f", penalty {game.penalty.name}" if game.penalty else ""


def _command(model):
    labels = " --labels 100" if model.takes_few_labels else ""
    source = " --from RUN" if model.game.inherits else ""
    return f"genzoo train {model.name} --recipe {RECIPE}{labels}{source}"


def _link(name):
    return f"[{name}](#{re.sub(r'[^a-z0-9_-]', '', name)})"


def _row(cells):
    return f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |"


def _rule(columns):
    return "|" + "---|" * columns


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
