"""Types: every function of the library, of its plugins and of the examples says what it takes and returns."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent for path in (ROOT / "docs" / "examples").glob("*/pyproject.toml"))
FILES = [path for folder in (ROOT / "genzoo", ROOT / "plugins", *EXAMPLES) for path in sorted(folder.rglob("*.py"))]


def label(path):
    return str(path.relative_to(ROOT))


def functions(text):
    """Yield every function in a source and whether it is bound: then its first argument is the class or the object."""
    tree = ast.parse(text)
    methods = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for inner in node.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            is_static = "staticmethod" in map(ast.unparse, node.decorator_list)
            yield node, id(node) in methods and not is_static


def without_annotation(function, *, is_bound):
    """Return what a function leaves without annotation: the names of arguments, and `return`."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args][is_bound:]
    extra = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    bare = [one.arg for one in (*positional, *arguments.kwonlyargs, *extra) if one.annotation is None]
    return bare if function.returns is not None else [*bare, "return"]


@pytest.mark.parametrize("path", FILES, ids=label)
def test_every_argument_and_result_is_annotated(path):
    for function, is_bound in functions(path.read_text(encoding="utf-8")):
        bare = without_annotation(function, is_bound=is_bound)
        assert bare == [], f"{label(path)}:{function.lineno} {function.name}"


def test_what_is_shown_to_authors_of_plugins_is_annotated_too():
    page = (ROOT / "docs" / "writing-a-plugin.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    shown = [
        (function.name, without_annotation(function, is_bound=is_bound))
        for block in blocks
        for function, is_bound in functions(block)
    ]
    assert len(shown) >= 8
    assert [name for name, bare in shown if bare] == []


def test_the_rule_sees_what_is_missing():
    (function,) = ast.parse("def f(self, a, b: int, /, c, *d, e=1, **g): ...").body
    assert without_annotation(function, is_bound=True) == ["a", "c", "e", "d", "g", "return"]
    assert without_annotation(function, is_bound=False)[0] == "self"


def test_mypy_checks_every_package_strictly():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    packages = {path.parent.name for folder in (ROOT / "plugins", *EXAMPLES) for path in folder.glob("*/__init__.py")}
    assert set(settings["packages"]) == packages | {"genzoo"}
    assert settings["strict"] is True
    assert not {key for part in settings["overrides"] for key in part} - {
        "module",
        "ignore_missing_imports",
        "follow_imports",
        "follow_imports_for_stubs",
    }
