"""What the contestants of a comparison share, and in what they differ. Needs no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genzoo.text import in_words

_MAIN_SETTINGS = ("data", "recipe", "architecture", "batch size", "steps", "latent size", "seeds", "precision")
"""The settings that a reader takes for equal unless told otherwise."""
_NAMED_SETTINGS = 3
_ABSENT = "–"


@dataclass(frozen=True, kw_only=True)
class ComparedSettings:
    """The settings that all contestants of a comparison share, and those in which they differ."""

    same: tuple[str, ...] = ()
    """Those of data, recipe, architecture, batch size, steps, latent size, seeds and precision that are equal."""
    different: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The values by contestant, by setting: one of those names, or a path of `--set`."""

    def sentence(self) -> str:
        """Return what is shared and what is not, such as `the same data and steps; different batch size: a 10, b 20`.

        Settings beyond the main ones, which are a table of their own, are named up to three of them, or else counted.
        """
        parts = [f"the same {in_words(self.same)}"] if self.same else []
        main = [name for name in self.different if _is_main(name)]
        parts += [f"different {name}: {self._values(name)}" for name in main]
        others = tuple(name for name in self.different if not _is_main(name))
        if others:
            named = in_words(others) if len(others) <= _NAMED_SETTINGS else f"{len(others)} more settings"
            parts.append(f"different in {named}")
        return "; ".join(parts)

    def of(self, label: str) -> str:
        """Return the main settings of a contestant in which it differs from others, such as `steps 200`."""
        main = (name for name in self.different if _is_main(name))
        return ", ".join(f"{name} {self.text(name, label)}" for name in main)

    def lines(self) -> list[str]:
        """Return one line per setting in which contestants differ, with all values."""
        return [f"{name} differs: {self._values(name)}" for name in self.different]

    def text(self, name: str, label: str) -> str:
        """Return a contestant's value of a setting in which contestants differ, as text."""
        of_setting = self.different[name]
        return _text(of_setting[label]) if label in of_setting else _ABSENT

    def _values(self, name: str) -> str:
        return ", ".join(f"{label} {_text(value)}" for label, value in self.different[name].items())


def compared_settings(by_label: Mapping[str, Mapping[str, Any]]) -> ComparedSettings:
    """Return what is the same and what is not in the settings of every contestant, given by label.

    A setting below `game` is compared among the contestants that have it: other models have other ones.
    """
    paths = dict.fromkeys(path for settings in by_label.values() for path in settings)
    different = {}
    for path in paths:
        values = {label: settings[path] for label, settings in by_label.items() if path in settings}
        is_optional = path.partition(".")[0] == "game"
        texts = {_text(value) for value in values.values()}
        if len(texts) > 1 or (len(values) < len(by_label) and not is_optional):
            different[path] = values
    same = [
        name for name in _MAIN_SETTINGS if name in paths and not any(path.split(".")[0] == name for path in different)
    ]
    return ComparedSettings(same=tuple(same), different=dict(sorted(different.items(), key=_main_first)))


def _main_first(item: tuple[str, object]) -> tuple[int, str]:
    return _MAIN_SETTINGS.index(item[0]) if item[0] in _MAIN_SETTINGS else len(_MAIN_SETTINGS), item[0]


def _is_main(name: str) -> bool:
    return name in _MAIN_SETTINGS


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(_text, value)) or "none"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "none" if value is None else str(value)
