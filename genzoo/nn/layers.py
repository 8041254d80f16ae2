"""Layers that torch lacks: maxout, a bias per position, batch norm without counting or over all ranks, and others."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import _functional_collectives as collectives
from torch.nn.functional import batch_norm, normalize
from torch.nn.utils import parametrize

from genzoo.nn.interfaces import at_least_float32, row_wise


@row_wise
class MaxoutLayer(nn.Module):
    """The maximum over neighbouring groups of `pieces` channels."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C/pieces, …) for `x` (N, C, …)."""
        # max, because the gradient of amax, which is shared among equal pieces, takes several times as long
        if not (x.is_cuda and x.stride(1) == 1):
            return x.reshape(x.shape[0], -1, self.pieces, *x.shape[2:]).max(2).values
        # Channels last in memory have to be last for max, too, or it answers in another format, which each convolution
        # then copies. Not on CPUs: dropout's masks follow the format, and runs of before would go on differently.
        last = x.movedim(1, -1)
        return last.reshape(*last.shape[:-1], -1, self.pieces).max(-1).values.movedim(-1, 1)


class _UncountedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm that counts no batches unless its momentum is None, where alone the count is read.

    Torch's own adds 1 to a number on the device in every pass. The count stays in checkpoints, as it was loaded.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, …): `x` (N, C, …) normalised by its own statistics, or in inference by the running ones."""
        if not self.training or self.momentum is None:
            return super().forward(x)
        running = self.running_mean, self.running_var
        return batch_norm(x, *running, self.weight, self.bias, training=True, momentum=self.momentum, eps=self.eps)


class UncountedBatchNorm1d(_UncountedBatchNorm, nn.BatchNorm1d):
    """Batch norm of vectors."""


class UncountedBatchNorm2d(_UncountedBatchNorm, nn.BatchNorm2d):
    """Batch norm of images."""


@row_wise
class UntiedBias(nn.Module):
    """Adds one value per map and position."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    def reset_parameters(self) -> None:
        """Set the bias to 0."""
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (N, *shape) plus the bias."""
        return x + self.bias


@row_wise
class SpectralNorm(nn.Module):
    """A weight divided by its largest singular value, which a power iteration estimates (Miyato et al., 2018).

    There are 15 iterations at the start and one per forward pass in training. It does what torch's `spectral_norm`
    does, in products that autocast leaves in float32 and vmap can batch.
    """

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, *, dim: int) -> None:
        super().__init__()
        self._dim = dim
        matrix = self._as_matrix(weight)
        for name, size in zip(("_u", "_v"), matrix.shape, strict=True):
            self.register_buffer(name, normalize(matrix.new_empty(size).normal_(), dim=0))
        for _ in range(15):
            self._iterate(matrix)

    def forward(self, weight: Tensor) -> Tensor:
        """Return `weight` (…) over its largest singular value, with the maps of dimension `dim` as rows."""
        matrix = self._as_matrix(weight)
        if self.training:
            self._iterate(matrix)
        # Copies, because the next iteration overwrites the vectors, and backward needs those of this pass.
        u, v = self._u.clone(), self._v.clone()
        return weight / (u * (matrix * v).sum(1)).sum()

    def _as_matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self._dim, 0).flatten(1)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self._u.copy_(normalize((matrix * self._v).sum(1), dim=0))
        self._v.copy_(normalize((matrix * self._u[:, None]).sum(0), dim=0))


_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def normalise_spectrally(module: nn.Module) -> None:
    """Divide the weight of every linear map and convolution in `module` by its largest singular value."""
    for part in list(module.modules()):
        if isinstance(part, nn.Linear | nn.modules.conv._ConvNd):
            outputs = 1 if isinstance(part, _TRANSPOSED) else 0
            parametrize.register_parametrization(part, "weight", SpectralNorm(part.weight, dim=outputs))


def is_spectrally_normalised(module: nn.Module) -> bool:
    """Return whether this very module, a linear map or convolution, went through `normalise_spectrally`."""
    if not parametrize.is_parametrized(module, "weight"):
        return False
    assert isinstance(module.parametrizations, nn.ModuleDict)
    return any(isinstance(step, SpectralNorm) for step in module.parametrizations["weight"].children())


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all ranks; its gradient is the sum of the ranks' gradients.

    torch's own differentiable all_reduce is deprecated.
    """

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        return _sum_over_ranks(value)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _sum_over_ranks(gradient)


def _sum_over_ranks(value: Tensor) -> Tensor:
    """Return the sum of a tensor of any shape over all ranks, in operations that torch can trace."""
    everyone = dist.group.WORLD
    assert everyone is not None
    total: Tensor = collectives.wait_tensor(collectives.all_reduce(value.contiguous(), "sum", everyone))  # type: ignore[no-untyped-call]
    return total


class GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the rows of all ranks, which have equally many each."""

    of_all_ranks: bool = True
    """Whether the other ranks take part; a rank that computes alone sets it to False meanwhile."""

    @classmethod
    def of(cls, local: nn.modules.batchnorm._BatchNorm) -> "GlobalBatchNorm":
        """Return `local` over all ranks, with the same parameters and buffers."""
        norm = cls(local.num_features, local.eps, local.momentum, local.affine, local.track_running_stats)
        norm._parameters, norm._buffers = local._parameters, local._buffers
        return norm.train(local.training)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, …): `x` (N, C, …) normalised with the mean and variance (C,) of all ranks' rows."""
        if not (self.training and self.of_all_ranks):
            return super().forward(x)
        if x.is_cuda and self.momentum is not None:
            out: Tensor = _FusedBatchNorm.apply(x, self.weight, self.bias, self)
            return out
        out, mean, variance = self.normalised(x, self.weight, self.bias)
        self._update_statistics(mean.detach(), variance.detach(), x.numel() // len(mean) * dist.get_world_size())
        return out

    def normalised(self, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return `x` normalised, and the mean and variance (C,) of all ranks' rows; derivatives of any order exist."""
        values = at_least_float32(x)
        dims = [0, *range(2, x.ndim)]  # rows and positions: every dimension but the channels
        ranks = dist.get_world_size()
        mean: Tensor = _Sum.apply(values.mean(dims)) / ranks
        shape = (1, -1, *(1 for _ in dims[1:]))  # (1, C, 1, …), to broadcast (C,) over rows and positions
        centred = values - mean.view(shape)
        variance: Tensor = _Sum.apply(centred.square().mean(dims)) / ranks
        out: Tensor = centred * (variance + self.eps).rsqrt().view(shape)
        if weight is not None and bias is not None:
            out = out * weight.view(shape) + bias.view(shape)
        return out.to(x.dtype), mean, variance

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def _update_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics towards the mean and variance (C,) of `count` numbers per channel."""
        if self.num_batches_tracked is None or self.running_mean is None or self.running_var is None:
            return
        share: Tensor | float | None = self.momentum
        if share is None:
            self.num_batches_tracked.add_(1)
            share = 1 / self.num_batches_tracked.float()
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), share)  # the unbiased variance, as torch keeps


class _FusedBatchNorm(torch.autograd.Function):
    """A `GlobalBatchNorm` by the CUDA kernels of torch's SyncBatchNorm, without the waits for the host in that one."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, norm: GlobalBatchNorm) -> Tensor:
        assert norm.momentum is not None
        inner = _in_a_layout(x)
        statistics = torch.stack(torch.batch_norm_stats(inner, norm.eps))
        of_ranks = [torch.empty_like(statistics) for _ in range(dist.get_world_size())]
        dist.all_gather(of_ranks, statistics)
        means, inverses = torch.stack(of_ranks, 1)
        counts = torch.full((len(of_ranks),), inner.numel() / inner.shape[1], device=x.device, dtype=means.dtype)
        mean, inverse = torch.batch_norm_gather_stats_with_counts(
            inner, means, inverses, norm.running_mean, norm.running_var, norm.momentum, norm.eps, counts
        )
        context.save_for_backward(x, weight, bias, mean, inverse, counts.int())
        context.norm = norm
        return torch.batch_norm_elemt(inner, weight, bias, mean, inverse, norm.eps)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, inverse, counts = context.saved_tensors
        if torch.is_grad_enabled():  # a penalty takes derivatives of these gradients, which the kernels do not have
            inputs = [value for value in (x, weight, bias) if value is not None and value.requires_grad]
            out, _, _ = context.norm.normalised(x, weight, bias)
            derived = iter(torch.autograd.grad(out, inputs, gradient, create_graph=True))
            return *(
                next(derived) if value is not None and value.requires_grad else None for value in (x, weight, bias)
            ), None
        inner, slope = _in_a_layout(x), _in_a_layout(gradient)
        total, product, *of_affine = torch.batch_norm_backward_reduce(
            slope, inner, mean, inverse, weight, *context.needs_input_grad[:3]
        )
        if not context.needs_input_grad[0]:
            return None, *of_affine, None
        sums = torch.cat([total, product])
        dist.all_reduce(sums)
        total, product = sums.chunk(2)
        of_x = torch.batch_norm_backward_elemt(slope, inner, mean, inverse, weight, total, product, counts)
        return of_x, *of_affine, None


def _in_a_layout(x: Tensor) -> Tensor:
    """Return `x` in one of the two layouts that the kernels read."""
    return x if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()


def synchronise(networks: nn.Module) -> None:
    """Replace every batch norm in `networks` by a `GlobalBatchNorm`."""
    for module in list(networks.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                setattr(module, name, GlobalBatchNorm.of(child))
