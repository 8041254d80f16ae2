"""It is never taken down by a plugin: broken ones, really installed, alone and all at once, in every order."""

import importlib
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from processes import python_path
from sites import HOOKS, Site, on_the_path
from toy import TOY

import genzoo
from genzoo.host.discovery import discover, registry

TINY = ["--steps", "2", *(f"--set={path}={value}" for path, value in TOY.items() if path != "training.steps")]
VERSION = "0.7"


class Kind(NamedTuple):
    """A plugin: its module, what the host says of it, and where its entry point leads."""

    source: str
    cause: str = ""
    target: str = "{module}"
    own: str | None = None
    """The model that it offers."""


def hook(kind, offers):
    return f"{HOOKS}@hookimpl\ndef genzoo_{kind}(): {offers}\n"


BROKEN = {
    "a missing dependency": Kind("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
    "a missing dependency of its own package": Kind("from {module}.inner import x", "is not a package"),
    "an import of itself": Kind("from {module} import later\nlater = 1", "partially initialized"),
    "a syntax error": Kind("def broken(:", "SyntaxError"),
    "a module of null bytes": Kind("\0\0", "null bytes"),
    "an error at import": Kind("raise RuntimeError('no')", "RuntimeError: no"),
    "an error of several lines": Kind("raise RuntimeError('first\\nsecond')", "RuntimeError: first second"),
    "an error of a million letters": Kind("raise RuntimeError('x' * 10**6)", "xxx..."),
    "an error that cannot be told": Kind(
        "class Mute(Exception):\n    def __str__(self): raise RuntimeError('mute')\nraise Mute", "Mute"
    ),
    "an error with commands for a terminal": Kind("raise RuntimeError('\\x1b[2J\\x9b31m\\a\\r no')", "RuntimeError"),
    "a group of errors": Kind("raise ExceptionGroup('both', [ValueError(1), TypeError(2)])", "both (2 sub-exceptions)"),
    "no memory": Kind("raise MemoryError", "MemoryError"),
    "an exit": Kind("raise SystemExit(3)", "SystemExit: 3"),
    "an exit with success": Kind("import sys; sys.exit(0)", "SystemExit: 0"),
    "an exit without a word": Kind("import sys; sys.exit()", "SystemExit"),
    "an exit that is no Exception": Kind("class Stop(BaseException): pass\nraise Stop('stop')", "Stop: stop"),
    "a cancelled task": Kind("import asyncio\nraise asyncio.CancelledError", "CancelledError"),
    "a recursion at import": Kind("def again(): again()\nagain()", "RecursionError"),
    "a question at import": Kind("input()", "Error"),
    "written for a newer genzoo": Kind("from genzoo import hookimpl, of_the_next_version", "of_the_next_version"),
    "written for an older genzoo": Kind(hook("models", "return [lazy('old', 'old:Old')]"), "summary"),
    "a hook of a newer genzoo": Kind(hook("planners", "return []"), "unknown hook genzoo_planners"),
    "a misspelt hook": Kind(hook("modles", "return []"), "did you mean 'genzoo_models'?"),
    "a hook without its mark": Kind("def genzoo_models(): return []", "genzoo_models must be marked @hookimpl"),
    "a wrong hook argument": Kind(HOOKS + "@hookimpl\ndef genzoo_models(config): return []", "config"),
    "hooks of a class, not of an object": Kind(
        HOOKS + "class Hooks:\n    @hookimpl\n    def genzoo_models(self): return []", "self", "{module}:Hooks"
    ),
    "a coroutine for a hook": Kind(HOOKS + "@hookimpl\nasync def genzoo_models(): return []", "coroutine"),
    "a hook that raises": Kind(hook("models", "raise ValueError('no')"), "ValueError: no"),
    "a hook that raises halfway": Kind(
        HOOKS + "@hookimpl\ndef genzoo_models():\n    yield lazy('half', 'a:A', 'a')\n    raise ValueError('half')",
        "ValueError: half",
    ),
    "a second hook that raises": Kind(
        hook("models", "return [lazy('first', 'a:A', 'a')]") + "@hookimpl\ndef genzoo_recipes(): raise ValueError('2')",
        "ValueError: 2",
    ),
    "a hook that exits": Kind(hook("models", "raise SystemExit(1)"), "SystemExit: 1"),
    "a hook that recurses": Kind(hook("models", "return genzoo_models()"), "RecursionError"),
    "the same name twice": Kind(
        hook("models", "return [lazy('a', 'a:A', 'a'), lazy('a', 'b:B', 'b')]"), "it offers the model 'a' twice"
    ),
    "a number for offers": Kind(hook("models", "return 5"), "int"),
    "a text for offers": Kind(hook("models", "return 'ali'"), "expected lazy(…) or a model"),
    "a function among offers": Kind(hook("recipes", "return [print]"), "expected lazy"),
    "nothing among offers": Kind(hook("metrics", "return [None]"), "expected lazy(…) or a metric"),
    "a component without a name": Kind(
        "from genzoo.components import Component\nclass Mine(Component): pass\n" + hook("components", "return [Mine]"),
        "name",
    ),
    "a name that is no text": Kind(hook("models", "return [lazy(5, 'a:A', 'five')]"), "5"),
    "a summary that is no text": Kind(hook("models", "return [lazy('a', 'a:A', None)]"), "None"),
    "a missing attribute": Kind("first = 1", "has no attribute 'nothing'", "{module}:nothing"),
    "a missing module": Kind("first = 1", "No module named 'no_such_module'", "no_such_module"),
    "an entry point that leads nowhere": Kind("first = 1", "", "not a module !!"),
    "an object that cannot be hashed": Kind("listed = []", "unhashable", "{module}:listed"),
    "an object that cannot be compared": Kind(
        "class Odd:\n    def __eq__(self, other): raise ValueError('odd')\nodd = Odd()", "odd", "{module}:odd"
    ),
}

HARMLESS = {
    "a module without hooks": Kind("'''Nothing yet.'''"),
    "nothing at all": Kind("nothing = None", target="{module}:nothing"),
    "a number for a plugin": Kind("number = 5", target="{module}:number"),
    "hooks of another project": Kind(
        "import pluggy\n@pluggy.HookimplMarker('other')\ndef genzoo_models(config): return [5]"
    ),
    "a print at import": Kind("print('loud')\n" + hook("models", "return [lazy('loud', 'a:A', 'a')]"), own="loud"),
    "a warning at import that is off": Kind("import warnings; warnings.warn('old', DeprecationWarning)"),
    "a slow import": Kind(
        "import time\ntime.sleep(0.3)\nwith open(__file__ + '.times', 'a') as file: print(file=file)"
    ),
    "a name that is not ASCII": Kind(hook("models", "return [lazy('жар-птица', 'a:A', '火の鳥')]"), own="жар-птица"),
    "markup": Kind(hook("models", "return [lazy('[bold]fat[/bold]', 'a:A', '[red]x[/nothing] <b>')]"), own="[bold]fat"),
    "commands for a terminal": Kind(
        hook("models", "return [lazy('clear\\x1b[2J', 'a:A', 'one\\n\\x1b[31mtwo\\a\\x9b0m\\r\\u2028')]"), own="clear"
    ),
    "half a letter": Kind(hook("models", "return [lazy('half', 'a:A', '\\ud800')]"), own="half"),
    "a long summary": Kind(hook("models", "return [lazy('wordy', 'a:A', 'x' * 10**5)]"), own="wordy"),
    "a metric that cannot be loaded": Kind(hook("metrics", "return [lazy('absent', 'no_such_module:A', 'a')]")),
    "a command that cannot be loaded": Kind(hook("commands", "return [lazy('absent', 'no_such_module:A', 'a')]")),
    "a command with a name of ours": Kind(hook("commands", "return [lazy('train', 'no_such_module:A', 'a')]")),
    "the name of a built-in": Kind(hook("models", "return [lazy('gan', 'no_such_module:A', 'a')]")),
    "a name of two": Kind(hook("models", "return [lazy('twin', 'a:A', 'a')]")),
    "a name of two again": Kind(hook("models", "return [lazy('twin', 'a:A', 'a')]")),
}


def distribution(kind):
    return "zoo-" + re.sub(r"\W+", "-", kind)


def install(site, name, kind):
    """Install a plugin as the distribution `zoo-…` that is called after its kind."""
    module = distribution(name).replace("-", "_")
    target = kind.target.replace("{module}", module)
    site.install(distribution(name), kind.source, version=VERSION, points={module: target})


@pytest.fixture
def site(tmp_path):
    """A folder on the path of this process, whose registry is made anew."""
    folder = tmp_path / "site"
    folder.mkdir()
    with on_the_path(folder) as found:
        registry.cache_clear()
        yield found
        registry.cache_clear()


@pytest.fixture
def ask(site, say):
    """Return a function that runs a command in this process with what is installed by then."""

    def call(*arguments):
        importlib.invalidate_caches()
        return say(*arguments)

    return call


def start(path, *arguments, folder, **environment):
    """Run a command in a process of its own that finds distributions on `path`."""
    environment = {**os.environ, "PYTHONPATH": python_path(path), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, "-m", "genzoo", *arguments],
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
        check=False,
    )


# Alone


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_one_line_and_everything_else_works(site, ask, name):
    site.good("zoo-before", name="before", points={"a_before": "zoo_before"})
    install(site, name, BROKEN[name])
    site.good("zoo-later", name="later", points={"zzz_later": "zoo_later"})
    helped = ask("--help")
    assert (helped.code, helped.err) == (0, "")
    (broken,) = registry().broken
    assert (broken.distribution, broken.version) == (distribution(name), VERSION)
    assert BROKEN[name].cause in broken.cause
    line = f"plugin {broken.name} of {broken.distribution} {VERSION} is broken: {broken.cause}"
    assert line.isprintable()
    assert len(line) < 330
    for command in (["list", "--json"], ["list", "plugins"], ["runs", "--json"], ["show", "mixture25", "--json"]):
        said = ask(*command)
        assert (said.code, said.err) == (0, f"warning: {line}\n")
        if "--json" in command:
            assert said.document
    listed = ask("list", "--json").document
    ours = {item["name"] for item in listed["models"] if item["distribution"] != "genzoo"}
    assert ours == {"before", "later"}
    assert f"broken: {broken.cause}" in [item["summary"] for item in listed["plugins"]]
    said = ask("--strict-plugins", "runs")
    assert (said.code, said.out) == (4, "")
    assert said.err.startswith(f"error: {line}\n")
    asked = ask("train", "fish")
    assert (asked.code, asked.out) == (4, "")
    assert f"{broken.distribution} ({broken.cause})" in asked.err


def test_who_asks_for_a_model_of_a_broken_plugin_is_told_how_to_remove_it(site, ask):
    site.install("zoo-broken", "raise RuntimeError('no')")
    assert "pip uninstall zoo-broken" in ask("train", "fish").err


def test_strict_plugins_refuses_nothing_where_all_is_well(site, ask):
    site.install("zoo-fish", hook("models", "return [lazy('fish', '{module}_inner:Fish', 'a')]"))
    (site.folder / "zoo_fish_inner.py").write_text(OWN + GAME)
    said = ask("--strict-plugins", "list", "models", "--json")
    assert "fish" in [item["name"] for item in said.document["models"]]
    assert said.err == ""


def test_strict_plugins_refuses_a_name_of_two(site, ask):
    site.good("zoo-one", name="fish")
    site.good("zoo-two", name="fish")
    said = ask("--strict-plugins", "runs")
    assert (said.code, said.out) == (4, "")
    assert "zoo-one:fish or zoo-two:fish" in said.err


def test_an_interrupt_while_a_plugin_is_imported_is_the_user_s(site, ask):
    site.install("zoo-slow", "raise KeyboardInterrupt")
    said = ask("list")
    assert (said.code, said.out) == (130, "")
    assert len(said.err.split("\n")) <= 3


def test_a_broken_plugin_leaves_none_of_its_offers_behind(site):
    for name in ("a second hook that raises", "a hook that raises halfway", "the same name twice"):
        install(site, name, BROKEN[name])
    found = site.discover()
    assert len(found.broken) == 3
    assert {entry.plugin.name for entry in found.entries} == {"genzoo"}


def test_a_plugin_that_goes_by_the_name_of_a_standard_module_does_not_replace_it(site, monkeypatch):
    site.install("zoo-shadow", "raise RuntimeError('not the standard one')", points={"zoo": "colorsys"})
    (site.folder / "zoo_shadow.py").rename(site.folder / "colorsys.py")
    monkeypatch.setattr(sys, "path", [*(one for one in sys.path if one != str(site.folder)), str(site.folder)])
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    found = site.discover()  # site-packages comes after the standard library
    assert found.broken == []
    assert found.plugins[-1].distribution == "zoo-shadow"


# Harmless, and odd


@pytest.mark.parametrize(
    "name", ["a name that is not ASCII", "markup", "commands for a terminal", "half a letter", "a long summary"]
)
def test_the_help_shows_a_command_of_a_plugin_and_no_more_than_a_few_printable_lines(site, ask, name):
    command = HARMLESS[name].source.replace("genzoo_models", "genzoo_commands")
    install(site, name, HARMLESS[name]._replace(source=command))
    said = ask("--help")
    assert said.code == 0, said.err
    assert HARMLESS[name].own in said.out
    assert said.out.count("\n") < 60
    assert said.out.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", [name for name, kind in HARMLESS.items() if kind.own])
def test_a_listing_shows_odd_names_and_summaries_in_a_printable_line_each(site, ask, name):
    lines = ask("list").out.count("\n")
    registry.cache_clear()
    install(site, name, HARMLESS[name])
    said = ask("list")
    assert said.code == 0
    assert HARMLESS[name].own in said.out
    assert said.out.count("\n") == lines + 2  # the model and the plugin
    assert said.out.replace("\n", "").isprintable()
    assert max(map(len, said.out.splitlines())) < 400
    (item,) = [item for item in ask("list", "--json").document["models"] if item["distribution"] != "genzoo"]
    assert item["name"].startswith(HARMLESS[name].own)


WRITES = {
    "in a generator": HOOKS + "@hookimpl\ndef genzoo_models():\n    print('loud')\n    yield lazy('loud', 'a:A', 'a')",
    "in a summary": "from genzoo.components import Component\n"
    "class Loud(Component):\n    name = 'loud'\n    @classmethod\n    def summary(cls):\n        print('loud')\n"
    "        return ''\n" + hook("components", "return [Loud]"),
    "past Python": "import os\nos.write(1, b'loud\\n')",
    "by a program": "import subprocess\nsubprocess.run(['echo', 'loud'])",
}


@pytest.mark.parametrize("where", WRITES)
def test_what_a_plugin_writes_by_other_ways_does_not_reach_stdout_either(tmp_path, where):
    site = Site(tmp_path / "site")
    site.folder.mkdir()
    site.install("zoo-loud", WRITES[where])
    said = start(site.folder, "list", "--json", folder=tmp_path)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["schema_version"] == 1


def test_a_warning_at_import_is_one_line(tmp_path):
    site = Site(tmp_path / "site")
    site.folder.mkdir()
    site.install("zoo-warns", "import warnings\nwarnings.warn('careful')")
    said = start(site.folder, "list", "--json", folder=tmp_path)
    assert "careful" in said.stderr
    assert said.stderr.count("\n") == 1


def test_a_slow_import_is_made_once_and_not_at_all_where_it_is_left_out(site):
    install(site, "a slow import", HARMLESS["a slow import"])
    site.discover(only="")
    assert list(site.folder.glob("*.times")) == []
    site.discover()
    assert [path.read_text() for path in site.folder.glob("*.times")] == ["\n"]


# A plugin that ends the process for good


def test_a_plugin_that_ends_the_process_can_be_left_out(tmp_path):
    site = Site(tmp_path / "site")
    site.folder.mkdir()
    site.install("zoo-ends", "import os; os._exit(9)")
    assert start(site.folder, "runs", folder=tmp_path).returncode == 9
    assert start(site.folder, "runs", folder=tmp_path, GENZOO_PLUGINS="genzoo_ali").returncode == 0


def test_the_page_on_security_says_that_it_is_not_guarded_against():
    assert "os._exit" in (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")


# Metadata

NAMED = b"Metadata-Version: 2.1\nName: zoo-odd\nVersion: 1\n"
POINTS = b"[genzoo]\nzoo = no_such_module\n"
METADATA = {
    "a line that is no entry point": (NAMED, b"[genzoo]\nthis is none\n"),
    "such a line for another program": (NAMED, b"[other]\nthis is none\n"),
    "entry points that are no text": (NAMED, b"[genzoo]\n\xff = \xfe\n"),
    "entry points outside of any group": (NAMED, b"zoo = no_such_module\n"),
    "entry points that are empty": (NAMED, b""),
    "an entry point to nothing": (NAMED, b"[genzoo]\nzoo =\n"),
    "no metadata": (None, POINTS),
    "metadata that are empty": (b"", POINTS),
    "metadata that are no text": (b"Metadata-Version: 2.1\nName: zoo-\xff\nVersion: 1\n", POINTS),
    "no version": (b"Metadata-Version: 2.1\nName: zoo-odd\n", POINTS),
    "no name": (b"Metadata-Version: 2.1\nVersion: 1\n", POINTS),
    "commands for a terminal": (b"Metadata-Version: 2.1\nName: zoo-\x1b[2J\nVersion: 1\x1b[0m\a\n", POINTS),
}


@pytest.mark.parametrize("name", METADATA)
def test_odd_metadata_are_at_most_one_line_and_everything_else_works(tmp_path, name):
    folder = tmp_path / "site" / "zoo_odd-1.dist-info"
    folder.mkdir(parents=True)
    for file, content in zip(("METADATA", "entry_points.txt"), METADATA[name], strict=True):
        if content is not None:
            (folder / file).write_bytes(content)
    helped = start(folder.parent, "--help", folder=tmp_path)
    assert (helped.returncode, helped.stderr) == (0, "")
    said = start(folder.parent, "list", "--json", folder=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "ali" in [item["name"] for item in json.loads(said.stdout)["models"]]
    assert said.stderr.count("\n") <= 1
    assert said.stderr.replace("\n", "").isprintable()


# Models, metrics and data sets that fail when they are used

OWN = "from dataclasses import dataclass\nfrom genzoo import Game\nfrom genzoo_gan.gan import GAN\n"
GAME = "@dataclass(frozen=True, kw_only=True)\nclass Fish(GAN):\n    name = 'fish'\n"
USED = {
    "a missing module": ("", "no_such_module:Fish", "No module named 'no_such_module'"),
    "a missing class": ("", "{module}:Fish", "has no attribute 'Fish'"),
    "a module that raises": ("raise RuntimeError('no')", "{module}_inner:Fish", "RuntimeError: no"),
    "a module that exits": ("import sys; sys.exit(0)", "{module}_inner:Fish", "SystemExit: 0"),
    "a module that recurses": ("def a(): a()\na()", "{module}_inner:Fish", "RecursionError"),
    "a class that raises when it is made": (
        "from genzoo import Game\nclass Fish(Game, metaclass=5): pass",
        "{module}_inner:Fish",
        "TypeError",
    ),
    "a module that stops": ("class Stop(BaseException): pass\nraise Stop", "{module}_inner:Fish", "Stop"),
    "no game": ("class Fish: pass", "{module}_inner:Fish", "not a Game"),
    "no class": ("Fish = 5", "{module}_inner:Fish", "not a Game"),
    "a class of another name": (OWN + "class Fish(GAN): name = 'bird'", "{module}_inner:Fish", "calls itself 'bird'"),
    "abstract methods": (OWN + "class Fish(Game): name = 'fish'", "{module}_inner:Fish", "abstract"),
    "a constructor that raises": (
        OWN + GAME + "    def __post_init__(self): raise KeyError('no')",
        "{module}_inner:Fish",
        "KeyError",
    ),
    "a constructor that refuses its own defaults": (
        OWN + GAME + "    def __post_init__(self): raise ValueError('no')",
        "{module}_inner:Fish",
        "no",
    ),
}


def ask_for_fish(site, ask, name):
    """Ask for a model that is broken in that way, beside a model of the same plugin that is not."""
    inner, target, _ = USED[name]
    offers = f"return [lazy('fish', {target!r}, 'a'), lazy('good', '{{module}}_good:Good', 'a')]"
    site.install("zoo-fish", hook("models", offers))
    (site.folder / "zoo_fish_inner.py").write_text(inner)
    (site.folder / "zoo_fish_good.py").write_text(OWN + "class Good(GAN): name = 'good'")
    return ask("train", "fish", "--json", *TINY)


@pytest.mark.parametrize("name", USED)
def test_who_asks_for_a_broken_model_gets_the_cause_and_everything_else_works(site, ask, name, tmp_path):
    said = ask_for_fish(site, ask, name)
    assert (said.code, said.out) == (4, "")
    assert USED[name][2] in said.err
    assert said.err.count("\n") <= 2
    assert not (tmp_path / "runs").exists()
    for command in (["list", "--json"], ["runs", "--json"], ["show", "mixture25", "--json"]):
        said = ask(*command)
        assert said.err == ""
        assert said.document
    strict = ask("--strict-plugins", "runs", "--json")
    assert (strict.code, strict.out) == (4, "")
    assert strict.err.startswith("error: model 'fish' of zoo-fish ")
    assert "'good'" not in strict.err
    assert ask("show", "model:good", "--json").code == 0


@pytest.mark.parametrize("name", USED)
def test_who_asks_for_a_broken_model_is_told_how_to_remove_its_plugin(site, ask, name):
    assert ask_for_fish(site, ask, name).err.endswith("pip uninstall zoo-fish\n")


@pytest.fixture
def good(site):
    """Install a model that does not fail, and others of the names of built-in ones."""
    source = "from genzoo_gan.gan import GAN\nfrom genzoo.games.objectives import NonSaturating\n"
    source += "class Mine(GAN):\n    name = 'gan'\nclass Loss(NonSaturating):\n    name = 'non-saturating'\n"
    site.install(
        "zoo-good", source + hook("models", "return [Mine]") + "@hookimpl\ndef genzoo_components(): return [Loss]"
    )


def test_a_plugin_with_names_of_built_in_ones_leaves_both_within_reach(good, ask):
    said = ask("train", "gan", *TINY)
    assert (said.code, said.out) == (4, "")
    assert said.err.endswith("say which: genzoo:gan or zoo-good:gan\n")
    ran = {name: ask("train", name, "--json", *TINY) for name in ("ali", "genzoo:gan", "zoo-good:gan")}
    assert {name: said.code for name, said in ran.items()} == dict.fromkeys(ran, 0)
    models = [genzoo.Run(Path(said.document["run"])).record.model for said in ran.values()]
    assert models == list(ran)


def test_a_run_of_a_built_in_model_goes_on_though_a_plugin_has_taken_its_name(good, ask, monkeypatch):
    monkeypatch.setenv("GENZOO_PLUGINS", ",".join(f"genzoo_{part}" for part in ("gan", "data", "recipes", "metrics")))
    run = ask("train", "gan", "--json", *TINY).document["run"]
    monkeypatch.delenv("GENZOO_PLUGINS")
    registry.cache_clear()
    assert ask("train", "gan", *TINY).code == 4
    assert ask("resume", run, "--steps", "3", "--json").document["step"] == 3
    assert genzoo.Run(Path(run)).record.settings["game"]["name"] == "genzoo:gan"
    assert ask("resume", run, "--steps", "4", "--json").document["step"] == 4


TAKEN = {
    "models": (hook("models", "return [lazy('ali', 'no_such_module:A', 'a')]"), "genzoo:ali"),
    "components": (hook("components", "return [lazy('non-saturating', 'no_such_module:A', 'a')]"), "ali"),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_a_broken_component_with_the_name_of_a_built_in_one_leaves_that_within_reach(site, ask, kind):
    source, model = TAKEN[kind]
    site.install("zoo-taken", source)
    said = ask("train", model, "--json", *TINY)
    assert said.code == 0, said.err


METRIC = (
    "from dataclasses import dataclass\nfrom genzoo.evaluation import Metric\n"
    "@dataclass(frozen=True, kw_only=True)\nclass Depth(Metric):\n    name = 'depth'\n"
)
CAN = "    def obstacle(self, model): return None\n"
METRICS = {
    "not loadable": hook("metrics", "return [lazy('depth', 'no_such_module:A', 'a')]"),
    "no metric": hook("metrics", "return [lazy('lazy', '{module}:lazy', 'a')]"),
    "abstract": METRIC,
    "a constructor that raises": METRIC + CAN + "    def measure(self, *a, **k): return []\n"
    "    def __post_init__(self): raise ValueError('no')\n",
    "an obstacle that raises": METRIC + "    def obstacle(self, model): raise KeyError('no')\n"
    "    def measure(self, *a, **k): return []\n",
    "a measure that raises": METRIC + CAN + "    def measure(self, *a, **k): raise KeyError('no')\n",
    "a measure that exits": METRIC + CAN + "    def measure(self, *a, **k): raise SystemExit(0)\n",
    "a measure of nothing": METRIC + CAN + "    def measure(self, *a, **k): return None\n",
    "a measure that prints": METRIC + CAN + "    def measure(self, *a, **k): print('loud'); return []\n",
}


@pytest.mark.parametrize("name", METRICS)
def test_a_broken_metric_is_one_line_and_a_built_in_model_is_trained_and_measured(site, ask, name):
    source = METRICS[name]
    site.install("zoo-depth", source if "hookimpl" in source else source + hook("metrics", "return [Depth]"))
    said = ask("train", "ali", "--json", "--quiet", *TINY)
    assert said.code == 0, said.err
    scores = {score["metric"] for score in said.document["scores"]}
    assert {"modes", "reconstruction"} <= scores
    assert said.err.count("\n") <= 1


@pytest.mark.parametrize(
    ("source", "command"),
    [
        (hook("datasets", "return [lazy('pond', 'no_such_module:A', 'a')]"), ["data", "status", "--json"]),
        (hook("datasets", "return [lazy('pond', '{module}:pond', 'a')]") + "pond = 5", ["data", "status", "--json"]),
        (hook("studies", "return [lazy('pond', 'no_such_module:A', 'a')]"), ["reproduce", "--json"]),
    ],
    ids=["a data set", "no data set", "a study"],
)
def test_a_listing_of_what_can_be_used_leaves_out_what_is_broken(site, ask, source, command):
    site.install("zoo-pond", source)
    said = ask(*command)
    assert said.code == 0, said.err
    assert said.document
    assert said.err.count("\n") <= 1


def test_a_broken_metric_does_not_end_a_comparison(site, ask):
    site.install("zoo-depth", METRICS["not loadable"])
    runs = [ask("train", model, "--json", *TINY).document["run"] for model in ("ali", "gan")]
    said = ask("compare", *runs, "--json")
    assert said.code == 0, said.err


# All at once


class Together:
    """All plugins installed in one folder, and what each command said in a process of its own."""

    def __init__(self, folder):
        self.folder, self.site = folder, Site(folder / "site")
        self.site.folder.mkdir()
        for name, kind in (BROKEN | HARMLESS).items():
            install(self.site, name, kind)
        commands = {
            "help": ["--help"],
            "list": ["list"],
            "all": ["list", "--json"],
            "plugins": ["list", "plugins", "--json"],
            "runs": ["runs", "--json"],
            "train": ["train", "ali", "--recipe", "mixture25", "--json", "--quiet", *TINY],
            "own": ["show", "model:fish"],
            "strict": ["--strict-plugins", "runs"],
        }
        self.said = {name: start(self.site.folder, *command, folder=folder) for name, command in commands.items()}
        self.talking = [said for name, said in self.said.items() if name not in ("help", "strict", "own")]

    def line(self, name):
        """Return how the line on a broken plugin begins."""
        module = distribution(name).replace("-", "_")
        return f"plugin {module} of {distribution(name)} {VERSION} is broken: "


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    return Together(tmp_path_factory.mktemp("together"))


def test_with_every_kind_of_broken_plugin_installed_every_command_works(together, tally):
    codes = {name: said.returncode for name, said in together.said.items()}
    assert codes == dict.fromkeys(codes, 0) | {"own": 4, "strict": 4}
    causes = {item["distribution"]: item["summary"] for item in json.loads(together.said["plugins"].stdout)["plugins"]}
    survived = 0
    for name, kind in BROKEN.items():
        counts = {said.stderr.count(f"warning: {together.line(name)}") for said in together.talking}
        cause = causes[distribution(name)]
        told = cause.startswith("broken: ") and kind.cause in cause
        refused = together.line(name) in together.said["strict"].stderr
        survived += counts == {1} and told and refused and f"{distribution(name)} (" in together.said["own"].stderr
    harmless = {distribution(name) for name in HARMLESS}
    survived += sum(not causes[name].startswith("broken: ") for name in harmless)
    tally(
        "a broken or odd plugin installed",
        tries=len(BROKEN) + len(HARMLESS),
        survived=survived,
        how=f"{len(BROKEN)} kinds that cannot be used, {len(HARMLESS)} that are odd, all installed at once; "
        "help, lists, runs and a training end with 0 and one line for each, its own model and --strict-plugins with 4",
    )


def test_what_is_installed_at_once_is_at_most_one_line_each_and_no_traceback(together):
    installed = len(BROKEN) + len(HARMLESS)
    assert installed >= 15
    for said in together.said.values():
        lines = said.stderr.splitlines()
        assert len(lines) <= installed
        assert "Traceback" not in said.stderr
        assert max(Counter(lines).values(), default=0) <= 1
    assert together.said["help"].stderr.splitlines() == ["loud"]


def test_what_is_asked_for_as_json_is_one_document(together):
    documents = {name: json.loads(together.said[name].stdout) for name in ("all", "plugins", "runs", "train")}
    assert {document["schema_version"] for document in documents.values()} == {1}
    models = {item["name"]: item["summary"] for item in documents["all"]["models"]}
    assert {"ali", "loud", "жар-птица", "[bold]fat[/bold]", "twin"} <= models.keys()
    assert models["жар-птица"] == "火の鳥"
    assert documents["train"]["step"] == 2
    assert {"modes", "reconstruction"} <= {score["metric"] for score in documents["train"]["scores"]}
    assert together.said["own"].stdout == together.said["strict"].stdout == ""


def test_each_command_imports_a_plugin_once(together):
    (times,) = together.site.folder.glob("*.times")
    assert len(times.read_text()) == len(together.said)


# In every order

INSIDE = """
import dataclasses, json, sys
from genzoo import cli
from genzoo.host.discovery import registry
found = registry()
entries = [(entry.kind, entry.qualified, entry.summary, repr(entry.offer)) for entry in found.entries]
print(json.dumps([[dataclasses.asdict(plugin) for plugin in found.plugins], entries, found.warnings]))
codes = []
for command in ("--help", "list", "runs", "show model:twin", "show model:fish", "--strict-plugins runs"):
    sys.argv = ["genzoo", *command.split()]
    try:
        cli.main()
    except SystemExit as end:
        codes.append(end.code)
print(codes)
"""


def in_order(folders, folder):
    """Return all that a process says that finds the distributions in these folders, one after the other."""
    environment = {**os.environ, "PYTHONPATH": python_path(*folders), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", INSIDE]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=folder, env=environment, check=True)
    return done.stdout, done.stderr


@pytest.mark.parametrize("count", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_the_order_in_which_plugins_are_found_changes_nothing(tmp_path, tally, count):
    kinds = {name: kind for name, kind in (BROKEN | HARMLESS).items() if name != "a slow import"}
    folders = []
    for name, kind in kinds.items():
        site = Site(tmp_path / distribution(name))
        site.folder.mkdir()
        install(site, name, kind)
        folders.append(site.folder)
    empty = tmp_path / "empty"
    empty.mkdir()
    chance = random.Random(0)
    orders = [folders, folders[::-1], *(chance.sample(folders, len(folders)) for _ in range(count - 2))]
    assert len(set(map(tuple, orders))) == count
    found = [in_order(order, empty) for order in orders]
    out, err = found[0]
    assert out.endswith("[0, 0, 0, 4, 4, 4]\n")
    assert len(json.loads(out.partition("\n")[0])[0]) > len(kinds)
    assert err.count(" is broken: ") > len(kinds)
    tally(
        "plugins found in another order",
        tries=len(orders),
        survived=sum(one == found[0] for one in found),
        how=f"{len(kinds)} plugins, most of them broken, in folders on the path in {count} orders; the same registry, "
        "errors, traces and help, to the letter",
    )


def test_two_distributions_with_the_same_entry_point_are_the_same_in_either_order(site):
    site.good("zoo-one", name="fish", points={"zoo": "zoo_one"})
    site.install("zoo-two", "", points={"zoo": "zoo_one"})
    points = site.points
    one, other = ([plugin.distribution for plugin in discover(order).plugins] for order in (points, points[::-1]))
    assert one == other
