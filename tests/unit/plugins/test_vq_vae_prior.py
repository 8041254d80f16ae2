"""The prior of VQ-VAE's codes: exact probabilities of indices, codes there and back, and what stays frozen."""

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import nn
from trainers import changed, job_of_request, parameters_of, trainer_on

import genzoo
from genzoo import SettingsError
from genzoo_autoregressive.index_networks import IndexNetwork

FEW = {"training.batch_size": 8}


def prior_trainer(source_model="vq-vae", latent_of_source=16):
    settings = job_of_request("vq-vae-prior", recipe="digits", overrides=FEW).settings
    latent = {"architecture.latent": latent_of_source}
    source = job_of_request(source_model, recipe="digits", overrides=latent).settings
    return trainer_on(replace(settings, source=None), source=source)


def drawn_anew(network, std=0.5):
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=std)
    return network.eval()


def test_the_probabilities_of_all_sequences_sum_to_1():
    network = drawn_anew(IndexNetwork(3, 4, width=5, layers=2, dropout=0.3).double())
    sequences = torch.tensor(list(product(range(4), repeat=3)))
    log_probabilities = network(sequences).gather(-1, sequences.unsqueeze(-1)).sum((1, 2))
    assert log_probabilities.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert log_probabilities.std() > 0.1


def test_indices_of_draws_have_the_networks_probabilities():
    trainer = prior_trainer()
    networks = trainer.networks.eval()
    drawn_anew(networks.decoder.network, std=0.1)
    first = networks.decoder.network(torch.zeros(1, 16, dtype=torch.long))[0, 0].exp()
    indices = networks.decoder.indices(torch.randn(5_000, 16))
    shares = indices[:, 0].bincount(minlength=64) / 5_000
    errors = (first * (1 - first) / 5_000).sqrt()
    assert ((shares - first).abs() < 5 * errors).all()


def test_an_image_comes_back_as_the_vq_vae_reconstructs_it():
    networks = prior_trainer().networks.eval()
    drawn_anew(networks.decoder.network, std=0.1)
    x, noise = torch.rand(20, 1, 8, 8), torch.randn(20, 16)
    quantised, decoder = networks.frozen["encoder"], networks.frozen["decoder"]
    expected = decoder(quantised(x, noise).z)
    torch.testing.assert_close(networks.decode(networks.encode(x, noise).z), expected, rtol=0, atol=1e-6)
    assert expected.std() > 0


def test_an_untrained_prior_guesses_among_all_rows_and_a_sample_costs_a_step_per_index():
    trainer = prior_trainer()
    losses = trainer.settings.game.losses(trainer.networks, trainer.batch(), ("generator",))
    assert losses.watch["bits_per_index"].item() == pytest.approx(math.log2(64), rel=1e-6)
    assert losses.players["generator"].item() == pytest.approx(16 * math.log(64), rel=1e-6)
    calls = []
    trainer.networks.decoder.network.register_forward_hook(lambda *_: calls.append(1))
    trainer.networks.decode(torch.randn(2, 16))
    assert len(calls) == trainer.networks.evaluations - 1 == 16


def test_the_vq_vae_stays_as_it_is_in_inference_mode_and_the_prior_learns_with_dropout():
    trainer = prior_trainer()
    networks = trainer.networks
    before = parameters_of(networks)
    of_vq_vae = {
        name: tensor.clone() for part in networks.frozen.values() for name, tensor in part.state_dict().items()
    }
    for _ in range(2):
        trainer.take_step()
    assert changed(networks, before)
    assert all(
        torch.equal(tensor, of_vq_vae[name])
        for part in networks.frozen.values()
        for name, tensor in part.state_dict().items()
    )
    assert not any(module.training for part in networks.frozen.values() for module in part.modules())
    assert networks.encoder.network.training
    assert networks.encoder.network is networks.decoder.network
    assert {id(parameter) for parameter in trainer.players["generator"]} == {
        id(parameter) for parameter in networks.encoder.network.parameters()
    }


def test_a_run_of_another_game_or_with_other_codes_is_refused():
    with pytest.raises(SettingsError, match="is of vae, and vq-vae-prior needs one of vq-vae"):
        prior_trainer("vae")
    with pytest.raises(SettingsError, match="a code has 16 rows here and 5 in the run"):
        prior_trainer(latent_of_source=5)


def test_a_trained_prior_samples_from_the_command_line(tmp_path, say):
    options = ["--device", "cpu", "--steps", 2, "--set", "training.batch_size=10"]
    assert say("train", "vq-vae", "--recipe", "digits", "--run", tmp_path / "first", *options).code == 0
    said = say("train", "vq-vae-prior", "--from", tmp_path / "first", "--run", tmp_path / "run", *options)
    assert said.code == 0, said.err
    assert say("sample", tmp_path / "run").code == 0
    first, model = genzoo.load(tmp_path / "first"), genzoo.load(tmp_path / "run")
    x = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(model.reconstruct(x), first.reconstruct(x), rtol=0, atol=1e-5)
    assert model.sample(3).shape == (3, 1, 8, 8)
