"""Randomness: every draw is a function of a key such as (seed, stream, step), never of earlier draws."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import numpy
import torch


def number(*key: int | str) -> int:
    """Return a 63-bit number that is a hash of all parts of `key`."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in key)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(device: torch.device | str, *key: int | str) -> torch.Generator:
    """Return a generator on `device`, seeded with `key`."""
    return torch.Generator(device=device).manual_seed(number(*key))


def reseed(*key: int | str) -> None:
    """Seed the global generators of torch, numpy and Python with `key`, without synchronising with the device."""
    value = number(*key)
    torch.default_generator.manual_seed(value)
    if _cuda_in_use():
        torch.cuda.default_generators[torch.cuda.current_device()].manual_seed(value)
    random.seed(value)
    numpy.random.seed(value & 0xFFFF_FFFF)


@contextmanager
def preserved() -> Iterator[None]:
    """Restore the caller's global random state on leaving."""
    python, legacy, cpu = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if _cuda_in_use() else []
    try:
        yield
    finally:
        random.setstate(python)
        numpy.random.set_state(legacy)
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


@contextmanager
def seeded(*key: int | str) -> Iterator[None]:
    """Seed the global generators with `key`, and restore the caller's state on leaving."""
    with preserved():
        reseed(*key)
        yield


def _cuda_in_use() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
