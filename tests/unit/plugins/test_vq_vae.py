"""VQ-VAE: what the quantiser returns, costs and lets through, the perplexity, and that there are no samples."""

import json
import math

import pytest
import torch
from trainers import doubled, new_trainer, unlike_alone

import genzoo
from genzoo.evaluation.scoring import metrics_with_obstacles
from genzoo_autoregressive.codebook import Codebook, perplexity, straight_through
from genzoo_autoregressive.vq_vae import VQVAE

FEW = {"training.batch_size": 8}


def codebook_of(rows, size):
    torch.manual_seed(0)
    codebook = Codebook(rows, size).double()
    assert codebook.weight.abs().max() <= 1 / rows
    return codebook


def slopes(loss, *tensors):
    return torch.autograd.grad(loss, tensors, allow_unused=True)


# The quantiser


def test_a_piece_that_is_a_row_of_the_codebook_costs_nothing_and_returns_itself():
    codebook, indices = codebook_of(7, 3), torch.tensor([[4, 0], [6, 4]])
    pieces = codebook.weight[indices].detach().requires_grad_()
    assert codebook.nearest(pieces).equal(indices)
    rows = codebook(indices)
    assert straight_through(pieces, rows).equal(pieces)
    cost = VQVAE().cost(pieces, rows)
    assert cost.item() == 0
    assert not any(slope.any() for slope in slopes(cost, pieces, codebook.weight))


def test_every_piece_becomes_the_row_at_the_least_distance():
    codebook, pieces = codebook_of(5, 2), torch.randn(20, 3, 2, dtype=torch.float64) / 5
    expected = [
        [min(range(5), key=lambda k: math.dist(piece, codebook.weight[k].tolist())) for piece in of_row]
        for of_row in pieces.tolist()
    ]
    assert codebook.nearest(pieces).tolist() == expected
    rows = codebook.weight[torch.tensor(expected)]
    assert straight_through(pieces, rows).equal(rows)


def test_each_term_moves_its_side_alone_by_the_mean_over_all_numbers():
    torch.manual_seed(0)
    pieces, rows = (torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    cost = VQVAE(beta=0.25).cost(pieces, rows)
    assert cost.item() == pytest.approx(1.25 * (pieces - rows).square().sum().item() / 24, rel=1e-12)
    of_pieces, of_rows = slopes(cost, pieces, rows)
    torch.testing.assert_close(of_rows, 2 * (rows - pieces).detach() / 24)
    torch.testing.assert_close(of_pieces, 0.25 * 2 * (pieces - rows).detach() / 24)


def test_the_gradient_of_the_encoder_through_the_quantiser_is_that_of_the_decoder():
    trainer = doubled(new_trainer("vq-vae", recipe="digits", overrides=FEW | {"game.beta": 0}))
    networks, batch = trainer.networks.eval(), trainer.batch()
    encoder, before = networks.encoder, []
    encoder.encoder.register_forward_hook(lambda _, __, code: before.append(code.z))
    loss = VQVAE(beta=0).losses(networks, batch, ("generator",)).players["generator"]
    z = networks.encode(batch.x, batch.noise).z.detach().requires_grad_()
    of_decoder = -torch.distributions.Bernoulli(logits=networks.decode_logits(z), validate_args=False).log_prob(batch.x)
    (expected,) = slopes(of_decoder.sum() / batch.x.numel(), z)
    (taken,) = slopes(loss, before[0])
    torch.testing.assert_close(taken, expected)
    assert expected.any()


@pytest.mark.parametrize(
    ("indices", "expected"),
    [([[3, 3], [3, 3]], 1), ([[0, 1], [1, 0]], 2), ([[0, 1], [2, 3]], 4), ([[0, 0, 0, 1]], None)],
)
def test_the_perplexity_is_the_number_of_rows_that_are_used_equally(indices, expected):
    shares = (0.75, 0.25)
    expected = expected or math.exp(-sum(share * math.log(share) for share in shares))
    value = perplexity(torch.tensor(indices), 4).item()
    assert value == pytest.approx(expected, rel=1e-6)
    assert 1 - 1e-6 <= value <= 4 + 1e-6


# Trainings


def test_the_watched_perplexity_is_that_of_the_rows_that_its_codes_are_of():
    trainer = new_trainer("vq-vae", recipe="digits", overrides=FEW | {"game.rows": 16})
    networks, batch = trainer.networks.eval(), trainer.batch()
    losses = trainer.settings.game.losses(networks, batch, ("generator",))
    codes = networks.encode(batch.x, batch.noise).z.view(-1, 8)
    equal = (codes[:, None] == networks.encoder.codebook.weight).all(-1)
    assert equal.sum(1).tolist() == [1] * len(codes)
    assert losses.watch["perplexity"].item() == pytest.approx(perplexity(equal.int().argmax(1), 16).item())
    assert 1 < losses.watch["perplexity"] < 16


def test_replicas_take_the_steps_that_they_take_alone():
    assert not unlike_alone(
        lambda seed: new_trainer("vq-vae", seed=seed, recipe="mixture25", overrides=FEW), steps=2, rtol=1e-7, atol=1e-9
    )


def test_a_run_has_reconstructions_and_says_why_it_has_no_samples(tmp_path, say):
    run = genzoo.train(
        "vq-vae", recipe="mixture25", steps=2, run=tmp_path / "run", device="cpu", overrides=FEW, progress=False
    )
    assert {path.name for path in run.path.iterdir()} & {"samples", "reconstructions"} == {"reconstructions"}
    assert not any(
        "sample_spread" in json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()
    )
    model = genzoo.load(run)
    obstacles = {metric.name: why for metric, why in metrics_with_obstacles(model)}
    reason = VQVAE.sampling_obstacle
    assert {obstacles[name] for name in ("modes", "nearest-neighbour", "cycle")} == {reason}
    assert obstacles["reconstruction"] is obstacles["latent-match"] is None
    said = say("sample", run.path)
    assert said.code == 2
    assert f"this model cannot sample: {reason}" in " ".join(said.err.split())
