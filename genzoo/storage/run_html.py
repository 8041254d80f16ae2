"""What a notebook shows: of a run what it is, its main scores and its newest pictures. Needs no torch."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from genzoo.storage.scores import arrow_of, main_scores, value_text

_LARGEST_PICTURE = 2 * 2**20
"""Bytes of a picture that is shown."""


def run_html(
    title: str, facts: Mapping[str, str], scores: Sequence[dict[str, Any]], pictures: Sequence[Path | None]
) -> str:
    """Return a title, facts by name, the main of `scores`, and the `pictures` that there are."""
    rows = [*facts.items(), *(_row(score) for score in main_scores(scores))]
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in rows)
    images = "".join(_image(path) for path in pictures if path is not None)
    return f"<b>{escape(title)}</b><table>{cells}</table>{images}"


def _row(score: Mapping[str, Any]) -> tuple[str, str]:
    return f"{score['metric']} {arrow_of(score)}", value_text(score["value"])


def _image(path: Path) -> str:
    return "" if path.stat().st_size > _LARGEST_PICTURE else figure_html(path.read_bytes(), path.parent.name, width=320)


def figure_html(png: bytes, caption: str, *, width: int | None = None) -> str:
    """Return a picture with a caption below it, `width` pixels wide, or in its own size where there is room."""
    size = 'style="max-width: 100%"' if width is None else f'width="{width}"'
    source = f"data:image/png;base64,{b64encode(png).decode()}"
    return f'<figure style="display: inline-block"><img src="{source}" {size} alt=""><br>{escape(caption)}</figure>'
