"""The cookbook: what its page shows is the example as it is, and all of it runs."""

from importlib.metadata import PathDistribution
from pathlib import Path

import numpy
import pytest
from sites import on_the_path

from genzoo import testing
from genzoo.host.discovery import registry

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "genzoo-cookbook"
TINY = ["--steps=2", "--quiet", "--set=training.batch_size=10", "--set=training.log_every=1"]
MODELS = {"coded-gan": "digits", "few-labels-ali": "moons", "three-players": "moons", "line-flow": "moons"}


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    """Have the example installed, as pip leaves it."""
    info = tmp_path_factory.mktemp("site") / "genzoo_cookbook-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: genzoo-cookbook\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[genzoo]\ngenzoo_cookbook = genzoo_cookbook\n")
    assert PathDistribution(info).name == "genzoo-cookbook"
    with on_the_path(info.parent), on_the_path(EXAMPLE):
        registry.cache_clear()
        yield
    registry.cache_clear()


def test_the_page_shows_the_example_as_it_is():
    page = (DOCS / "cookbook.md").read_text()
    for path in EXAMPLE.rglob("*.py"):
        assert path.read_text().strip() in page, path


@pytest.mark.parametrize(("model", "recipe"), MODELS.items())
def test_every_model_of_the_page_trains_and_samples(say, model, recipe):
    assert say("train", model, "--recipe", recipe, "--run", "run", *TINY).code == 0
    assert say("sample", "run", "-n", 4, "--out", "samples.npy").code == 0


def test_what_the_page_types_after_training_works(say, tmp_path):
    assert say("train", "coded-gan", "--recipe", "digits", "--run", "codes", *TINY).code == 0
    for part, columns in (("category", 10), ("tilt", None)):
        swept = say("sample", "codes", "--sweep-code", part, "-n", 2, "--out", f"{part}.npy", "--json").document
        assert columns in (None, swept["columns"])
    assert numpy.load(tmp_path / "category.npy").shape == (2, 10, 1, 8, 8)
    refused = say("train", "coded-gan", "--recipe", "digits", "--set=prior=standard-normal", *TINY)
    assert (refused.code, "needs a prior of a category and a tilt" in refused.err) == (2, True)
    assert say("train", "coded-gan", "--recipe=digits", "--set=prior.categories=5", "--run=five", *TINY).code == 0
    assert say("sample", "five", "--sweep-code=category", "-n", 2, "--out=five.npy", "--json").document["columns"] == 5
    assert say("train", "few-labels-ali", "--recipe", "digits", "--labels=100", "--run=few", *TINY).code == 0
    assert say("classify", "few", "--json").code == 0
    assert say("train", "line-flow", "--recipe", "moons", "--run", "flow", *TINY).code == 0
    scores = say("evaluate", "flow", "--metric", "spread", "--json").document["scores"]
    assert [score["metric"] for score in scores] == ["spread"]
    assert say("train", "inverse-mapping", "--from", "flow", *TINY).code == 0
    lines = say("walk", "flow", "--steps", 3).out.split()
    assert [len(line.split(",")) for line in lines] == [2, 2, 2]


@pytest.mark.parametrize("name", ["codes", "spread", "dataset:moons", "plain", "walk", "recipe:moons"])
def test_everything_else_on_the_page_keeps_its_contract(name):
    for check in testing.checks(name, recipes=["moons"]):
        check.run()


SLOW = [pytest.param(*pair, marks=pytest.mark.slow) for pair in MODELS.items() if pair[0] != "coded-gan"]


@pytest.mark.parametrize(("model", "recipe"), [("coded-gan", MODELS["coded-gan"]), *SLOW])
def test_every_model_of_the_page_keeps_its_contract(model, recipe):
    for check in testing.checks(model, recipes=[recipe]):
        check.run()
