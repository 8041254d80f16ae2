"""Tests find their module: the core's unit tests know no first-party plugin, so that a change in one reddens none."""

import ast
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from genzoo.host.discovery import GROUP, discover

TESTS = Path(__file__).parents[1]
PLUGINS = {point.value for point in entry_points(group=GROUP) if point.value.startswith("genzoo_")}
"""Their modules."""
NAMED = {
    entry.name
    for entry in discover(entry_points(group=GROUP)).entries
    if entry.kind in ("models", "recipes") and entry.plugin.name in PLUGINS
}
"""The models and recipes that they offer."""
CORE = sorted(
    path for path in (TESTS / "unit").rglob("*.py") if "plugins" not in path.relative_to(TESTS / "unit").parts[:1]
)
STILL = {
    "unit/training/test_execution.py": "compiled and captured steps of every kind of first-party game",
}
"""Files that still know plugins, and why; nothing may be added."""


def label(path):
    return str(path.relative_to(TESTS))


def plugins_in(source):
    """Return the first-party modules that a test imports, scripts in strings included, and the names it gives."""
    tree, found = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names} & PLUGINS
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").partition(".")[0]} & PLUGINS
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {node.value} & NAMED
            found |= {
                plugin for plugin in PLUGINS if f"from {plugin}" in node.value or f"import {plugin}" in node.value
            }
    return found


@pytest.mark.parametrize("path", [path for path in CORE if label(path) not in STILL], ids=label)
def test_a_unit_test_of_the_core_knows_no_first_party_plugin(path):
    assert plugins_in(path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize("name", STILL)
def test_a_file_that_is_excepted_still_needs_to_be(name):
    assert plugins_in((TESTS / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from genzoo_gan.gan import GAN", {"genzoo_gan"}),
        ("import genzoo_data", {"genzoo_data"}),
        ("script = 'import sys; from genzoo_vae import vae'", {"genzoo_vae"}),
        ("genzoo.train('ali', recipe='digits')", {"ali", "digits"}),
        ("from genzoo import AdversarialGame\nsay('train', 'toy-with-encoder')", set()),
    ],
)
def test_the_look_for_plugins_can_fail(source, found):
    assert plugins_in(source) == found
