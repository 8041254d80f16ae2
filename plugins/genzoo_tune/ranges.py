"""Ranges of settings to search, as they are typed after `--range`."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genzoo import SettingsError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_INTERVAL = re.compile(r"(?P<low>.+?)\.\.(?P<high>[^:]+)(?::(?P<scale>.*))?")
_WHOLE = re.compile(r"[+-]?\d+")
_SUCH_AS = "such as: --range training.learning_rate=1e-5..1e-2:log, or --range training.batch_size=32,64,128"


@dataclass(frozen=True, kw_only=True)
class Range:
    """The values that a setting may take: an interval, or one of several texts."""

    path: str
    choices: tuple[str, ...] = ()
    """Texts to choose from; empty for an interval."""
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    """Whether values are drawn by their logarithm."""
    is_whole: bool = False
    """Whether values are whole numbers, because both limits are."""

    @property
    def ends(self) -> tuple[str, str]:
        """The first and the last value, as they are typed after `--set PATH=`."""
        if self.choices:
            return self.choices[0], self.choices[-1]
        return self.text(self.low), self.text(self.high)

    @property
    def identity(self) -> list[Any]:
        """What two equal ranges have in common, as JSON."""
        return [*self.choices] if self.choices else [self.low, self.high, self.is_log, self.is_whole]

    def text(self, drawn: object) -> str:
        """Return a drawn value as it is typed after `--set PATH=`, of four digits where it stays inside."""
        if self.choices:
            return str(drawn)
        number = float(str(drawn))
        if self.is_whole:
            return str(int(number))
        rounded = f"{number:.4g}"
        return rounded if self.low <= float(rounded) <= self.high else repr(number)

    def distribution(self) -> "BaseDistribution":
        """Return what optuna draws from."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices:
            return CategoricalDistribution(self.choices)
        if self.is_whole:
            return IntDistribution(int(self.low), int(self.high), log=self.is_log)
        return FloatDistribution(self.low, self.high, log=self.is_log)


def range_in(text: str) -> Range:
    """Return the range in `PATH=LOW..HIGH`, `PATH=LOW..HIGH:log` or `PATH=A,B,…`."""
    path, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not path or not values:
        raise SettingsError(f"--range {text}: expected PATH=LOW..HIGH, PATH=LOW..HIGH:log or PATH=A,B", _SUCH_AS)
    if (interval := _INTERVAL.fullmatch(values)) is not None:
        return _interval(text, path, interval)
    choices = tuple(choice.strip() for choice in values.split(","))
    if len(choices) < 2 or not all(choices) or len(set(choices)) < len(choices):
        raise SettingsError(f"--range {text}: expected at least two values, all different", _SUCH_AS)
    return Range(path=path, choices=choices)


def _interval(text: str, path: str, interval: re.Match[str]) -> Range:
    low, high, scale = interval["low"].strip(), interval["high"].strip(), interval["scale"]
    try:
        limits = float(low), float(high)
    except ValueError as error:
        raise SettingsError(f"--range {text}: the limits are no numbers", _SUCH_AS) from error
    if scale not in (None, "log"):
        raise SettingsError(f"--range {text}: ':{scale}' is no scale, expected ':log' or nothing", _SUCH_AS)
    if not float("-inf") < limits[0] < limits[1] < float("inf") or (scale and limits[0] <= 0):
        expected = "0 < LOW < HIGH" if scale else "LOW < HIGH"
        raise SettingsError(f"--range {text}: expected {expected}", _SUCH_AS)
    is_whole = all(_WHOLE.fullmatch(limit) for limit in (low, high))
    return Range(path=path, low=limits[0], high=limits[1], is_log=scale == "log", is_whole=is_whole)
