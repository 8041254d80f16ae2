"""Every shortcut of the engine's step on and off, block by block in one process, as a Markdown table.

Run it with `python tests/benchmarks/options.py [RECIPE …] [--device cuda]`.
"""

import argparse
from contextlib import contextmanager
from unittest.mock import patch

import torch

from genzoo import AdversarialGame
from genzoo.runs import TrainingRequest, new_trainer
from genzoo.training.batches import Stream
from genzoo.training.nonfinite import NonFiniteGuard
from genzoo_bench.measuring import Rates

_ADAM, _STREAM = torch.optim.Adam, Stream.__init__


def two_backwards():
    return patch.object(AdversarialGame, "per_player_reason", lambda *call: "it is switched off")


def unfused():
    return patch("torch.optim.Adam", lambda *call, fused, capturable, **named: _Plain(*call, **named))


def other_layout():
    def init(self, *call, channels_last, **named):
        _STREAM(self, *call, channels_last=not channels_last, **named)

    return patch.object(Stream, "__init__", init)


def unguarded():
    return patch.object(NonFiniteGuard, "inspect", lambda *call: None)


class _Plain(_ADAM):
    """Adam as it comes, which knows no `found_inf`."""

    def __setattr__(self, name, value):
        if name != "found_inf":
            super().__setattr__(name, value)


OPTIONS = {
    "one backward pass for both players": two_backwards,
    "fused Adam": unfused,
    "the layout of images chosen (off: the other one)": other_layout,
    "leaving the guard out (not done)": unguarded,
}


@contextmanager
def nothing():
    yield


class Within:
    """A trainer that takes its steps under a patch."""

    def __init__(self, patched, options):
        self._patched = patched
        with patched():
            self._trainer = new_trainer(TrainingRequest(model="ali", **options))

    def take_step(self):
        with self._patched():
            self._trainer.take_step()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", nargs="*", default=["mixture25-paper", "digits", "cifar10"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a block, about")
    chosen = parser.parse_args()
    print("| recipe | shortcut | steps/s on / off (quartiles) |\n|---|---|---|")
    for recipe in chosen.recipes:
        options = {"recipe": recipe, "device": chosen.device, "precision": chosen.precision}
        for name, patched in OPTIONS.items():
            contestants = {"on": Within(nothing, options), "off": Within(patched, options)}
            if patched is unguarded:
                contestants = dict(zip(("off", "on"), contestants.values(), strict=True))
            rates = Rates(contestants, torch.device(chosen.device))
            one = rates.warm_up(chosen.seconds)
            rates.measure(blocks=chosen.blocks, steps=max(1, int(chosen.seconds / one)))
            low, middle, high = rates.ratio("on", "off")
            print(f"| {recipe} | {name} | {middle:.3f} ({low:.3f}–{high:.3f}) |", flush=True)


if __name__ == "__main__":
    main()
