"""Texts of fields: `help` shows the string below each field, as it stands in the source."""

import pydoc
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from genzoo.components import Component
from genzoo.public.fields import described, docstring, field_texts


def shown(kind):
    return pydoc.render_doc(kind, renderer=pydoc.plaintext)


@described
class Pair(NamedTuple):
    """Two numbers."""

    left: int
    """The first one,
    in two lines.

    And a second paragraph.
    """
    right: int = 0


@dataclass(frozen=True, kw_only=True)
class Base(Component):
    """A choice.

    More of it.
    """

    name: ClassVar[str] = "base"
    width: float = 1.0
    """Of the base."""
    plain: int = 0
    _inside: int = 0
    """Nobody's business."""


@dataclass(frozen=True, kw_only=True)
class Wide(Base):
    """A wider choice."""

    width: float = 2.0
    """Of the wide one."""
    depth: tuple[int, ...] = (
        1,
        2,
    )
    """How deep."""


def test_a_named_tuple_says_what_its_fields_are():
    assert (Pair.left.__doc__, Pair.right.__doc__) == ("The first one, in two lines.", "Alias for field number 1")
    assert "left\n |      The first one, in two lines." in shown(Pair)


def test_a_component_says_what_its_fields_and_inherited_ones_are():
    assert docstring(Base) == "A choice.\n\nMore of it."
    assert "More of it.\n |  \n |  Fields:\n |      width: Of the base.\n" in shown(Base)
    assert "Nobody's business" not in Base.__doc__
    assert Wide.__doc__ == "A wider choice.\n\nFields:\n    width: Of the wide one.\n    depth: How deep."
    assert field_texts(Wide).items() >= {"width": "Of the wide one.", "depth": "How deep."}.items()
    assert (Base.summary(), Wide.summary()) == ("A choice.", "A wider choice.")


def test_who_is_described_twice_is_described_once():
    before = Wide.__doc__
    assert described(Wide).__doc__ == before


def test_a_class_without_source_or_texts_keeps_its_docstring():
    bare = type("Bare", (Component,), {"__doc__": "Bare.", "__module__": "of_no_file"})
    assert bare.__doc__ == "Bare."
    assert "Fields" not in type("Local", (), {"__doc__": "Local."}).__doc__
