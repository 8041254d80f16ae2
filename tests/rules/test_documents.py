"""Documents: pages that are generated from the code are what the code says."""

import ast
import re
import runpy
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import torch

from genzoo.host.discovery import registry
from genzoo.testing.games import toy_trainer
from genzoo.types import Batch

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {
    "api.md": ("make_api.py", "page"),
    "paper-recipes.md": ("make_paper_recipes.py", "page"),
    "zoo.md": ("make_zoo.py", "page"),
    "gallery.md": ("make_zoo.py", "gallery"),
}


@cache
def maker(file):
    """Return the names of a program that writes pages."""
    return runpy.run_path(str(DOCS / file))


API, ZOO = maker("make_api.py"), maker("make_zoo.py")
MODELS = [entry.name for entry in registry().of("models") if entry.plugin.distribution == "genzoo"]


@pytest.mark.parametrize("page", PAGES)
def test_a_generated_page_is_what_the_code_says(page):
    file, function = PAGES[page]
    assert (DOCS / page).read_text() == maker(file)[function](), f"type: python docs/{file}"


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


# Questions and faults


def texts_of_the_code():
    """Return the texts in genzoo and its plugins, a line each, with … for what is filled in."""
    for folder in ("genzoo", "plugins"):
        for path in sorted((DOCS.parent / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_every_message_on_the_page_of_faults_is_one_of_the_code():
    page = (DOCS / "questions-and-faults.md").read_text(encoding="utf-8").partition("## Faults")[2]
    messages, texts = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE), "\n".join(texts_of_the_code())
    patterns = {message: ".*".join(map(re.escape, message.strip("… ").split("…"))) for message in messages}
    assert len(patterns) > 25
    assert [message for message, pattern in patterns.items() if not re.search(pattern, texts)] == []
