"""The engine against a loop written by hand: the same networks and mathematics, the same process, block by block.

Run it with `python tests/benchmarks/engine.py`; it prints, per recipe, the ratio of steps per second (engine/hand)
as the median over pairs of neighbouring blocks, which a drifting machine disturbs least.
"""

import argparse
import statistics
import sys
import time
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import softplus

from genzoo import api
from genzoo.jobs import order
from genzoo.plugins import registry
from genzoo.trainer import Trainer


class Maxout(nn.Module):
    def forward(self, x):
        return x.view(len(x), -1, 5).amax(2)


def dense(*sizes):
    layers = []
    for given, units in pairwise(sizes[:-1]):
        layers += [nn.Linear(given, units, bias=False), nn.BatchNorm1d(units, eps=1e-4, momentum=0.05), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


class Mixture25ByHand(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = dense(4, 400, 400, 2)
        self.decoder = dense(2, 400, 400, 400, 400, 2)
        self.critic = nn.Sequential(
            nn.Linear(4, 1000),
            Maxout(),
            nn.Linear(200, 1000),
            Maxout(),
            nn.Linear(200, 1000),
            Maxout(),
            nn.Linear(200, 1),
        )

    def encode(self, x, noise):
        return self.encoder(torch.cat([x, noise], 1))

    def decode(self, z):
        return self.decoder(z)

    def judge(self, x, z):
        return self.critic(torch.cat([x, z], 1)).squeeze(1)


def normed(layer, maps, kind=nn.BatchNorm2d):
    return [layer, kind(maps, eps=1e-4, momentum=0.05), nn.LeakyReLU(0.1)]


class DigitsByHand(nn.Module):
    def __init__(self):
        super().__init__()
        act, drop = nn.LeakyReLU(0.1), nn.Dropout(0.1)
        self.encoder = nn.Sequential(
            *normed(nn.Conv2d(1, 32, 4, 2, bias=False), 32),
            *normed(nn.Conv2d(32, 128, 3, bias=False), 128),
            nn.Flatten(),
            *normed(nn.Linear(128, 128, bias=False), 128, nn.BatchNorm1d),
            nn.Linear(128, 64),
        )
        self.decoder = nn.Sequential(
            *normed(nn.ConvTranspose2d(32, 128, 3, bias=False), 128),
            *normed(nn.ConvTranspose2d(128, 32, 4, 2, bias=False), 32),
            nn.Conv2d(32, 1, 1, bias=False),
        )
        self.output_bias = nn.Parameter(torch.zeros(1, 8, 8))
        self.x = nn.Sequential(drop, nn.Conv2d(1, 32, 4, 2), act, drop, nn.Conv2d(32, 128, 3), act, nn.Flatten())
        self.z = nn.Sequential(drop, nn.Linear(32, 128), act, drop, nn.Linear(128, 128), act)
        self.joint = nn.Sequential(
            drop, nn.Linear(256, 256), act, drop, nn.Linear(256, 256), act, drop, nn.Linear(256, 1)
        )
        self.critic = nn.ModuleList([self.x, self.z, self.joint])

    def encode(self, x, noise):
        mean, log_std = self.encoder(x).chunk(2, 1)
        return mean + log_std.exp() * noise

    def decode(self, z):
        return torch.sigmoid(self.decoder(z[:, :, None, None]) + self.output_bias)

    def judge(self, x, z):
        return self.joint(torch.cat([self.x(x), self.z(z)], 1)).squeeze(1)


class Loop:
    """Simultaneous ALI as one would write it for one model, with every shortcut of the engine's mathematics."""

    def __init__(self, networks, data, *, batch, latent, training):
        self.networks, self.data, self.batch, self.latent = networks, data, batch, latent
        self.critic = list(networks.critic.parameters())
        critic = {id(parameter) for parameter in self.critic}
        self.generator = [parameter for parameter in networks.parameters() if id(parameter) not in critic]
        settings = {"lr": training.learning_rate, "betas": (training.beta1, training.beta2), "fused": True}
        self.critic_optimizer = torch.optim.Adam(self.critic, **settings)
        self.generator_optimizer = torch.optim.Adam(self.generator, **settings)
        self.position = len(data)

    def advance(self):
        if self.position >= len(self.data):
            self.order, self.position = torch.randperm(len(self.data)), 0
        x = self.data[self.order[self.position : self.position + self.batch]]
        x = x.float() / 255 if x.dtype == torch.uint8 else x
        self.position += self.batch
        z, noise = torch.randn(len(x), self.latent), torch.randn(len(x), self.latent)
        fake, code = self.networks.decode(z), self.networks.encode(x, noise)
        on_q, on_p = self.networks.judge(torch.cat([x, fake]), torch.cat([code, z])).chunk(2)
        critic_loss = softplus(-on_q).mean() + softplus(on_p).mean()
        generator_loss = softplus(on_q).mean() + softplus(-on_p).mean()
        critic_gradients = torch.autograd.grad(critic_loss, self.critic, retain_graph=True)
        generator_gradients = torch.autograd.grad(generator_loss, self.generator)
        for parameter, gradient in zip(self.critic, critic_gradients, strict=True):
            parameter.grad = gradient
        for parameter, gradient in zip(self.generator, generator_gradients, strict=True):
            parameter.grad = gradient
        self.critic_optimizer.step()
        self.generator_optimizer.step()


def measure(recipe, networks, *, blocks, steps):
    """Return steps per second of engine and loop, block by block."""
    job = order(registry(), "ali", recipe, 0, None, "fp32", {}, None)
    settings = job.settings
    splits = settings.dataset.load(api.data_folder(None))
    trainer = Trainer(job.plan, splits.train, seed=0, device=torch.device("cpu"))
    for parameter in networks.parameters():
        if parameter.ndim > 1 and parameter.shape != (1, 8, 8):
            nn.init.normal_(parameter, 0, settings.architecture.init_std)
    counts = [sum(parameter.numel() for parameter in part.parameters()) for part in (networks, trainer.networks)]
    assert counts[0] == counts[1], f"the networks differ: {counts}"
    loop = Loop(
        networks,
        splits.train.x,
        batch=settings.training.batch_size,
        latent=settings.architecture.latent,
        training=settings.training,
    )
    pairs = []
    for block in range(blocks + 1):
        contestants = [trainer, loop] if block % 2 else [loop, trainer]
        rates = {type(one).__name__: rate(one, steps) for one in contestants}
        if block:  # the first block warms up
            pairs.append((rates["Trainer"], rates["Loop"]))
    return pairs


def rate(contestant, steps):
    """Return steps per second over one block."""
    began = time.perf_counter()
    for _ in range(steps):
        contestant.advance()
    return steps / (time.perf_counter() - began)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20, help="steps per block")
    chosen = parser.parse_args(arguments)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {chosen.blocks} pairs of {chosen.steps} steps"
    )
    for recipe, networks in (("mixture25", Mixture25ByHand()), ("digits", DigitsByHand())):
        pairs = measure(recipe, networks, blocks=chosen.blocks, steps=chosen.steps)
        engine, loop = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratios = sorted(mine / theirs for mine, theirs in pairs)
        print(
            f"{recipe}: engine {engine:.1f} steps/s, by hand {loop:.1f} steps/s, "
            f"ratio {statistics.median(ratios):.3f} (quartiles {ratios[len(ratios) // 4]:.3f}–"
            f"{ratios[-1 - len(ratios) // 4]:.3f})"
        )


if __name__ == "__main__":
    sys.exit(main())
