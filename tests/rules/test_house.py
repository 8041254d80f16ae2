"""The rules of the house, read from the syntax trees."""

import ast
import json
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest
from toy import RECORD

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").exists())
EXAMPLE_FILES = sorted((ROOT / "docs" / "examples").rglob("*.py"))
PLUGIN_FILES = sorted((ROOT / "plugins").rglob("*.py"))
CORE_FILES = sorted((ROOT / "genzoo").rglob("*.py"))
ALL_FILES = [*CORE_FILES, *PLUGIN_FILES]


def label(path):
    return str(path.relative_to(ROOT))


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def is_type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def nodes(root, *, type_checking=True):
    """Yield every node, leaving out what only a type checker reads unless `type_checking`."""
    yield root
    children = root.orelse if is_type_checking(root) and not type_checking else ast.iter_child_nodes(root)
    for child in children:
        yield from nodes(child, type_checking=type_checking)


def imports(path, **more):
    """Yield (module, name or None) for every import of a file, those inside functions too."""
    for node in nodes(tree(path), **more):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{label(path)} imports relatively"
            for alias in node.names:
                yield node.module, alias.name


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in CORE_FILES}


@cache
def import_graph():
    """Return, for every module of genzoo, those that it imports at any time or for its annotations alone."""
    graph = {}
    for module, path in MODULES.items():
        found = {f"{source}.{name}" if f"{source}.{name}" in MODULES else source for source, name in imports(path)}
        graph[module] = {name for name in found if name in MODULES}
    return graph


def package_of(module):
    """Return the package, or the plain module beside the packages, that a module of genzoo belongs to."""
    return module.split(".")[1] if "." in module else "genzoo"


def names_of(stub):
    """Return what a stub file exports: its names, and whether each is a package or module."""
    return {
        alias.asname: node.module is None
        for node in ast.walk(tree(stub))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@cache
def public():
    """Return the public names of every public module: what its stub or its `__all__` says."""
    found = {"genzoo": {name for name, is_module in names_of(ROOT / "genzoo/__init__.pyi").items() if not is_module}}
    for module in (name for name, is_module in names_of(ROOT / "genzoo/__init__.pyi").items() if is_module):
        stub = ROOT / "genzoo" / module / "__init__.pyi"
        found[f"genzoo.{module}"] = set(names_of(stub) if stub.exists() else import_module(f"genzoo.{module}").__all__)
    return found


# Plugins are strangers


def test_there_is_something_to_read():
    assert {"genzoo_ali", "genzoo_gan", "genzoo_vae", "genzoo_data", "genzoo_recipes", "genzoo_metrics"} <= set(PLUGINS)
    assert {"genzoo.runs.engine", "genzoo.games.game", "genzoo.host.registry", "genzoo.cli"} <= set(MODULES)
    assert {"Game", "hookimpl", "lazy", "train"} <= public()["genzoo"]
    assert {"genzoo.nn", "genzoo.games", "genzoo.data", "genzoo.evaluation", "genzoo.comparison"} <= set(public())


@pytest.mark.parametrize("path", [*PLUGIN_FILES, *EXAMPLE_FILES], ids=label)
def test_a_plugin_imports_public_names_of_genzoo_and_nothing_inside_it(path):
    for module, name in imports(path):
        if module.partition(".")[0] == "genzoo":
            assert module in public(), f"{label(path)} imports {module}"
            is_module = module == "genzoo" and f"genzoo.{name}" in public()
            assert name in public()[module] or is_module, f"{label(path)} imports {module}.{name}"


@pytest.mark.parametrize("path", [path for path in PLUGIN_FILES if path.name == "__init__.py"], ids=label)
def test_the_entry_module_of_a_plugin_imports_hookimpl_and_lazy_alone(path):
    assert set(imports(path)) <= {("genzoo", "hookimpl"), ("genzoo", "lazy")}


@pytest.mark.parametrize("path", CORE_FILES, ids=label)
def test_the_core_imports_no_plugin(path):
    for module, name in imports(path):
        assert module.partition(".")[0] not in PLUGINS
        assert name not in PLUGINS


@pytest.mark.parametrize("module", sorted(public()))
def test_every_public_name_is_there_and_only_those(module):
    names = {name for name in import_module(module).__all__ if f"{module}.{name}" not in public()}
    assert names - {"__version__"} == public()[module]
    assert [name for name in sorted(names) if getattr(import_module(module), name) is None] == []


def test_a_name_has_one_home_and_those_most_used_stand_at_the_top_again():
    homes = [name for module, names in public().items() if module != "genzoo" for name in names]
    assert len(homes) == len(set(homes))
    assert len(public()["genzoo"]) <= 26


@pytest.mark.parametrize("model", ["ali", "gan", "vae"])
def test_a_first_party_model_is_at_most_60_lines_and_its_class_40(model):
    path = ROOT / "plugins" / f"genzoo_{model}" / f"{model}.py"
    assert len(path.read_text().splitlines()) <= 60
    (found,) = (node for node in tree(path).body if isinstance(node, ast.ClassDef))
    assert found.name == model.upper()
    assert found.end_lineno - found.lineno + 1 <= 40


# Imports go one way

ORDER = [
    "public",
    "text",
    "errors",
    "machine",
    "components",
    "types",
    "randomness",
    "storage",
    "nn",
    "data",
    "games",
    "training",
    "host",
    "evaluation",
    "runs",
    "comparison",
    "api",
    "testing",
    "cli",
    "__main__",
]
"""The packages, and the modules beside them, from the ground up: each imports from those before it alone."""


def test_the_order_holds_every_package_and_module_and_no_other():
    assert sorted(ORDER) == sorted({package_of(module) for module in MODULES} - {"genzoo"})


def test_the_design_page_lists_the_packages_in_this_order():
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    section = page.partition("## The packages, in order\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\* `(\w+)`: ", section, re.MULTILINE) == ORDER


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_from_its_package_and_those_before_it(module):
    package = package_of(module)
    before = set(ORDER[: ORDER.index(package)]) if package in ORDER else {"public"}  # all that `genzoo` itself needs
    for name in import_graph()[module]:
        assert package_of(name) in before | {package, "genzoo"}, f"{module} imports {name}"


def test_imports_between_modules_make_no_circle():
    order = list(TopologicalSorter(import_graph()).static_order())
    assert set(order) == set(MODULES)


def test_at_most_seven_modules_stand_beside_the_packages():
    beside = {path.stem for path in (ROOT / "genzoo").glob("*.py")} - {"__init__", "__main__"}
    assert len(beside) <= 7, sorted(beside)


def test_the_trainer_touches_no_file():
    names = {name for path in [MODULES["genzoo.training.trainer"]] for name, _ in imports(path)}
    assert (
        names
        & {
            "pathlib",
            "os",
            "io",
            "shutil",
            "genzoo.storage.files",
            "genzoo.storage.run_folder",
            "genzoo.storage.run_lock",
            "genzoo.storage.runs_root",
            "genzoo.storage.checkpoints",
        }
        == set()
    )


NEEDS_TORCH = {
    "genzoo.randomness",
    "genzoo.storage.tensors",
    *(
        module
        for module in MODULES
        if module.startswith(("genzoo.nn.", "genzoo.games.", "genzoo.comparison.", "genzoo.testing."))
    ),
    "genzoo.data.checked_rows",
    "genzoo.data.dataset",
    "genzoo.data.labels",
    "genzoo.data.condition_text",
    "genzoo.data.prepared",
    *(module for module in MODULES if module.startswith("genzoo.training.") and module != "genzoo.training.torchrun"),
    *(module for module in MODULES if module.startswith("genzoo.evaluation.")),
    "genzoo.runs.engine",
    "genzoo.runs.environment",
    "genzoo.runs.exporting",
    "genzoo.runs.job",
    "genzoo.runs.meter",
    "genzoo.runs.model_card",
    "genzoo.runs.opening",
    "genzoo.runs.recipe_files",
    "genzoo.runs.tracking",
}
TORCH_FREE = sorted(set(MODULES) - NEEDS_TORCH - {"genzoo.__main__"})


def test_modules_that_need_no_torch_import_none():
    script = (
        "import sys; from importlib import import_module\n"
        "for name in sys.argv[1:]:\n"
        "    import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
        "from genzoo.host.discovery import registry\n"
        "assert registry().of('models'); assert 'torch' not in sys.modules, 'the registry'"
    )
    command = [sys.executable, "-c", script, *TORCH_FREE, *PLUGINS]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


TALK = """
import contextlib, io, json, sys
from pathlib import Path
from genzoo import cli
from genzoo.storage import checkpoints
from genzoo.storage.record import RunRecord
from genzoo.storage.run_folder import Run
from genzoo.storage.runs_root import claim

record, *commands = json.loads(sys.argv[1])
run = claim(Path("runs"), "toy")
run.write_record(RunRecord.from_json(record))
files = dict.fromkeys(("networks.safetensors", "optimizers.safetensors", "state.json"), b'{"schema_version": 1}')
checkpoints.save(run.checkpoints, step=4, files=files, keep=2)
run.write_scores([{"metric": "m", "value": 1.0, "step": 4, "protocol": {}}])
with run.hold():
    assert run.newest_checkpoint()[0].step == 4
for command in commands:
    sys.argv = ["genzoo", *command]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            cli.main()
    except SystemExit as end:
        assert end.code == 0, command
print(json.dumps([name for name in sys.modules if name.partition(".")[0] in ("genzoo", "torch", "torchvision")]))
"""


def test_help_lists_locks_manifests_and_hashes_touch_no_module_that_needs_torch(tmp_path):
    subcommands = [path.stem for path in (ROOT / "genzoo" / "cli").glob("*.py")]
    helps = [[name, "--help"] for name in ("resume", "reconstruct", "interpolate", "runs", *subcommands)]
    no_commands = ("__init__", "options", "out_files", "output", "progress", "rows", "signals")
    helps = [words for words in helps if words[0] not in no_commands]
    commands = [["--help"], ["--version"], *helps, ["list"], ["list", "--json"], ["runs"], ["runs", "--json"]]
    script = [sys.executable, "-c", TALK, json.dumps([RECORD, *commands])]
    found = subprocess.run(script, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (found.returncode, found.stderr) == (0, "")
    touched = set(json.loads(found.stdout))
    assert {"genzoo.cli.list", "genzoo.host.registry", "genzoo.storage.checkpoints", "genzoo.cli.compare"} <= touched
    assert touched <= set(TORCH_FREE)


# What no file of genzoo's does

UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"} | {
    "torch.load",
    "torch.save",
    "torch.jit.load",
    "torch.hub.load",
}


# CIFAR10 is published as pickles; this reader opens them only once their archive's hash was the published one.
UNPICKLERS = {"plugins/genzoo_data/cifar10.py": {"pickle"}}
# The weights of Inception-v3 are published as a file of torch: its hash is checked, and only tensors are read from it.
READERS_OF_TENSORS = {"plugins/genzoo_metrics/fidelity.py"}


@pytest.mark.parametrize("path", ALL_FILES, ids=label)
def test_nothing_read_from_a_file_can_become_code(path):
    found = {module.partition(".")[0] for module, _ in imports(path)} & UNSAFE_MODULES
    assert found == UNPICKLERS.get(label(path), set())
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and label(path) in READERS_OF_TENSORS:
            loads = ast.unparse(node.func) == "torch.load"
            assert ast.unparse(node.func) not in UNSAFE_CALLS - {"torch.load", "torch.save"}
            assert loads == ("weights_only=True" in [ast.unparse(word) for word in node.keywords])
        elif isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in UNSAFE_CALLS
            unpickling = [word for word in node.keywords if word.arg in ("allow_pickle", "weights_only")]
            assert all(ast.unparse(word.value) == "False" for word in unpickling)
        if isinstance(node, ast.ImportFrom) and node.module == "torch":
            assert not {"load", "save"} & {alias.name for alias in node.names}


@pytest.mark.parametrize("path", ALL_FILES, ids=label)
def test_no_feature_is_guessed_and_no_fault_swallowed(path):
    for node in ast.walk(tree(path)):
        assert not (isinstance(node, ast.Name) and node.id == "hasattr")
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None
            if "BaseException" in ast.unparse(node.type):
                assert any(isinstance(inner, ast.Raise) for inner in ast.walk(node))


@pytest.mark.parametrize(
    "path", [path for path in ALL_FILES if path.parent.name != "cli" and path.name != "__main__.py"], ids=label
)
def test_only_programs_exit_handle_signals_or_print(path):
    called = {ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)}
    found = called & {"print", "exit", "quit", "sys.exit", "os._exit", "signal.signal"}
    programs = {
        "genzoo/data/decode_pool.py": {
            "signal.signal"
        },  # processes that decode leave Ctrl-C to the one that started them
        "genzoo/runs/signals.py": {"signal.signal", "os._exit"},  # what the command line and the worker install
        "genzoo/comparison/worker.py": {"sys.exit"},
    }
    assert found == programs.get(label(path), set())
