"""Numbers that diverge: training stops before the update, what is saved is finite, and the run can go on."""

import json
import math
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import safetensors.torch
import torch
from trainers import TRAINING, Poisoned, bits, learned, settings_of, trainer_on

import genzoo
from genzoo.data import Dataset
from genzoo.errors import DivergedError
from genzoo.runs.callbacks import Callback
from genzoo.runs.engine import Engine
from genzoo.storage.run_folder import Run
from genzoo.training.trainer import Trainer
from genzoo.types import DataSpec, Split, Splits
from genzoo_recipes import mixture25

pytestmark = pytest.mark.usefixtures("every_save")
VALUES = (math.nan, math.inf, -math.inf)
STEPS, SAVED = 7, (2, 4, 6, 7)
RECIPE = "mixture25-paper"
ALTERNATING = {"game.schedule": "alternating"}
GAMES = {
    "vae": ("vae", {}),
    "gan": ("gan", {}),
    "gan, alternating": ("gan", ALTERNATING),
    "ali": ("ali", {}),
    "ali, alternating": ("ali", ALTERNATING),
    "ali, penalised": ("ali", {"game.objective": "relativistic", "game.penalty": "zero-centred"}),
}
SLOW = {
    "wgan-gp": ("wgan-gp", {}),
    "gan, three critic steps": ("gan", ALTERNATING | {"game.schedule.critic_steps": 3}),
    "ali, minimax": ("ali", {"game.objective": "minimax"}),
    "ali, least squares": ("ali", {"game.objective": "least-squares"}),
    "vae, no averages": ("vae", {"training.averaging": "none"}),
}
INPUTS = {"vae": ("x", "noise"), "gan": ("x", "z"), "wgan-gp": ("x", "z"), "ali": ("x", "z", "noise")}
PARTS = {
    "vae": ("encoder", "decoder"),
    "gan": ("decoder", "critic"),
    "wgan-gp": ("decoder", "critic"),
    "ali": ("encoder", "decoder", "critic"),
}
SMALL = {
    "training.steps": STEPS,
    "training.batch_size": 8,
    "training.checkpoint_every": 2,
    "training.keep_checkpoints": 10,
    "training.log_every": 3,
    "training.averaging": 0.9,
    "dataset.rows": 20,
    "dataset.held_out_rows": 8,
}


@pytest.fixture
def small_steps(monkeypatch):
    """Make the toy networks narrow, and leave out scores and pictures, so that many runs take little time."""
    for name in ("_measure", "_draw"):
        monkeypatch.setattr(Engine, name, lambda engine: None)
    for name in ("_HIDDEN", "_MAXOUT"):
        monkeypatch.setattr(mixture25, name, replace(getattr(mixture25, name), width=16))


def options(game, **more):
    """Return a game's model and settings as arguments of a command."""
    model, own = {**GAMES, **SLOW}[game]
    chosen = SMALL | own | {path.replace("__", "."): value for path, value in more.items()}
    return [
        model,
        "--recipe",
        RECIPE,
        *(part for path, value in chosen.items() for part in ("--set", f"{path}={value}")),
    ]


class Struck:
    """Stands in for what computes gradients, and has `strike` work on one step's trainer, batch and gradients."""

    def __init__(self, at, strike):
        self.at, self.strike = at, strike
        self.trainer = self.before = self.movers = None
        self.real = Trainer.gradient_rule

    def bind(self):
        return property(self.rule_of)

    def rule_of(self, trainer):
        real = self.real.fget(trainer)

        def gradients(networks, batch, movers):
            if trainer.step + 1 != self.at:
                return real(networks, batch, movers)
            self.trainer, self.movers = trainer, tuple(movers)
            self.strike("before", trainer, batch, None)
            self.before = learned(trainer)
            found = real(networks, batch, movers)
            return self.strike("after", trainer, batch, found) or found

        return gradients

    @property
    def is_as_before(self):
        """Whether parameters and moments are bitwise those before the step."""
        after = learned(self.trainer)
        return all(torch.equal(bits(after[name]), bits(tensor)) for name, tensor in self.before.items())


def poison(kind, value):
    """Return a strike that makes one number of an input, a loss, a gradient or a network non-finite."""

    def strike(when, trainer, batch, found):
        if when == "before":
            if kind in ("x", "z", "noise"):
                getattr(batch, kind).view(-1)[3] = value
            elif kind in ("encoder", "decoder", "critic"):
                *_, last = getattr(trainer.networks, kind).parameters()
                last.data.view(-1)[0] = value
            return None
        losses, gradients = found
        player = victim(gradients, value)
        if kind == "loss":
            struck = {player: torch.full_like(losses.players[player], value)}
            return losses._replace(players=losses.players | struck), gradients
        if kind == "gradient":
            gradients[player][-1].view(-1)[-1] = value
        return None

    return strike


def victim(movers, value):
    """Return the player whose loss or gradient is struck."""
    return list(movers)[VALUES.index(value) % len(movers)]


def overflow(kind):
    """Return a strike that keeps loss and gradient finite, and makes something else overflow in or after the step."""

    def strike(when, trainer, batch, found):
        if when == "after":
            if kind == "second moment":
                for part in found[1].values():
                    part[0].mul_(1e30)
        elif kind == "update":
            for optimizer in trainer.optimizers.values():
                optimizer.param_groups[0]["lr"] = 1e39
        elif kind == "running variance":
            batch.z.mul_(1e25)
            batch.noise.mul_(1e25)
        elif kind == "parameter of a dead unit":
            dead(trainer).data[0] = -math.inf
        elif kind == "average":
            trained = [parameter for group in trainer.players.values() for parameter in group]
            (place,) = (number for number, parameter in enumerate(trained) if parameter is dead(trainer))
            dead(trainer).data[0], trainer._ema.tensors[place][0] = -3e38, 3e38

    return strike


def dead(trainer):
    """Return biases behind which, where they are very negative, ReLU shows nothing."""
    return trainer.networks.decoder.stack.layers[0][1].bias


def files_of(path):
    """Return the bytes of the tensors of every checkpoint of a run."""
    return {
        str(file.relative_to(path)): file.read_bytes() for file in (path / "checkpoints").glob("step-*/*.safetensors")
    }


def all_saved_is_finite(path):
    tensors = [tensor for content in files_of(path).values() for tensor in safetensors.torch.load(content).values()]
    return all(tensor.isfinite().all() for tensor in tensors)


def strict_log(path):
    """Return the log's entries, read as JSON that knows no NaN."""

    def refuse(name):
        raise ValueError(name)

    return [json.loads(line, parse_constant=refuse) for line in (path / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a function that gives the checkpoints of a game's uninterrupted run."""
    known = {}

    def of(game):
        if game not in known:
            model, own = {**GAMES, **SLOW}[game]
            path = tmp_path_factory.mktemp("whole") / "run"
            genzoo.train(model, recipe=RECIPE, overrides=SMALL | own, run=path)
            known[game] = files_of(path)
            assert Run(path).step == STEPS
        return known[game]

    return of


@pytest.fixture
def train_struck(say, monkeypatch, tmp_path, small_steps):
    """Return a function that trains with a strike; it returns what was said, the strike and the run's folder."""

    def call(game, at, strike, **more):
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        struck = Struck(at, strike)
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "gradient_rule", struck.bind())
            said = say("train", *options(game, **more), "--run", path, "--quiet")
        return said, struck, path

    return call


def goes_on(say, game, path, expected):
    """Go on with a run that diverged; return whether all that it saves is bitwise what the other run saved."""
    command = ["resume", path] if Run(path).step else ["train", *options(game), "--run", path]
    said = say(*command, "--quiet")
    assert said.code == 0, said.err
    assert all("diverged" not in entry for entry in strict_log(path))
    return files_of(path) == expected


def is_told(said, fault, *, step, kept):
    """Return whether the message and the log's fault name the step, the players and a remedy."""
    found, remedy = said.err.splitlines()
    return (
        fault["step"] == step
        and f"non-finite in step {step};" in found
        and f"of {' and '.join(fault['players'])} became" in found
        and (f"(last checkpoint: step {kept})" if kept else "(no checkpoint yet)") in found
        and "--set training.learning_rate=" in remedy
    )


def last_kept(at):
    return max((saved for saved in SAVED if saved < at), default=0)


def survives(say, train_struck, expected, game, at, kind, value, *, gone_on):
    """Train until one number becomes non-finite, and go on if wanted; return whether all is as promised."""
    said, struck, path = train_struck(game, at, poison(kind, value))
    entry = strict_log(path)[-1]
    fault = entry["diverged"]
    hurt = [victim(struck.movers, value)] if kind in ("loss", "gradient") else list(struck.movers)
    texts = {player for player, loss in entry["losses"].items() if loss in ("nan", "inf", "-inf")}
    return (
        said.code == 5
        and struck.is_as_before
        and fault["players"] == hurt
        and is_told(said, fault, step=at, kept=last_kept(at))
        and texts >= (set() if kind == "gradient" else set(hurt))
        and Run(path).step == last_kept(at)
        and all_saved_is_finite(path)
        and not (gone_on and not goes_on(say, game, path, expected))
    )


def cases(*, every):
    """Yield (game, step, faults): one value for every kind of fault, another one at every step; or all values."""
    for game, (model, _) in {**GAMES, **(SLOW if every else {})}.items():
        kinds = ("loss", "gradient", *INPUTS[model], *PARTS[model])
        for at in range(1, STEPS + 1) if every else (1, 4, STEPS):  # saved, and not logged, is 4
            faults = [(kind, VALUES[(number + at) % 3]) for number, kind in enumerate(kinds)]
            yield game, at, [(kind, value) for kind in kinds for value in VALUES] if every else faults


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "every"])
def test_a_number_that_is_not_finite_stops_training_before_the_update(say, train_struck, whole, tally, every):
    ends = {
        (game, at, kind, value): survives(
            say, train_struck, whole(game), game, at, kind, value, gone_on=every or number == at % 3
        )
        for game, at, faults in cases(every=every)
        for number, (kind, value) in enumerate(faults)
    }
    print("lost:", [case for case, survived in ends.items() if not survived])
    tally(
        "a loss, gradient, input or parameter becomes nan, inf or -inf",
        tries=len(ends),
        survived=sum(ends.values()),
        how="games with one player and two, first, middle and last step; no parameter or moment moves, exit 5, every "
        "checkpoint finite; some (the long form: all) gone on with, bitwise the uninterrupted run",
    )


# Finite losses and gradients after which a weight, a moment or a statistic is not finite

OVERFLOWS = ("update", "second moment", "running variance", "parameter of a dead unit")


def noticed_after(at):
    """Return the first step from `at` on after which the run is logged or saved."""
    return next(step for step in range(at, STEPS + 1) if step % 3 == 0 or step in SAVED)


def overflows(say, train_struck, expected, game, at, kind, *, gone_on):
    """Train until something overflows without a trace in loss and gradient; return whether all is as promised."""
    said, struck, path = train_struck(game, at, overflow(kind))
    found, remedy = (said.err.splitlines() + ["nothing was told"] * 2)[:2]
    fault = strict_log(path)[-1].get("diverged", {"step": 0, "players": ["nobody was told"]})
    return (
        said.code == 5
        and at <= fault["step"] <= noticed_after(at)
        and not ("loss or gradient" in found and fault["step"] == at)
        and f"step {fault['step']}" in found
        and all(player in found for player in fault["players"])
        and set(fault["players"]) <= set(struck.trainer.players)
        and "--set training.learning_rate=" in remedy
        and Run(path).step == last_kept(at)
        and all_saved_is_finite(path)
        and not (gone_on and not goes_on(say, game, path, expected))
    )


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "every"])
def test_what_overflows_without_a_trace_in_loss_and_gradient_is_not_saved(say, train_struck, whole, tally, every):
    # Least squares are left out: the loss itself is what overflows first.
    games = {**GAMES, **SLOW}.keys() - {"ali, least squares"} if every else ("vae", "gan, alternating", "ali")
    steps = range(1, STEPS + 1) if every else (1, 4, STEPS)  # a checkpoint is due after 4, and after the last
    ends = {
        (game, at, kind): overflows(say, train_struck, whole(game), game, at, kind, gone_on=every or at == 4)
        for game in games
        for at in steps
        for kind in OVERFLOWS
    }
    print("lost:", [case for case, survived in ends.items() if not survived])
    tally(
        "a weight, moment or statistic overflows though loss and gradient are finite",
        tries=len(ends),
        survived=sum(ends.values()),
        how="also where a checkpoint is due: exit 5, every checkpoint finite; some (the long form: all) gone on "
        "with, bitwise the uninterrupted run",
    )


def test_an_average_that_overflows_between_two_far_values_is_not_saved(say, train_struck, whole):
    assert overflows(say, train_struck, whole("vae"), "vae", 4, "average", gone_on=True)


RATES = [
    (game, rate, steps)
    for game in ("vae", "gan", "gan, alternating", "ali")
    for rate, steps in [("1e30", 20), ("1e38", 20), ("3e38", 1), ("1e300", 1)]
]


def test_an_absurd_learning_rate_leaves_no_checkpoint_that_is_not_finite(say, small_steps, tmp_path, tally):
    ends = []
    for number, (game, rate, steps) in enumerate(RATES):
        path = tmp_path / str(number)
        absurd = options(game, training__learning_rate=rate, training__steps=steps, training__checkpoint_every=1)
        said = say("train", *absurd, "--run", path, "--quiet")
        found, remedy = (said.err.splitlines() + ["nothing was told"] * 2)[:2]
        fault = strict_log(path)[-1].get("diverged", {"step": 0, "players": []})
        named = [f"step {fault['step']}", *fault["players"]]
        told = all(name in found for name in named) and "--set training.learning_rate=" in remedy
        sound = all_saved_is_finite(path) and Run(path).step < fault["step"]
        ends.append(said.code == 5 and told and sound)
    tally(
        "an absurd learning rate, with a checkpoint due after every step",
        tries=len(ends),
        survived=sum(ends),
        how="1e30 to 1e300, without injection; exit 5, every checkpoint finite",
    )


# The engine alone: when a fault is noticed, and what the log says of it


@pytest.mark.parametrize(
    ("at", "log_every", "noticed", "kept"),
    [(1, 100, 2, 0), (3, 100, 4, 2), (4, 100, 4, 2), (5, 1, 5, 4), (6, 100, 6, 4)],
)
def test_a_diverged_run_ends_with_its_last_checkpoint_good(tmp_path, at, log_every, noticed, kept):
    training = replace(TRAINING, batch_size=8, checkpoint_every=2, log_every=log_every, picture_every=1000)
    settings = settings_of(Poisoned(what="gradient", at=at), training=training)
    trainer = trainer_on(settings)
    engine = Engine(trainer, Run(tmp_path), settings.dataset.load(None), Callback())
    last = f"last checkpoint: step {kept}" if kept else "no checkpoint yet"
    with pytest.raises(DivergedError, match=rf"generator became non-finite in step {at};.*\({last}\)"):
        engine.train()
    assert DivergedError.exit_code == 5
    last = Run(tmp_path).read_log()[-1]
    assert last["step"] == noticed
    assert last["diverged"] == {"step": at, "players": ["generator"]}
    assert Run(tmp_path).step == kept
    assert all_saved_is_finite(tmp_path)


def test_a_loss_that_is_not_a_number_is_logged_as_text(tmp_path):
    training = replace(TRAINING, batch_size=8, log_every=1, picture_every=1000)
    settings = settings_of(Poisoned(what="loss", at=2), training=training)
    engine = Engine(trainer_on(settings), Run(tmp_path), settings.dataset.load(None), Callback())
    with pytest.raises(DivergedError):
        engine.train()
    first, last = Run(tmp_path).read_log()
    assert first["losses"]["critic"] == pytest.approx(2 * math.log(2), abs=0.03)
    assert (last["losses"]["critic"], type(last["losses"]["generator"])) == ("nan", float)


@dataclass(frozen=True, kw_only=True)
class Cloud(Dataset):
    """Vector data of which no mixture is known, so that pictures measure their own limits."""

    name: ClassVar[str] = "cloud"

    @property
    def spec(self):
        return DataSpec(shape=(2,), support="real")

    def load(self, root):
        return Splits(*(Split(torch.randn(16, 2, generator=torch.Generator().manual_seed(seed))) for seed in range(3)))


def test_a_picture_drawn_between_the_fault_and_its_discovery_does_not_hide_it(tmp_path):
    training = replace(TRAINING, batch_size=8, picture_every=1, log_every=100)
    settings = settings_of(Poisoned(what="input z", at=1), dataset=Cloud(), training=training)
    engine = Engine(trainer_on(settings), Run(tmp_path), settings.dataset.load(None), Callback())
    with pytest.raises(DivergedError):
        engine.train()
