"""Randomness as a function: of a key, never of a history, and never at the caller's expense."""

import subprocess
import sys

import pytest
import torch
from global_state import global_draws, state

from genzoo.randomness import generator, number, preserved, reseed, seeded

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
