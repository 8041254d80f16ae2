"""Populations: every replica is the training it would be alone, and what cannot be batched is trained one by one."""

import math
import re
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from stopping import StopAt, files_of
from toy import TOY
from trainers import doubled, job_of_request

import genzoo
from genzoo.errors import DivergedError, GenzooWarning, InterruptedRun
from genzoo.games import game
from genzoo.nn import Linear, ReLU, TableDecoder
from genzoo.runs import TrainingRequest, train_together
from genzoo.runs.callbacks import Callback
from genzoo.runs.engine import Engine
from genzoo.storage.run_folder import Run
from genzoo.training.nonfinite import Fault
from genzoo.training.populations import Population, difference
from genzoo.training.trainer import Trainer
from genzoo_ali.ali import ALI
from genzoo_gan.gan import GAN
from genzoo_recipes.mixture25 import Mixture25Networks

pytestmark = pytest.mark.usefixtures("every_save")
STEPS = 5
# 64 rows in batches of 14: step 4, the last of the five, has 8 rows.
MIXTURE = {"dataset.rows": 64, "dataset.held_out_rows": 8, "training.batch_size": 14}
PAPER = MIXTURE | {"training.learning_rate": 1e-3, "training.beta1": 0.5}
DIGITS = {"training.batch_size": 14, "architecture.dropout": 0}
COMMON = {"mixture25": MIXTURE, "mixture25-paper": PAPER, "digits": DIGITS}
# What replicas may differ in, beside their seeds.
DIFFERENT = (
    {"training.learning_rate": 1e-3, "training.averaging": 0.3},
    {"training.players.generator.beta1": 0.2, "training.players.generator.learning_rate": 2e-3},
    {"training.beta1": 0.9, "training.beta2": 0.9, "architecture.init_std": 0.1, "training.averaging": 0.9},
    {"training.epsilon": 1e-3},
    {"training.players.generator.beta2": 0.5, "architecture.init_std": 0.03},
)


def trainer_of(model, seed=0, *, recipe="mixture25-paper", double=False, precision="fp32", overrides=None):
    """Return a trainer on the first 64 rows of a recipe's data."""
    chosen = COMMON[recipe] | (overrides or {})
    job = job_of_request(model, recipe=recipe, seed=seed, precision=precision, overrides=chosen)
    split = job.settings.dataset.load(None).train
    split = split._replace(x=split.x[:64], labels=None if split.labels is None else split.labels[:64])
    trainer = Trainer(job.settings, split, seed=seed, device=torch.device("cpu"), precision=precision)
    return doubled(trainer) if double else trainer


def remade(trainer, **settings):
    """Return a trainer at step 0 with other parts in its settings."""
    settings, split = replace(trainer.settings, **settings), trainer.stream.split
    return Trainer(settings, split, seed=trainer.seed, device=trainer.device, precision=trainer.precision)


def played(trainers, steps=STEPS):
    """Play trainers together and return the losses of every replica, by step."""
    population = Population(trainers)
    assert population.obstacle() is None
    return list(zip(*(population.take_step() for _ in range(steps)), strict=True))


def flat(trainer):
    return {f"{part}/{name}": tensor for part, named in trainer.state().items() for name, tensor in named.items()}


def assert_same(trainers, others, *, bitwise=True, names=None):
    for one, other in zip(trainers, others, strict=True):
        found, expected = flat(one), flat(other)
        assert found.keys() == expected.keys()
        assert one.step == other.step
        for name, tensor in expected.items():
            if bitwise:
                assert torch.equal(found[name], tensor), name
            else:
                torch.testing.assert_close(found[name], tensor, rtol=1e-9, atol=1e-9, msg=name)


def numbers(losses):
    return [[value.item() for part in step for value in part.values()] for step in losses]


def about(rows_of_all, tolerance):
    return [[pytest.approx(row, rel=tolerance, abs=tolerance) for row in rows] for rows in rows_of_all]


# Each replica is its training alone


def both(model, count, *, double, recipe="mixture25-paper", every=None, different=DIFFERENT):
    """Return the replicas and the same trainings alone after some steps, and the losses of both."""
    every = every or {}

    def made():
        return [
            trainer_of(model, seed, recipe=recipe, double=double, overrides=every | different[seed])
            for seed in range(count)
        ]

    together, alone = made(), made()
    lost = played(together)
    expected = [[trainer.take_step() for _ in range(STEPS)] for trainer in alone]
    for ours, theirs in zip(lost, expected, strict=True):
        assert [tuple(one.players) for one in ours] == [tuple(one.players) for one in theirs]
    return together, alone, [numbers(one) for one in lost], [numbers(one) for one in expected]


def assert_each_is_itself(model, count, **chosen):
    together, alone, lost, expected = both(model, count, double=True, **chosen)
    assert_same(together, alone, bitwise=False)
    assert lost == about(expected, 1e-9)
    moved = [flat(trainer)["networks/decoder.stack.layers.1.0.weight"] for trainer in together]
    assert all(not torch.equal(moved[0], other) for other in moved[1:])


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("model", ["ali", "gan", "vae"])
def test_a_replica_is_its_training_alone(model, count):
    assert_each_is_itself(model, count)


@pytest.mark.parametrize("model", ["ali", "gan", "vae", "bigan", "conditional-ali", "conditional-gan"])
def test_a_replica_of_convolutions_is_its_training_alone(model):
    assert_each_is_itself(model, 2, recipe="digits")


@pytest.mark.parametrize("model", ["bigan", "conditional-ali", "conditional-vae"])
def test_a_replica_of_every_other_model_is_its_training_alone(model):
    assert_each_is_itself(model, 3)


@pytest.mark.parametrize("objective", ["hinge", "least-squares", "minimax", "wasserstein"])
def test_a_replica_with_any_objective_is_its_training_alone(objective):
    assert_each_is_itself("ali", 3, every={"game.objective": objective})


@pytest.mark.parametrize("model", ["ali", "conditional-ali"])
def test_a_replica_of_an_alternating_game_is_its_training_alone(model):
    every = {"game.schedule": "alternating", "game.schedule.critic_steps": 2}
    assert_each_is_itself(model, 3, every=every)


@pytest.mark.parametrize("model", ["ali", "gan", "vae", "alice", "alice-implicit"])
def test_a_replica_with_penalty_schedules_and_averages_is_its_training_alone(model):
    assert_each_is_itself(model, 2, recipe="mixture25", every={"training.horizon": STEPS})


def test_a_replica_with_a_lazy_penalty_is_its_training_alone():
    every = {"game.penalty": "zero-centred", "game.penalty.sides": "data", "game.penalty.every": 2}
    assert_each_is_itself("ali", 2, every=every)


def test_replicas_may_differ_in_the_schedules_of_their_learning_rates():
    different = (
        {"training.learning_rate_schedule": "linear", "training.learning_rate_schedule.warm_up": 0.5},
        {"training.players.generator.learning_rate_schedule": "cosine"},
        {"training.learning_rate_schedule": "constant"},
    )
    assert_each_is_itself("ali", 3, recipe="mixture25", every={"training.horizon": STEPS}, different=different)


ADAPTIVE = {
    "game.augment": "diffaugment",
    "game.augment.adaptive": True,
    "game.augment.target": 0.0,
    "game.augment.rows_to_one": 500,
}


def test_an_adaptive_augmentation_follows_every_replica_alone():
    """Without operations, because what they draw at random differs between replicas and a training alone."""
    together, alone, lost, expected = both("gan", 2, double=True, recipe="digits", every=ADAPTIVE | NO_OPERATIONS)
    assert lost == about(expected, 1e-9)
    assert_same(together, alone, bitwise=False)
    for trainer in together:
        assert trainer.networks.augmentation.reached.item() == pytest.approx(4 * 14 / 500)


NO_OPERATIONS = {"game.augment.operations": ""}


@pytest.mark.parametrize(
    ("model", "recipe", "overrides"),
    [("gan", "digits", {"game.augment": "diffaugment"}), ("wgan-gp", "mixture25-paper", {})],
    ids=["augmentation", "points between the sides"],
)
def test_replicas_draw_augmentations_and_penalised_points_of_their_own(model, recipe, overrides):
    twins, again = ([trainer_of(model, 0, recipe=recipe, overrides=overrides) for _ in range(2)] for _ in range(2))
    (first,), (second,) = played(twins, 1)
    assert first.players["critic"].item() != second.players["critic"].item()
    played(again, 1)
    assert_same(twins, again)


def test_the_optimizer_of_a_single_player_is_its_own():
    assert_each_is_itself("ali", 2, different=({"training.players.critic.learning_rate": 0}, {"training.beta1": 0}))


@pytest.mark.parametrize(
    ("model", "recipe"),
    [
        ("ali", "mixture25-paper"),
        ("vae", "mixture25-paper"),
        ("ali", "digits"),
        ("vae", "digits"),
        ("conditional-ali", "digits"),
    ],
)
def test_in_float32_a_replica_differs_from_its_training_alone_by_rounding(model, recipe):
    rates = [{"training.learning_rate": 1e-4, "training.averaging": 0.5}] * 3
    together, alone, lost, expected = both(model, 3, double=False, recipe=recipe, different=rates)
    assert lost == about(expected, 2e-6)
    halves = [trainer_of(model, seed, recipe=recipe, overrides=rates[seed], precision="bf16") for seed in range(3)]
    for trainer in halves:
        for _ in range(STEPS):
            trainer.take_step()
    for one, other, half in zip(together, alone, halves, strict=True):
        # Sums of up to 1e4 float32 numbers err by 1e4 times 2^-24, and a unit that falls on the other side of zero
        # changes its own row alone; a single rounding to bfloat16 errs by 2^-9 already.
        assert distance(one, other) < 1e-3 < distance(half, other)


def distance(trainer, other):
    """Return how far apart all moments of two trainers are, as a share of their Euclidean norm."""
    first, second = (
        torch.cat([tensor.double().flatten() for name, tensor in flat(one).items() if name.endswith("exp_avg")])
        for one in (trainer, other)
    )
    return ((first - second).norm() / second.norm()).item()


@dataclass(frozen=True, kw_only=True)
class Plain(Mixture25Networks):
    """Toy networks without batch norm."""

    name: ClassVar[str] = "plain"

    def decoder(self, data, *, condition=0):
        table = (Linear(width=8, nonlinearity=ReLU()), Linear(width=data.shape[0]))
        return TableDecoder(data, latent=self.latent, table=table, condition=condition)


def test_under_bfloat16_replicas_keep_float32_weights_and_agree_to_its_precision():
    def made():
        known = [trainer_of("gan", seed, precision="bf16") for seed in range(2)]
        return [remade(trainer, architecture=Plain()) for trainer in known]

    together, alone = made(), made()
    lost = played(together, 1)
    assert {parameter.dtype for trainer in together for parameter in trainer.networks.parameters()} == {torch.float32}
    for (ours,), trainer in zip(lost, alone, strict=True):
        theirs = trainer.take_step()
        for name, value in theirs.players.items():
            assert ours.players[name].dtype == torch.float32
            assert ours.players[name].item() == pytest.approx(value.item(), rel=2**-7)


@pytest.mark.parametrize("model", ["ali", "vae"])
def test_where_bfloat16_cannot_be_batched_is_an_obstacle_and_else_numbers_agree(model):
    together, alone = ([trainer_of(model, seed, precision="bf16") for seed in range(2)] for _ in range(2))
    population = Population(together)
    if obstacle := population.obstacle():
        assert "BFloat16" in obstacle
        return
    for ours, trainer in zip(population.take_step(), alone, strict=True):
        for name, value in trainer.take_step().players.items():
            assert ours.players[name].item() == pytest.approx(value.item(), rel=2**-7)


def test_a_population_ends_where_its_replicas_can_go_on_alone():
    together, alone = ([trainer_of("ali", seed, double=True) for seed in range(2)] for _ in range(2))
    played(together, 2)
    for trainer in (*together, *(one for one in alone for _ in range(2))):
        trainer.take_step()
    for trainer in alone:
        trainer.take_step()
    assert [trainer.step for trainer in together] == [3, 3]
    assert_same(together, alone, bitwise=False)


def test_trainings_that_have_moved_go_on_together_with_their_moments():
    together, alone = ([trainer_of("ali", seed, double=True) for seed in range(2)] for _ in range(2))
    for trainer in (*together, *alone):
        trainer.take_step()
        trainer.take_step()
    played(together, 1)
    for trainer in alone:
        trainer.take_step()
    assert_same(together, alone, bitwise=False)


# One backward


@pytest.mark.parametrize(
    ("model", "recipe"), [("ali", "mixture25-paper"), ("gan", "digits"), ("conditional-ali", "digits")]
)
def test_one_backward_serves_both_players_of_all_replicas(monkeypatch, model, recipe):
    passes = []

    def counted(losses, movers):
        passes.append(tuple(movers))
        return per_player(losses, movers)

    per_player = game.per_player
    monkeypatch.setattr(game, "per_player", counted)
    once, twice = (
        [
            trainer_of(
                model,
                seed,
                recipe=recipe,
                double=True,
                overrides={"training.one_backward": one_backward, "game.penalty": "none"},
            )
            for seed in range(3)
        ]
        for one_backward in (True, False)
    )
    lost = played(once)
    assert passes == []
    assert [numbers(one) for one in played(twice)] == about([numbers(one) for one in lost], 1e-9)
    assert passes == [("critic", "generator")] * (STEPS + 1)  # the rehearsal is one
    assert_same(once, twice, bitwise=False)


# A replica that diverges


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("model", ["ali", "vae"])
def test_a_replica_that_is_no_number_leaves_the_others_as_they_are(model, number):
    sick, well = ([trainer_of(model, seed) for seed in range(3)] for _ in range(2))
    for trainers, poison in ((sick, True), (well, False)):
        population = Population(trainers)
        population.take_step()
        if poison:
            with torch.no_grad():
                sick[number].networks.decoder.stack.layers[1][0].weight[3, 4] = math.nan
            frozen = {name: tensor.clone() for name, tensor in sick[number].networks.named_parameters()}
        for _ in range(3):
            population.take_step()
    others = [index for index in range(3) if index != number]
    assert_same([sick[index] for index in others], [well[index] for index in others])
    assert [trainer.fault() is None for trainer in sick] == [index != number for index in range(3)]
    assert sick[number].fault() == Fault(step=2, players=tuple(sick[number].players))
    for name, tensor in sick[number].networks.named_parameters():
        torch.testing.assert_close(tensor, frozen[name], rtol=0, atol=0, equal_nan=True)


def test_a_replica_with_an_enormous_learning_rate_is_the_one_that_diverges():
    sick = [trainer_of("ali", 0), trainer_of("ali", 1, overrides={"training.learning_rate": 1e30})]
    well = [trainer_of("ali", 0), trainer_of("ali", 1)]
    for trainers in (sick, well):
        played(trainers)
    assert_same(sick[:1], well[:1])
    assert sick[0].fault() is None
    assert sick[1].fault().step == 2


# What cannot be played together


@dataclass(frozen=True, kw_only=True)
class Asking(ALI):
    """ALI that asks the host for a loss, after all networks have run."""

    name: ClassVar[str] = "asking"

    def losses(self, networks, batch, movers):
        found = super().losses(networks, batch, movers)
        found.watch["asked"] = torch.tensor(found.players["critic"].item())
        return found


@dataclass(frozen=True, kw_only=True)
class Branching(GAN):
    """GAN whose generator loss depends on a branch that a tensor decides."""

    name: ClassVar[str] = "branching"

    def generator_loss(self, networks, batch, round):
        found = super().generator_loss(networks, batch, round)
        return found if found > 0 else 2 * found


def third_party(game, seed):
    return remade(trainer_of("ali", seed), game=game)


UNFIT = {
    "asking": (lambda seed: third_party(Asking(), seed), r"RuntimeError: .*\.item\(\)"),
    "branching": (lambda seed: third_party(Branching(), seed), "RuntimeError: .*data-dependent control flow"),
}


def traces(trainers):
    """Return copies of the random state and of everything that a population could have changed."""
    states = [flat(trainer) for trainer in trainers]
    return states, torch.get_rng_state(), [trainer.step for trainer in trainers]


def assert_no_trace(before, after):
    for one, other in zip(before[0], after[0], strict=True):
        changed = [name for name, tensor in one.items() if not torch.equal(other[name], tensor)]
        assert changed == []
    assert torch.equal(before[1], after[1])
    assert before[2] == after[2]


@pytest.mark.parametrize("what", UNFIT)
def test_an_obstacle_is_named(what):
    make, cause = UNFIT[what]
    population = Population([make(seed) for seed in range(2)])
    obstacle = population.obstacle()
    assert obstacle is not None
    assert "\n" not in obstacle
    assert re.match(cause, obstacle)
    with pytest.raises(RuntimeError, match=cause.partition(": ")[2]):
        population.take_step()


def test_replicas_at_different_steps_are_an_obstacle():
    trainers = [trainer_of("ali", seed) for seed in range(2)]
    trainers[1].take_step()
    assert difference(trainers) == "they are at different steps, 0 and 1"


@pytest.mark.parametrize("model", ["ali", "vae", "conditional-ali"])
def test_looking_for_an_obstacle_leaves_no_trace(model):
    trainers = [trainer_of(model, seed) for seed in range(3)]
    before = traces(trainers)
    assert Population(trainers).obstacle() is None
    assert_no_trace(before, traces(trainers))


@pytest.mark.parametrize("what", UNFIT)
def test_an_obstacle_leaves_no_trace(what):
    trainers = [UNFIT[what][0](seed) for seed in range(3)]
    before = traces(trainers)
    assert Population(trainers).obstacle() is not None
    assert_no_trace(before, traces(trainers))


@pytest.mark.parametrize("what", UNFIT)
def test_after_an_obstacle_every_one_is_trained_alone_as_if_nothing_had_been_tried(what):
    tried, untried = ([UNFIT[what][0](seed) for seed in range(2)] for _ in range(2))
    assert Population(tried).obstacle() is not None
    for trainer in (*tried, *untried):
        for _ in range(3):
            trainer.take_step()
    assert_same(tried, untried)


# Dropout

DROPPING = {"architecture.dropout": 0.5}


def critic_of(trainer):
    return trainer.networks.critic.state_dict()


def test_replicas_draw_masks_of_their_own():
    twins = [trainer_of("ali", 0, recipe="digits", overrides=DROPPING) for _ in range(2)]
    plain = [trainer_of("ali", 0, recipe="digits") for _ in range(2)]
    (first,), (second,) = played(twins, 1)
    assert first.players["critic"].item() != second.players["critic"].item()
    (first,), (second,) = played(plain, 1)
    assert first.players["critic"].item() == second.players["critic"].item()


def test_masks_are_a_function_of_seed_and_step():
    def after(*steps):
        trainers = [trainer_of("ali", seed, recipe="digits", overrides=DROPPING) for seed in range(2)]
        population = Population(trainers)
        for some in steps:
            torch.manual_seed(some)
            for _ in range(some):
                population.take_step()
        return trainers

    assert_same(after(4), after(1, 3))


# Runs


def together(folder, seeds=(0, 1), *, model="ali", steps=4, callback=Callback, recipe="mixture25", **overrides):
    """Train runs that are named after their seeds, and return how they ended, by seed."""
    trainings = [
        {
            "model": model,
            "recipe": recipe,
            "seed": seed,
            "steps": steps,
            "overrides": {key: value for key, value in TOY.items() if key != "training.steps"} | overrides,
            "run": folder / f"s{seed}",
        }
        for seed in seeds
    ]
    ends = train_together([TrainingRequest(**training, device="cpu") for training in trainings], callback=callback)
    assert list(ends) == [folder / f"s{seed}" for seed in seeds]
    return dict(zip(seeds, ends.values(), strict=True))


def tensors_of(path):
    return files_of(path, Run(path).step)


@pytest.fixture
def unmeasured(monkeypatch):
    """Leave out the evaluations, which take most of the time of so short a run."""
    monkeypatch.setattr(Engine, "_measure", lambda engine: None)


@pytest.fixture
def unbatchable(monkeypatch):
    """Have GAN ask the host for a number, which no batched program can."""
    q = GAN.q

    def asking(game, networks, batch):
        assert batch.x.abs().max().item() < 100
        return q(game, networks, batch)

    monkeypatch.setattr(GAN, "q", asking)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder of two runs that were trained together for 6 steps."""
    folder = tmp_path_factory.mktemp("whole")
    assert together(folder, steps=6) == {0: None, 1: None}
    return folder


def test_runs_trained_together_are_ordinary_runs(whole):
    for seed in range(2):
        run = Run(whole / f"s{seed}")
        assert run.record.seed == seed
        assert run.record.execution == "eager"
        assert [entry["step"] for entry in run.read_log()] == [2, 4, 6]
        assert sorted(one.name for one in run.checkpoints.iterdir()) == ["step-0000004", "step-0000006"]
        assert {score["metric"] for score in run.scores} >= {"modes", "reconstruction"}
        assert {score["step"] for score in run.scores} == {6}
        assert (run.path / "samples" / "0000006.png").is_file()
        assert genzoo.load(run).sample(3, seed=0).shape == (3, 2)
    assert Run(whole / "s0").scores != Run(whole / "s1").scores


def test_a_run_trained_together_is_that_trained_alone_to_rounding(whole, tmp_path):
    alone = genzoo.train(
        "ali", seed=1, steps=6, overrides=TOY | {"training.steps": 6}, device="cpu", run=tmp_path / "s"
    )
    ours, theirs = (entries[-1]["losses"] for entries in (Run(whole / "s1").read_log(), alone.read_log()))
    assert ours == pytest.approx(theirs, rel=1e-4)
    ours = Run(whole / "s1").record
    other = {"created": ours.created, "overrides": ours.overrides, "sessions": ours.sessions, "identity": ours.identity}
    assert ours == replace(alone.record, **other)
    (session,) = alone.record.sessions
    assert [replace(other, began=session.began) for other in ours.sessions] == [session]


def test_resume_continues_one_of_them_alone(tmp_path, unmeasured):
    together(tmp_path, steps=4)
    run = genzoo.resume(tmp_path / "s1", steps=6, device="cpu")
    assert run.step == 6
    assert Run(tmp_path / "s0").step == 4


def test_finished_runs_go_on_together_to_more_steps(tmp_path, unmeasured):
    together(tmp_path, steps=4)
    assert together(tmp_path, steps=6) == {0: None, 1: None}
    assert [Run(tmp_path / f"s{seed}").step for seed in range(2)] == [6, 6]


def test_an_interrupted_population_is_saved_at_one_step_and_goes_on_to_the_same_bits(whole, tmp_path, unmeasured):
    ends = together(tmp_path, steps=6, callback=lambda: StopAt(3))
    assert [type(end) for end in ends.values()] == [InterruptedRun] * 2
    assert [end.exit_code for end in ends.values()] == [130] * 2
    assert [Run(tmp_path / f"s{seed}").step for seed in range(2)] == [3, 3]
    assert together(tmp_path, steps=6) == {0: None, 1: None}
    for seed in range(2):
        assert tensors_of(tmp_path / f"s{seed}") == tensors_of(whole / f"s{seed}")


def test_a_signal_that_comes_between_two_replicas_still_saves_all(tmp_path, unmeasured):
    watchers = iter([Callback(), StopAt(3)])  # the signal comes when the first replica has been asked
    ends = together(tmp_path, steps=6, callback=lambda: next(watchers))
    assert [type(end) for end in ends.values()] == [InterruptedRun] * 2
    assert len({Run(tmp_path / f"s{seed}").step for seed in range(2)}) == 1


def test_a_replica_that_diverges_is_reported_and_the_others_finish(tmp_path):
    trainings = [
        {"model": "ali", "seed": seed, "overrides": TOY | {"training.learning_rate": rate}, "run": tmp_path / name}
        for seed, (name, rate) in enumerate([("tame", 1e-3), ("wild", 1e30), ("other", 1e-4)])
    ]
    ends = train_together([TrainingRequest(**training, device="cpu") for training in trainings])
    assert [type(end) for end in ends.values()] == [type(None), DivergedError, type(None)]
    assert "non-finite in step 2" in str(ends[tmp_path / "wild"])
    assert [Run(tmp_path / name).step for name in ("tame", "wild", "other")] == [4, 0, 4]
    assert Run(tmp_path / "tame").scores
    assert not Run(tmp_path / "wild").scores
    assert Run(tmp_path / "wild").read_log()[-1]["diverged"]["step"] == 2


def test_what_cannot_be_played_together_is_trained_in_turn_with_one_warning(tmp_path, unmeasured, unbatchable):
    with pytest.warns(GenzooWarning, match="2 runs are trained one after the other and not together: Runtime") as said:
        ends = together(tmp_path / "both", model="gan")
    assert len([one for one in said if issubclass(one.category, GenzooWarning)]) == 1
    assert ends == {0: None, 1: None}
    alone = genzoo.train("gan", seed=1, overrides=TOY, device="cpu", run=tmp_path / "alone")
    assert tensors_of(tmp_path / "both" / "s1") == tensors_of(alone.path)


def test_a_signal_stops_what_is_trained_in_turn(tmp_path, unmeasured, unbatchable):
    with pytest.warns(GenzooWarning, match="one after the other"):
        ends = together(tmp_path, model="gan", callback=lambda: StopAt(3))
    assert type(ends[0]) is InterruptedRun
    assert Run(tmp_path / "s0").step == 3


UNLIKE = {
    "another model": {"model": "gan", "overrides": TOY},
    "another objective": {"model": "ali", "overrides": TOY | {"game.objective": "hinge"}},
    "another schedule": {"model": "ali", "overrides": TOY | {"game.schedule": "alternating"}},
    "another precision": {"model": "ali", "overrides": TOY, "precision": "bf16"},
    "another batch size": {"model": "ali", "overrides": TOY | {"training.batch_size": 16}},
    "other networks": {"model": "ali", "overrides": TOY | {"architecture.latent": 3}},
    "more steps": {"model": "ali", "overrides": TOY, "steps": 6},
    "fewer steps": {"model": "ali", "overrides": TOY, "steps": 2},
}


@pytest.mark.parametrize("what", list(UNLIKE))
def test_what_is_not_alike_is_trained_in_turn(tmp_path, unmeasured, what):
    first, second = {"model": "ali", "overrides": TOY, "run": tmp_path / "a"}, UNLIKE[what] | {"run": tmp_path / "b"}
    with pytest.warns(GenzooWarning, match="2 runs are trained one after the other"):
        ends = train_together([TrainingRequest(**training, device="cpu") for training in (first, second)])
    assert list(ends.values()) == [None, None]
    for training in (first, second):
        alone = genzoo.train(**training | {"run": tmp_path / "alone" / training["run"].name}, device="cpu")
        assert alone.step == training.get("steps", 4)
        assert tensors_of(alone.path) == tensors_of(training["run"])
