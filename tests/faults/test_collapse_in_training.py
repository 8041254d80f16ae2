"""A game that is lost while every number stays finite: real trainings say so once, in the log and on the terminal."""

from types import MappingProxyType

import pytest
import torch
from collapse_warnings import kind_of
from toy import TOY

import genzoo
from genzoo.cli import progress
from genzoo.games import NonSaturating, Wasserstein
from genzoo.runs.collapse import CollapseMonitor
from genzoo.runs.engine import Engine
from genzoo.storage.run_folder import Run
from genzoo.training.trainer import Trainer
from genzoo.types import Split
from genzoo_data.mixture import Mixture25

PAPER = "mixture25-paper"
QUICK = {"training.learning_rate": 1e-3, "training.beta1": 0.5}


@pytest.fixture
def train(say, monkeypatch, tmp_path):
    """Return a function that trains a gan whose generator learns nothing, logging every step.

    `changes` maps steps to functions that change the trainer after them. It returns the warnings in the log and
    those on stderr.
    """
    for name in ("_measure", "_draw"):
        monkeypatch.setattr(Engine, name, lambda engine: None)

    def call(*more, steps, changes=MappingProxyType({}), **settings):
        def count_step(trainer):
            real(trainer)
            changes.get(trainer.step, lambda trainer: None)(trainer)

        real = Trainer.count_step
        chosen = TOY | QUICK | {"training.log_every": 1, "training.checkpoint_every": 1000} | FROZEN | settings
        overrides = [part for path, value in chosen.items() for part in ("--set", f"{path}={value}")]
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "count_step", count_step)
            said = say(
                "train", "gan", "--recipe", PAPER, *overrides, "--steps", steps, "--run", tmp_path / "run", *more
            )
        assert said.code == 0, said.err
        return Run(tmp_path / "run").read_log(), told_of(said.err)

    return call


FROZEN = {"training.players.generator.learning_rate": 0}


def warned(log):
    """Return (step, kind) for every warning in a log."""
    return [(entry["step"], kind_of(text)) for entry in log for text in entry.get("warnings", [])]


def told_of(said):
    """Return (step, kind) for every warning that was written while training."""
    lines = [line.removeprefix("warning: step ").split(": ", 1) for line in said.splitlines() if "warning: " in line]
    return [(int(step), kind_of(text)) for step, text in lines]


def third(log, holds):
    """Return the step of the third entry in a row of which `holds` is true."""
    return next(step for step in range(3, len(log) + 1) if all(holds(entry["watch"]) for entry in log[step - 3 : step]))


@pytest.fixture
def far_data(monkeypatch):
    """Put the toy data where no young decoder reaches."""
    real = Mixture25._draw

    def draw(self, rows, *, seed):
        found = real(self, rows, seed=seed)
        return Split(found.x + 100, found.labels)

    monkeypatch.setattr(Mixture25, "_draw", draw)


def contradict(trainer):
    """Have the critic mean the opposite of what it meant, and learn no more."""
    *_, weight, bias = trainer.networks.critic.parameters()
    weight.data.neg_()
    bias.data.neg_()
    trainer.optimizers["critic"].param_groups[0]["lr"] = 0.0


def is_right(watch):
    return min(watch["data_accuracy"], watch["sample_accuracy"]) >= 0.99


def is_wrong(watch):
    return max(watch["data_accuracy"], watch["sample_accuracy"]) <= 0.01


@pytest.mark.parametrize("draws", [False, True], ids=["lines", "bar"])
def test_a_critic_that_is_pinned_in_a_real_training_is_told(train, far_data, monkeypatch, tally, draws):
    monkeypatch.setattr(progress, "_can_draw", lambda: draws)
    quick = {"training.players.critic.learning_rate": 0.1}
    log, told_while_trained = train(steps=22, changes={18: contradict}, **quick)
    expected = [(third(log, is_right), "always right"), (third(log, is_wrong), "always wrong")]
    assert expected[0][0] < 18 < expected[1][0]
    tally(
        "a critic that is always right, then always wrong, on data far from all samples",
        tries=2,
        survived=sum(one in warned(log) and one in told_while_trained for one in expected),
        how="told at the third entry, once, in metrics.jsonl and by the progress view",
    )
    assert warned(log) == told_while_trained == expected


def constant(trainer):
    """Have the decoder give one value."""
    *_, weight, _ = trainer.networks.decoder.parameters()
    weight.data.zero_()


def varied(trainer):
    *_, weight, _ = trainer.networks.decoder.parameters()
    weight.data.normal_(generator=torch.Generator().manual_seed(0))


SPREAD_OUT = {"architecture.init_std": 0.3}


def test_a_decoder_that_gives_a_constant_in_a_real_training_is_told(train, tally):
    changes = {4: constant, 9: varied, 10: constant}
    expected = [(6, "nearly all alike"), (12, "nearly all alike")]
    log, told_while_trained = train(steps=16, changes=changes, **SPREAD_OUT)
    tally(
        "a decoder that gives a constant, recovers, and gives a constant again",
        tries=2,
        survived=sum(one in warned(log) and one in told_while_trained for one in expected),
        how="told at the third entry, once each, in metrics.jsonl and by the progress view",
    )
    assert warned(log) == told_while_trained == expected
    assert [entry["watch"]["sample_spread"] < 0.05 for entry in log[3:9]] == [True] * 5 + [False]


def test_a_decoder_that_gave_a_constant_from_the_start_is_told_with_patience(train):
    log, told_while_trained = train(steps=25, changes={1: constant})
    assert warned(log) == told_while_trained == [(23, "nearly all alike")]


def test_who_wants_quiet_finds_the_warning_in_the_log(train):
    log, told_while_trained = train("--quiet", steps=8, changes={4: constant}, **SPREAD_OUT)
    assert warned(log) == [(6, "nearly all alike")]
    assert told_while_trained == []


# Scores that are no log-odds


def centred(trainer):
    """Move a Wasserstein critic's scores, of which differences alone count, so that 0 lies between the two sides."""
    networks, batch = trainer.networks, trainer.stream.batch(trainer.step)
    with torch.no_grad():
        round = trainer.settings.game.play(networks, batch)
        *_, bias = networks.critic.parameters()
        bias -= (round.on_q.logits.mean() + round.on_p.logits.mean()) / 2


def test_a_healthy_wasserstein_game_with_scores_far_from_zero_is_not_warned_of(monkeypatch, tmp_path):
    """Data at (20, 20) are 28 away from the first samples, and so are the scores of a critic with slope 1."""
    draw, count_step = Mixture25._draw, Trainer.count_step

    def far(self, rows, *, seed):
        split = draw(self, rows, seed=seed)
        return split._replace(x=split.x + 20)

    def scores(self, on_q, on_p):
        read_as_log_odds = NonSaturating().accuracies(on_q, on_p)
        return {"q": on_q.mean(), "p": on_p.mean()} | {f"as {name}": value for name, value in read_as_log_odds.items()}

    def counted(trainer):
        count_step(trainer)
        if trainer.step == 48:
            centred(trainer)

    monkeypatch.setattr(Mixture25, "_draw", far)
    monkeypatch.setattr(Wasserstein, "accuracies", scores)
    monkeypatch.setattr(Trainer, "count_step", counted)
    for name in ("_measure", "_draw"):
        monkeypatch.setattr(Engine, name, lambda engine: None)
    chosen = {"training.steps": 120, "training.batch_size": 16, "training.learning_rate": 1e-3, "training.log_every": 6}
    overrides = TOY | chosen | {"dataset.rows": 640}
    run = genzoo.train("wgan-gp", recipe=PAPER, overrides=overrides, run=tmp_path / "run", device="cpu")
    log = run.read_log()
    assert all("warnings" not in entry for entry in log)
    watched = [entry["watch"] for entry in log]
    # healthy: the two sides approach, and the samples spread out
    distances = [watch["q"] - watch["p"] for watch in watched]
    assert max(distances[4:8]) > 50 > distances[-1]
    assert watched[-1]["sample_spread"] > 0.3 > watched[7]["sample_spread"]
    assert all(watch["q"] > 4.6 and watch["p"] < -4.6 for watch in watched[8:])
    # read as log-odds, these scores would have been a critic that is always right
    misled = CollapseMonitor()
    texts = [
        text
        for watch in watched
        for text in misled.look({name: watch[f"as {name}"] for name in ("data_accuracy", "sample_accuracy")})
    ]
    assert [kind_of(text) for text in texts] == ["always right"]


@pytest.mark.parametrize("objective", ["hinge", "least-squares", "wasserstein"])
def test_scores_that_are_no_log_odds_are_watched_for_no_accuracy(objective, tmp_path):
    run = genzoo.train(
        "ali",
        recipe=PAPER,
        overrides=TOY | {"training.steps": 2, "game.objective": objective},
        run=tmp_path / "run",
        device="cpu",
    )
    assert all(set(entry["watch"]) == {"sample_spread"} for entry in run.read_log())


@pytest.mark.parametrize("objective", ["non-saturating", "minimax"])
def test_log_odds_are_watched_for_accuracy(objective, tmp_path):
    run = genzoo.train(
        "ali",
        recipe=PAPER,
        overrides=TOY | {"training.steps": 2, "game.objective": objective},
        run=tmp_path / "run",
        device="cpu",
    )
    for entry in run.read_log():
        assert set(entry["watch"]) == {"data_accuracy", "sample_accuracy", "sample_spread"}
        assert 0.4 < entry["watch"]["data_accuracy"] < 0.6
