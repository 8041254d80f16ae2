"""Published errors with few labels: every value, its bar, and apart from it what the bar is."""

from collections.abc import Iterator
from typing import TypedDict


class Published(TypedDict):
    """One published test error."""

    data: str
    model: str
    source: str
    labels: int
    error: float
    """In %."""
    bar: float | None
    bar_is: str
    """What the paper says the bar is; `not stated` if it says nothing, and `–` where there is none."""


_TABLE_1 = "ALI, table 1"
_TABLE_2 = "ALI, table 2"
_NOT_STATED, _THREE = "not stated", "3 × standard deviation"


def _svhn() -> Iterator[Published]:
    """Yield the entries of table 1: SVHN, 1,000 labels."""
    for model, error, bar, bar_is in (
        ("VAE (M1 + M2)", 36.02, None, "–"),
        ("SWWAE with dropout", 23.56, None, "–"),
        ("DCGAN + L2-SVM", 22.18, None, "–"),
        ("SDGM", 16.61, None, "–"),
        ("GAN, feature matching", 8.11, 1.3, _NOT_STATED),
        ("ALI, L2-SVM", 19.14, 0.50, "standard deviation over 100 SVMs"),
        ("ALI, K + 1", 7.42, 0.65, _NOT_STATED),
    ):
        yield {
            "data": "svhn",
            "model": model,
            "source": _TABLE_1,
            "labels": 1000,
            "error": error,
            "bar": bar,
            "bar_is": bar_is,
        }


def _cifar10() -> Iterator[Published]:
    """Yield the entries of table 2: CIFAR10, 1,000 to 8,000 labels."""
    of_models: tuple[tuple[str, tuple[tuple[int, float, float | None], ...], str], ...] = (
        ("Ladder network", ((4000, 20.40, None),), "–"),
        ("CatGAN", ((4000, 19.58, None),), "–"),
        (
            "GAN, feature matching",
            ((1000, 21.83, 2.01), (2000, 19.61, 2.09), (4000, 18.63, 2.32), (8000, 17.72, 1.82)),
            _NOT_STATED,
        ),
        ("ALI, K + 1", ((1000, 19.98, 0.89), (2000, 19.09, 0.44), (4000, 17.99, 1.62), (8000, 17.05, 1.49)), _THREE),
    )
    for model, entries, bar_is in of_models:
        for labels, error, bar in entries:
            yield {
                "data": "cifar10",
                "model": model,
                "source": _TABLE_2,
                "labels": labels,
                "error": error,
                "bar": bar,
                "bar_is": bar_is,
            }


PUBLISHED: tuple[Published, ...] = (*_svhn(), *_cifar10())


def published_line(entry: Published) -> str:
    """Return an entry as a row of a table: name, labels, error, bar, and what the bar is."""
    bar = "–" if entry["bar"] is None else f"± {entry['bar']:g}"
    name = f"{entry['model']} ({entry['source']})"
    return f"| {name} | {entry['labels']:,} | {entry['error']:g} | {bar} | {entry['bar_is']} |"
