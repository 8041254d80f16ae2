"""The plugins that come with genzoo: they load, every name leads to what it says, and they can be narrowed."""

import inspect
from importlib.metadata import entry_points

import click
import pytest
from sites import names

import genzoo
from genzoo import Game, __version__
from genzoo.comparison import ExecutorFactory
from genzoo.comparison.studies import Study
from genzoo.components import Component
from genzoo.data import Dataset
from genzoo.errors import place_of
from genzoo.evaluation import Metric
from genzoo.host.discovery import GROUP, discover, registry
from genzoo.host.registry import KINDS
from genzoo.nn import Architecture
from genzoo.runs import Store, Tracker, default_recipe
from genzoo.training import Recipe
from genzoo_vae.vae import VAE

OWN = [entry for entry in discover(entry_points(group=GROUP)).entries if entry.plugin.distribution == "genzoo"]
BASES = {
    "models": Game,
    "datasets": Dataset,
    "architectures": Architecture,
    "metrics": Metric,
    "studies": Study,
    "stores": Store,
    "executors": ExecutorFactory,
    "trackers": Tracker,
    "components": Component,
}


def test_every_plugin_that_comes_with_genzoo_loads():
    own = [plugin for plugin in discover(entry_points(group=GROUP)).plugins if plugin.distribution == "genzoo"]
    assert {plugin.name for plugin in own} == {"genzoo", *(f"genzoo_{part}" for part in PARTS)}
    assert [plugin.cause for plugin in own] == [None] * len(own)
    assert all(plugin.summary for plugin in own)
    assert {plugin.version for plugin in own} == {genzoo.__version__}


MODELS = ("ali", "autoencoders", "autoregressive", "few_labels", "flow", "gan", "vae")
PARTS = (*MODELS, "data", "recipes", "metrics", "studies", "trackers", "bench", "clusters", "hub", "tune")


@pytest.mark.parametrize("entry", OWN, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_every_lazy_entry_leads_to_what_it_says(entry):
    found = entry.load()
    assert found.name == entry.name
    assert 0 < len(entry.summary) <= 90
    if entry.kind == "recipes":
        assert isinstance(found, Recipe)
        assert found.summary == entry.summary
    elif entry.kind == "commands":
        assert isinstance(found, click.Command)
        assert found.get_short_help_str(200) == entry.summary
    else:
        assert issubclass(found, BASES[entry.kind])
        assert not inspect.isabstract(found)
        assert registry().resolve(BASES[entry.kind], entry.name) is found


def test_every_kind_has_an_entry_of_its_own():
    assert {entry.kind for entry in OWN} == set(KINDS)


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("", []),
        ("genzoo_gan", ["conditional-gan", "gan", "infogan", "wgan-gp"]),
        ("genzoo_vae,genzoo_flow", ["conditional-vae", "iaf-vae", "rectified-flow", "tc-vae", "vae"]),
    ],
)
def test_the_environment_narrows_the_registry(monkeypatch, only, expected):
    monkeypatch.setenv("GENZOO_PLUGINS", only)
    registry.cache_clear()
    try:
        assert names(registry(), "models") == expected
    finally:
        registry.cache_clear()


def test_the_default_recipe_of_an_installation_is_the_toy_task():
    assert registry().default_recipe == "mixture25"
    assert default_recipe() == "mixture25"


def test_a_place_names_the_distribution_that_installed_the_class():
    line = VAE.cost.__code__.co_firstlineno
    assert place_of(VAE, "cost") == f"genzoo {__version__}, VAE.cost, genzoo_vae/vae.py:{line}"
    assert place_of(VAE, "players").startswith(f"genzoo {__version__}, VAE, genzoo_vae/vae.py:")
