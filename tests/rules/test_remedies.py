"""Errors that a user can act on: each says what to do, in a second line."""

import ast
import inspect

from test_house import ALL_FILES, label, nodes, tree

from genzoo import errors

KINDS = {name for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.GenzooError)}
WITHOUT = {"genzoo/host/discovery.py"}
"""What is raised there becomes the cause of a plugin that is broken, which the registry's errors add a remedy to."""


def lacks_a_remedy(call):
    """Return whether a call builds an error without saying what to do."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", None)
    if name not in KINDS or any(keyword.arg is None for keyword in call.keywords):
        return False
    given = [*call.args[1:], *(keyword.value for keyword in call.keywords if keyword.arg == "remedy")]
    return not given or any(isinstance(part, ast.Constant) and not part.value for part in given)


def lacking(root):
    return [node for node in nodes(root) if isinstance(node, ast.Call) and lacks_a_remedy(node)]


def test_every_error_says_what_to_do():
    found = {path: lacking(tree(path)) for path in ALL_FILES}
    places = [f"{label(path)}:{call.lineno}" for path, calls in found.items() for call in calls]
    assert [place for place in places if place.partition(":")[0] not in WITHOUT] == []
    assert {place.partition(":")[0] for place in places} == WITHOUT


def test_an_error_without_a_remedy_would_be_seen():
    code = 'SettingsError("a"), UnreadableError("a", None), errors.BusyError("a", remedy=""), OSError("a")'
    assert len(lacking(ast.parse(code))) == 3
    assert lacking(ast.parse('SettingsError("a", "b"), BusyError("a", remedy="b"), PluginError("a", remedy)')) == []
