"""Habits: the files for contributors are there and well-formed, and what documents name is in the tree."""

import ast
import re
import tomllib
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
WORKFLOWS = [f".github/workflows/{name}.yml" for name in ("ci", "release", "supply-chain")]
FILES = ["Makefile", ".pre-commit-config.yaml", *WORKFLOWS, "CITATION.cff", "CHANGELOG.md"]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def label(page):
    return str(page.relative_to(ROOT))


def targets():
    """Return every target of the Makefile and what follows its colon."""
    return dict(re.findall(r"^(\w+):(.*)$", text("Makefile"), re.MULTILINE))


def paths_named_in(content):
    """Return what reads as a path or pattern from the root of the tree; a placeholder such as <package> ends it."""
    pattern = r"(?<![\w./-])(?:genzoo|plugins|tests|docs|\.ci|\.github)/[\w./*-]*"
    return {path.rstrip(".") for path in re.findall(pattern, content)}


def missing_from_the_tree(content):
    """Return the paths and patterns that text names and that match nothing."""
    return sorted(path for path in paths_named_in(content) if not any(ROOT.glob(path)))


def links_in(content):
    """Return the targets of a page's links and pictures that are not on the web."""
    return {link for link in re.findall(r"\]\(([^)\s]+)\)", content) if "://" not in link}


def anchors_of(page):
    """Return the anchors of a page's headings, as hosted pages write them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def resolves(dotted):
    """Return whether a dotted name is a module of genzoo, or leads from one to an attribute."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for name in parts[count:]:
            value = getattr(value, name, None)
        return value is not None
    return False


# What documents name


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_every_path_that_a_page_names_is_in_the_tree(page):
    assert missing_from_the_tree(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=label)
def test_every_link_of_a_page_leads_to_a_file_and_heading(page):
    for link in links_in(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


@cache
def functions_of(path):
    return {node.name for node in ast.parse(text(path)).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_every_test_that_a_page_names_is_defined_there(page):
    for file, name in re.findall(r"`(?:tests/)?([\w/]+\.py)::(\w+)`", page.read_text(encoding="utf-8")):
        assert name in functions_of(f"tests/{file}"), f"{file}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_every_dotted_name_of_genzoo_that_a_page_quotes_exists(page):
    names = set(re.findall(r"`(genzoo(?:\.\w+)+)[`(]", page.read_text(encoding="utf-8")))
    assert sorted(name for name in names if not resolves(name)) == []


def test_a_dead_path_link_and_name_are_noticed():
    content = "`tests/test_gone.py`, [gone](gone.md), <https://pages.example/docs/gone.md>"
    assert missing_from_the_tree(content) == ["tests/test_gone.py"]
    assert missing_from_the_tree("`docs/make_*.py`, `tests/unit/<package>/`") == []
    assert links_in(content) == {"gone.md"}
    assert resolves("genzoo.nn.Encoder")
    assert not resolves("genzoo.Encoder")
    assert not resolves("genzoo.vocabulary")


def test_every_make_target_that_contributing_names_is_in_the_makefile():
    named = set(re.findall(r"(?:^|`)make (\w+)", text("CONTRIBUTING.md"), re.MULTILINE))
    assert {"setup", "unit", "check"} <= named <= set(targets())


# The files for contributors


@pytest.mark.parametrize("name", FILES)
def test_every_path_that_a_file_for_contributors_names_is_in_the_tree(name):
    assert missing_from_the_tree(text(name)) == []


def test_every_target_of_the_makefile_has_one_line_at_most_and_is_phony():
    recipes = re.findall(r"^\w+:.*\n((?:\t.*\n)*)", text("Makefile"), re.MULTILINE)
    assert max(recipe.count("\n") for recipe in recipes) == 1
    phony = re.search(r"^\.PHONY: (.*)$", text("Makefile"), re.MULTILINE)[1]
    assert sorted(phony.split()) == sorted(targets())


def test_make_check_runs_what_the_ci_runs():
    recipes = dict(re.findall(r"^(\w+):.*\n\t(.*)$", text("Makefile"), re.MULTILINE))
    checked = " && ".join(recipes[name] for name in targets()["check"].split())
    in_ci = re.findall(r'^"\$venv/bin/((?!pip)[\w-]+)"(.*)$', text(".ci/run"), re.MULTILINE)
    assert [part.replace("$(BIN)", "") for part in checked.split(" && ")] == [tool + rest for tool, rest in in_ci]


def test_pre_commit_runs_local_hooks_alone():
    content = text(".pre-commit-config.yaml")
    assert re.findall(r"repo: (.*)", content) == ["local"]
    assert re.findall(r"entry: (.*)", content) == ["ruff check", "ruff format", "mypy"]
    assert set(re.findall(r"language: (.*)", content)) == {"system"}


def test_the_hosted_checks_run_the_ci_on_the_oldest_python():
    content = text(".github/workflows/ci.yml")
    oldest = tomllib.loads(text("pyproject.toml"))["project"]["requires-python"].removeprefix(">=")
    assert re.findall(r"run: (.*)", content) == ["bash .ci/run"]
    assert f'"{oldest}"' in content
    assert "on: [push, pull_request]" in content


def test_the_weekly_audit_does_not_pass_over_what_it_cannot_look_up():
    commands = re.findall(r"run: (.*)", text(".github/workflows/supply-chain.yml"))
    assert commands[0].endswith("pip install . && installed/bin/pip uninstall --yes genzoo")
    (audit,) = [command for command in commands if command.startswith("pip-audit ")]
    assert "--strict" in audit


def test_the_citation_has_its_required_keys_and_this_version():
    keys = dict(re.findall(r"^([\w-]+):(.*)$", text("CITATION.cff"), re.MULTILINE))
    assert {"cff-version", "message", "title", "authors"} <= set(keys)
    project = tomllib.loads(text("pyproject.toml"))["project"]
    described = {"title": project["name"], "version": project["version"], "license": project["license"]}
    assert {name: keys[name].strip() for name in described} == described
    assert keys["cff-version"].strip() == "1.2.0"


def test_the_changelog_begins_with_what_is_unreleased_and_every_version_with_what_breaks():
    _, *versions = re.split(r"^## (.*)$", text("CHANGELOG.md"), flags=re.MULTILINE)
    assert versions[0] == "Unreleased"
    for content in versions[1::2]:
        first, *others = re.findall(r"^### (.*)$", content, re.MULTILINE)
        assert first == "Breaks"
        assert set(others) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_image_installs_as_the_readme_says():
    recipe = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    first = re.search(r"^python3 -m venv .venv && .*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    install = first[0].removesuffix(" && .venv/bin/genzoo train ali")
    assert f"RUN {install.replace('pip install', 'pip install --no-cache-dir')}\n" in recipe
