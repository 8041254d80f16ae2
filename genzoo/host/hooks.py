"""The hooks a plugin may implement. Each returns values; none of them needs torch to be called."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Union

import pluggy

if TYPE_CHECKING:
    from genzoo.components import Component
    from genzoo.training.settings import Recipe

hookspec = pluggy.HookspecMarker("genzoo")
hookimpl = pluggy.HookimplMarker("genzoo")


class lazy(NamedTuple):
    """A component or recipe that is imported when it is first needed, so that listing it stays fast."""

    name: str
    """Its name, which must equal the component's own `name`."""
    target: str
    """Where to import it from: `package.module:Name`."""
    summary: str
    """One line for `genzoo list`."""


Offers = Sequence[Union[lazy, type["Component"], "Recipe"]]


@hookspec
def genzoo_models() -> Offers:  # type: ignore[empty-body]
    """Return the games (`Game` subclasses) that `genzoo train` and `compare` can play."""


@hookspec
def genzoo_datasets() -> Offers:  # type: ignore[empty-body]
    """Return the data sets (`Dataset` subclasses)."""


@hookspec
def genzoo_architectures() -> Offers:  # type: ignore[empty-body]
    """Return the architectures (`Architecture` subclasses)."""


@hookspec
def genzoo_recipes() -> Offers:  # type: ignore[empty-body]
    """Return the recipes (`Recipe` values)."""


@hookspec
def genzoo_default_recipe() -> str:  # type: ignore[empty-body]
    """Return the name of the recipe of a training that names none.

    If several plugins offer one, the first by name of distribution counts; genzoo's own comes last.
    """


@hookspec
def genzoo_metrics() -> Offers:  # type: ignore[empty-body]
    """Return the metrics (`Metric` subclasses)."""


@hookspec
def genzoo_studies() -> Offers:  # type: ignore[empty-body]
    """Return the studies (`Study` subclasses) that `genzoo reproduce` carries out."""


@hookspec
def genzoo_stores() -> Offers:  # type: ignore[empty-body]
    """Return the stores (`Store` subclasses) of runs and data that are named by an address, NAME://…."""


@hookspec
def genzoo_executors() -> Offers:  # type: ignore[empty-body]
    """Return where trainings of comparisons can run (`ExecutorFactory` subclasses): choices of `--on`."""


@hookspec
def genzoo_trackers() -> Offers:  # type: ignore[empty-body]
    """Return the trackers (`Tracker` subclasses) that `genzoo train --track` tells of a training."""


@hookspec
def genzoo_components() -> Offers:  # type: ignore[empty-body]
    """Return every other component: objectives, schedules, priors and a plugin's own kinds."""


@hookspec
def genzoo_commands() -> Offers:  # type: ignore[empty-body]
    """Return further commands of the command line, each `lazy` and leading to a `click.Command` of its name."""
