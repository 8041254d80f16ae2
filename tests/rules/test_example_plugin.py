"""The third-party distribution of docs/writing-a-plugin.md: installed by pip, listed, trained and loaded."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from processes import python_path

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "genzoo-swae"
TINY = [
    "--steps=3",
    *(f"--set={setting}" for setting in ("training.batch_size=8", "dataset.rows=64", "dataset.held_out_rows=32")),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Install the example beside the environment, as `pip install ./genzoo-swae` would into it."""
    folder = tmp_path_factory.mktemp("example")
    source = shutil.copytree(EXAMPLE, folder / "source")
    target = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True)
    return target


def genzoo(site, folder, *arguments):
    environment = os.environ | {"PYTHONPATH": python_path(site)}
    command = [sys.executable, "-m", "genzoo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


def test_the_example_is_at_most_sixty_lines_and_documents_say_how_many():
    lines = [line for path in EXAMPLE.rglob("*.py") for line in path.read_text().splitlines()]
    assert len(lines) <= 60
    for page in (EXAMPLE.parents[1] / "writing-a-plugin.md", EXAMPLE.parents[2] / "README.md"):
        assert f"{len(lines)} lines of Python" in page.read_text()


def test_the_example_is_listed_with_its_distribution(site, tmp_path):
    listed = json.loads(genzoo(site, tmp_path, "list", "models", "--json").stdout)
    assert {"name": "swae", "distribution": "genzoo-swae", "version": "1.0"}.items() <= {
        key: value for item in listed["models"] if item["name"] == "swae" for key, value in item.items()
    }.items()


def test_the_example_trains_and_reconstructs_like_a_first_party_model(site, tmp_path):
    trained = genzoo(site, tmp_path, "train", "swae", *TINY, "--set=game.weight=2", "--json")
    assert trained.returncode == 0, trained.stderr
    result = json.loads(trained.stdout)
    assert result["step"] == 3
    assert {"modes", "reconstruction"} <= {score["metric"] for score in result["scores"]}
    shown = genzoo(site, tmp_path, "reconstruct", result["run"], "-n", "5", "--out", "pairs.npy")
    assert shown.returncode == 0, shown.stderr
    assert (tmp_path / "pairs.npy").exists()
    after = genzoo(site, tmp_path, "train", "inverse-mapping", "--from", result["run"], "--steps=2", "--quiet")
    assert after.returncode == 0, after.stderr


def test_the_page_about_plugins_shows_the_example_as_it_is():
    page = (EXAMPLE.parents[1] / "writing-a-plugin.md").read_text()
    for path in (EXAMPLE / "pyproject.toml", *EXAMPLE.rglob("*.py")):
        assert path.read_text().strip() in page, path
