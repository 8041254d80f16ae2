"""Models that learn from few labels: losses in closed form, what they may read, and trainings that go on exactly."""

import math
from math import log

import pytest
import torch
from formats import write_photographs
from torch import nn
from torch.nn.functional import cross_entropy, softplus
from trainers import doubled, equal, goes_on_bitwise, new_trainer, state_of, unlike_alone

import genzoo
from genzoo import Joint, SettingsError
from genzoo.data.prepared import prepare_dataset
from genzoo.types import Batch, Round, Verdict
from genzoo_ali.ali import ALI
from genzoo_data.folder import Folder
from genzoo_few_labels.catgan import CatGAN
from genzoo_few_labels.feature_matching import FeatureMatching
from genzoo_few_labels.ladder_network import LadderNetwork, denoised
from genzoo_few_labels.m2 import M2
from genzoo_few_labels.semi_ali import SemiALI
from genzoo_vae.vae import VAE

CLASSES = 10
MODELS = ("classifier", "semi-ali", "feature-matching", "catgan", "m2", "ladder", "semi-aae")
FEW = {"training.batch_size": 12, "training.labels": 20}
COMPOSED = FEW | {"training.labelled_rows": 5}


def trainer_of(model, recipe="digits", seed=3, **overrides):
    return new_trainer(model, recipe=recipe, seed=seed, overrides=COMPOSED | overrides)


def batch_of(rows, *, labelled=None, labelled_rows=0, shape=(1, 8, 8), latent=16):
    """Return a batch of random rows, the first `labelled` of which have a label; None: all have."""
    y = torch.eye(CLASSES)[torch.arange(rows) % CLASSES].double()
    mask = None if labelled is None else torch.arange(rows) < labelled
    draws = [torch.randn(rows, latent, dtype=torch.float64) for _ in range(2)]
    y = y if mask is None else y * mask.unsqueeze(1)
    return Batch(torch.rand(rows, *shape).double(), *draws, y=y, labelled=mask, labelled_rows=labelled_rows)


def round_of(on_q, on_p, *, features=None):
    """Return a round with these logits (N, K), and with features (N, F) of both sides if given."""
    q_features, p_features = features or (torch.zeros(len(on_q), 1), torch.zeros(len(on_p), 1))
    nothing = Joint()
    return Round(nothing, nothing, nothing, Verdict(on_q, q_features), Verdict(on_p, p_features))


# K + 1 classes


@pytest.mark.parametrize(("game", "weight"), [(SemiALI(), 1), (FeatureMatching(), 0.5)], ids=["ALI", "GAN"])
@pytest.mark.parametrize("labelled_rows", [0, 4])
def test_at_zero_logits_the_critic_pays_for_labels_and_for_both_sides(game, weight, labelled_rows):
    zeros = torch.zeros(8, CLASSES, dtype=torch.float64)
    batch = batch_of(8, labelled=4, labelled_rows=labelled_rows)
    adversarial = 2 * log(CLASSES + 1) - log(CLASSES)
    loss = game.critic_loss(None, batch, round_of(zeros, zeros))
    assert loss.item() == pytest.approx(log(CLASSES) + weight * adversarial, abs=1e-12)
    assert adversarial == pytest.approx(2.493205, abs=1e-6)
    generator = SemiALI().generator_loss(None, batch, round_of(zeros, zeros))
    assert generator.item() == pytest.approx(adversarial, abs=1e-12)


def test_a_constant_on_all_class_logits_moves_the_log_odds_by_it_and_no_prediction():
    logits = torch.randn(7, CLASSES, dtype=torch.float64)
    moved = SemiALI().evidence(Verdict(logits + 2.5, logits)) - SemiALI().evidence(Verdict(logits, logits))
    assert torch.allclose(moved, torch.full((7,), 2.5, dtype=torch.float64))
    assert torch.equal((logits + 2.5).argmax(1), logits.argmax(1))


def test_cross_entropy_of_k_plus_1_classes_is_that_of_k_and_softplus_of_the_log_odds():
    logits, labels = torch.randn(7, CLASSES, dtype=torch.float64), torch.arange(7)
    whole = cross_entropy(torch.cat([logits, torch.zeros(7, 1)], 1), labels, reduction="none")
    odds = SemiALI().evidence(Verdict(logits, logits))
    assert torch.allclose(whole, cross_entropy(logits, labels, reduction="none") + softplus(-odds))
    # so, where rows are as they fall, labelled rows of the data side have the cross-entropy of all K + 1 classes
    batch, zeros = batch_of(7), torch.zeros(7, CLASSES)
    loss = SemiALI().critic_loss(None, batch, round_of(logits, zeros))
    assert loss.item() == pytest.approx(whole.mean().item() + log(1 + CLASSES))


def test_with_one_class_and_no_label_it_is_ali():
    on_q, on_p = torch.randn(6, 1, dtype=torch.float64), torch.randn(6, 1, dtype=torch.float64)
    batch = batch_of(6, labelled=0)._replace(y=torch.zeros(6, 1))
    plain = Round(Joint(), Joint(), Joint(), Verdict(on_q[:, 0], on_q), Verdict(on_p[:, 0], on_p))
    for loss in ("critic_loss", "generator_loss"):
        ours, alis = (getattr(game, loss) for game in (SemiALI(), ALI()))
        assert torch.equal(ours(None, batch, round_of(on_q, on_p)), alis(None, batch, plain))


def test_rows_drawn_for_their_labels_enter_no_adversarial_term():
    on_q, on_p = torch.randn(8, CLASSES).double(), torch.randn(8, CLASSES).double()
    drawn, other = batch_of(8, labelled=3, labelled_rows=3), on_q.clone()
    other[:3] -= 4.0  # which moves no class against another
    for game in (SemiALI(), FeatureMatching(), CatGAN()):
        losses = [game.critic_loss(None, drawn, round_of(logits, on_p)).item() for logits in (on_q, other)]
        assert losses[0] == pytest.approx(losses[1], abs=1e-12)
    fallen = batch_of(8, labelled=3)
    losses = [SemiALI().critic_loss(None, fallen, round_of(logits, on_p)).item() for logits in (on_q, other)]
    assert abs(losses[0] - losses[1]) > 0.1


# Feature matching


@pytest.mark.parametrize("distance", ["squared", "absolute"])
def test_equal_halves_match_and_the_data_side_gets_no_gradient(distance):
    game, zeros = FeatureMatching(distance=distance), torch.zeros(6, CLASSES)
    data = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    samples = data.detach()[torch.randperm(6)].requires_grad_()
    matched = game.generator_loss(None, batch_of(6), round_of(zeros, zeros, features=(data, samples)))
    assert matched.item() == pytest.approx(0, abs=1e-12)
    apart = game.generator_loss(None, batch_of(6), round_of(zeros, zeros, features=(data, samples + 2)))
    assert apart.item() == pytest.approx({"squared": 5 * 2.0**2, "absolute": 2.0}[distance])
    of_data, of_samples = torch.autograd.grad(apart, [data, samples], allow_unused=True)
    assert of_data is None
    assert of_samples.abs().min() > 0


# CatGAN


def one_hot(rows, *, scale=1e3):
    return scale * torch.eye(CLASSES, dtype=torch.float64)[torch.arange(rows) % CLASSES]


def test_the_extremes_of_catgan():
    uniform, certain = torch.zeros(20, CLASSES, dtype=torch.float64), one_hot(20)
    unlabelled, labelled = batch_of(20, labelled=0), batch_of(20)

    def losses(on_q, on_p, batch=unlabelled):
        round = round_of(on_q, on_p)
        return CatGAN().critic_loss(None, batch, round).item(), CatGAN().generator_loss(None, batch, round).item()

    assert losses(uniform, uniform) == pytest.approx((-log(CLASSES), 0), abs=1e-12)
    assert losses(uniform, uniform, labelled)[0] == pytest.approx(0, abs=1e-12)
    assert losses(certain, uniform) == pytest.approx((-2 * log(CLASSES), 0), abs=1e-12)
    assert losses(certain, uniform, labelled)[0] == pytest.approx(-2 * log(CLASSES), abs=1e-12)
    assert losses(certain, certain)[1] == pytest.approx(-log(CLASSES), abs=1e-12)
    assert losses(certain, one_hot(1).expand(20, -1))[1] == pytest.approx(0, abs=1e-12)
    on_q, on_p, order = torch.randn(20, CLASSES), torch.randn(20, CLASSES), torch.randperm(CLASSES)
    assert losses(on_q, on_p) == pytest.approx(losses(on_q[:, order], on_p[:, order]), rel=1e-5)


# M2


def m2_trainer(*, blind):
    """Return a trainer of M2 in float64, in inference mode, whose encoder and decoder see no y if `blind`."""
    trainer = doubled(trainer_of("m2"))
    if blind:
        nn.init.zeros_(trainer.networks.embedder.weight)
        nn.init.zeros_(trainer.networks.embedder.bias)
    trainer.networks.eval()
    return trainer


def guess_of(networks, batch):
    return M2().classify(networks, batch.x, batch.noise).softmax(1)


@pytest.mark.parametrize("classifier", ["drawn", "uniform"])
def test_m2_that_is_blind_to_y_is_a_vae_and_the_classes_apart(classifier):
    networks, batch = m2_trainer(blind=True).networks, batch_of(6, labelled=0)
    head = networks.get_submodule("classifier").joint.layers[-1]
    for parameter in head.parameters():
        nn.init.zeros_(parameter) if classifier == "uniform" else nn.init.normal_(parameter)
    guess = guess_of(networks, batch)
    entropy = -(guess * guess.log()).sum(1).mean().item()
    assert (entropy == pytest.approx(log(CLASSES))) == (classifier == "uniform")
    elbo = VAE().losses(networks, batch, ["generator"]).players["generator"].item()
    bound = M2().losses(networks, batch, ["generator"]).watch["bound"].item()
    assert bound == pytest.approx(elbo + log(CLASSES) - entropy, abs=1e-9)


def test_the_decoder_of_m2_is_moved_by_every_class_as_much_as_it_is_guessed():
    networks = m2_trainer(blind=False).networks
    nn.init.normal_(networks.get_submodule("classifier").joint.layers[-1][1].bias)
    batch = batch_of(1, labelled=0)
    bias = next(iter(networks.decoder.parameters()))
    whole = torch.autograd.grad(M2(label_weight=0).losses(networks, batch, ()).players["generator"], bias)[0]
    of_classes = []
    for label in torch.eye(CLASSES, dtype=torch.float64):
        known = batch._replace(y=label[None], labelled=None)
        loss = M2(label_weight=0).losses(networks, known, ()).players["generator"]
        of_classes.append(torch.autograd.grad(loss, bias)[0])
    guess = guess_of(networks, batch)[0]
    assert guess.max() > 1.5 / CLASSES
    expected = sum(share * gradient for share, gradient in zip(guess, of_classes, strict=True))
    assert torch.allclose(whole, expected, rtol=1e-9, atol=1e-12)


def test_labelled_rows_of_m2_count_alike_composed_and_as_they_fall():
    networks, batch = m2_trainer(blind=False).networks, batch_of(7, labelled=3)
    values = [
        M2().losses(networks, batch._replace(labelled_rows=rows), ()).players["generator"].item() for rows in (0, 3)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-9)


# Ladder


def ladder(*widths):
    torch.manual_seed(5)
    return LadderNetwork(widths).double()


def test_the_best_linear_denoiser_costs_its_share_of_the_noise():
    """Of values ±1 with noise ±σ in all four combinations, whose moments are exact."""
    sigma = 0.3
    clean = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]], dtype=torch.float64)
    noisy = clean + sigma * torch.tensor([[1.0], [-1.0], [1.0], [-1.0]], dtype=torch.float64)
    combine = torch.zeros(10, 1, dtype=torch.float64)
    combine[9] = 1 / (1 + sigma**2)
    combine.requires_grad_()
    cost = (denoised(noisy, torch.zeros(4, 1), combine) - clean).square().mean()
    assert cost.item() == pytest.approx(sigma**2 / (1 + sigma**2), abs=1e-12)
    assert cost.item() == pytest.approx(0.082569, abs=1e-6)
    (slope,) = torch.autograd.grad(cost, combine)
    assert slope.abs().max() < 1e-12


def test_without_noise_a_new_ladder_returns_every_layer_that_has_mean_0_and_variance_1():
    network, x = ladder(4, 4, 3), torch.randn(50, 4, dtype=torch.float64)
    nn.init.eye_(network.up[0].weight)
    x = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()
    _, costs = network.play(x, labelled=0, noise=0.0)
    assert [cost.item() for cost in costs[:2]] == pytest.approx([0, 0], abs=1e-8)
    _, costs = network.play(x, labelled=0, noise=0.3)
    assert min(cost.item() for cost in costs[:2]) > 0.05


def test_labelled_and_unlabelled_rows_of_a_ladder_have_statistics_of_their_own():
    network, x = ladder(4, 8, 3), torch.randn(20, 4, dtype=torch.float64)
    logits, costs = network.play(x, labelled=5, noise=0.0)
    order = torch.cat([torch.arange(5), 5 + torch.randperm(15)])
    shuffled, same = network.play(x[order], labelled=5, noise=0.0)
    assert torch.allclose(torch.stack(costs), torch.stack(same))
    assert torch.allclose(shuffled, logits[order])
    others, changed = network.play(torch.cat([x[:5], 3 * x[5:] + 1]), labelled=5, noise=0.0)
    assert torch.allclose(others[:5], logits[:5])
    assert not torch.allclose(torch.stack(changed), torch.stack(costs))
    _, unlike = network.play(torch.cat([3 * x[:5] + 1, x[5:]]), labelled=5, noise=0.0)
    assert torch.allclose(torch.stack(costs), torch.stack(unlike))


def test_the_clean_path_keeps_statistics_of_unlabelled_rows_for_inference():
    network, x = ladder(4, 3), torch.randn(40, 4, dtype=torch.float64)
    for _ in range(400):
        network.play(x, labelled=10, noise=0.3)
    _, layers = network._noisy(x[10:], labelled=0, noise=0.0)
    logits = network.scale * (layers[-1] + network.shifts[-1])
    network.eval()
    assert torch.allclose(network(x[10:]), math.sqrt(29 / 30) * logits, atol=1e-4)  # their variances have n − 1


# All of them


@pytest.mark.parametrize("overrides", [FEW, COMPOSED], ids=["as they fall", "composed"])
@pytest.mark.parametrize("model", MODELS)
def test_hidden_labels_reach_nothing_that_trains(model, overrides):
    def after(poison):
        trainer = new_trainer(model, recipe="digits", seed=3, overrides=overrides)
        draw = trainer.stream.batch
        trainer.stream.batch = lambda step: poison(draw(step))
        for _ in range(3):
            trainer.take_step()
        return state_of(trainer.networks)

    def poisoned(batch):
        hidden = torch.randn_like(batch.y)
        return batch._replace(y=torch.where(batch.labelled[:, None], batch.y, hidden))

    def known_poisoned(batch):
        return batch._replace(y=torch.where(batch.labelled[:, None], batch.y.roll(1, 1), batch.y))

    clean = after(lambda batch: batch)
    assert equal(after(poisoned), clean)
    assert not equal(after(known_poisoned), clean)


@pytest.mark.parametrize("model", MODELS)
def test_a_restored_training_goes_on_bitwise(model):
    assert goes_on_bitwise(lambda: trainer_of(model), stop=3, steps=5)


@pytest.mark.parametrize("model", MODELS)
def test_replicas_are_the_trainings_they_would_be_alone(model):
    still = {"game.noise": 0} if model == "ladder" else {"architecture.dropout": 0}
    assert unlike_alone(lambda seed: trainer_of(model, seed=seed, **still), steps=2, rtol=1e-8, atol=1e-10) == []


@pytest.mark.parametrize("recipe", ["digits", "svhn", "cifar10", "mixture25"])
@pytest.mark.parametrize("model", MODELS)
def test_every_model_takes_steps_on_every_kind_of_data(model, recipe):
    few = {"training.batch_size": 6, "training.labels": 50, "training.labelled_rows": 2}
    few |= {"prior.categories": 25} if (model, recipe) == ("semi-aae", "mixture25") else {}
    trainer = new_trainer(model, recipe=recipe, overrides=few, split=many_rows(recipe))
    for _ in range(2):
        losses = trainer.take_step()
    assert all(math.isfinite(value) for part in losses for value in map(torch.detach, part.values()))
    assert trainer.fault() is None
    x, noise = trainer.batch().x, trainer.batch().noise
    classes = len(trainer.settings.dataset.spec.class_names)
    assert trainer.settings.game.classify(trainer.networks, x, noise).shape == (6, classes)


def many_rows(recipe):
    """Return random rows of a recipe's data with every class among them."""
    from genzoo.data.dataset import random_split
    from genzoo.host.discovery import registry

    return random_split(registry().load("recipes", recipe).dataset.spec, 400)


@pytest.mark.parametrize("model", MODELS)
def test_data_without_classes_are_refused(model):
    with pytest.raises(SettingsError, match="learns classes, and these data have none"):
        new_trainer(model, recipe="celeba64")


# The semi-supervised adversarial autoencoder, and M1 + M2


def test_at_zero_logits_both_critics_of_the_autoencoder_cost_2_ln_2_and_labels_move_its_class_part():
    trainer = trainer_of("semi-aae")
    batch, networks, game = trainer.batch(), trainer.networks, trainer.settings.game
    zeros = torch.zeros(12, 2)
    assert game.critic_loss(networks, batch, round_of(zeros, zeros)).item() == pytest.approx(2 * log(2))
    z = networks.encode(batch.x, batch.noise).z
    assert z.shape == (12, CLASSES + 16)
    assert torch.allclose(z[:, :CLASSES].sum(1), torch.ones(12))
    assert torch.allclose(game.classify(networks, batch.x, batch.noise).exp(), z[:, :CLASSES], atol=1e-6)
    assert set(batch.z[:, :CLASSES].unique().tolist()) == {0.0, 1.0}


def test_the_autoencoder_needs_as_many_categories_as_there_are_classes():
    with pytest.raises(SettingsError, match=r"prior\.categories is 10, and the data have 25 classes"):
        new_trainer("semi-aae", recipe="mixture25", overrides={"dataset.rows": 500})
    with pytest.raises(SettingsError, match="assumes the prior categorical-normal, and prior is uniform"):
        trainer_of("semi-aae", prior="uniform")


def test_m1_and_m2_leave_the_encoder_of_the_vae_as_it_is_and_go_on_exactly(tmp_path):
    few = {"training.batch_size": 12, "training.log_every": 2}
    vae = genzoo.train("vae", recipe="digits", steps=2, overrides=few, run=tmp_path / "vae", device="cpu")
    few |= {"training.labels": 20, "training.labelled_rows": 5}

    def train(name, steps):
        more = {"overrides": few, "run": tmp_path / name, "from_run": vae, "device": "cpu"}
        return genzoo.train("m1+m2", steps=steps, **more)

    whole, stopped = train("whole", 4), train("stopped", 2)
    genzoo.resume(stopped, steps=4, device="cpu")
    models = [genzoo.load(run, device="cpu") for run in (whole, stopped)]
    assert equal(*(state_of(model.networks) for model in models))
    of_vae = genzoo.load(vae, device="cpu").networks.encoder
    assert equal(state_of(models[0].networks.encoder), state_of(of_vae))
    assert models[0].classify(genzoo.load_data(vae).test.x[:5]).shape == (5, CLASSES)
    assert "classification" in {score["metric"] for score in whole.final_scores}


# One's own photographs, in a folder per class


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Return a folder of data with 24 photographs of three classes prepared at 32 × 32."""
    root, source = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("source")
    write_photographs(source, classes=("bird", "cat", "dog"))
    prepare_dataset(Folder(size=32), root, source=source, jobs=1)
    return root


@pytest.mark.parametrize("model", MODELS)
def test_every_model_learns_the_classes_of_a_folder(model, photographs, tmp_path):
    sizes = {"architecture.width": 4, "training.batch_size": 8, "training.labels": 6, "training.labelled_rows": 4}
    if model == "semi-aae":
        sizes["prior.categories"] = 3
    run = genzoo.train(model, recipe="folder32", overrides=sizes, steps=1, data=photographs, run=tmp_path / "run")
    rows = genzoo.load_data(run, data=photographs).train
    assert sorted(rows.labels.tolist()) == [-1] * (len(rows.x) - 6) + [0, 0, 1, 1, 2, 2]
    assert genzoo.load(run).classify(rows.x[:5]).shape == (5, 3)
