"""Games: what every player is shown and moved by, and one toy game for each seam of the interface."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from toy_components import (
    RECIPE,
    TRAINING,
    Conditional,
    ToyImageNetworks,
    ToyImages,
    ToyMixture,
    ToyNetworks,
    WithEncoder,
    WithoutEncoder,
    toy_registry,
)
from trainers import changed, parameters_of, settings_of, trainer_of

import genzoo
from genzoo import AdversarialGame, Game, Joint, Losses, Networks, SettingsError
from genzoo.errors import place_of
from genzoo.games import Alternating, Hinge, LeastSquares
from genzoo.host.discovery import registry
from genzoo.host.registry import Entry
from genzoo.nn import (
    Architecture,
    JointCritic,
)
from genzoo.storage.tensors import unpack
from genzoo.training.settings import resolve_settings
from genzoo.types import Batch, Verdict

DATA = ToyMixture()
SMALL = ToyNetworks()


def watched_critic(trainer):
    """Return a list that will hold the joint and the verdict of every call of the critic."""
    calls = []
    trainer.networks.critic.register_forward_hook(lambda _, inputs, verdict: calls.append((inputs[0], verdict)))
    return calls


# What the critic is shown


@pytest.mark.parametrize("game", [WithEncoder(), WithoutEncoder()], ids=lambda game: game.name)
def test_the_critic_is_called_once_per_step_with_twice_the_rows(game):
    trainer = trainer_of(game)
    calls = watched_critic(trainer)
    for step, rows in enumerate([16, 16, 8]):
        trainer.take_step()
        assert len(calls) == step + 1
        joint, verdict = calls[-1]
        assert len(joint.x) == len(verdict.logits) == len(verdict.features) == 2 * rows
        assert joint.y is None


def test_a_critic_of_pairs_sees_data_with_codes_and_then_samples_with_prior_draws():
    trainer = trainer_of(WithEncoder())
    calls = watched_critic(trainer)
    batch = trainer.stream.batch(0)
    trainer.take_step()
    joint = calls[0][0]
    assert torch.equal(joint.x[:16], batch.x)
    assert torch.equal(joint.z[16:], batch.z)
    twin = trainer_of(WithEncoder()).networks
    assert torch.equal(joint.z[:16], twin.encode(batch.x, batch.noise).z)
    assert torch.equal(joint.x[16:], twin.decode(batch.z))


def test_a_critic_of_x_never_sees_z():
    trainer = trainer_of(WithoutEncoder())
    calls = watched_critic(trainer)
    batch = trainer.stream.batch(0)
    trainer.take_step()
    joint = calls[0][0]
    assert joint.z is None
    assert torch.equal(joint.x[:16], batch.x)
    assert trainer.networks.encoder is None
    assert trainer.networks.critic.joint.given == (2,)


def test_a_critic_of_x_is_ruled_by_x_alone_though_z_is_drawn():
    networks, batch = trainer_of(WithoutEncoder()).networks.eval(), trainer_of(WithoutEncoder()).stream.batch(0)
    first = WithoutEncoder().play(networks, batch)
    second = WithoutEncoder().play(networks, batch._replace(z=batch.z + 1))
    assert torch.equal(first.on_q.logits, second.on_q.logits)
    assert not torch.equal(first.on_p.logits, second.on_p.logits)


class Reader(JointCritic):
    """A critic whose logit is the first number of x, and whose features are x."""

    def forward(self, joint):
        return Verdict(logits=joint.x[:, 0], features=joint.x)


@dataclass(frozen=True, kw_only=True)
class Marked(AdversarialGame):
    """A game whose q side is all 3 and whose p side is all −4, or shows what `shows` says."""

    name: ClassVar[str] = "marked"
    q_shows: str = "x"
    p_shows: str = "x"

    def build(self, architecture, data):
        return Networks(critic=Reader())

    def q(self, networks, batch):
        return Joint(**{part: torch.full((len(batch.x), 2), 3.0) for part in self.q_shows})

    def p(self, networks, batch):
        return Joint(**{part: torch.full((len(batch.x), 2), -4.0) for part in self.p_shows})


BATCH = Batch(x=torch.zeros(5, 2), z=torch.zeros(5, 2), noise=torch.zeros(5, 2))


def test_the_verdicts_of_a_round_belong_to_their_sides():
    game = Marked()
    networks = game.build(SMALL, DATA.spec)
    round = game.play(networks, BATCH)
    assert round.on_q.logits.tolist() == [3.0] * 5
    assert round.on_p.logits.tolist() == [-4.0] * 5
    assert round.on_q.features.tolist() == round.q.x.tolist() == [[3.0, 3.0]] * 5
    assert round.on_p.features.tolist() == round.p.x.tolist() == [[-4.0, -4.0]] * 5
    losses = game.losses(networks, BATCH, ("critic", "generator"))
    assert losses.players["critic"].item() == pytest.approx(math.log1p(math.exp(-3)) + math.log1p(math.exp(-4)))
    assert losses.players["generator"].item() == pytest.approx(math.log1p(math.exp(3)) + math.log1p(math.exp(4)))
    assert losses.watch["data_accuracy"].item() == pytest.approx(1 / (1 + math.exp(-3)))
    assert losses.watch["sample_accuracy"].item() == pytest.approx(1 / (1 + math.exp(-4)))


@pytest.mark.parametrize(("q", "p"), [("x", "xz"), ("xz", "x"), ("xy", "xz")])
def test_both_sides_must_show_the_same_parts(q, p):
    game = Marked(q_shows=q, p_shows=p)
    with pytest.raises(ValueError, match="same parts"):
        game.play(game.build(SMALL, DATA.spec), BATCH)


@pytest.mark.parametrize("movers", [("critic",), ("generator",), ("critic", "generator")])
def test_only_movers_have_losses(movers):
    game = Marked()
    assert tuple(game.losses(game.build(SMALL, DATA.spec), BATCH, movers).players) == movers


# What moves whom


@pytest.mark.parametrize(
    ("game", "dataset", "architecture"),
    [
        (WithEncoder(), DATA, SMALL),
        (WithEncoder(posterior="gaussian"), DATA, SMALL),
        (WithoutEncoder(), DATA, SMALL),
        (WithEncoder(), ToyImages(), ToyImageNetworks()),
        (WithoutEncoder(), ToyImages(), ToyImageNetworks()),
    ],
    ids=["encoder", "gaussian encoder", "no encoder", "images, encoder", "images, no encoder"],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_both_losses_start_within_three_hundredths_of_two_log_two(game, dataset, architecture, seed):
    training = replace(TRAINING, batch_size=100)
    trainer = trainer_of(game, dataset=dataset, architecture=architecture, training=training, seed=seed)
    losses = trainer.take_step().players
    assert losses["critic"].item() == pytest.approx(2 * math.log(2), abs=0.03)
    assert losses["generator"].item() == pytest.approx(2 * math.log(2), abs=0.03)


@pytest.mark.parametrize("game", [WithEncoder(), WithoutEncoder()], ids=lambda game: game.name)
def test_every_loss_reaches_the_parameters_of_its_own_player_alone(game):
    trainer = trainer_of(game)
    batch, networks, players = trainer.stream.batch(0), trainer.networks, trainer.players
    losses, gradients = game.gradients(networks, batch, players)
    assert set(losses.players) == set(gradients) == {"critic", "generator"}
    everyone = [parameter for group in players.values() for parameter in group]
    assert len(everyone) == len({id(parameter) for parameter in everyone}) == len(list(networks.parameters()))
    assert {id(parameter) for parameter in players["critic"]} == {id(p) for p in networks.critic.parameters()}
    # batch statistics do not depend on the buffers, so that the same round can be played again
    again = game.play(networks, batch)
    expected = {
        "critic": game.objective.critic(again.on_q.logits, again.on_p.logits),
        "generator": game.objective.generator(again.on_q.logits, again.on_p.logits),
    }
    for player, parameters in players.items():
        own = torch.autograd.grad(expected[player], parameters, retain_graph=True)
        for found, one in zip(gradients[player], own, strict=True):
            torch.testing.assert_close(found, one, rtol=1e-4, atol=1e-6 * one.abs().max().item())
        assert all(found.abs().max() > 0 for found in gradients[player])
    assert all(parameter.grad is None for parameter in networks.parameters())


@pytest.mark.parametrize(
    ("game", "movers"),
    [(WithEncoder(), {"encoder", "decoder"}), (WithoutEncoder(), {"decoder"})],
    ids=["encoder", "no encoder"],
)
def test_whoever_does_not_move_is_bitwise_unchanged(game, movers):
    trainer = trainer_of(replace(game, schedule=Alternating()))
    before = parameters_of(trainer.networks)
    trainer.take_step()
    assert changed(trainer.networks, before) == {"critic"}
    before = parameters_of(trainer.networks)
    trainer.take_step()
    assert changed(trainer.networks, before) == movers


def test_the_generator_of_a_simultaneous_step_does_not_see_the_moved_critic():
    # alternating lets the generator meet the critic that has just moved; simultaneous must not
    trainers = {"together": trainer_of(WithEncoder()), "critic frozen": trainer_of(WithEncoder())}
    trainers["critic frozen"].optimizers["critic"].param_groups[0]["lr"] = 0.0
    for trainer in trainers.values():
        trainer.take_step()
    left, right = (trainer.networks for trainer in trainers.values())
    assert all(torch.equal(a, b) for a, b in zip(left.decoder.parameters(), right.decoder.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(left.encoder.parameters(), right.encoder.parameters(), strict=True))
    assert not torch.equal(next(left.critic.parameters()), next(right.critic.parameters()))


@pytest.mark.parametrize("objective", [LeastSquares(), Hinge()], ids=lambda objective: objective.name)
def test_the_objective_of_a_game_is_the_one_it_is_given(objective):
    trainer = trainer_of(WithEncoder(objective=objective))
    calls = watched_critic(trainer)
    losses = trainer.take_step().players
    logits = calls[0][1].logits
    assert torch.equal(losses["critic"], objective.critic(logits[:16], logits[16:]))
    assert torch.equal(losses["generator"], objective.generator(logits[:16], logits[16:]))


# Seams: gradients


@dataclass(frozen=True, kw_only=True)
class Clipped(WithEncoder):
    """A game in which every gradient is replaced by its sign times 3."""

    name: ClassVar[str] = "clipped"

    def gradients(self, networks, batch, movers):
        losses, gradients = super().gradients(networks, batch, movers)
        return losses, {name: tuple(3 * g.sign() for g in values) for name, values in gradients.items()}


def test_a_game_may_take_its_gradients_its_own_way():
    own, plain = trainer_of(Clipped()), trainer_of(WithEncoder())
    expected = WithEncoder().gradients(plain.networks, plain.stream.batch(0), plain.players)[1]
    own.take_step()
    for player, gradients in expected.items():
        for parameter, gradient in zip(own.players[player], gradients, strict=True):
            moment = own.optimizers[player].state[parameter]["exp_avg"]
            assert torch.equal(moment, 0.5 * 3 * gradient.sign())


@dataclass(frozen=True, kw_only=True)
class Transposing(WithEncoder):
    """A game whose gradients lie in memory otherwise than their parameters."""

    name: ClassVar[str] = "transposing"

    def gradients(self, networks, batch, movers):
        losses, gradients = super().gradients(networks, batch, movers)
        turned = {k: tuple(g.t().contiguous().t() if g.ndim == 2 else g for g in v) for k, v in gradients.items()}
        return losses, turned


def test_where_a_gradient_lies_in_memory_makes_no_difference():
    plainly = replace(TRAINING, one_backward=False)
    odd, plain = trainer_of(Transposing()), trainer_of(WithEncoder(), training=plainly)
    for _ in range(3):
        odd.take_step()
        plain.take_step()
    expected = plain.networks.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in odd.networks.state_dict().items())


# Seams: inherits


@dataclass(frozen=True, kw_only=True)
class PostHoc(WithEncoder):
    """A game around a decoder that is another run's."""

    name: ClassVar[str] = "test-post-hoc"
    inherits: ClassVar[tuple[str, ...]] = ("decoder",)


@dataclass(frozen=True, kw_only=True)
class Inverse(Game):
    """A learned inverse mapping: one player, the encoder, minimises ‖z − Gz(Gx(z))‖²."""

    name: ClassVar[str] = "test-inverse"
    inherits: ClassVar[tuple[str, ...]] = ("decoder",)

    def build(self, architecture, data):
        return Networks(encoder=architecture.encoder(data, posterior="point"), decoder=architecture.decoder(data))

    def losses(self, networks, batch, movers):
        with torch.no_grad():
            x = networks.decode(batch.z)
        error = (networks.encode(x, batch.noise).z - batch.z).square().sum(1).mean()
        return Losses(players={"generator": error}, watch={"x": x.mean()})


def some_state(game, steps=2):
    trainer = trainer_of(game, seed=11)
    for _ in range(steps):
        trainer.take_step()
    return trainer.state()["networks"]


@pytest.mark.parametrize("game", [PostHoc(), Inverse()], ids=lambda game: game.name)
def test_an_inherited_decoder_stays_bit_identical_in_inference_mode(game):
    inherited = some_state(WithoutEncoder())
    trainer = trainer_of(game, source=settings_of(WithoutEncoder()), inherited=inherited)
    decoder = {name: tensor for name, tensor in inherited.items() if name.startswith("decoder.")}
    assert sum("running" in name or "tracked" in name for name in decoder) == 3 * 4
    modes = []
    trainer.networks.decoder.register_forward_hook(lambda module, *_: modes.append(module.training))
    before = parameters_of(trainer.networks)
    for _ in range(3):
        trainer.take_step()
    trainer.networks.eval()
    trainer.networks.train()
    assert not any(module.training for module in trainer.networks.decoder.modules())
    assert trainer.networks.encoder.training
    assert modes == [False] * 3
    state = trainer.state()["networks"]
    assert {name for name in state if name.startswith("decoder.")} == decoder.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in decoder.items())
    assert changed(trainer.networks, before) == ({"encoder", "critic"} if trainer.networks.critic else {"encoder"})
    assert not any(parameter.requires_grad for parameter in trainer.networks.decoder.parameters())
    assert not any("decoder" in name for name in trainer.state()["optimizers"])


def test_a_game_that_inherits_needs_a_source_and_one_that_does_not_refuses_it():
    with pytest.raises(SettingsError, match="takes its decoder from another run"):
        trainer_of(PostHoc())
    with pytest.raises(SettingsError, match="toy-with-encoder inherits nothing"):
        trainer_of(WithEncoder(), source=settings_of(WithoutEncoder()), inherited=some_state(WithoutEncoder()))


@dataclass(frozen=True, kw_only=True)
class FrozenEncoder(WithEncoder):
    """A game around another run's encoder."""

    name: ClassVar[str] = "test-frozen-encoder"
    inherits: ClassVar[tuple[str, ...]] = ("encoder",)


def test_a_source_without_the_inherited_part_is_refused():
    with pytest.raises(SettingsError, match="is of toy-without-encoder: no encoder"):
        trainer_of(FrozenEncoder(), source=settings_of(WithoutEncoder()), inherited=some_state(WithoutEncoder()))


@pytest.mark.parametrize(
    ("mine", "says"),
    [
        ({"architecture": ToyNetworks(latent=3)}, "latent size is 3 here and 2"),
        (
            {"dataset": ToyImages(), "architecture": ToyImageNetworks(latent=2)},
            r"shape of x is \(1, 8, 8\) here and \(2,\)",
        ),
    ],
    ids=["latent", "shape"],
)
def test_a_source_that_does_not_fit_is_refused(mine, says):
    with pytest.raises(SettingsError, match=says):
        trainer_of(PostHoc(), source=settings_of(WithoutEncoder()), inherited=some_state(WithoutEncoder()), **mine)


@pytest.fixture
def registered(monkeypatch):
    """Register the toys and this file's post-hoc game, as a plugin would."""
    found = registry()
    plugin = found.plugins[0]
    entry = Entry(kind="models", name=PostHoc.name, summary="", plugin=plugin, offer=PostHoc)
    monkeypatch.setattr(found, "entries", [*found.entries, *toy_registry().of("models"), entry])
    for kind in ("datasets", "architectures"):
        monkeypatch.setattr(found, "entries", [*found.entries, *toy_registry().of(kind)])


TINY = {
    "training.steps": 3,
    "training.batch_size": 8,
    "training.log_every": 2,
    "training.checkpoint_every": 2,
    "dataset.rows": 24,
    "dataset.held_out_rows": 8,
}


def test_a_post_hoc_game_trains_from_a_run_and_goes_on_without_it(registered, tmp_path):
    overrides = TINY | {"training.averaging": 0.5}
    source = genzoo.train(WithoutEncoder(), recipe=RECIPE, overrides=overrides, runs=tmp_path)
    run = genzoo.train(PostHoc(), from_run=source, seed=1, steps=4, runs=tmp_path)
    origin = unpack(source.newest_checkpoint()[0].file("averaged.safetensors"))

    def assert_inherited():
        for name in ("networks", "averaged"):
            state = unpack(run.newest_checkpoint()[0].file(f"{name}.safetensors"))
            decoder = {name for name in state if name.startswith("decoder.")}
            assert decoder == {name for name in origin if name.startswith("decoder.")}
            assert all(torch.equal(state[name], origin[name]) for name in decoder)

    assert_inherited()
    assert run.record.source.sha256 == source.newest_checkpoint()[0].sha256
    assert run.record.recipe == "toy"
    source.path.rename(tmp_path / "elsewhere")
    genzoo.resume(run, steps=6)
    assert run.newest_checkpoint()[0].step == 6
    assert_inherited()
    model = genzoo.load(run)
    assert model.reconstruct(torch.zeros(3, 2)).shape == (3, 2)
    again = genzoo.load(tmp_path / "elsewhere")
    assert torch.equal(model.sample(5), again.sample(5))


# Seams: initialise


@dataclass(frozen=True, kw_only=True)
class Initialising(ToyNetworks):
    """Networks whose start depends on the data, and is written down."""

    name: ClassVar[str] = "initialising"
    calls: ClassVar[list] = []

    def initialise(self, networks, images):
        decoder = networks.decoder.stack.layers[-1][0]
        self.calls.append((images.clone(), decoder.weight.detach().clone(), networks))
        with torch.no_grad():
            decoder.bias.copy_(images.mean(0))


@pytest.fixture
def calls():
    Initialising.calls.clear()
    yield Initialising.calls
    Initialising.calls.clear()


def test_initialise_is_called_once_with_training_rows_after_the_weights_are_drawn(calls):
    trainer = trainer_of(WithEncoder(), architecture=Initialising())
    start = trainer.state()["networks"]
    for _ in range(2):
        trainer.take_step()
    ((images, weight, networks),) = calls
    assert networks is trainer.networks
    rows = DATA.load(None).train.x
    assert sorted(images.tolist()) == sorted(rows.tolist())
    assert torch.equal(weight, start["decoder.stack.layers.4.0.weight"])
    assert torch.equal(start["decoder.stack.layers.4.0.bias"], images.mean(0))


def test_initialise_sees_at_most_500_rows(calls):
    trainer_of(WithEncoder(), architecture=Initialising(), dataset=ToyMixture(rows=700, held_out_rows=8))
    assert calls[0][0].shape == (500, 2)
    assert len(calls[0][0].unique(dim=0)) == 500


def test_inherited_weights_are_loaded_after_initialise(calls):
    inherited = some_state(WithoutEncoder())
    source = settings_of(WithoutEncoder())
    trainer = trainer_of(PostHoc(), architecture=Initialising(), source=source, inherited=inherited)
    assert len(calls) == 1
    bias = "decoder.stack.layers.4.0.bias"
    assert not torch.equal(calls[0][0].mean(0), inherited[bias])
    assert torch.equal(trainer.state()["networks"][bias], inherited[bias])


# Seams: embedder


@dataclass(frozen=True, kw_only=True)
class Pairing(Conditional):
    """A conditional game whose critic is shown the embedding, and so trains it."""

    name: ClassVar[str] = "test-pairing"

    def q(self, networks, batch):
        z = networks.encode(batch.x, batch.noise, batch.y).z
        return Joint(x=batch.x, z=z, y=networks.embed(batch.y))

    def p(self, networks, batch):
        return Joint(x=networks.decode(batch.z, batch.y), z=batch.z, y=networks.embed(batch.y))


def test_a_conditional_game_shares_one_embedder_that_the_generator_trains():
    trainer = trainer_of(replace(Pairing(), schedule=Alternating()))
    networks, batch = trainer.networks, trainer.stream.batch(0)
    assert networks.embedder.weight.shape == (3, 9)
    assert batch.y.shape == (16, 9)
    assert networks.encoder.head.given == (16 + 3,)
    assert networks.decoder.stack.given == (2 + 3,)
    assert networks.critic.joint.given == (2 + 2 + 3,)
    calls = watched_critic(trainer)
    embedded = networks.embedder(batch.y).detach()
    before = parameters_of(networks)
    trainer.take_step()
    joint = calls[0][0]
    assert torch.equal(joint.y, torch.cat([embedded, embedded]))
    assert changed(networks, before) == {"critic"}
    before = parameters_of(networks)
    trainer.take_step()
    assert changed(networks, before) == {"encoder", "decoder", "embedder"}
    names = {key.split("/")[1] for key in trainer.state()["optimizers"] if key.startswith("generator/")}
    assert {"embedder.weight", "embedder.bias"} <= names


def test_the_condition_vectors_of_a_batch_are_the_labels_of_its_rows():
    batch = trainer_of(Pairing()).stream.batch(1)
    means = torch.tensor(DATA.spec.mixture.means)
    nearest = torch.cdist(batch.x, means).argmin(1)  # the components are 40 standard deviations apart
    assert torch.equal(batch.y, nn.functional.one_hot(nearest, 9).float())


def test_a_conditional_model_without_labels_is_refused():
    networks = trainer_of(Pairing()).networks
    with pytest.raises(SettingsError, match="conditional model needs labels"):
        networks.decode(torch.zeros(2, 2))


def test_the_embedder_unless_overridden_passes_y_on():
    embedder = Architecture.embedder(SMALL, DATA.spec)
    y = torch.rand(4, 9)
    assert embedder.out_features == 9
    assert embedder(y) is y


# Players and defaults


@dataclass(frozen=True, kw_only=True)
class ThreePlayers(AdversarialGame):
    """Encoder, decoder and critic have a loss each."""

    name: ClassVar[str] = "test-three"

    def build(self, architecture, data):
        return Networks(
            encoder=architecture.encoder(data, posterior="gaussian"),
            decoder=architecture.decoder(data),
            critic=architecture.critic(data, sees="x"),
        )

    def players(self, networks):
        return {name: list(getattr(networks, name).parameters()) for name in ("encoder", "decoder", "critic")}

    def q(self, networks, batch):
        return Joint(x=batch.x)

    def p(self, networks, batch):
        return Joint(x=networks.decode(batch.z))

    def losses(self, networks, batch, movers):
        round = self.play(networks, batch)
        code = networks.encode(batch.x, batch.noise)
        kl = (code.mean.square() + (2 * code.log_std).exp() - 1 - 2 * code.log_std).sum(1).mean() / 2
        misfit = (networks.decode(code.z) - batch.x).square().sum(1).mean()
        every = {
            "encoder": lambda: kl + misfit,
            "decoder": lambda: misfit + self.generator_loss(networks, batch, round),
            "critic": lambda: self.critic_loss(networks, batch, round),
        }
        return Losses(players={name: every[name]() for name in movers}, watch={"kl": kl.detach()})


def test_a_game_may_have_three_players():
    players = {"encoder": replace(TRAINING.of("encoder"), learning_rate=0.0)}
    trainer = trainer_of(ThreePlayers(), training=replace(TRAINING, players=players))
    before = parameters_of(trainer.networks)
    losses = trainer.take_step()
    assert list(losses.players) == ["encoder", "decoder", "critic"]
    assert changed(trainer.networks, before) == {"decoder", "critic"}
    again = trainer_of(ThreePlayers())
    again.take_step()
    assert changed(again.networks, before) == {"encoder", "decoder", "critic"}
    assert again.fault() is None


def test_three_players_may_alternate():
    trainer = trainer_of(ThreePlayers(schedule=Alternating(critic_steps=2)))
    moved = [list(trainer.take_step().players) for _ in range(3)]
    assert moved == [["critic"], ["critic"], ["encoder", "decoder"]]


@dataclass(frozen=True, kw_only=True)
class Overlapping(WithEncoder):
    """A game in which the critic's player moves the encoder's head as well, as the generator does."""

    name: ClassVar[str] = "test-overlapping"

    def players(self, networks):
        players = super().players(networks)
        return {**players, "critic": [*players["critic"], *networks.encoder.head.parameters()]}


class SeldomTogether(Overlapping):
    """The players take turns but for one late step."""

    def movers(self, step, players):
        return tuple(players) if step == 700 else (players[step % 2],)


class SameHead(Overlapping):
    """The players have what is theirs by name, and `build` gives two networks one head."""

    def build(self, architecture, data):
        networks = super().build(architecture, data)
        networks.critic.head = networks.encoder.head
        return networks

    def players(self, networks):
        return {"critic": [*networks.critic.parameters()], "generator": [*networks.encoder.parameters()]}


class AnyonesHead(SameHead):
    """The same, in which another method adds networks, too."""

    def add_heads(self, networks, setup):
        pass


@pytest.mark.parametrize(
    ("game", "place"),
    [
        (Overlapping(), place_of(Overlapping, "players")),
        (SeldomTogether(), place_of(Overlapping, "players")),
        (SameHead(), place_of(SameHead, "build")),
        (AnyonesHead(), place_of(AnyonesHead)),
    ],
)
def test_players_that_share_a_parameter_and_move_together_are_refused_where_they_came_to_share_it(game, place):
    with pytest.raises(SettingsError) as refused:
        trainer_of(game)
    assert refused.value.found == (
        "the players critic and generator of test-overlapping move in the same step and share: "
        f"encoder.head.layers.0.0.weight, encoder.head.layers.0.0.bias ({place})"
    )
    assert "take turns" in refused.value.remedy


def test_players_that_take_turns_may_share_a_parameter():
    training = replace(TRAINING, averaging=0.9)
    trainer = trainer_of(Overlapping(schedule=Alternating()), training=training)
    alone = trainer_of(WithEncoder(schedule=Alternating()), training=training)
    head = trainer.networks.encoder.head.layers[0][0].weight
    values = [head.detach().clone()]
    for _ in range(2):
        trainer.take_step()
        values.append(head.detach().clone())
    assert not torch.equal(values[0], values[1])  # the critic's step
    assert not torch.equal(values[1], values[2])  # the generator's
    assert len(trainer.state()["averaged"]) == len(trainer.networks.state_dict())
    # the average after two steps with d = t/(t + 9), each parameter counted once
    first = values[0] / 10 + values[1] * 9 / 10
    expected = first * 2 / 11 + values[2] * 9 / 11
    torch.testing.assert_close(trainer.state()["averaged"]["encoder.head.layers.0.0.weight"], expected)
    assert trainer.fault() is None
    moments = {name for name in trainer._moments() if "encoder.head" in name and name.endswith("exp_avg")}
    assert {name.partition("/")[0] for name in moments} == {"critic", "generator"}
    alone.take_step()
    assert torch.equal(alone.networks.encoder.head.layers[0][0].weight, values[0])


def test_settings_for_a_player_that_is_not_there_are_refused():
    training = replace(TRAINING, players={"criti": TRAINING.of("critic")})
    with pytest.raises(SettingsError, match="no player 'criti' in toy-with-encoder; did you mean 'critic'"):
        trainer_of(WithEncoder(), training=training)


@dataclass(frozen=True, kw_only=True)
class Idle(WithEncoder):
    """A game in which everything is inherited but nothing is left to train."""

    name: ClassVar[str] = "test-idle"

    def players(self, networks):
        return {}


def test_a_game_without_players_is_refused():
    with pytest.raises(SettingsError, match="test-idle trains no parameter"):
        trainer_of(Idle())


def test_batch_statistics_of_a_single_row_are_refused_before_training():
    with pytest.raises(SettingsError, match="batch_size=13 the last batch of an epoch is a single row"):
        trainer_of(WithEncoder(), training=replace(TRAINING, batch_size=13))
    assert trainer_of(WithEncoder(), training=replace(TRAINING, batch_size=40)).take_step()


@dataclass(frozen=True, kw_only=True)
class Chatty(WithEncoder):
    """A game with settings of its own."""

    name: ClassVar[str] = "test-chatty"
    defaults: ClassVar[Mapping[str, Any]] = {
        "training.beta1": 0.0,
        "training.learning_rate": 5e-4,
        "training.players.critic.learning_rate": 2e-4,
        "training.averaging": 0.99,
    }


def resolved(game, overrides=()):
    return resolve_settings(game, RECIPE, list(overrides), resolve=registry().resolve)


def test_recipes_give_way_to_a_games_defaults_and_those_to_overrides():
    plain, own = resolved(WithEncoder()), resolved(Chatty())
    assert (plain.training.beta1, plain.training.learning_rate, plain.training.averaging) == (0.5, 1e-3, None)
    assert (own.training.beta1, own.training.learning_rate, own.training.averaging) == (0.0, 5e-4, 0.99)
    assert own.training.of("critic").learning_rate == 2e-4
    assert own.training.of("generator").learning_rate == 5e-4
    assert own.training.steps == RECIPE.training.steps
    told = resolved(
        Chatty(), [("training.beta1", "0.3"), ("training.averaging", "none"), ("game.schedule", "alternating")]
    )
    assert (told.training.beta1, told.training.learning_rate, told.training.averaging) == (0.3, 5e-4, None)
    assert told.game.schedule == Alternating()
