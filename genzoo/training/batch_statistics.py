"""Batch statistics of averaged weights: the running ones belong to the latest weights and do not fit the averages."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from genzoo.games.augmentations import AugmentationModule
from genzoo.nn.layers import GlobalBatchNorm
from genzoo.randomness import preserved
from genzoo.training.execution import buffers_kept

_BATCHES_READ = 20


class StatisticsOfAverages:
    """The batch statistics of the averaged weights, taken once per step at which they are shown.

    They are the mean over 20 batches, which `play(number)` puts through the networks. On several ranks, this rank takes
    them from its own rows.
    """

    def __init__(self, networks: nn.Module, play: Callable[[int], None]) -> None:
        self._networks = networks
        self._play = play
        self._taken: tuple[int, list[Tensor]] | None = None

    def forget(self) -> None:
        """Take the statistics anew when they are next shown, because the weights of this step were replaced."""
        self._taken = None

    @contextmanager
    def shown(self, step: int) -> Iterator[None]:
        """Set running statistics to those of the averages, which are in place, and back on leaving.

        Networks without batch norm in training mode are left alone.
        """
        norms = [
            module
            for module in self._networks.modules()
            if isinstance(module, _BatchNorm) and module.training and module.running_mean is not None
        ]
        if not norms:
            yield
            return
        buffers = [buffer for norm in norms for buffer in norm.buffers()]
        with buffers_kept(self._networks):
            if self._taken is None or self._taken[0] != step:
                self._take(norms)
                self._taken = step, [buffer.clone() for buffer in buffers]
            else:
                with torch.no_grad():
                    torch._foreach_copy_(buffers, self._taken[1])
            yield

    def _take(self, norms: list[_BatchNorm]) -> None:
        with preserved(), _cumulative(norms), _unobserved(self._networks):
            for number in range(_BATCHES_READ):
                self._play(number)


@contextmanager
def _unobserved(networks: nn.Module) -> Iterator[None]:
    """Have augmentations take no note of these batches: they are no steps, and other ranks may not play them."""
    augmentations = [module for module in networks.modules() if isinstance(module, AugmentationModule)]
    for module in augmentations:
        module.eval()
    try:
        yield
    finally:
        for module in augmentations:
            module.train()


@contextmanager
def _cumulative(norms: list[_BatchNorm]) -> Iterator[None]:
    """Start the norms' running statistics anew, as plain means over batches, and restore their momentum on leaving."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        if isinstance(norm, GlobalBatchNorm):
            norm.of_all_ranks = False
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            if isinstance(norm, GlobalBatchNorm):
                norm.of_all_ranks = True
