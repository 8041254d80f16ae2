"""Intervals: what is due after a step, be it a log entry, pictures, a checkpoint or an evaluation. Needs no torch."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from genzoo.training.settings import Training


class Due(NamedTuple):
    """What is to be done after a step."""

    log: bool
    draw: bool
    save: bool
    evaluate: bool


def due(training: "Training", step: int, *, last: bool, stop: bool = False, save: bool = False) -> Due:
    """Return what is due after `step` steps (counted from 1), by the intervals of the training settings.

    After the `last` step all is due but the evaluation, which ends the run. A run that is asked to `stop` is logged and
    saved, and one that is asked to `save` is saved.
    """
    every = training.evaluate_every
    return Due(
        log=step % training.log_every == 0 or last or stop,
        draw=step % training.picture_every == 0 or last,
        save=step % training.checkpoint_every == 0 or last or stop or save,
        evaluate=every is not None and step % every == 0 and not last,
    )
