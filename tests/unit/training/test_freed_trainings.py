"""The memory of a training that nobody holds is free at once, without a collection of garbage."""

import gc
from weakref import ref

import pytest
from toy_components import WithEncoder
from trainers import settings_of, trainer_of, trainer_on

from genzoo.training.populations import Population


def stepped(execution="eager"):
    trainer = trainer_on(settings_of(WithEncoder()), execution=execution)
    if execution == "eager":
        trainer.take_step()
        with trainer.weights_to_show():
            pass
    return [trainer]


def together(one_update):
    population = Population([trainer_of(WithEncoder(), seed=seed) for seed in (3, 4)], one_update=one_update)
    population.take_step()
    return [population, *population.trainers]


@pytest.mark.parametrize(
    "make",
    [stepped, lambda: stepped("compiled"), lambda: together(False), lambda: together(True)],
    ids=["eager", "compiled", "a population", "a population with one update"],
)
def test_a_training_that_nobody_holds_is_freed_at_once(make):
    gc.collect()
    gc.disable()
    try:
        made = make()
        weak = [ref(each) for each in made]
        weak += [ref(parameter) for each in made[-1:] for parameter in each.networks.parameters()]
        assert len(weak) > 2
        del made
        assert [each() for each in weak] == [None] * len(weak)
    finally:
        gc.enable()
