"""Checks of what is no game: priors, objectives, schedules, architectures, data sets, metrics, trackers, commands."""

import json
import math
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from functools import partial
from inspect import get_annotations
from pathlib import Path
from uuid import uuid4

import click
import numpy
import torch
from click.testing import CliRunner
from torch import Tensor

from genzoo.components import Component, from_json, to_json
from genzoo.data.dataset import Dataset, random_split
from genzoo.errors import SettingsError, UnreadableError
from genzoo.evaluation import drawing
from genzoo.evaluation.metrics import Metric, fault_of_scores
from genzoo.evaluation.model import Model
from genzoo.games.number_schedules import NumberSchedule
from genzoo.games.objectives import Objective
from genzoo.games.priors import Prior
from genzoo.games.schedules import Schedule
from genzoo.host.discovery import registry
from genzoo.nn.architecture import Architecture
from genzoo.nn.interfaces import Networks
from genzoo.randomness import generator, preserved, reseed
from genzoo.runs.tracker import TrackedRun, Tracker, Tracking
from genzoo.testing.checking import Check, Rule, check_of, expect
from genzoo.testing.games import toy_trainer
from genzoo.testing.toys import ToyGame
from genzoo.text import short_repr
from genzoo.training.contract import check_prior, check_rows
from genzoo.training.settings import Recipe
from genzoo.types import Code, DataSpec, Joint, Sees, Splits

_ROWS = 6


def component_checks(component: Component) -> Iterator[Check]:
    """Yield what must hold of every component: it says what it is, and its attributes are what they look like."""
    kind = type(component)
    yield check_of("summary", kind, partial(_says_what_it_is, kind))
    yield check_of("json", kind, partial(_json_there_and_back, component))
    yield check_of("names", kind, partial(_names, kind))
    yield check_of("settings", kind, partial(_annotated, kind))


def part_checks(component: Component, recipes: Sequence[Recipe], data: Path) -> Iterator[Check]:
    """Yield the checks of a component that is no game."""
    rules: dict[str, Rule] = {}
    if isinstance(component, Prior):
        rules = {"draw": partial(_draw_rule, component), "density": partial(_density, component)}
    elif isinstance(component, Objective):
        rules = {"losses": partial(_objective, component), "slopes": partial(_slopes, component)}
    elif isinstance(component, Schedule):
        rules = {"movers": partial(_movers, component)}
    elif isinstance(component, NumberSchedule):
        rules = {"factor": partial(_factor, component)}
    elif isinstance(component, Dataset):
        rules = _rules_of_data(component, data)
    elif isinstance(component, Tracker):
        rules = {"obstacle": partial(_obstacle_of_tracker, component), "follow": partial(_follow, component)}
    for name, rule in rules.items():
        yield check_of(name, type(component), rule)
    of_recipe: dict[str, Callable[[Recipe], None]] = {}
    if isinstance(component, Architecture):
        yield check_of("builds", type(component), partial(_fits_some, component, recipes))
        recipes = [recipe for recipe in recipes if _misfit_of(component, recipe) is None]
        of_recipe = {name: partial(rule, component) for name, rule in _OF_ARCHITECTURE.items()}
    elif isinstance(component, Metric):
        of_recipe = {name: partial(rule, component) for name, rule in _OF_METRIC.items()}
    for recipe in recipes:
        for name, on_recipe in of_recipe.items():
            yield check_of(name, type(component), partial(on_recipe, recipe), on=recipe.name)


def recipe_checks(recipe: Recipe) -> Iterator[Check]:
    """Yield the checks of a recipe: its data, architecture and prior fit together."""
    yield check_of("step", type(recipe.architecture), partial(_takes_a_step, recipe), on=recipe.name)


def command_checks(command: click.Command) -> Iterator[Check]:
    """Yield the checks of a command."""
    yield check_of("help", type(command), partial(_help, command))


def _says_what_it_is(kind: type[Component]) -> None:
    expect(bool(kind.summary()), kind, "", "it has no docstring", "say in its first line what it is, for genzoo list")
    named = isinstance(getattr(kind, "name", None), str)
    expect(named, kind, "", "it has no name", 'name it: name: ClassVar[str] = "…"')


def _json_there_and_back(component: Component) -> None:
    def resolve(base: type[Component], name: str) -> type[Component]:
        return type(component) if name == component.name else registry().resolve(base, name)

    try:
        back = from_json(
            type(component), json.loads(json.dumps(to_json(component))), resolve=resolve, path=component.name
        )
    except SettingsError as error:
        expect(False, component, "", error.found, "annotate the field with the type of its default")
    remedy = "fields are bool, int, float, str, tuples, mappings and components; the class is a frozen dataclass"
    expect(back == component, component, "", f"its JSON describes another one: {back!r}", remedy)


def _names(kind: type[Component]) -> None:
    """Expect that no attribute is called nearly as one of a base class, which it would then not override."""
    for of_class, bases in _with_bases(kind):
        theirs = {name for base in bases for name in _public_names(base)}
        for name in sorted(_public_names(of_class) - theirs - {field.name for field in fields(kind)}):
            alike = [other for other in theirs if other[0] == name[0]]
            close = get_close_matches(name, alike, n=1, cutoff=_TOO_CLOSE)
            expect(not close, of_class, name, f"`{name}` overrides nothing", f"did you mean `{''.join(close)}`?")


def _annotated(kind: type[Component]) -> None:
    """Expect that no value is set without an annotation, which dataclasses pass over, unless a base has a plain one."""
    for of_class, bases in _with_bases(kind):
        theirs = {name for base in bases for name in _public_names(base)} - {field.name for field in fields(kind)}
        plain = {name for name, value in vars(of_class).items() if _is_plain(value)}
        for name in sorted(plain & _public_names(of_class) - theirs - {*get_annotations(of_class)}):
            value = vars(of_class)[name]
            remedy = f"write `{name}: {type(value).__name__} = {short_repr(value)}`"
            expect(False, of_class, "", f"`{name}` has no annotation, so it is no setting", remedy)


_TOO_CLOSE = 0.85
"""Names that are so alike, by `difflib`, differ by a slip: two letters of ten."""


def _with_bases(kind: type[Component]) -> Iterator[tuple[type, Sequence[type]]]:
    """Yield every class of a plugin's from which the component derives, itself first, with the bases of each."""
    lineage = kind.__mro__
    for number, of_class in enumerate(lineage):
        if of_class.__module__.partition(".")[0] not in ("genzoo", "builtins", "abc"):
            yield of_class, lineage[number + 1 :]


def _is_plain(value: object) -> bool:
    """Return whether a value of a class is neither a method, property or another descriptor, nor a class."""
    return getattr(type(value), "__get__", None) is None and not isinstance(value, type)


def _public_names(kind: type) -> set[str]:
    return {name for name in (*vars(kind), *get_annotations(kind)) if not name.startswith("_")}


# Priors, objectives, schedules


def _draw_rule(prior: Prior) -> None:
    reseed("check")
    before = torch.get_rng_state()
    check_prior(prior, 12)
    draws = [prior.draw(64, 12, generator("cpu", key)) for key in ("one", "one", "two")]
    remedy = "draw everything with the generator that is given"
    expect(torch.equal(draws[0], draws[1]), prior, "draw", "two draws of one generator's state differ", remedy)
    expect(not torch.equal(draws[0], draws[2]), prior, "draw", "draws of two generators are alike", remedy)
    untouched = torch.equal(before, torch.get_rng_state())
    expect(untouched, prior, "draw", "it draws from torch's global generator", remedy)


def _density(prior: Prior) -> None:
    z = prior.draw(16, 12, generator("cpu", "density"))
    density = prior.log_density(z)
    if density is not None:
        found = f"ln p(z) of its own 16 draws is {tuple(density.shape)}, or not finite"
        holds = density.shape == (16,) and bool(density.isfinite().all())
        expect(holds, prior, "log_density", found, "return a finite number per row, (N,)")


def _toy_logits() -> tuple[Tensor, Tensor]:
    on_q, on_p = torch.randn(2, 16, generator=generator("cpu", "logits"))
    return on_q.requires_grad_(), on_p.requires_grad_()


def _objective(objective: Objective) -> None:
    on_q, on_p = _toy_logits()
    for name, rule in (("critic", objective.critic), ("generator", objective.generator)):
        loss = rule(on_q, on_p)
        expect(loss.shape == (), objective, name, f"its loss is {tuple(loss.shape)}", "return a scalar: a mean")
        expect(loss.requires_grad, objective, name, "its loss does not depend on the logits", "keep the graph")
    for name, value in objective.accuracies(on_q.detach(), on_p.detach()).items():
        expect(value.shape == (), objective, "accuracies", f"'{name}' is {tuple(value.shape)}", "return scalars")


def _slopes(objective: Objective) -> None:
    on_q, on_p = _toy_logits()
    slopes = objective.slopes(on_q.detach(), on_p.detach())
    if slopes is None:
        return
    of_critic = torch.autograd.grad(objective.critic(on_q, on_p), (on_q, on_p))
    of_generator = torch.autograd.grad(objective.generator(on_q, on_p), (on_q, on_p), allow_unused=True)
    for side, critic, ratio, slope, wanted in zip(
        "qp", slopes.critic, slopes.ratio, of_critic, of_generator, strict=True
    ):
        wanted = torch.zeros_like(slope) if wanted is None else wanted
        found = f"on {side} they are not those of its losses"
        holds = torch.allclose(critic, slope, atol=1e-6) and torch.allclose(ratio * critic, wanted, atol=1e-6)
        expect(holds, objective, "slopes", found, "return None where there is no closed form")


def _movers(schedule: Schedule) -> None:
    players = ("critic", "generator")
    moved = [schedule.movers(step, players) for step in range(1000)]
    strange = {name for movers in moved for name in movers} - set(players)
    expect(not strange, schedule, "movers", f"{strange} move, who are not asked", "return names of `players`")
    expect(all(moved), schedule, "movers", "nobody moves in some steps", "have someone move in every step")
    idle = set(players) - {name for movers in moved for name in movers}
    expect(not idle, schedule, "movers", f"{idle} never move", "have everyone move some time")


def _factor(schedule: NumberSchedule) -> None:
    for progress in (0.0, 0.5, 1.0, 2.0):
        factor = schedule.factor(torch.tensor(progress))
        found = f"the factor at {progress} is {factor!r}"
        holds = isinstance(factor, Tensor) and factor.shape == () and bool(factor.isfinite())
        expect(holds, schedule, "factor", found, "return a finite tensor () on the device of `progress`")


# Data sets


def _rules_of_data(dataset: Dataset, data: Path) -> dict[str, Rule]:
    """Return the rules of a data set; those on rows only where its files are there."""
    try:
        splits = dataset.load(data)
    except UnreadableError:
        return {"spec": partial(_spec_rule, dataset)}
    except Exception:  # the check of rows loads them again, and tells
        return {"spec": partial(_spec_rule, dataset), "rows": partial(_rows_rule, dataset, data)}
    return {
        "spec": partial(_spec_rule, dataset),
        "rows": partial(_rows_rule, dataset, data),
        "again": partial(_again, dataset, data, splits),
        "disjoint": partial(_disjoint, dataset, splits),
    }


def _spec_rule(dataset: Dataset) -> None:
    spec = dataset.spec
    expect(
        isinstance(spec, DataSpec), dataset, "spec", f"`spec` is {spec!r}", "make it a property that returns DataSpec"
    )
    sizes = bool(spec.shape) and all(size > 0 for size in spec.shape)
    expect(sizes, dataset, "spec", f"the shape is {spec.shape}", "give at least one size above 0")
    both = not (spec.class_names and spec.attributes)
    expect(both, dataset, "spec", "it has classes and attributes", "give one of the two")


def _rows_rule(dataset: Dataset, data: Path) -> None:
    for split in dataset.load(data):
        check_rows(dataset, split)
        expect(len(split.x) > 0, dataset, "load", "a split has no rows", "give every split some")


def _again(dataset: Dataset, data: Path, splits: Splits) -> None:
    reseed("another state")
    same = all(torch.equal(one.x, other.x) for one, other in zip(splits, dataset.load(data), strict=True))
    expect(same, dataset, "load", "loaded twice, its rows differ", "draw with a generator of a fixed seed")


def _disjoint(dataset: Dataset, splits: Splits) -> None:
    train, *others = ({row.numpy().tobytes() for row in split.x[:1000]} for split in splits)
    for name, other in zip(("validation", "test"), others, strict=True):
        shared = len(train & other)
        found = f"{shared} rows of {name} are among the first of train"
        expect(10 * shared <= len(other), dataset, "load", found, "give no row to two splits")


# Architectures


def _fits_some(architecture: Architecture, recipes: Sequence[Recipe]) -> None:
    misfits = [f"{recipe.name}: {_misfit_of(architecture, recipe)}" for recipe in recipes]
    fits = any(_misfit_of(architecture, recipe) is None for recipe in recipes)
    expect(fits, architecture, "decoder", "; ".join(misfits), "name a recipe that it can be built for")


def _misfit_of(architecture: Architecture, recipe: Recipe) -> str | None:
    """Return why networks cannot be built for a recipe's data; any other error is for the checks to find."""
    try:
        architecture.decoder(recipe.dataset.spec)
    except SettingsError as error:
        return error.found
    except Exception:
        return None
    return None


def _encoder(architecture: Architecture, recipe: Recipe) -> None:
    data = recipe.dataset.spec
    x, noise = _inputs(data), torch.randn(_ROWS, architecture.latent)
    refused = []
    for posterior in architecture.posteriors:
        try:
            encoder = architecture.encoder(data, posterior=posterior)
        except SettingsError as error:
            refused.append(f"{posterior}: {error.found}")
            continue
        code, kind = encoder(x, noise), type(encoder)
        expect(isinstance(code, Code), kind, "forward", f"it returns a {type(code).__name__}", "return a Code")
        found = f"z of the {posterior} posterior is {tuple(code.z.shape)}, expected {tuple(noise.shape)}"
        expect(code.z.shape == noise.shape, kind, "forward", found, "return (N, latent)")
        if posterior == "gaussian":
            found = "z of the gaussian posterior is not mean + exp(log_std)·noise"
            drawn = None if code.mean is None or code.log_std is None else code.mean + code.log_std.exp() * noise
            holds = drawn is not None and torch.allclose(code.z, drawn, atol=1e-5)
            expect(holds, kind, "forward", found, "return Code(z, mean, log_std), drawn with the noise given")
    any_is_made = len(refused) < len(architecture.posteriors)
    expect(any_is_made, architecture, "encoder", "; ".join(refused), "offer in `posteriors` what it can make")
    with_y = architecture.encoder(data, condition=3)(x, noise, torch.randn(_ROWS, 3))
    expect(with_y.z.shape == noise.shape, architecture, "encoder", "with a condition, z has another shape", "join y")


def _decoder(architecture: Architecture, recipe: Recipe) -> None:
    data, z = recipe.dataset.spec, torch.randn(_ROWS, architecture.latent)
    for condition in (0, 3):
        decoder = architecture.decoder(data, condition=condition)
        x = decoder(z, torch.randn(_ROWS, 3) if condition else None)
        found = f"x is {tuple(x.shape)}, expected {(_ROWS, *data.shape)}"
        expect(tuple(x.shape) == (_ROWS, *data.shape), type(decoder), "logits forward", found, "follow data.shape")
        inside = data.support == "real" or bool(((x >= 0) & (x <= 1)).all())
        expect(inside, type(decoder), "forward logits", "x leaves [0, 1]", "follow data.support")


def _critic(architecture: Architecture, recipe: Recipe) -> None:
    data, x, z = recipe.dataset.spec, _inputs(recipe.dataset.spec), torch.randn(_ROWS, architecture.latent)
    kinds: tuple[Sees, ...] = ("x", "z", "xz")
    for sees in kinds:
        for outputs in (1, 3):
            critic = architecture.critic(data, sees=sees, outputs=outputs)
            joint = Joint(x=x if "x" in sees else None, z=z if "z" in sees else None)
            verdict, expected = critic(joint), (_ROWS,) if outputs == 1 else (_ROWS, outputs)
            found = f"logits of a critic of {sees} with outputs={outputs} are {tuple(verdict.logits.shape)}"
            expect(tuple(verdict.logits.shape) == expected, architecture, "critic", found, f"expected {expected}")
            features = verdict.features.ndim == 2 and len(verdict.features) == _ROWS
            found = f"features are {tuple(verdict.features.shape)}"
            expect(features, architecture, "critic", found, "return the last hidden layer, (N, F)")
            found = f"it says outputs={critic.outputs} and gives {outputs}"
            expect(critic.outputs == outputs, architecture, "critic", found, "set its attribute `outputs`")


def _field(architecture: Architecture, recipe: Recipe) -> None:
    x = _inputs(recipe.dataset.spec)
    for condition in (0, 3):
        field = architecture.field(recipe.dataset.spec, condition=condition)
        velocity = field(x, torch.rand(_ROWS), torch.randn(_ROWS, 3) if condition else None)
        found = f"the velocity of x {tuple(x.shape)} is {tuple(velocity.shape)}"
        expect(velocity.shape == x.shape, type(field), "forward", found, "return a number for every number of x")


def _head(architecture: Architecture, recipe: Recipe) -> None:
    answer = architecture.head("check", reads=5, writes=3)(torch.randn(_ROWS, 5))
    found = f"from 5 numbers to 3, it gives {tuple(answer.shape)}"
    expect(tuple(answer.shape) == (_ROWS, 3), architecture, "head", found, f"expected {(_ROWS, 3)}")


def _inputs(data: DataSpec) -> Tensor:
    return torch.rand(_ROWS, *data.shape)


_OF_ARCHITECTURE: dict[str, Callable[[Architecture, Recipe], None]] = {
    "encoder": _encoder,
    "decoder": _decoder,
    "critic": _critic,
    "field": _field,
    "head": _head,
}


def _takes_a_step(recipe: Recipe) -> None:
    trainer = toy_trainer(ToyGame(), recipe)
    trainer.take_step()
    networks = trainer.networks
    joint = Joint(x=networks.decode(trainer.batch().z), z=networks.encode(trainer.batch().x, trainer.batch().noise).z)
    finite = bool(networks.judge(joint).logits.isfinite().all())
    expect(finite, recipe.architecture, "critic", "a verdict on its own samples is not finite", "see its networks")


# Metrics


def _obstacle(metric: Metric, recipe: Recipe) -> None:
    for parts in (("encoder",), ("decoder",), ("encoder", "decoder", "critic")):
        model, splits = _model_with(parts, recipe)
        obstacle = metric.obstacle_here(model)
        if obstacle is None:
            try:
                metric.measure(model, splits.test, train=splits.train, seed=0)
            except SettingsError as error:
                found = f"it sees no obstacle in a model with {' and '.join(parts)} alone, and fails: {error.found}"
                expect(False, metric, "obstacle measure", found, 'return a reason: "it has no decoder"')
        else:
            expect(isinstance(obstacle, str), metric, "obstacle", f"it returns {obstacle!r}", "return text or None")


def _scores(metric: Metric, recipe: Recipe) -> None:
    model, splits = _model_with(("encoder", "decoder", "critic"), recipe)
    if metric.obstacle_here(model) is not None:
        return
    scores = metric.measure(model, splits.test, train=splits.train, seed=0)
    expect(isinstance(scores, list), metric, "measure", f"it returns a {type(scores).__name__}", "return a list")
    fault = fault_of_scores(scores)
    expect(fault is None, metric, "measure", *(fault or ("", "")))
    for score in scores:
        ours = score.metric.partition("/")[0] == metric.name
        found = f"a score is called '{score.metric}'"
        expect(ours, metric, "measure", found, f"call it '{metric.name}', or '{metric.name}/…'")
        plain = isinstance(score.value, float)
        expect(plain, metric, "measure", f"the value is a {type(score.value).__name__}", "return float(…)")


def _finite(metric: Metric, recipe: Recipe) -> None:
    model, splits = _model_with(("encoder", "decoder", "critic"), recipe)
    if metric.obstacle_here(model) is not None:
        return
    for score in metric.measure(model, splits.test, train=splits.train, seed=0):
        found = f"'{score.metric}' is {score.value} for untrained networks"
        remedy = "mend its computation; where that is how it shall be, expect this check to fail"
        expect(math.isfinite(score.value), metric, "measure", found, remedy)


def _seeded(metric: Metric, recipe: Recipe) -> None:
    model, splits = _model_with(("encoder", "decoder", "critic"), recipe)
    if metric.obstacle_here(model) is not None:
        return
    taken = []
    for number in (0, 1):
        reseed(number)
        taken.append([repr(score.value) for score in metric.measure(model, splits.test, train=splits.train, seed=3)])
    remedy = "draw with a generator of `seed`, and with model.sample(…, seed=seed)"
    expect(taken[0] == taken[1], metric, "measure", "with one seed, two scores differ", remedy)


def _untouched(metric: Metric, recipe: Recipe) -> None:
    model, splits = _model_with(("encoder", "decoder", "critic"), recipe)
    if metric.obstacle_here(model) is not None:
        return
    before = {name: tensor.clone() for name, tensor in model.networks.state_dict().items()}
    state = _global_draws()
    metric.measure(model, splits.test, train=splits.train, seed=0)
    changed = [name for name, tensor in model.networks.state_dict().items() if not torch.equal(tensor, before[name])]
    expect(not changed, metric, "measure", f"it changes the model: {', '.join(changed[:3])}", "leave it in eval mode")
    expect(not model.networks.training, metric, "measure", "it leaves the model in training mode", "leave its mode")
    expect(
        state == _global_draws(),
        metric,
        "measure",
        "it draws from a global generator",
        "draw with a generator of `seed`",
    )


_OF_METRIC: dict[str, Callable[[Metric, Recipe], None]] = {
    "obstacle": _obstacle,
    "scores": _scores,
    "finite": _finite,
    "seed": _seeded,
    "untouched": _untouched,
}


def _global_draws() -> list[float]:
    """Return what the global generators of torch, Python and numpy would draw next."""
    with preserved():
        return [float(torch.rand(())), random.random(), float(numpy.random.random())]


def _model_with(parts: tuple[str, ...], recipe: Recipe) -> tuple[Model, Splits]:
    """Return an untrained model with some networks alone, and random splits in the shape of the recipe's data."""
    settings = toy_trainer(ToyGame(parts=parts), recipe).settings
    trainer = toy_trainer(ToyGame(parts=parts), replace(recipe, dataset=settings.dataset))
    networks: Networks = trainer.networks.eval()
    size = settings.dataset.spec.condition_size
    frequencies = [1 / size] * size if size else None
    model = Model.of(settings, networks, device=trainer.device, label_frequencies=frequencies)
    return model, Splits(*(random_split(settings.dataset.spec, 60, seed=seed) for seed in range(3)))


# Trackers


def _obstacle_of_tracker(tracker: Tracker) -> None:
    obstacle = tracker.obstacle()
    found = f"it returns {obstacle!r}"
    expect(isinstance(obstacle, str | None), tracker, "obstacle", found, "return text or None")


def _follow(tracker: Tracker) -> None:
    """Tell the tracker of a run that is stopped and goes on, unless it cannot be used here."""
    if tracker.obstacle() is not None:
        return
    with tempfile.TemporaryDirectory() as folder:
        run = TrackedRun(
            name="0000-check",
            identity=uuid4().hex,
            folder=Path(folder, "own"),
            settings={"model": "toy", "seed": 0, "training.learning_rate": 0.5, "training.averaging": "none"},
        )
        picture = Path(folder) / "0000002.png"
        picture.write_bytes(drawing.grid_png(torch.rand(4, 1, 8, 8), columns=2))
        for step in (2, 4):
            tracking = tracker.start(run)
            found = f"it returns a {type(tracking).__name__}"
            expect(isinstance(tracking, Tracking), tracker, "start", found, "return a Tracking")
            tracking.log(step, {"losses/critic": 0.25, "watch/odd (name)": float("nan")})
            tracking.picture(step, "pictures/toy", picture)
            tracking.card(step, "# A card\n")
            tracking.finish(done=step == 4)


# Commands


def _help(command: click.Command) -> None:
    answer, name = CliRunner().invoke(command, ["--help"]), command.name
    expect(
        answer.exit_code == 0, type(command), "", f"'{name} --help' ends with {answer.exit_code}", "mend its options"
    )
    expect(bool(command.get_short_help_str()), type(command), "", f"'{name}' has no help", "give it a docstring")
