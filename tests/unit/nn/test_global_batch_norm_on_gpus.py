"""Batch norm over all ranks by torch's kernels for it, put together as on GPUs: those kernels are formulas here."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from genzoo.nn import layers
from genzoo.nn.layers import GlobalBatchNorm

EPS, MOMENTUM = 1e-4, 0.05


def over(x):
    """Return all dimensions but the channels, and the shape that broadcasts (C,)."""
    return [0, *range(2, x.ndim)], (1, -1, *(1,) * (x.ndim - 2))


def batch_norm_stats(x, eps):
    dims, _ = over(x)
    return x.mean(dims), (x.var(dims, unbiased=False) + eps).rsqrt()


def batch_norm_gather_stats_with_counts(x, means, inverses, running_mean, running_var, momentum, eps, counts):
    shares, variances = (counts / counts.sum())[:, None], inverses**-2 - eps
    mean = (shares * means).sum(0)
    variance = (shares * (variances + (means - mean) ** 2)).sum(0)
    total = counts.sum()
    running_mean.lerp_(mean, momentum)
    running_var.lerp_(variance * total / (total - 1), momentum)
    return mean, (variance + eps).rsqrt()


def batch_norm_elemt(x, weight, bias, mean, inverse, eps):
    _, shape = over(x)
    return (x - mean.view(shape)) * (inverse * weight).view(shape) + bias.view(shape)


def batch_norm_backward_reduce(slope, x, mean, inverse, weight, of_x, of_weight, of_bias):
    dims, shape = over(x)
    total, product = slope.sum(dims), (slope * (x - mean.view(shape))).sum(dims)
    return total, product, product * inverse if of_weight else None, total if of_bias else None


def batch_norm_backward_elemt(slope, x, mean, inverse, weight, total, product, counts):
    _, shape = over(x)
    rows = counts.sum()
    centred = (x - mean.view(shape)) * (inverse**2 * product / rows).view(shape)
    return (slope - (total / rows).view(shape) - centred) * (inverse * weight).view(shape)


KERNELS = (
    batch_norm_stats,
    batch_norm_gather_stats_with_counts,
    batch_norm_elemt,
    batch_norm_backward_reduce,
    batch_norm_backward_elemt,
)


@pytest.fixture
def twins(monkeypatch):
    """Have this process be one of two ranks with the same rows, whose kernels compute as CUDA's are documented to."""
    for kernel in KERNELS:
        monkeypatch.setattr(torch, kernel.__name__, kernel)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_reduce", lambda value: value.mul_(2))
    monkeypatch.setattr(layers, "_sum_over_ranks", lambda value: 2 * value)
    monkeypatch.setattr(dist, "all_gather", lambda places, value: [place.copy_(value) for place in places])


def norms(rows):
    """Return a batch norm of its own and what is to equal it on two ranks."""
    kind = nn.BatchNorm1d if rows.ndim == 2 else nn.BatchNorm2d
    plain, local = (kind(rows.shape[1], eps=EPS, momentum=MOMENTUM).double() for _ in range(2))
    with torch.no_grad():
        for norm in (plain, local):
            norm.weight.copy_(torch.linspace(0.5, 2, rows.shape[1]))
            norm.bias.copy_(torch.linspace(-1, 1, rows.shape[1]))
    return plain, GlobalBatchNorm.of(local)


def fused(norm, x):
    """Return what `norm` answers to a tensor on a GPU."""
    return layers._FusedBatchNorm.apply(x, norm.weight, norm.bias, norm)


@pytest.mark.parametrize("shape", [(6, 5), (3, 5, 4, 2)])
def test_two_ranks_normalise_as_one_process_with_all_rows_does(twins, shape):
    rows, slope = torch.randn(2, *shape, dtype=torch.float64)
    plain, norm = norms(rows)
    alone, ours = torch.cat([rows, rows]).requires_grad_(), rows.clone().requires_grad_()
    expected, out = plain(alone), fused(norm, ours)
    (expected * torch.cat([slope, slope])).sum().backward()
    (out * slope).sum().backward()
    torch.testing.assert_close(out, expected[: len(rows)])
    torch.testing.assert_close(ours.grad, alone.grad[: len(rows)])
    for parameter, other in zip(norm.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(2 * parameter.grad, other.grad)  # each rank has the gradient of its own rows
    for name in ("running_mean", "running_var"):
        buffer = plain.get_buffer(name)
        torch.testing.assert_close(norm.get_buffer(name), buffer, msg=name)


@pytest.mark.parametrize("shape", [(6, 5), (3, 5, 4, 2)])
def test_a_penalty_can_take_the_derivative_of_its_gradients(twins, shape):
    rows, slope = torch.randn(2, *shape, dtype=torch.float64)
    plain, norm = norms(rows)
    alone, ours = torch.cat([rows, rows]).requires_grad_(), rows.clone().requires_grad_()

    def penalised(out, x, slopes):
        (gradient,) = torch.autograd.grad((out**3 * slopes).sum(), x, create_graph=True)
        return torch.autograd.grad((gradient**2).sum(), x)[0]

    expected = penalised(plain(alone), alone, torch.cat([slope, slope]))
    torch.testing.assert_close(penalised(fused(norm, ours), ours, slope), expected[: len(rows)])


def test_channels_last_images_are_not_copied(twins):
    image = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    assert layers._in_a_layout(image) is image
    assert layers._in_a_layout(image.transpose(2, 3)).is_contiguous()
