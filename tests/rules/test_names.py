"""The core names nothing that a plugin offers, and no name twice."""

import ast
import re
from collections import defaultdict
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from genzoo.host.discovery import GROUP, discover
from genzoo.host.registry import CORE

ROOT = Path(__file__).parents[2]
CORE_FILES = sorted((ROOT / "genzoo").rglob("*.py"))
TEMPLATES = sorted(path for path in (ROOT / "genzoo").rglob("*.jinja"))
PLUGINS = sorted(path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").exists())

OFFERS = [
    entry
    for entry in discover(entry_points(group=GROUP)).entries
    if entry.plugin.distribution == CORE and entry.plugin.name != CORE and entry.kind != "components"
]
CLASSES = {entry.offer.target.partition(":")[2] for entry in OFFERS if entry.kind not in ("recipes", "commands")}

ENGLISH = {
    "folder",
    "digits",
    "modes",
    "reconstruction",
    "recognition",
    "cycle",
    "coverage",
    "fidelity",
    "probe",
    "bench",
    "classifier",
    "ladder",
    "csv",
}
"""Names that are words of English as well: alone, they do not name what a plugin offers."""
NAMES = sorted({entry.name for entry in OFFERS} - ENGLISH) + PLUGINS

_NAME = re.compile(rf"\b({'|'.join(map(re.escape, sorted(NAMES, key=len, reverse=True)))})\b")
_WORD = "|".join(sorted(ENGLISH))
_WORD_AS_NAME = re.compile(
    rf"""^({_WORD})(?:/[\w-]+)?$"""  # the whole text, as in `metric == "modes"`, or a part of it: "modes/strict"
    rf"""|['"“]({_WORD})['"”]"""  # quoted; between backticks stands code, such as a parameter
    rf"""|--[a-z-]+[ =]({_WORD})\b"""  # the value of an option
    rf"""|\bgenzoo(?:[ ][a-z]+){{1,2}}[ ]({_WORD})\b""",  # an argument of a command
)


def label(path):
    return str(path.relative_to(ROOT))


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def first_party_names(text):
    """Return the names of what genzoo's own plugins offer that stand in `text`."""
    words = [next(filter(None, match.groups())) for match in _WORD_AS_NAME.finditer(text)]
    return [*_NAME.findall(text), *words]


def test_there_are_names_to_look_for():
    assert {"ali", "conditional-gan", "vae", "mixture25", "celeba64", "nearest-neighbour", "ali/figure8"} <= set(NAMES)
    assert {"ALI", "Mixture25", "Modes", "Figure8"} <= CLASSES
    assert {entry.name for entry in OFFERS} >= ENGLISH


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("First steps:  genzoo train ali  ·  genzoo list", ["ali"]),
        ("runs/0012-ali-mixture25-s0", ["ali", "mixture25"]),
        ("try: conditional-ali", ["conditional-ali"]),
        ("hinge=ali", ["ali"]),
        ("ALI's loss (equation 4), a GAN or VAE, alien, cifar100", []),
        ("plugins/genzoo_ali/ali.py", ["genzoo_ali", "ali"]),
        ("modes", ["modes"]),
        ("modes/strict", ["modes"]),
        ("the metric 'modes', “cycle”", ["modes", "cycle"]),
        ("Return the runs below `folder`.", []),
        ("--metric modes --recipe=digits", ["modes", "digits"]),
        ("genzoo train MODEL --recipe digits, genzoo data prepare folder", ["digits", "folder"]),
        ("genzoo show digits", ["digits"]),
        ("The run folder holds six digits; the modes of a mixture, a cycle of 4, a reconstruction", []),
        ("reconstructions", []),
    ],
)
def test_a_first_party_name_is_told_from_a_word(text, expected):
    assert first_party_names(text) == expected


@pytest.mark.parametrize("path", CORE_FILES, ids=label)
def test_the_core_names_nothing_that_a_first_party_plugin_offers(path):
    """Search the words of every string, docstrings too, for every model, recipe, data set, metric and so on.

    A name counts wherever it stands between word boundaries, in its own case: GAN and VAE in a sentence on a paper do
    not. Names that are English words (`ENGLISH`) count where they stand as names: as the whole text, in quotes, as the
    value of an option, or as an argument of a genzoo command.
    """
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert first_party_names(node.value) == [], f"line {node.lineno}"
        if isinstance(node, ast.Name | ast.Attribute):
            assert (node.id if isinstance(node, ast.Name) else node.attr) not in CLASSES, f"line {node.lineno}"


@pytest.mark.parametrize("path", TEMPLATES, ids=label)
def test_a_template_names_nothing_that_a_first_party_plugin_offers(path):
    assert first_party_names(path.read_text(encoding="utf-8")) == []


# A name is defined once

SHARED = {"genzoo_components", "genzoo_executors", "main"}
"""A hook goes by the name of its specification, and the entry point hands over to the command line's `main`."""


def defined(path):
    """Yield the names that a module defines: functions, classes and constants, but no type variables or dunders."""
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            maker = ast.unparse(node.value.func) if isinstance(node.value, ast.Call) else ""
            is_type_variable = maker in ("TypeVar", "TypeVarTuple")
            targets = [] if is_type_variable else node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))


def test_a_name_is_defined_in_one_module_of_the_core():
    homes = defaultdict(list)
    for path in CORE_FILES:
        for name in set(defined(path)):
            homes[name].append(label(path))
    assert {"Game", "registry", "KINDS", "Score", "_NUMBERED"} <= set(homes)
    twins = {name for name, places in homes.items() if len(places) > 1 and not name.startswith("__")}
    assert twins == SHARED, {name: homes[name] for name in twins ^ SHARED}
