"""Checks of a game, on trainings in memory of a few rows and steps."""

import math
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy
import torch
from torch import Tensor

from genzoo.data.dataset import random_split
from genzoo.errors import GenzooError, GenzooWarning, SettingsError
from genzoo.evaluation.model import Model
from genzoo.games.game import Game, Gradients
from genzoo.games.objectives import LeastSquares, NonSaturating
from genzoo.host.discovery import registry
from genzoo.randomness import generator, reseed, seeded
from genzoo.testing.checking import Check, check_of, expect
from genzoo.testing.toys import ToyGame
from genzoo.training.batches import map_tensors
from genzoo.training.contract import check_losses, check_players, check_reached, check_row_wise
from genzoo.training.execution import Compiled, Movers, Precision, buffers_kept
from genzoo.training.initialization import assemble
from genzoo.training.populations import Population
from genzoo.training.settings import Recipe, Settings, resolve_settings
from genzoo.training.trainer import Trainer
from genzoo.types import Batch, Losses, Picture

_CPU = torch.device("cpu")


def toy_trainer(game: Game, recipe: Recipe, *, rows: int = 16, seed: int = 0, precision: Precision = "fp32") -> Trainer:
    """Return a training in memory of random rows in the shape of the recipe's data, with batches of `rows`.

    A game that inherits networks takes untrained ones, of the game that it must inherit from.
    """
    settings = _resolved(game, recipe)
    training = replace(settings.training, batch_size=rows, labels=None, labelled_rows=0)
    settings = replace(settings, training=training)
    inherited = None
    if game.inherits:
        other = ToyGame(parts=game.inherits) if game.inherits_from is None else game.inherits_from()
        source = replace(settings, game=other)
        with seeded("inherited"):
            settings, inherited = replace(settings, source=source), assemble(source).state_dict()
    split = random_split(settings.dataset.spec, 4 * rows, seed=seed)
    return Trainer(settings, split, seed=seed, device=_CPU, precision=precision, inherited=inherited)


def _resolved(game: Game, recipe: Recipe) -> Settings:
    """Return the settings of a training, in which the game has what the recipe chooses for it."""
    return resolve_settings(game, recipe, (), of_game=recipe.game, resolve=registry().resolve)


def game_checks(game: Game, recipes: Sequence[Recipe], *, compiled: bool) -> Iterator[Check]:
    """Yield the checks of a game on every recipe that it can be played on."""
    rules = _RULES | ({"compiled": _compiled_rule} if compiled else {})
    yield check_of("builds", type(game), partial(_builds, game, recipes))
    for recipe in recipes:
        if _is_playable(game, recipe):
            for name, rule in rules.items():
                yield check_of(name, type(game), partial(rule, _resolved(game, recipe).game, recipe), on=recipe.name)


def _is_playable(game: Game, recipe: Recipe) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GenzooWarning)
            toy_trainer(game, recipe)
    except Exception:  # `builds` raises it again, and tells
        return False
    return True


def _builds(game: Game, recipes: Sequence[Recipe]) -> None:
    refused = []
    for recipe in recipes:
        try:
            toy_trainer(game, recipe)
        except SettingsError as error:
            refused.append((f"{recipe.name}: {error.found}", error.remedy))
    remedies = {remedy for _, remedy in refused if remedy}
    remedy = remedies.pop() if len(remedies) == 1 else "name a recipe that it can be played on"
    expect(len(refused) < len(recipes), game, "", "; ".join(found for found, _ in refused), remedy)


def _players(game: Game, recipe: Recipe) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", GenzooWarning)
        trainer = toy_trainer(game, recipe)
        check_players(game, trainer.networks, trainer.players)


def _losses_of_movers(game: Game, recipe: Recipe) -> None:
    trainer = toy_trainer(game, recipe)
    players = tuple(trainer.players)
    groups = [group for count in range(1, len(players) + 1) for group in combinations(players, count)]
    for movers in groups:
        losses = game.losses(trainer.networks, trainer.batch(), movers)
        check_losses(game, losses, movers)
        check_reached(game, losses, {name: trainer.players[name] for name in movers}, trainer.networks)


def _gradients(game: Game, recipe: Recipe) -> None:
    trainer = toy_trainer(game, recipe)
    batch = trainer.batch()._replace(due=())
    taken = _gradients_of(trainer, batch)
    trainer.reseed()
    losses = game.losses(trainer.networks, batch, tuple(trainer.players))
    for name, parameters in trainer.players.items():
        expected = torch.autograd.grad(losses.players[name], list(parameters), retain_graph=True)
        away = _distance(taken[name], expected)
        found = f"the gradients of '{name}' are {away:.1e} off those of its loss, relatively"
        remedy = "a critic that mixes rows must not be `row_wise`, and a fast way must be exact"
        expect(away < 1e-4, game, "shared_gradients gradients losses", found, remedy)


def _row_wise(game: Game, recipe: Recipe) -> None:
    trainer = toy_trainer(game, recipe)
    check_row_wise(game, trainer.networks, trainer.batch(), tuple(trainer.players))


def _draws(game: Game, recipe: Recipe) -> None:
    trainer = toy_trainer(game, recipe)
    taken = []
    for seed in (0, 1):
        trainer.reseed()
        random.seed(seed)
        numpy.random.seed(seed)
        with buffers_kept(trainer.networks):
            losses = game.losses(trainer.networks, trainer.batch(), tuple(trainer.players))
        taken.append([float(loss.detach()) for loss in losses.players.values()])
    found = "its losses depend on the random numbers of Python or numpy"
    expect(taken[0] == taken[1], game, "losses q p", found, "draw with torch alone, or read batch.noise")


def _mean_over_rows(game: Game, recipe: Recipe) -> None:
    trainer = toy_trainer(game, recipe)
    trainer.networks.eval()
    for scale in (1.0, _LARGE):
        with torch.no_grad():
            for parameter in trainer.networks.parameters():
                parameter.mul_(scale)
        _expect_mean_over_rows(game, trainer)


_LARGE = 3.0
"""By so much, initial weights are enlarged: near 0, a loss of means of logits is nearly a mean of losses."""


def _expect_mean_over_rows(game: Game, trainer: Trainer) -> None:
    """Expect every loss of a batch to be the mean of those of its parts, by rows; one that overflows tells nothing."""
    batch = trainer.batch()
    rows = len(batch.x)
    cut = rows // 3  # unequal parts have unlike means
    parts = [batch, *(_with_rows(game, batch, part) for part in (slice(cut), slice(cut, rows)))]
    whole, first, second = (_seeded_losses(trainer, part) for part in parts)
    for name, loss in whole.items():
        mean = (cut * first[name] + (rows - cut) * second[name]) / rows
        found = f"the loss of '{name}' is {loss:.6g} for a batch, and {mean:.6g} as the mean of its parts"
        remedy = "take means over rows, and declare in `draws` what it draws: else several ranks have another loss"
        holds = not math.isfinite(loss - mean) or abs(loss - mean) <= 1e-5 * max(1.0, abs(loss))
        expect(holds, game, f"{name}_loss losses", found, remedy)


def _order_of_rows(game: Game, recipe: Recipe) -> None:
    trainer = toy_trainer(game, recipe)
    for _ in range(2):  # by then, what a game keeps for every row is no longer as it began
        trainer.take_step()
    batch = trainer.batch()
    order = torch.randperm(len(batch.x), generator=generator("cpu", "order of rows"))
    trainer.networks.eval()
    losses = [_seeded_losses(trainer, part) for part in (batch, _with_rows(game, batch, order))]
    trainer.step += 1  # other draws of torch's
    others = _seeded_losses(trainer, batch)
    for name, loss in losses[0].items():
        if others[name] != loss:
            continue  # it draws inside, and what is drawn does not change places
        found = f"the loss of '{name}' is {loss:.6g}, and {losses[1][name]:.6g} where the rows change places"
        remedy = "look up by batch.rows what is kept for every row"
        holds = abs(loss - losses[1][name]) <= 1e-4 * max(1.0, abs(loss))
        expect(holds, game, f"{name}_loss losses", found, remedy)


def _reads_objective(game: Game, recipe: Recipe) -> None:
    if "objective" not in {field.name for field in fields(game)} or "objective" in game.unused:
        return
    trainer, taken = toy_trainer(game, recipe), []
    if "critic" not in trainer.players:
        return  # there are no logits yet, as where a weight of 0 leaves the critic out
    played: Any = trainer.settings.game  # of a class that has an objective
    for objective in (LeastSquares(), NonSaturating()):
        try:
            chosen = replace(played, objective=objective)
        except (GenzooError, ValueError):
            return  # it refuses other objectives, and says so
        trainer.settings = replace(trainer.settings, game=chosen)
        taken.append([*_seeded_losses(trainer, trainer.batch()).values()])
    found = "its losses are the same with another `objective`, which runs and recipes say that they have"
    remedy = 'read self.objective, or declare that you do not: unused: ClassVar[tuple[str, ...]] = ("objective",)'
    expect(taken[0] != taken[1], game, "critic_loss losses", found, remedy)


def _resume(game: Game, recipe: Recipe) -> None:
    whole, first, second = (toy_trainer(game, recipe) for _ in range(3))
    for _ in range(4):
        whole.take_step()
    for _ in range(2):
        first.take_step()
    second.restore(first.state(), step=2)
    for _ in range(2):
        second.take_step()
    expected = whole.state()
    unlike = [
        f"{file}: {name}"
        for file, tensors in second.state().items()
        for name, tensor in tensors.items()
        if not torch.equal(tensor, expected[file][name])
    ]
    found = f"a training that is resumed ends otherwise than one that is not: {', '.join(unlike[:3])}"
    remedy = "keep what changes in parameters and buffers, and draw nothing but by torch"
    expect(not unlike, game, "losses build", found, remedy)


def _model_of(trainer: Trainer) -> Model:
    size = trainer.settings.dataset.spec.condition_size
    frequencies = [1 / size] * size if size else None
    return Model.of(trainer.settings, trainer.networks.eval(), device=_CPU, label_frequencies=frequencies)


def _samples(game: Game, recipe: Recipe) -> None:
    model = _model_of(toy_trainer(game, recipe))
    data, decoder = model.data, model.networks.decoder
    if decoder is None or model.sampling_obstacle is not None:
        return
    x, again, others = (model.sample(8, seed=seed) for seed in (0, 0, 1))
    found = f"8 samples are {tuple(x.shape)}, expected {(8, *data.shape)}"
    expect(tuple(x.shape) == (8, *data.shape), type(decoder), "logits forward", found, "follow data.shape")
    inside = bool(x.isfinite().all()) and (data.support == "real" or bool(((x >= 0) & (x <= 1)).all()))
    expect(inside, type(decoder), "forward logits", f"samples leave the range '{data.support}'", "follow data.support")
    expect(torch.equal(x, again), type(decoder), "logits forward", "samples with one seed differ", "draw nothing in it")
    expect(not torch.equal(x, others), type(decoder), "logits forward", "samples of two seeds are alike", "read z")


def _pictures(game: Game, recipe: Recipe) -> None:
    model = _model_of(toy_trainer(game, recipe))
    split = random_split(model.data, 16, seed=1)
    drawn, again = (model.pictures(split, seed=0) for _ in range(2))
    for name, picture in drawn.items():
        is_picture = isinstance(picture, Picture)
        expect(is_picture, game, "pictures", f"'{name}' is a {type(picture).__name__}", "return values of Picture")
        found = f"x of '{name}' is {tuple(picture.x.shape)}, expected {('N', *model.data.shape)}"
        expect(tuple(picture.x.shape[1:]) == model.data.shape, game, "pictures", found, "give x in the data's shape")
        same = torch.equal(picture.x, again[name].x)
        expect(same, game, "pictures", f"drawn twice, '{name}' differs", "draw nothing in it: read z and noise")


def _population(game: Game, recipe: Recipe) -> None:
    alone = toy_trainer(game, recipe, seed=1)
    if _draws_inside(alone):
        return  # what is drawn inside differs between replicas, and from a training alone
    together = [toy_trainer(game, recipe, seed=seed) for seed in (0, 1)]
    population = Population(together)
    if population.obstacle() is not None:
        return  # then a training runs alone, with a warning
    alone = toy_trainer(game, recipe, seed=1)
    population.take_step()
    alone.take_step()
    pairs = zip(alone.networks.parameters(), together[1].networks.parameters(), strict=True)
    away = max(float((one - other).detach().abs().max()) for one, other in pairs)
    found = f"a step of two replicas moves a parameter {away:.1e} away from where it is moved alone"
    expect(away < 1e-3, game, "losses gradients", found, "read networks through networks.call, and nothing else")


def _bf16(game: Game, recipe: Recipe) -> None:
    trainer = toy_trainer(game, recipe, precision="bf16")
    losses = trainer.take_step()
    for name, loss in losses.players.items():
        found = f"under bf16 the loss of '{name}' is {loss.dtype} {float(loss.detach()):g}"
        holds = loss.dtype == torch.float32 and bool(loss.isfinite())
        expect(holds, game, f"{name}_loss losses", found, "take losses in float32: genzoo.nn.at_least_float32")


def _compiled_rule(game: Game, recipe: Recipe) -> None:
    trainer = toy_trainer(game, recipe)
    batch = trainer.batch()
    expected = _gradients_of(trainer, batch)

    def gradients(batch: Batch, movers: Movers) -> tuple[Losses, Gradients]:
        return trainer.gradient_rule(trainer.networks, batch, {name: trainer.players[name] for name in movers})

    compiled = Compiled(gradients, networks=trainer.networks, name=game.name)
    trainer.reseed()
    _, taken = compiled(batch, tuple(trainer.players))
    expect(not compiled.gave_up, game, "losses q", "torch.compile cannot take its step", "see the warning")
    for name, parts in expected.items():
        found = f"the compiled gradients of '{name}' are {_distance(taken[name], parts):.1e} off, relatively"
        expect(_distance(taken[name], parts) < 1e-3, game, "losses q", found, "compute on tensors alone")


_RULES: dict[str, Callable[[Game, Recipe], None]] = {
    "players": _players,
    "losses": _losses_of_movers,
    "gradients": _gradients,
    "row-wise": _row_wise,
    "draws": _draws,
    "mean-over-rows": _mean_over_rows,
    "rows": _order_of_rows,
    "objective": _reads_objective,
    "resume": _resume,
    "samples": _samples,
    "pictures": _pictures,
    "population": _population,
    "bf16": _bf16,
}


def _gradients_of(trainer: Trainer, batch: Batch) -> Gradients:
    trainer.reseed()
    with buffers_kept(trainer.networks):
        return trainer.gradient_rule(trainer.networks, batch, trainer.players)[1]


def _seeded_losses(trainer: Trainer, batch: Batch) -> dict[str, float]:
    """Return the losses of all players, with what is drawn inside seeded; buffers stay."""
    trainer.reseed()
    with buffers_kept(trainer.networks):
        losses = trainer.settings.game.losses(trainer.networks, batch, tuple(trainer.players))
    return {name: float(losses.players[name].detach()) for name in trainer.players}


def _draws_inside(trainer: Trainer) -> bool:
    """Return whether gradients depend on anything that is drawn in the step."""
    taken = []
    for key in ("one", "other"):
        reseed(key)
        with buffers_kept(trainer.networks):
            taken.append(trainer.gradient_rule(trainer.networks, trainer.batch(), trainer.players)[1])
    return any(_distance(taken[0][name], taken[1][name]) > 0 for name in taken[0])


def _with_rows(game: Game, batch: Batch, rows: slice | Tensor) -> Batch:
    """Return some rows of a batch; draws with rows of their own stay whole."""
    draws = {name: batch.draws[name] if draw.rows else batch.draws[name][rows] for name, draw in game.draws.items()}
    chosen = map_tensors(lambda part: part[rows] if part.ndim else part, batch._replace(draws={}))
    return chosen._replace(draws=draws)


def _distance(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """Return the length of the difference of two gradients over that of the second."""
    away = torch.cat([(one - other).flatten() for one, other in zip(left, right, strict=True)]).norm()
    return float(away / torch.cat([other.flatten() for other in right]).norm().clamp(min=1e-12))
