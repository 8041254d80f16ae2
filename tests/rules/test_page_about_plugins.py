"""The games that docs/writing-a-plugin.md shows beside its example do what it says of them."""

import re
from pathlib import Path

import torch

import genzoo
from genzoo import testing
from genzoo.games import Relativistic
from genzoo.nn import Architecture
from genzoo.testing.games import toy_trainer
from genzoo.testing.toys import VECTOR_TOY
from genzoo.types import Batch, DataSpec, Round

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-plugin.md"
IMPORTS = """
from dataclasses import dataclass
from typing import ClassVar
from torch import Tensor
from torch.nn.functional import softplus
from genzoo import AdversarialGame, Joint, Networks
"""


def shown(*names):
    """Return classes that the page shows, with what it leaves to its reader to import."""
    namespace = {kind.__name__: kind for kind in (Architecture, Batch, DataSpec, Round)} | {"__name__": __name__}
    exec(IMPORTS, namespace)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for name in names:
        (block,) = (block for block in blocks if f"class {name}(" in block)
        exec(block, namespace)
    return [namespace[name] for name in names]


def test_the_loss_that_the_page_writes_is_the_one_that_it_says():
    plain, relativistic = shown("CodeCritic", "RelativisticCodes")
    trainer = toy_trainer(plain(objective=Relativistic()), VECTOR_TOY)
    batch = trainer.batch()
    players = tuple(trainer.players)
    games = (trainer.settings.game, relativistic())
    expected, losses = (game.losses(trainer.networks, batch, players).players for game in games)
    assert all(torch.equal(losses[name], expected[name]) for name in players)
    for check in testing.checks(relativistic, recipes=[VECTOR_TOY]):
        if check.name in ("names", "settings", "losses", "objective", "mean-over-rows"):
            check.run()
    assert issubclass(relativistic, genzoo.AdversarialGame)
