"""Commands in documents: every one can be typed as it stands, and is run by a test, or it is said why not."""

import ast
import re
import shlex
from importlib.metadata import PathDistribution
from pathlib import Path

import click
import pytest
from sites import on_the_path

from genzoo.cli import group, options
from genzoo.errors import GenzooError
from genzoo.host.discovery import registry
from genzoo.runs import TrainingRequest
from genzoo.runs.job import resolve_job

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = ROOT / "docs" / "examples"

STANDS_FOR = {
    "MODEL": "ali", "MODEL…": "ali", "RECIPE": "digits", "RUN": "1", "NAME": "digits",
    "K": "3", "N": "10", "PART": "category",
    "./large-digits.yaml": "digits",
    "mine": "swae",  # what the reader of a page has just written
}  # fmt: skip
"""What a test types in place of a word that stands for another."""
OF_THE_READER = ("FILE", "FOLDER", "DIR", "PATH", "TARGET", "IMAGE…", "FOLDER…", "RUN|FOLDER", "FILE.py")
"""Words that stand for something of the reader's, and need no other."""

NEEDS_DATA = "not run: needs data of gigabytes or of the reader's; tests/cli/test_every_recipe.py has a few images"
NEEDS_HOURS = "not run: takes hours; tests/cli/test_every_recipe.py takes its first steps"
IS_RUN_BY = {
    r"genzoo --(help|version)": "tests/cli/test_commands.py::test_the_version_is_the_packages",
    r"genzoo --debug": "tests/cli/test_bad_input.py",
    r"genzoo --code": "tests/cli/test_unregistered_code.py",
    r"genzoo --strict-plugins": "tests/faults/test_broken_plugins.py",
    r"genzoo bench": "tests/unit/plugins/test_bench.py",
    r"genzoo classify": "tests/cli/test_classify_and_hidden_labels.py",
    r"genzoo compare .*(few-labels-ali|line-flow)": "not run: tests/rules/test_cookbook.py trains these models",
    r"genzoo (compare|reproduce) .*--on ": "tests/cli/test_clusters.py",
    r"genzoo compare --config": "tests/cli/test_comparison_files.py",
    r"genzoo compare": "tests/cli/test_comparing.py",
    r"genzoo completion": "tests/cli/test_threads_and_completion.py",
    r"genzoo data fetch( (NAME|c|i)|$)": "tests/cli/test_preparing_commands.py",
    r"genzoo data prepare hf": "tests/unit/plugins/test_hub_images.py",
    r"genzoo data prepare": "tests/cli/test_preparing_commands.py",
    r"genzoo data status": "tests/cli/test_preparing_commands.py",
    r"genzoo encode": "tests/cli/test_own_pictures.py",
    r"genzoo evaluate": "tests/cli/test_commands.py",
    r"genzoo export": "tests/cli/test_exporting.py",
    r"genzoo (gc|repair|verify)": "tests/cli/test_upkeep.py",
    r"genzoo interpolate": "tests/cli/test_commands.py",
    r"genzoo (list|show)": "tests/cli/test_commands.py",
    r"genzoo nearest": "tests/cli/test_own_pictures.py",
    r"genzoo (note|runs)": "tests/cli/test_runs.py",
    r"genzoo (pull|push)": "tests/unit/plugins/test_hub.py",
    r"genzoo plugin": "tests/cli/test_plugin_commands.py",
    r"genzoo reconstruct": "tests/cli/test_own_pictures.py",
    r"genzoo reproduce": "tests/cli/test_studies.py",
    r"genzoo resume": "tests/faults/test_resume.py",
    r"genzoo sample": "tests/cli/test_conditional_sampling.py",
    r"genzoo schema": "tests/cli/test_schema.py",
    r"genzoo tune": "tests/unit/plugins/test_tune.py",
    r"genzoo walk": "tests/rules/test_cookbook.py::test_what_the_page_types_after_training_works",
    r"genzoo train --config": "tests/cli/test_configuration_files.py",
    r"genzoo train \S+\.py:": "tests/cli/test_unregistered_code.py",
    r"genzoo train .*--track": "tests/cli/test_tracking_commands.py",
    r"genzoo train .*--device cuda": "not run: needs a GPU; tests/gpu takes steps on fake ones",
    r"genzoo train .*--recipe (folder|hf)": NEEDS_DATA,
    r"genzoo train .*--recipe (celeba|cifar10|imagenet|svhn|tinyimagenet)": NEEDS_HOURS,
    r"genzoo train .*(coded-gan|few-labels-ali|line-flow|three-players|moons)": "tests/rules/test_cookbook.py",
    r"genzoo train (mine|swae)": "tests/rules/test_example_plugin.py",
    r"genzoo train (\S+) .*--steps \d+": "not run: docs/train_zoo.py trains it for the pictures",
    r"genzoo train": "tests/cli/test_commands.py",
}
"""By which tests a command is run, with fewer steps and rows, or why not; the first row that fits."""


def written_in(content):
    """Yield the commands of genzoo in blocks of a page and between backquotes, as they are written."""
    for language, body in FENCED.findall(content):
        if language in ("", "bash", "console"):
            for line in body.replace("\\\n", " ").splitlines():
                yield from parts_of(re.sub(r"(^|\s)#\s.*", "", line))
    for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", FENCED.sub("", content)):
        if code.startswith("genzoo "):
            yield from parts_of(" ".join(code.replace("\\|", "|").split()))


def parts_of(line):
    """Yield the commands of genzoo in a line, whatever starts them."""
    for part in line.split("&&"):
        if match := re.search(r"(?:^|[\s/])(genzoo .+)$", part.strip()):
            yield match[1]


def words_of(command):
    """Return the words of a command as a test types them, without those in brackets, dots, and where output goes."""
    shown = re.sub(r"\[[^]]*\]…?|(?<=\s)…(?=\s|$)| > \S+$", "", command)
    return [STANDS_FOR.get(word, word) for word in shlex.split(shown)[1:]]


def read(words):
    """Return a command and the values of its parameters; raise `click.UsageError` for what it does not know."""
    command, context = group, click.Context(group, info_name="genzoo")
    while True:
        values, rest, _ = command.make_parser(context).parse_args(list(words))
        if not isinstance(command, click.Group) or not rest:
            break
        name, *words = rest
        command = command.get_command(context, name)
        if command is None:
            raise click.UsageError(f"no command {name}")
        context = click.Context(command, parent=context, info_name=name)
    if rest:
        raise click.UsageError(f"unexpected: {' '.join(rest)}")
    values = {name: value for name, value in values.items() if isinstance(value, str | int | list | tuple)}
    for parameter in command.params:
        given = values.get(parameter.name)
        for value in given if isinstance(given, list | tuple) else [given]:
            check_value(parameter, value, context)
    return command, values


def check_value(parameter, value, context):
    """Raise `click.UsageError` unless a parameter takes a value, which may be a name or stand for the reader's own."""
    if not isinstance(value, str) or value in OF_THE_READER:
        return
    if isinstance(parameter.type, click.Choice | click.types.IntParamType):
        parameter.type.convert(value, parameter, context)
    if isinstance(parameter.type, options.Name) and not re.search(r"\.py:|\.yaml$|://", value):
        names = {item.value for item in parameter.type.shell_complete(context, parameter, "")}
        with_settings = isinstance(parameter, click.Option)  # as in --track wandb.project=zoo; else LABEL=MODEL
        name = re.split(r"[.=]", value)[0] if with_settings else value.rpartition("=")[2]
        if name not in names and not name.isdecimal():
            raise click.UsageError(f"{parameter.name}: no {name} among {sorted(names)}")


@pytest.fixture(scope="module", autouse=True)
def examples(tmp_path_factory):
    """Have the examples of the documents installed."""
    site = tmp_path_factory.mktemp("site")
    for name in ("cookbook", "swae"):
        info = site / f"genzoo_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: genzoo-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[genzoo]\ngenzoo_{name} = genzoo_{name}\n")
        assert PathDistribution(info).name == f"genzoo-{name}"
    with on_the_path(site), on_the_path(EXAMPLES / "genzoo-cookbook"), on_the_path(EXAMPLES / "genzoo-swae"):
        registry.cache_clear()
        yield
    registry.cache_clear()


COMMANDS = sorted({command for page in PAGES for command in written_in(page.read_text(encoding="utf-8"))})
TRAININGS = [command for command in COMMANDS if re.match(r"genzoo (train|compare) ", command)]
OF_FILES = r"genzoo (train|compare).* (--from|--config|\S+\.py:|\S+\.yaml)"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_has_options_and_names_that_exist(page):
    refused = {}
    for command in written_in(page.read_text(encoding="utf-8")):
        try:
            read(words_of(command))
        except click.ClickException as error:
            refused[command] = error.format_message()
    assert refused == {}


def test_every_training_of_the_documents_could_begin():
    refused = {}
    for (model, recipe, labels, settings), command in trainings().items():
        request = TrainingRequest(model=model, recipe=recipe, overrides=dict(settings))
        try:
            resolve_job(registry(), options.labelled_request(request, labels), None)
        except GenzooError as error:
            refused[command] = error.found
    assert refused == {}


def trainings():
    """Return what is trained, alone or in a comparison, with a command that asks for it; not what needs files."""
    asked = {}
    for command in (command for command in TRAININGS if not re.match(OF_FILES, command)):
        parsed, values = read(words_of(command))
        names = [values["model"]] if parsed.name == "train" else values.get("models", ())
        names = names if isinstance(names, list | tuple) else []  # none were typed
        for name in (name for name in names if not name.isdecimal() and "://" not in name):
            label, _, model = name.rpartition("=")
            texts = [text.removeprefix(f"{label}:") for text in values.get("assignments", ())]
            settings = options.parse_settings([text for text in texts if not re.match(r"\w+:|on\.|.*…", text)])
            asked[model, values.get("recipe"), values.get("labels"), tuple(settings.items())] = command
    return asked


def row_of(command):
    return next((pattern for pattern in IS_RUN_BY if re.match(pattern, command)), None)


def test_every_command_is_run_by_a_test_or_it_is_said_why_not():
    rows = {command: row_of(command) for command in COMMANDS}
    assert [command for command, row in rows.items() if row is None] == []
    assert set(IS_RUN_BY) == set(rows.values())


@pytest.mark.parametrize("test", sorted({by for by in IS_RUN_BY.values() if not by.startswith("not run: ")}))
def test_every_test_that_runs_a_command_types_it(test):
    file, _, function = test.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert not function or function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    typed = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    for pattern in (pattern for pattern, by in IS_RUN_BY.items() if by == test):
        words = re.match(r"genzoo \(?(--)?\(?([a-z-]+)", pattern)
        assert any((words[1] or "") + words[2] in text for text in typed), pattern


@pytest.mark.parametrize(
    "command",
    [
        "genzoo trian ali",
        "genzoo train alii",
        "genzoo train ali --recipe digit",
        "genzoo train ali --lr 1",
        "genzoo train ali gan",
        "genzoo train ali --precision fp8",
        "genzoo compare ali hinge=alii",
        "genzoo data prepare digit",
        "genzoo evaluate RUN --metric fid",
        "genzoo runs upgrade",
    ],
)
def test_a_command_that_cannot_be_typed_is_noticed(command):
    (found,) = written_in(f"Type `{command}`.")
    (in_block,) = written_in(f"```\ntorchrun -m -- {command}   # at once\n```\n")
    assert found == in_block.strip() == command
    with pytest.raises(click.ClickException):
        read(words_of(command))
