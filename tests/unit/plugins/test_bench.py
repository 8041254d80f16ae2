"""`genzoo bench`: what it counts, what it times, that the loops by hand are right, and commands that plugins bring."""

import copy
import random
import sys
from functools import partial
from types import SimpleNamespace

import numpy
import pytest
import torch
import trainers
from processes import WITHOUT_TORCH, python, python_path
from sites import HOOKS, Site
from torch.nn.functional import softplus

import genzoo
from genzoo import Joint
from genzoo.data.dataset import random_split
from genzoo.evaluation import step_flops
from genzoo.host.discovery import registry
from genzoo.nn.table_modules import Stack
from genzoo.training.batches import map_tensors
from genzoo.training.execution import WARM_UP
from genzoo.types import DataSpec, Split
from genzoo_bench import benchmark, command, measuring
from genzoo_bench.benchmark import _start
from genzoo_bench.eager_alternating import EagerAlternating
from genzoo_bench.eager_same_maths import EagerSameMaths
from genzoo_bench.loop import Rows
from genzoo_bench.measuring import Rates, quartiles, synchronisations
from genzoo_gan.wgan_gp import WGANGP

CPU = torch.device("cpu")
new_trainer = partial(trainers.new_trainer, device="cpu")
LOOPS = ("eager-alternating", "eager-same-maths")
SMALL = {"training.batch_size": 8}
CALM = SMALL | {"architecture.dropout": 0.0, "training.averaging": "none"}
PLAIN = {"game.objective": "non-saturating", "game.penalty": "none"}
"""Small, and nothing drawn inside the networks: for recipes whose networks drop out."""


# What a step costs

# (encoder, decoder, critic) per row or pair, as derived from the paper's tables.
MACS = {
    ("ali", "cifar10"): (31_340_032, 48_513_024, 17_659_904),
    ("ali", "svhn"): (31_536_640, 49_299_456, 33_503_744),
    ("ali", "celeba64"): (532_816_640, 1_862_926_336, 541_207_296),
    ("ali", "tinyimagenet64"): (117_902_336, 173_998_080, 143_072_256),
    ("ali", "mixture25-paper"): (162_400, 481_600, 404_200),
    ("gan", "mixture25-paper"): (0, 481_600, 402_200),
}
BATCH = 2


def per_pair(model, recipe):
    encoder, decoder, critic = MACS[model, recipe]
    return encoder + decoder + 2 * critic


def first_rows(part):
    """Return the multiply-accumulates per row of a network's first linear maps, one for each of its inputs."""
    if part is None:
        return 0
    stacks = [module for module in part.modules() if isinstance(module, Stack)]
    return stacks[0].cards[0].macs


def flops(model, recipe, batch, networks):
    """Return the FLOPs of a step with one backward pass: forward, and by weights and inputs but of data and noise."""
    without = first_rows(networks.encoder) + first_rows(networks.decoder)
    return 2 * batch * (3 * per_pair(model, recipe) - without)


@pytest.mark.parametrize(
    ("model", "recipe"), [("ali", "mixture25-paper"), ("gan", "mixture25-paper"), ("ali", "cifar10")]
)
def test_a_step_with_one_backward_pass_multiplies_as_often_as_its_tables_say(model, recipe):
    trainer = new_trainer(model, recipe=recipe, overrides={"training.batch_size": BATCH})
    assert step_flops(trainer) == flops(model, recipe, BATCH, trainer.networks)


def test_a_step_with_a_pass_per_player_goes_through_the_critic_twice():
    trainer = new_trainer("ali", recipe="svhn", overrides={"training.batch_size": BATCH})
    encoder, decoder, critic = MACS["ali", "svhn"]
    trunks = [module for module in trainer.networks.critic.modules() if isinstance(module, Stack)]
    inputs = [trunk.cards[0].macs for trunk in trunks if trunk.given in ((3, 32, 32), (trainer.settings.latent, 1, 1))]
    forward = encoder + decoder + 2 * critic
    by_critic = 2 * (2 * critic - sum(inputs))
    by_generator = (
        2 * critic
        + 2 * (encoder + decoder)
        - sum(map(first_rows, (trainer.networks.encoder, trainer.networks.decoder)))
    )
    assert step_flops(trainer) == 2 * BATCH * (forward + by_critic + by_generator)


def random_state():
    return random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def test_counting_a_step_leaves_no_trace():
    trainer, twin = (new_trainer("ali", recipe="digits", overrides=SMALL) for _ in range(2))
    before, states = copy.deepcopy(trainer.state()), random_state()
    step_flops(trainer)
    assert random_state() == states
    assert all(parameter.grad is None for parameter in trainer.networks.parameters())
    assert not any(module._forward_pre_hooks for module in trainer.networks.modules())
    assert_same(trainer.state(), before)
    for _ in range(3):
        trainer.take_step()
        twin.take_step()
    assert_same(trainer.state(), twin.state())


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for file, tensors in expected.items():
        assert found[file].keys() == tensors.keys()
        assert all(torch.equal(found[file][name], tensor) for name, tensor in tensors.items())


# The command


@pytest.fixture
def bench(say, monkeypatch):
    """Return a function that runs `genzoo bench` without its warm-up, on a machine of 1 GFLOP/s."""
    monkeypatch.setattr(benchmark, "peak_flops", lambda device, dtype: 1e9)
    monkeypatch.setattr(Rates, "warm_up", lambda self, seconds: 0.01)

    def call(model, *arguments, batch=8, steps=2):
        chosen = ("--steps", steps, "--set", f"training.batch_size={batch}", "--device", "cpu")
        return say("bench", model, *chosen, *arguments)

    return call


def assert_sound(found, *, batch):
    """Check the arithmetic between the numbers of a document."""
    assert found["batch_size"] == batch
    assert found["steps_per_second"] > 0
    assert found["images_per_second"] == pytest.approx(batch * found["steps_per_second"])
    assert found["flops_per_second"] == pytest.approx(found["flops_per_step"] * found["steps_per_second"])
    assert found["utilisation"] == pytest.approx(found["flops_per_second"] / found["peak_flops_per_second"])
    assert found["memory_bytes"] > 2**20
    for one in found["baselines"].values():
        low, middle, high = one["ratio_quartiles"]
        assert 0 < low <= middle <= high
        assert one["ratio"] == middle
        assert one["images_per_second"] == pytest.approx(batch * one["steps_per_second"])


def test_bench_prints_one_document_and_leaves_nothing_behind(say, tmp_path):
    settings = ("--recipe", "mixture25-paper", "--set", "training.batch_size=4")
    said = say("bench", "ali", *settings, "--steps", 5, "--device", "cpu", "--json")
    found = said.document
    assert (found["model"], found["recipe"], found["x"], found["blocks"]) == ("ali", "mixture25-paper", [2], 5)
    assert (found["device"], found["precision"], found["execution"]) == ("cpu", "fp32", "eager")
    assert found["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    networks = new_trainer("ali", recipe="mixture25-paper").networks
    assert found["flops_per_step"] == flops("ali", "mixture25-paper", 4, networks)
    assert found["peak_flops_per_second"] > found["flops_per_second"]
    assert found["syncs_per_step"] == 0
    assert tuple(found["baselines"]) == LOOPS
    assert_sound(found, batch=4)
    assert said.err == f"timing engine, {', '.join(LOOPS)} over 5 steps each, after a warm-up\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "recipe"), [("ali", "digits"), ("gan", "mixture25-paper"), ("conditional-ali", "digits")]
)
def test_every_recipe_and_adversarial_model_can_be_benched(bench, model, recipe):
    plain = ("--set", "game.objective=non-saturating", "--set", "game.penalty=none") if recipe == "digits" else ()
    found = bench(model, "--recipe", recipe, *plain, "--json").document
    assert (found["model"], found["recipe"]) == (model, recipe)
    assert found["x"] == ([1, 8, 8] if recipe == "digits" else [2])
    assert tuple(found["baselines"]) == LOOPS
    assert_sound(found, batch=8)


def test_without_json_a_table_says_the_same(bench):
    said = bench("gan", "--recipe", "mixture25-paper", batch=4)
    assert said.code == 0
    first, _, *rows = said.out.splitlines()
    assert first.startswith("gan on mixture25-paper: batch 4, cpu, ")
    assert [row.split()[0] for row in rows[:3]] == ["engine", *LOOPS]
    assert "of 2 blocks" in rows[1]
    count = flops("gan", "mixture25-paper", 4, new_trainer("gan", recipe="mixture25-paper").networks)
    assert f"FLOPs per step: {count:.3g}" in said.out
    assert "host synchronisations per step: 0 " in said.out


def test_a_terminal_folds_the_table_at_spaces_and_below_its_last_column():
    row = f"{'eager':18}{'–':>10}{'–':>11}   it has losses that this loop by hand does not have"
    first, second = command._folded(row, 70).splitlines()
    assert second == " " * row.index("it has") + row[len(first) :].strip()
    assert command._folded("FLOPs per step: 2.66e+08", 20) == "FLOPs per step:\n2.66e+08"


@pytest.mark.parametrize("loop", LOOPS)
def test_one_loop_by_hand_may_be_chosen(bench, loop):
    assert list(bench("gan", "--against", loop, "--json").document["baselines"]) == [loop]


def test_what_has_no_critic_is_not_played_in_turns_and_the_reason_is_said(bench):
    found = bench("vae", "--json").document
    assert found["baselines"]["eager-alternating"] == {"obstacle": "it has no critic"}
    assert found["baselines"]["eager-same-maths"]["ratio"] > 0
    (row,) = [line for line in bench("vae").out.splitlines() if line.startswith("eager-alternating")]
    assert row.endswith("it has no critic")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["alli"], "did you mean 'ali'?"),
        (["ali", "--recipe", "mixtur25"], "did you mean 'mixture25'?"),
        (["ali", "--set", "training.batch_size"], "PATH=VALUE"),
        (["ali", "--set", "training.batchsize=3"], "training.batch_size"),
        (["ali", "--set", "training.batch_size=0"], "at least 1"),
        (["ali", "--steps", "0"], "--steps"),
        (["ali", "--steps", "-3"], "--steps"),
        (["ali", "--against", "eager"], "eager-alternating"),
        (["ali", "--device", "tpu"], "tpu"),
        ([], "MODEL"),
    ],
    ids=" ".join,
)
def test_bad_input_is_refused_and_leaves_nothing_behind(say, tmp_path, arguments, expected):
    said = say("bench", *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: ")
    assert expected in said.err
    assert 1 <= len(said.err.splitlines()) <= 3
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_needs_another_run_is_refused_without_a_useless_remedy(say):
    said = say("bench", "post-hoc-ali")
    assert said.code == 2
    assert "another run" in said.err
    assert "--from" not in said.err


class Noted(Rates):
    """Rates of contestants that were never asked to run."""

    last = None

    def warm_up(self, seconds):
        return 0.25

    def measure(self, *, blocks, steps):
        Noted.last, self.blocks = self, {name: [1.0] for name in self._contestants}
        self.asked = blocks, steps


def prepared(monkeypatch, model="ali", steps=None, **overrides):
    """Return what a benchmark would have timed."""
    monkeypatch.setattr(benchmark, "Rates", Noted)
    monkeypatch.setattr(benchmark, "peak_flops", lambda device, dtype: 1e9)
    benchmark.benchmark(
        model,
        recipe="mixture25-paper",
        steps=steps,
        overrides=SMALL | overrides,
        device="cpu",
        precision="fp32",
        execution="eager",
        against=LOOPS,
        say=lambda line: None,
    )
    return Noted.last


def test_memory_and_waits_are_those_of_steps_after_a_capture(monkeypatch):
    taken = {}

    def waits(engine, device, *, steps):
        taken["engine"] = engine
        taken["waits"] = engine.step
        return 0.0

    def memory(device):
        taken["memory"] = taken["engine"].step
        return 2**20

    monkeypatch.setattr(benchmark, "synchronisations", waits)
    monkeypatch.setattr(benchmark, "peak_memory", memory)
    benchmark.benchmark(
        "gan",
        recipe="mixture25-paper",
        steps=1,
        overrides=SMALL,
        device="cpu",
        precision="fp32",
        execution="eager",
        against=(),
        say=lambda line: None,
    )
    assert min(taken["waits"], taken["memory"]) > WARM_UP


@pytest.mark.parametrize(
    ("steps", "asked"),
    [(1, (1, 1)), (5, (5, 1)), (10, (10, 1)), (12, (10, 2)), (100, (10, 10)), (None, (10, 4))],
)
def test_steps_are_timed_in_ten_blocks_at_most_and_of_a_second_each_by_default(monkeypatch, steps, asked):
    assert prepared(monkeypatch, "gan", steps).asked == asked


def test_loops_begin_with_the_weights_that_the_engine_begins_with(monkeypatch):
    found = prepared(monkeypatch, steps=1)._contestants["eager-same-maths"]._networks
    expected = new_trainer("ali", recipe="mixture25-paper", overrides=SMALL).networks
    for name, parameter in expected.named_parameters():
        assert torch.equal(found.get_parameter(name), parameter), name


# Loops by hand are right


def exact(model, recipe="mixture25-paper", **overrides):
    """Return a trainer that computes in float64 and draws nothing inside its networks."""
    chosen = SMALL if recipe == "mixture25-paper" else CALM if "vae" in model else CALM | PLAIN
    trainer = new_trainer(model, recipe=recipe, overrides=chosen | overrides)
    trainer.networks.double()
    trainer.build_optimizers()
    single = trainer.stream.batch
    trainer.stream.batch = lambda step: map_tensors(torch.Tensor.double, single(step))
    return trainer


def fed(loop, engine, steps):
    """Give a loop the batches of the engine's next steps."""
    loop._rows.draw = iter([engine.stream.batch(engine.step + step) for step in range(steps)]).__next__
    return loop


def assert_close(found, expected):
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-10, msg=lambda text, name=name: name + text)


CASES = [
    ("ali", "mixture25-paper"),
    ("gan", "mixture25-paper"),
    ("vae", "mixture25-paper"),
    ("ali", "digits"),
    ("vae", "digits"),
    ("conditional-ali", "digits"),
    ("conditional-vae", "digits"),
]


@pytest.mark.parametrize(("model", "recipe"), CASES)
def test_eager_same_maths_takes_the_engines_steps(model, recipe):
    engine = exact(model, recipe)
    loop = fed(EagerSameMaths(_start(engine)), engine, 3)
    began = copy.deepcopy(engine.networks.state_dict())
    losses = [engine.take_step().players for _ in range(3)]
    for _ in range(3):
        loop.take_step()
    assert_close(loop._networks.state_dict(), engine.networks.state_dict())
    for mine, theirs in zip(loop.losses, losses, strict=True):
        assert_close(mine, theirs)
    assert any(not torch.equal(began[name], value) for name, value in engine.networks.state_dict().items())


def test_eager_same_maths_follows_the_schedule():
    engine = exact("gan", **{"game.schedule": "alternating"})
    loop = fed(EagerSameMaths(_start(engine)), engine, 2)
    for _ in range(2):
        engine.take_step()
        loop.take_step()
    assert_close(loop._networks.state_dict(), engine.networks.state_dict())


class Moments:
    """Adam as its paper writes it."""

    def __init__(self, parameters, chosen, epsilon):
        self._parameters, self._chosen, self._epsilon = list(parameters), chosen, epsilon
        self._first = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._second = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._step = 0

    def descend(self, loss):
        gradients = torch.autograd.grad(loss, self._parameters)
        self._step += 1
        b1, b2 = self._chosen.beta1, self._chosen.beta2
        with torch.no_grad():
            for place, gradient in enumerate(gradients):
                self._first[place] = b1 * self._first[place] + (1 - b1) * gradient
                self._second[place] = b2 * self._second[place] + (1 - b2) * gradient**2
                mean = self._first[place] / (1 - b1**self._step)
                deviation = (self._second[place] / (1 - b2**self._step)).sqrt()
                self._parameters[place] -= self._chosen.learning_rate * mean / (deviation + self._epsilon)


def losses_by_hand(networks, q, p):
    """Return the critic's and the generator's non-saturating loss, each side judged on its own."""
    on_q, on_p = networks.judge(q).logits, networks.judge(p).logits
    return (softplus(-on_q) + softplus(on_p)).mean(), (softplus(on_q) + softplus(-on_p)).mean()


@pytest.mark.parametrize("model", ["ali", "gan"])
def test_eager_alternating_moves_the_generator_against_the_moved_critic(model):
    engine = exact(model)
    training = engine.settings.training
    loop = fed(EagerAlternating(_start(engine)), engine, 3)
    networks = copy.deepcopy(engine.networks)
    critic = Moments(networks.critic.parameters(), training.of("critic"), training.epsilon)
    others = [parameter for name, parameter in networks.named_parameters() if not name.startswith("critic.")]
    generator = Moments(others, training.of("generator"), training.epsilon)
    expected = []
    for step in range(3):
        batch = engine.stream.batch(step)
        q, p = Joint(x=batch.x), Joint(x=networks.decode(batch.z))
        if model == "ali":
            q, p = q._replace(z=networks.encode(batch.x, batch.noise).z), p._replace(z=batch.z)
        critic_loss, before = losses_by_hand(networks, q, p)
        critic.descend(critic_loss)
        _, generator_loss = losses_by_hand(networks, q, p)
        generator.descend(generator_loss)
        assert before.item() != generator_loss.item()
        expected += [critic_loss.item(), generator_loss.item()]
        loop.take_step()
    assert [value for pair in loop.losses for value in pair] == pytest.approx(expected, rel=1e-9)
    assert [[type(value) for value in pair] for pair in loop.losses] == [[float, float]] * 3
    assert_close(loop._networks.state_dict(), networks.state_dict())


def test_a_critic_with_a_loss_of_its_own_is_played_with_it_or_not_at_all():
    if EagerAlternating.obstacle(WGANGP()) is None:
        first = {}
        for penalty in (0.0, 1e6):
            engine = exact("wgan-gp", **{"game.penalty": penalty})
            loop = fed(EagerAlternating(_start(engine)), engine, 1)
            loop.take_step()
            first[penalty] = loop.losses[0][0]
        assert first[0.0] != first[1e6]


def test_batches_by_hand_are_shuffled_rows_of_which_an_epoch_holds_each_once():
    engine = new_trainer("conditional-ali", recipe="digits", overrides=SMALL)
    split = engine.stream.split
    rows = Rows(_start(engine))
    batches = [rows.draw() for _ in range(len(split.x) // 8)]
    drawn, stored = torch.cat([batch.x for batch in batches]), genzoo.data.as_input(split.x)
    assert drawn.dtype == torch.float32
    assert not torch.equal(drawn, stored)
    assert sorted(drawn.flatten(1).tolist()) == sorted(stored.flatten(1).tolist())
    conditions = genzoo.data.condition(split.labels, engine.settings.dataset.spec)
    for x, y in zip(drawn, torch.cat([batch.y for batch in batches]), strict=True):
        assert y.tolist() in conditions[(stored == x).flatten(1).all(1)].tolist()
    assert all(batch.z.shape == batch.noise.shape == (8, 16) for batch in batches)


# Host synchronisations


@pytest.mark.parametrize("model", ["ali", "gan", "vae"])
def test_neither_the_engine_nor_its_mathematics_by_hand_wait_for_the_device(model):
    engine = new_trainer(model, overrides=SMALL)
    assert synchronisations(engine, CPU, steps=3) == 0
    assert synchronisations(EagerSameMaths(_start(engine)), CPU, steps=3) == 0


@pytest.mark.parametrize("model", ["ali", "gan"])
def test_the_loop_of_a_tutorial_waits_for_its_two_losses(model):
    loop = EagerAlternating(_start(new_trainer(model, overrides=SMALL)))
    for optimizer in loop._optimizers.values():
        optimizer.step = lambda: None  # torch's default Adam reads counts that it keeps on the host
    assert synchronisations(loop, CPU, steps=3) == 2


def test_the_loop_of_a_tutorial_waits_for_nothing_but_its_two_losses():
    loop = EagerAlternating(_start(new_trainer("gan", overrides=SMALL)))
    assert synchronisations(loop, CPU, steps=3) == 2


NUMBERS = torch.tensor([1.0, 0.0, -2.0])
WAITS = {
    "item": (lambda: NUMBERS[0].item(), 1),
    "float": (lambda: float(NUMBERS.sum()), 1),
    "truth": (lambda: bool((NUMBERS > 0).any()), 1),
    "nonzero": (lambda: NUMBERS.nonzero(), 1),
    "where": (lambda: torch.where(NUMBERS > 0), 1),
    "masked_select": (lambda: NUMBERS.masked_select(NUMBERS > 0), 1),
    "equal": (lambda: torch.equal(NUMBERS, NUMBERS + 1), 1),
    "both": (lambda: (NUMBERS[0].item(), NUMBERS.nonzero()), 2),
    "nothing": (lambda: NUMBERS.relu() @ NUMBERS, 0),
}


@pytest.mark.parametrize("kind", WAITS)
def test_what_the_host_waits_for_is_counted_per_step(kind):
    rule, expected = WAITS[kind]
    assert synchronisations(SimpleNamespace(take_step=rule), CPU, steps=4) == expected


def test_indexing_with_a_mask_counts_as_a_wait():
    assert synchronisations(SimpleNamespace(take_step=lambda: NUMBERS[NUMBERS > 0]), CPU, steps=4) == 1


# Rates


class Clock:
    """A time that passes only while a runner runs."""

    def __init__(self):
        self.now, self.turns = 0.0, []

    def perf_counter(self):
        return self.now

    def runner(self, name, *seconds):
        """Return a contestant whose steps take these seconds, the last of them ever after."""
        coming = list(seconds)

        def take_step():
            self.turns.append(name)
            self.now += coming.pop(0) if len(coming) > 1 else coming[0]

        return SimpleNamespace(take_step=take_step)


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(measuring, "time", found)
    return found


def test_rates_are_steps_by_seconds_and_their_ratio_is_taken_block_by_block(clock):
    ours = clock.runner("ours", 0.25, 0.75, 1.0, 1.0, 0.25, 0.25, 0.5, 0.5)
    theirs = clock.runner("theirs", 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5)
    rates = Rates({"ours": ours, "theirs": theirs}, CPU)
    rates.measure(blocks=4, steps=2)
    assert rates.blocks == {"ours": [2.0, 1.0, 4.0, 2.0], "theirs": [1.0, 1.0, 1.0, 2.0]}
    assert (rates.median("ours"), rates.median("theirs")) == (2.0, 1.0)
    # Of 1, 1, 2 and 4, the lower quartile lies between the first two, the upper a quarter of the way from 2 to 4.
    assert rates.ratio("ours", "theirs") == [1.0, 1.5, 2 + (4 - 2) / 4]
    assert rates.ratio("theirs", "ours") == [1 / 4 + (1 / 2 - 1 / 4) * 3 / 4, (1 / 2 + 1) / 2, 1.0]


def test_contestants_take_turns_in_an_order_that_is_turned_round_every_time(clock):
    rates = Rates({name: clock.runner(name, 1.0) for name in "abc"}, CPU)
    rates.measure(blocks=4, steps=1)
    turns = ["".join(clock.turns[place : place + 3]) for place in range(0, 12, 3)]
    assert turns in (["abc", "cba"] * 2, ["cba", "abc"] * 2)
    assert {name: len(found) for name, found in rates.blocks.items()} == {"a": 4, "b": 4, "c": 4}


def test_a_block_is_as_many_steps_as_asked_for(clock):
    rates = Rates({"a": clock.runner("a", 0.5), "b": clock.runner("b", 2.0)}, CPU)
    rates.measure(blocks=2, steps=3)
    assert "".join(clock.turns) in ("bbbaaaaaabbb", "aaabbbbbbaaa")
    assert rates.blocks == {"a": [2.0, 2.0], "b": [0.5, 0.5]}


def test_a_warm_up_is_bounded_in_steps_and_gives_the_slowest_step(clock):
    seconds = {"slow": 4.0, "middling": 0.25, "fast": 1 / 1024}
    rates = Rates({name: clock.runner(name, value) for name, value in seconds.items()}, CPU)
    assert rates.warm_up(2.0) == 4.0
    taken = {name: clock.turns.count(name) for name in seconds}
    assert taken == {"slow": 4 + 1 + 0, "middling": 4 + 1 + 8, "fast": 4 + 1 + 200}
    assert rates.blocks == {"slow": [], "middling": [], "fast": []}


@pytest.mark.parametrize(
    ("values", "expected"),
    [([3.0], [3.0, 3.0, 3.0]), ([1.0, 2.0], [1.25, 1.5, 1.75]), ([5.0, 1.0, 3.0, 2.0, 4.0], [2.0, 3.0, 4.0])],
)
def test_quartiles(values, expected):
    assert quartiles(values) == expected


def test_what_matrix_products_reach_is_the_best_block_of_the_best_size(monkeypatch):
    reached = iter([[2.0, 3.0], [0.5, 0.25]])
    monkeypatch.setattr(Rates, "warm_up", lambda self, seconds: None)
    monkeypatch.setattr(Rates, "measure", lambda self, **more: self.blocks["product"].extend(next(reached)))
    assert measuring.peak_flops(CPU, "fp32") == max(3.0 * 2 * 1024**3, 0.5 * 2 * 2048**3)


# Random rows, and a trainer of them

SPECS = {
    "unit": DataSpec(shape=(3, 4, 5), support="unit"),
    "real": DataSpec(shape=(2,), support="real"),
    "classes": DataSpec(shape=(1, 2, 2), support="unit", class_names=("cat", "dog", "eel")),
    "attributes": DataSpec(shape=(7,), support="real", attributes=("big", "red")),
}


@pytest.mark.parametrize("kind", SPECS)
def test_random_rows_have_the_shape_and_types_of_the_data(kind):
    spec = SPECS[kind]
    x, labels = random_split(spec, 500)
    assert x.shape == (500, *spec.shape)
    if spec.support == "unit":
        assert x.dtype == torch.uint8
        assert (x.min(), x.max()) == (0, 255)
    else:
        assert x.dtype == torch.float32
        assert abs(x.mean()) < 0.2
        assert abs(x.std() - 1) < 0.1
    if spec.class_names:
        assert labels.dtype == torch.int64
        assert (labels.shape, labels.unique().tolist()) == ((500,), [0, 1, 2])
    elif spec.attributes:
        assert labels.dtype == torch.uint8
        assert (labels.shape, labels.unique().tolist()) == ((500, 2), [0, 1])
    else:
        assert labels is None


@pytest.mark.parametrize("kind", SPECS)
def test_random_rows_are_a_function_of_the_seed_and_disturb_nobody(kind):
    before = random_state()
    one, again, other = (random_split(SPECS[kind], 50, seed=seed) for seed in (4, 4, 5))
    assert random_state() == before
    assert torch.equal(one.x, again.x)
    assert not torch.equal(one.x, other.x)
    if one.labels is not None:
        assert torch.equal(one.labels, again.labels)
        assert not torch.equal(one.labels, other.labels)


def test_a_new_trainer_plays_on_random_rows_at_step_0_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = random_state()
    trainer = new_trainer("ali", recipe="svhn", seed=3, overrides={"training.batch_size": 2, "game.objective": "hinge"})
    assert random_state() == before
    settings, split = trainer.settings, trainer.stream.split
    assert (trainer.step, trainer.seed) == (0, 3)
    assert (settings.dataset.name, settings.training.batch_size, settings.game.objective.name) == ("svhn", 2, "hinge")
    expected = random_split(settings.dataset.spec, 16 * 2, seed=3)
    assert torch.equal(split.x, expected.x)
    assert torch.equal(split.labels, expected.labels)
    assert split.x.shape == (32, 3, 32, 32)
    assert list(tmp_path.iterdir()) == []


def test_a_new_trainer_plays_on_the_rows_it_is_given():
    rows = Split(torch.randn(24, 2, generator=torch.Generator().manual_seed(1)))
    trainer = new_trainer("gan", split=rows, overrides=SMALL)
    trainer.take_step()
    assert trainer.step == 1
    assert trainer.stream.order.steps_per_epoch == 3
    seen = torch.cat([trainer.stream.batch(step).x for step in range(3)])
    assert sorted(seen.tolist()) == sorted(rows.x.tolist())


def test_new_trainers_of_one_seed_begin_alike():
    one, again, other = (new_trainer("ali", seed=seed, overrides=SMALL).state() for seed in (0, 0, 1))
    assert_same(one, again)
    weight = "decoder.stack.layers.0.0.weight"
    assert not torch.equal(one["networks"][weight], other["networks"][weight])


# Commands that plugins bring

GREET = """
import click

@click.command("greet")
@click.argument("whom")
def greet(whom):
    click.echo(f"hello {whom}")
"""


def offering(*commands):
    """Return the source of a plugin that offers commands, given as (name, target, summary)."""
    offers = ", ".join(f"lazy({name!r}, {target!r}, {summary!r})" for name, target, summary in commands)
    return HOOKS + f"@hookimpl\ndef genzoo_commands(): return [{offers}]"


@pytest.fixture
def shop(tmp_path_factory, monkeypatch):
    """Return a folder of distributions that are installed beside genzoo's own."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop_greeting.py").write_text(GREET)
    (folder / "shop_text.py").write_text("greet = 'hello'")
    monkeypatch.syspath_prepend(str(folder))
    registry.cache_clear()
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    registry.cache_clear()


def test_a_plugins_command_is_listed_and_runs(shop, say):
    shop.install("shop-one", offering(("greet", "shop_greeting:greet", "Say hello.")))
    assert ["greet", "Say", "hello."] in [line.split() for line in say("--help").out.splitlines()]
    said = say("greet", "Ada")
    assert (said.code, said.out, said.err) == (0, "hello Ada\n", "")
    assert say("greet", "--help").out.startswith("Usage: genzoo greet [OPTIONS] WHOM")
    assert say("greet").code == 2
    assert "did you mean 'greet'?" in say("gret").err
    listed = {item["name"]: item for item in say("list", "commands", "--json").document["commands"]}
    assert {"greet", "bench"} <= set(listed)
    assert listed["greet"]["distribution"] == "shop-one"


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("shop_nothing:greet", "No module named 'shop_nothing'"),
        ("shop_greeting:nothing", "nothing"),
        ("shop_text:greet", "no click.Command"),
    ],
)
def test_a_command_that_cannot_be_loaded_breaks_only_itself(shop, say, target, cause):
    shop.install("shop-broken", offering(("greet", target, "Say hello.")))
    listed = say("--help")
    assert (listed.code, listed.err) == (0, "")
    assert "Say hello." in listed.out
    assert say("list", "commands").code == 0
    assert say("bench", "--help").code == 0
    said = say("greet", "Ada")
    assert (said.code, said.out) == (4, "")
    assert cause in said.err
    assert len(said.err.splitlines()) <= 3


INSTALLED = {"PYTHONSAFEPATH": "1"}
"""What is installed is found, and not what a build left in the present folder."""


def completed(**environment):
    """Return what a shell gets that asks for the commands, and the names among it."""
    typed = {"_GENZOO_COMPLETE": "bash_complete", "COMP_WORDS": "genzoo ", "COMP_CWORD": "1"}
    found = python(WITHOUT_TORCH, **typed, **INSTALLED, **environment)
    return found, [line.partition(",")[2] for line in found.stdout.splitlines()]


def test_completion_knows_the_commands_of_plugins_and_imports_no_torch():
    found, offered = completed()
    assert {"train", "bench"} <= set(offered)
    assert found.stderr.splitlines()[-1] == "heavy:"


def test_a_command_that_cannot_be_loaded_does_not_break_completion(shop):
    shop.install("shop-broken", offering(("greet", "shop_nothing:greet", "Say hello.")))
    found, offered = completed(PYTHONPATH=python_path(shop.folder))
    assert found.returncode == 0
    assert {"train", "bench"} <= set(offered)


def test_a_built_in_command_is_not_replaced_by_a_plugins(shop, say):
    shop.install("shop-thief", offering(("train", "shop_greeting:greet", "Not what it was.")))
    assert say("train", "--help").out.startswith("Usage: genzoo train ")
    said = say("--help")
    assert said.out.count("\n  train ") == 1
    assert "Not what it was." not in said.out


def test_a_plugin_whose_command_goes_by_a_built_in_ones_name_is_warned_of(shop, say):
    shop.install("shop-thief", offering(("train", "shop_greeting:greet", "Not what it was.")))
    assert "shop-thief" in say("list", "models").err


@pytest.fixture
def twice(shop):
    for distribution in ("shop-one", "shop-two"):
        shop.install(distribution, offering(("greet", "shop_greeting:greet", "Say hello.")))


@pytest.mark.usefixtures("twice")
def test_a_command_that_two_plugins_offer_is_refused_with_both_forms(say):
    said = say("greet", "Ada")
    assert (said.code, said.out) == (4, "")
    assert "two plugins offer the command 'greet'" in said.err
    assert "shop-one:greet" in said.err
    assert "shop-two:greet" in said.err
    assert say("--help").out.count("\n  greet ") == 1


@pytest.mark.usefixtures("twice")
def test_a_command_that_two_plugins_offer_runs_by_its_full_name(say):
    said = say("shop-one:greet", "Ada")
    assert (said.code, said.out) == (0, "hello Ada\n")


def test_an_unknown_command_while_a_plugin_is_broken_is_put_down_to_the_plugin(shop, say):
    shop.install("shop-broken", "raise RuntimeError('out of stock')")
    said = say("greet", "Ada")
    assert said.code == 4
    assert "shop-broken (RuntimeError: out of stock)" in said.err


@pytest.mark.parametrize("offer", ["click.Command('greet')", "Hinge", "'greet'", "None"])
def test_an_offer_that_is_not_lazy_is_a_broken_plugins(shop, say, offer):
    source = f"import click\nfrom genzoo.games.objectives import Hinge\n{HOOKS}"
    shop.install("shop-eager", source + f"@hookimpl\ndef genzoo_commands(): return [{offer}]")
    (broken,) = registry().broken
    assert broken.distribution == "shop-eager"
    assert "expected lazy(…) or a command" in broken.cause
    assert {entry.plugin.distribution for entry in registry().of("commands")} == {"genzoo"}
    assert say("--help").code == 0


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list", "commands"], ["bench", "--help"], ["bench", "ali", "--steps", "0"]], ids=" ".join
)
def test_bench_is_named_without_torch(arguments):
    found = python(WITHOUT_TORCH, *arguments, **INSTALLED)
    assert found.returncode == (2 if "ali" in arguments else 0)
    assert "bench" in found.stdout + found.stderr
    assert found.stderr.splitlines()[-1] == "heavy:"


def test_peak_memory_is_in_bytes_whatever_the_system_counts_in(monkeypatch):
    monkeypatch.setattr(measuring.resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=3 * 2**20))
    for platform, expected in (("linux", 3 * 2**30), ("darwin", 3 * 2**20)):
        monkeypatch.setattr(sys, "platform", platform)
        assert measuring.peak_memory(torch.device("cpu")) == expected
