"""Documents: pages that are generated from the code are what the code says."""

import ast
import re
import runpy
from importlib import import_module
from pathlib import Path

import pytest
import torch

from genzoo.host.discovery import registry
from genzoo.testing.games import toy_trainer
from genzoo.types import Batch

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"api.md": "make_api.py", "paper-recipes.md": "make_paper_recipes.py", "zoo.md": "make_zoo.py"}
API, ZOO = (runpy.run_path(str(DOCS / PAGES[page])) for page in ("api.md", "zoo.md"))
MODELS = [entry.name for entry in registry().of("models") if entry.plugin.distribution == "genzoo"]


@pytest.mark.parametrize("page", PAGES)
def test_a_generated_page_is_what_the_code_says(page):
    made = runpy.run_path(str(DOCS / PAGES[page]))
    assert (DOCS / page).read_text() == made["page"](), f"type: python docs/{PAGES[page]}"


@pytest.mark.parametrize("model", MODELS)
def test_a_model_says_its_source_and_its_losses(model):
    (first, *_), losses = ZOO["docstring"](registry().load("models", model))
    assert losses, "its docstring has no section `Losses:`"
    assert re.search(r"\(.+ \d{4}[,)]|baseline", first), "its docstring's first paragraph names no source"


@pytest.mark.parametrize("model", MODELS)
def test_a_card_says_what_the_networks_of_a_model_answer(model):
    card, settings = ZOO["zoo"]()[model], ZOO["settings_for"](model, "digits")
    game, data = settings.game, settings.dataset.spec
    networks = toy_trainer(game, registry().load("recipes", "digits")).networks.eval()
    source = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, *data.shape, generator=source), torch.eye(10)[:2]
    z = settings.prior.draw(2, settings.latent, source)
    batch = Batch(x=x, z=z, noise=torch.randn(2, settings.latent, generator=source), y=y)
    answers = {
        "decode": networks.decoder is not None and networks.decode(z, y),
        "encode": networks.encoder is not None and networks.encode(x, batch.noise, y).z,
        "classify": game.classify(networks, x, batch.noise),
        "density": game.log_weight(networks, batch, settings.prior),
        "exact": game.log_probability(networks, x, y),
    }
    able = {name for name, answer in answers.items() if isinstance(answer, torch.Tensor)}
    assert card.density == ("exact" if "exact" in able else "bound" if "density" in able else "")
    able |= {"reconstruct"} if {"decode", "encode"} <= able else set()
    able |= {"sample"} if "decode" in able and game.sampling_obstacle is None else set()
    assert set(card.abilities) - {"density"} == able - {"decode", "density", "exact"}


@pytest.mark.parametrize("module", API["public_modules"]())
def test_the_reference_has_every_public_name_and_no_other(module):
    is_module = {f"{module}.{name}" for name in import_module(module).__all__} & set(API["public_modules"]())
    offered = {name for name in import_module(module).__all__ if f"{module}.{name}" not in is_module}
    assert set(API["names_of"](module)) == offered - {"__version__"}


def test_every_name_in_the_reference_is_linked_and_has_one_heading():
    page = (DOCS / "api.md").read_text()
    anchors = [API["anchor"](heading) for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)]
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) == set(anchors) - {"api-reference"}
    names = {name for module in API["public_modules"]() for name in API["names_of"](module)}
    assert {API["anchor"](name) for name in names} <= set(anchors)


def test_help_shows_the_text_of_every_field_of_every_public_class():
    count = 0
    for module in API["public_modules"]():
        for name, entry in API["entries"](module).items():
            if isinstance(entry.node, ast.ClassDef):
                kind = getattr(import_module(module), name)
                annotated = vars(kind).get("__annotations__", {})
                for field in (each for each in API["_fields"](entry) if each.text and each.name in annotated):
                    told = getattr(kind, field.name).__doc__ if issubclass(kind, tuple) else kind.__doc__
                    first = " ".join(field.text.partition("\n\n")[0].split())
                    assert first in told, f"{module}.{name}.{field.name}"
                    count += 1
    assert count > 150
