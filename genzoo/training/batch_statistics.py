"""Batch statistics of averaged weights: the running ones belong to the latest weights and do not fit the averages."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn

from genzoo.games.augmentations import AugmentationModule
from genzoo.nn.layers import GlobalBatchNorm
from genzoo.randomness import preserved
from genzoo.training.execution import buffers_kept

_BATCHES_READ = 20


@contextmanager
def statistics_taken_anew(networks: nn.Module, play: Callable[[int], None]) -> Iterator[None]:
    """Set running statistics to those of the present weights inside the `with` block, and back afterwards.

    They are the mean over 20 batches, which `play(number)` puts through the networks. Networks without batch norm in
    training mode are left alone. On several ranks, this rank takes them from its own rows.
    """
    norms = [
        module
        for module in networks.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training and module.running_mean is not None
    ]
    if not norms:
        yield
        return
    with buffers_kept(networks):
        with preserved(), _cumulative(norms), _unobserved(networks):
            for number in range(_BATCHES_READ):
                play(number)
        yield


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
def _cumulative(norms: list[nn.modules.batchnorm._BatchNorm]) -> Iterator[None]:
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
