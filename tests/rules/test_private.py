"""Nothing reaches into what another object or module keeps to itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    *sorted((ROOT / "genzoo").rglob("*.py")),
    *sorted((ROOT / "plugins").rglob("*.py")),
    *sorted((ROOT / "docs" / "examples").rglob("*.py")),
]
PUBLIC_ALL_THE_SAME = {"_replace", "_asdict", "_fields", "_exit"}
"""Underscored by the standard library, and documented there: of named tuples, and os._exit."""
TORCHS = {
    "_ConvNd",
    "_BatchNorm",
    "_parameters",
    "_buffers",
    "_functional_collectives",
    "_foreach_lerp_",
    "_foreach_copy_",
    "_foreach_mul",
    "_amp_foreach_non_finite_check_and_unscale_",
    "_is_avx512_bf16_supported",
    "_is_amx_tile_supported",
    "_pytree",
    "_python_dispatch",
    "_ops",
    "_C",
    "_disabled_torch_function_impl",
}
"""Torch's own, for what it offers in no other way."""


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def reached(source):
    """Yield every private name that code takes from something other than its own instance or class, or imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and ast.unparse(node.value) not in ("self", "cls"):
            yield node.attr
        if isinstance(node, ast.ImportFrom):
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            yield from (part for part in parts if is_private(part))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_private_members_are_reached_by_their_owner_alone(path):
    assert set(reached(path.read_text(encoding="utf-8"))) <= PUBLIC_ALL_THE_SAME | TORCHS


def test_every_exception_is_needed():
    found = {name for path in FILES for name in reached(path.read_text(encoding="utf-8"))}
    assert found >= TORCHS


@pytest.mark.parametrize(
    "source",
    [
        "engine._begin()",
        "self.trainer._step()",
        "engines[0]._is_done",
        "f()._x",
        "from a import _b",
        "import_ = a._b.c",
    ],
)
def test_the_rule_sees_a_reach(source):
    assert set(reached(source)) - PUBLIC_ALL_THE_SAME - TORCHS


@pytest.mark.parametrize("source", ["self._x", "cls._x", "x.__class__", "from a import b", "_x = 1"])
def test_the_rule_lets_pass_what_is_ones_own(source):
    assert not set(reached(source))
