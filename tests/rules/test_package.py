"""The package: its page as an index would show it, and wheel and sdist where nothing else of it is."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADDRESS = "https://github.com/example/genzoo"
BUILD = "from setuptools import build_meta; build_meta.prepare_metadata_for_build_wheel('.')"


def page_of_package(folder, *, source):
    """Return the page in the metadata that are built with this address of the repository."""
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    (folder / "plugins").mkdir()
    if source is not None:
        settings = (folder / "pyproject.toml").read_text(encoding="utf-8")
        with_source = settings.replace("[project.urls]\n", f'[project.urls]\nSource = "{source}"\n')
        (folder / "pyproject.toml").write_text(with_source, encoding="utf-8")
    subprocess.run([sys.executable, "-c", BUILD], cwd=folder, check=True, capture_output=True)
    (metadata,) = folder.glob("*.dist-info/METADATA")
    message = message_from_string(metadata.read_text(encoding="utf-8"))
    assert message["Description-Content-Type"] == "text/markdown"
    return message.get_payload()


@pytest.mark.parametrize("source", [None, ADDRESS], ids=["no address", "address"])
def test_no_link_on_the_page_of_the_package_is_relative(tmp_path, source):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.compile(r"(!?)\[([^]]*)\]\(([^)]*)\)")
    shown = links.findall(page_of_package(tmp_path, source=source))
    assert all(target.startswith(("https://", "#")) for _, _, target in shown)
    relative = [(mark, target) for mark, _, target in links.findall(readme) if not target.startswith(("https://", "#"))]
    assert sum(mark == "!" for mark, _ in relative) >= 6
    made = [(mark, target) for mark, _, target in shown if target.startswith(ADDRESS)]
    kinds = {"!": "raw", "": "blob"}
    absolute = [(mark, f"{ADDRESS}/{kinds[mark]}/main/{target}") for mark, target in relative]
    assert made == ([] if source is None else absolute)


def test_every_extra_that_code_and_documents_name_is_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    files = [*(ROOT / "genzoo").rglob("*.py"), *(ROOT / "plugins").rglob("*.py"), *(ROOT / "docs").rglob("*.md")]
    named = {name for path in files for name in re.findall(r"genzoo\[([a-z]+)\]", path.read_text(encoding="utf-8"))}
    assert {"export", "fidelity", "heic"} <= named <= set(project["optional-dependencies"])


# Wheel and sdist

IN_EMPTY_ENVIRONMENT = """
import json, sys
import genzoo, genzoo.testing, genzoo_ali
run = genzoo.train("ali", steps=2, overrides={"training.batch_size": 8}, device="cpu", progress=False)
print(json.dumps({
    "scores": len(run.final_scores),
    "files": [genzoo.__file__, genzoo_ali.__file__],
    "needless": sorted({"jinja2", "scipy", "sklearn", "yaml"} & set(sys.modules)),
}))
"""


def copy_tree(target, *folders):
    """Copy what the package is built from, with these folders."""
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)
    for name in folders:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return a folder with the sdist, the wheel made of it, and in `direct` the wheel made of the tree itself."""
    source, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    copy_tree(source, "genzoo", "plugins", "docs", "tests")
    for options in (["--outdir", out], ["--wheel", "--outdir", out / "direct"]):
        command = [sys.executable, "-m", "build", "--no-isolation", *options]
        subprocess.run(command, cwd=source, check=True, capture_output=True)
    return out


def contents_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.slow
def test_the_sdist_builds_the_wheel_that_the_tree_builds(built):
    (of_sdist,), (of_tree,) = built.glob("*.whl"), (built / "direct").glob("*.whl")
    assert contents_of(of_sdist) == contents_of(of_tree)


@pytest.mark.slow
def test_the_wheel_holds_all_packages_with_types_templates_and_licence_and_nothing_else(built):
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    names = set(contents_of(wheel))
    of_tree = {path.relative_to(ROOT) for path in (ROOT / "genzoo").rglob("*")}
    of_tree |= {path.relative_to(ROOT / "plugins") for path in (ROOT / "plugins").rglob("*")}
    wanted = {str(path) for path in of_tree if path.suffix in (".py", ".pyi", ".jinja") or path.name == "py.typed"}
    assert {"genzoo/py.typed", "genzoo/__init__.pyi", "genzoo/cli/new_plugin.jinja", "genzoo_ali/ali.py"} <= wanted
    information = {name for name in names if ".dist-info/" in name}
    assert names - information == wanted
    assert any(name.endswith("/licenses/LICENSE") for name in information)
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "setup.py"} <= inside
    assert not [name for name in inside if name.startswith(("tests", "docs", "."))]


@pytest.fixture
def bare_environment(tmp_path, monkeypatch):
    """Return a new environment and its folder of packages: genzoo's dependencies, and nothing of genzoo."""
    place = tmp_path / "environment"
    venv.create(place, with_pip=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)}))
    shadow = tmp_path / "dependencies"  # those of this environment, and nothing of an installation of genzoo in it
    shadow.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "genzoo" not in entry.name and entry.suffix != ".pth":
            (shadow / entry.name).symlink_to(entry)
    (site / "dependencies.pth").write_text(f"{shadow}\n")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    return place, site


def run(*command, folder=None):
    """Return what a command wrote to stdout."""
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return said.stdout


@pytest.mark.slow
def test_the_line_for_authors_of_plugins_installs_all_where_type_checkers_find_it(bare_environment, tmp_path):
    place, _ = bare_environment
    (tmp_path / "tree").mkdir()
    copy_tree(tmp_path / "tree", "genzoo", "plugins")
    (line,) = {
        line
        for page in ("README.md", "docs/writing-a-plugin.md")
        for line in re.findall(r"`pip (install -e \. --config-settings [^`]*)`", (ROOT / page).read_text("utf-8"))
    }
    run(place / "bin" / "pip", "uninstall", "--yes", "setuptools")  # else an old one comes before that of the shadow
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    run(place / "bin" / "pip", *line.split(), *offline, folder=tmp_path / "tree")
    listed = json.loads(run(place / "bin" / "genzoo", "list", "--json"))
    assert {"ali", "gan", "vae"} <= {model["name"] for model in listed["models"]}
    (tmp_path / "program.py").write_text("import genzoo\nreveal_type(genzoo.load)\n")
    interpreter = ["--python-executable", place / "bin" / "python"]
    told = run(sys.executable, "-m", "mypy", "--strict", *interpreter, tmp_path / "program.py")
    assert "genzoo.evaluation.model.Model" in told


@pytest.mark.slow
def test_the_wheel_works_in_an_environment_that_has_its_dependencies_alone(built, bare_environment):
    (wheel,) = built.glob("*.whl")
    place, site = bare_environment
    run(place / "bin" / "pip", "install", "--no-index", "--no-deps", wheel)
    assert "train" in run(place / "bin" / "genzoo", "--help")
    listed = json.loads(run(place / "bin" / "genzoo", "list", "--json"))
    assert {"ali", "gan", "vae"} <= {model["name"] for model in listed["models"]}
    short = ("--steps", "2", "--set", "training.batch_size=8", "--quiet", "--json")
    assert json.loads(run(place / "bin" / "genzoo", "train", "gan", *short))["step"] == 2
    told = json.loads(run(place / "bin" / "python", "-c", IN_EMPTY_ENVIRONMENT).splitlines()[-1])
    assert told["scores"] > 0
    assert all(Path(file).is_relative_to(site) for file in told["files"])
    assert told["needless"] == []
