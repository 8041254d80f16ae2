"""Randomness as a function: of a key, never of a history, and never at the caller's expense."""

import random
import subprocess
import sys
from dataclasses import replace

import numpy
import pytest
import torch

import genzoo
from genzoo.games import StandardNormal
from genzoo.randomness import generator, number, preserved, reseed, seeded
from genzoo.training import Training
from genzoo.training.batches import Stream
from genzoo.training.initialization import Plan
from genzoo.training.settings import Settings
from genzoo.training.trainer import Trainer
from genzoo.types import Split
from genzoo_ali.ali import ALI
from genzoo_data.digits import Digits
from genzoo_data.mixture import Mixture25
from genzoo_gan.gan import GAN
from genzoo_recipes.digits import DigitsNetworks
from genzoo_recipes.mixture25 import Mixture25Networks
from genzoo_vae.vae import VAE

CPU = torch.device("cpu")
DATA = Mixture25(rows=22, held_out_rows=8)


# Keys


def test_a_number_depends_on_every_part_of_its_key():
    keys = [(0,), (1,), ("0",), (0, 0), (0, "0"), ("a", "bc"), ("ab", "c"), ("abc",), (0, "prior", 1), (0, "prior", 11)]
    assert len({number(*key) for key in keys}) == len(keys)
    assert all(0 <= number(*key) < 2**63 for key in keys)


def test_a_number_is_the_same_in_every_process():
    code = "from genzoo.randomness import number; print(number(7, 'prior', 3))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) == number(7, "prior", 3)


def test_generators_of_one_key_agree_and_of_two_keys_do_not():
    draws = [torch.randn(8, generator=generator("cpu", *key)) for key in ((1, "a"), (1, "a"), (2, "a"), (1, "b"))]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[3])


# The caller's state


def global_draws():
    return torch.rand(3).tolist(), numpy.random.rand(3).tolist(), [random.random() for _ in range(3)]


def state():
    kind, keys, *rest = numpy.random.get_state()
    return torch.get_rng_state().tolist(), (kind, keys.tolist(), *rest), random.getstate()


def test_reseeding_sets_all_three_global_generators():
    with preserved():
        reseed(1, "step", 2)
        first = global_draws()
        global_draws()
        reseed(1, "step", 2)
        assert global_draws() == first
        reseed(1, "step", 3)
        second = global_draws()
    assert all(a != b for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("fails", [False, True])
def test_preserved_restores_torch_numpy_and_python(fails):
    before = state()

    def inside():
        with preserved():
            reseed(5)
            global_draws()
            assert all(a != b for a, b in zip(state(), before, strict=True))
            if fails:
                raise KeyError

    if fails:
        with pytest.raises(KeyError):
            inside()
    else:
        inside()
    assert state() == before


def test_seeded_draws_by_key_and_restores():
    before = state()
    draws = []
    for _ in range(2):
        with seeded(3, "weights", "x"):
            draws.append(global_draws())
    assert draws[0] == draws[1]
    assert state() == before


TINY = {
    "training.steps": 3,
    "training.batch_size": 8,
    "training.log_every": 2,
    "training.checkpoint_every": 2,
    "dataset.rows": 20,
    "dataset.held_out_rows": 8,
}


def test_the_library_leaves_the_callers_random_state_and_does_not_depend_on_it(tmp_path):
    weights = []
    for seed in (123, 456):
        torch.manual_seed(seed)
        numpy.random.seed(seed)
        random.seed(seed)
        before = state()
        run = genzoo.train("ali", overrides=TINY, runs=tmp_path, seed=4)
        assert state() == before
        genzoo.evaluate(run)
        model = genzoo.load(run)
        model.interpolate(torch.zeros(2, 2), torch.ones(2, 2))
        model.sample(3)
        genzoo.resume(run, steps=4)
        assert state() == before
        weights.append(run.newest_checkpoint()[0].file("networks.safetensors").read_bytes())
    assert weights[0] == weights[1]


# Initial weights


def trainer_of(game, *, seed=0, dataset=DATA, architecture=None, **training):
    settings = Settings(
        game=game,
        dataset=dataset,
        architecture=architecture or Mixture25Networks(),
        prior=StandardNormal(),
        training=Training(**{"steps": 4, "batch_size": 10, **training}),
    )
    return Trainer(Plan(settings=settings), dataset.load(None).train, seed=seed, device=CPU)


def part(trainer, name):
    return {key: tensor.clone() for key, tensor in trainer.networks.get_submodule(name).state_dict().items()}


def same(left, right):
    assert left.keys() == right.keys()
    return all(torch.equal(tensor, right[name]) for name, tensor in left.items())


@pytest.mark.parametrize(
    ("dataset", "architecture"),
    [
        (DATA, Mixture25Networks()),
        (DATA, Mixture25Networks(init_std=None)),
        (Digits(), DigitsNetworks()),
    ],
    ids=["mixture25", "torch's own", "digits"],
)
def test_games_of_one_seed_start_from_the_same_decoder(dataset, architecture):
    games = (ALI(), GAN(), VAE(), ALI(posterior="point"))
    decoders = [part(trainer_of(game, dataset=dataset, architecture=architecture), "decoder") for game in games]
    assert all(same(decoders[0], other) for other in decoders[1:])
    other = part(trainer_of(ALI(), dataset=dataset, architecture=architecture, seed=1), "decoder")
    assert not same(decoders[0], other)


def test_initial_weights_have_the_stated_spread_and_differ_between_layers():
    networks = trainer_of(ALI()).networks
    weights = [tensor for name, tensor in networks.named_parameters() if tensor.ndim == 2 and tensor.numel() > 1e5]
    assert len(weights) == 1 + 3 + 2
    for weight in weights:
        # 160,000 or more normal draws: five standard errors of their spread are 0.02·5/√(2·160,000)
        assert weight.std().item() == pytest.approx(0.02, abs=0.02 * 5 / (2 * 160_000) ** 0.5)
        assert abs(weight.mean().item()) < 0.02 * 5 / 400
    assert len({weight.flatten()[0].item() for weight in weights}) == len(weights)
    for name, tensor in networks.named_parameters():
        if name.endswith("bias"):
            assert not tensor.any(), name
        elif tensor.ndim == 1:
            assert torch.equal(tensor, torch.ones_like(tensor)), name


def test_networks_on_one_seed_do_not_depend_on_the_batch_size():
    assert same(part(trainer_of(ALI()), "critic"), part(trainer_of(ALI(), batch_size=11), "critic"))


# Batches


def stream_of(*, seed=0, rows=22, batch_size=8, labels=None):
    split = Split(torch.arange(2.0 * rows).view(rows, 2), labels)
    spec = replace(DATA.spec, class_names=("even", "odd"))
    return Stream(split, spec, batch_size=batch_size, prior=StandardNormal(), latent=2, seed=seed, device=CPU)


def rows_of(batch):
    return (batch.x[:, 0] / 2).long().tolist()


@pytest.mark.parametrize(("rows", "batch_size", "sizes"), [(22, 8, [8, 8, 6]), (24, 8, [8, 8, 8]), (5, 8, [5])])
def test_every_row_occurs_once_per_epoch_and_the_last_partial_batch_is_kept(rows, batch_size, sizes):
    stream = stream_of(rows=rows, batch_size=batch_size)
    assert (stream.order.steps_per_epoch, stream.smallest_batch) == (len(sizes), sizes[-1])
    for epoch in range(3):
        batches = [stream.batch(epoch * len(sizes) + position) for position in range(len(sizes))]
        assert [len(batch.x) for batch in batches] == sizes
        assert [len(batch.z) for batch in batches] == [len(batch.noise) for batch in batches] == sizes
        assert sorted(row for batch in batches for row in rows_of(batch)) == list(range(rows))


def epoch_order(stream, epoch):
    return [row for position in range(3) for row in rows_of(stream.batch(3 * epoch + position))]


def test_the_order_is_a_function_of_seed_and_epoch():
    walked, asked = stream_of(), stream_of()
    orders = [epoch_order(walked, epoch) for epoch in range(4)]
    assert epoch_order(asked, 3) == orders[3]
    assert epoch_order(asked, 1) == orders[1]
    assert len({tuple(order) for order in orders}) == 4
    assert epoch_order(stream_of(seed=1), 0) != orders[0]
    assert all(order != sorted(order) for order in orders)


def test_a_batch_is_a_function_of_seed_and_step():
    walked, asked = stream_of(), stream_of()
    walk = [walked.batch(step) for step in range(7)]
    for step in (6, 0, 4, 4):
        found = asked.batch(step)
        assert all(torch.equal(a, b) for a, b in zip(found[:3], walk[step][:3], strict=True))
    draws = [batch.z[0].tolist() for batch in walk] + [batch.noise[0].tolist() for batch in walk]
    assert len({tuple(draw) for draw in draws}) == 14
    assert not torch.equal(stream_of(seed=1).batch(0).z, walk[0].z)


def test_prior_draws_and_noise_are_standard_normal():
    stream = stream_of(rows=500, batch_size=500)
    draws = torch.cat([torch.cat([batch.z, batch.noise]) for batch in (stream.batch(step) for step in range(50))])
    # 100,000 draws: five standard errors of the mean and of the variance
    assert abs(draws.mean().item()) < 5 / 100_000**0.5
    assert abs(draws.var().item() - 1) < 5 * (2 / 100_000) ** 0.5


def test_labels_travel_with_their_rows():
    labels = torch.arange(22) % 2
    batch = stream_of(labels=labels).batch(1)
    assert batch.y.tolist() == [[1.0, 0.0] if row % 2 == 0 else [0.0, 1.0] for row in rows_of(batch)]
    assert stream_of().batch(1).y is None


def test_images_stored_as_bytes_are_divided_by_255():
    spec = Digits().spec
    stored = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 8, 8)
    stream = Stream(Split(stored), spec, batch_size=3, prior=StandardNormal(), latent=2, seed=0, device=CPU)
    x = stream.batch(0).x
    assert x.dtype == torch.float32
    assert sorted(x[:, 0, 0, 0].tolist()) == pytest.approx([0.0, 0.2, 1.0])


def test_what_a_network_draws_inside_is_a_function_of_seed_and_step():
    # the digits critic has dropout: a step must not depend on what was drawn before it, anywhere
    quiet, noisy = (trainer_of(GAN(), dataset=Digits(), architecture=DigitsNetworks()) for _ in range(2))
    with preserved():
        for _ in range(3):
            quiet.take_step()
            torch.rand(11)
    with preserved():
        for _ in range(3):
            noisy.take_step()
    assert same(quiet.networks.state_dict(), noisy.networks.state_dict())
    other = trainer_of(GAN(), dataset=Digits(), architecture=replace(DigitsNetworks(), dropout=0.0))
    with preserved():
        first = other.take_step().players["critic"]
    assert first != trainer_of(GAN(), dataset=Digits(), architecture=DigitsNetworks()).take_step().players["critic"]
