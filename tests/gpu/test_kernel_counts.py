"""How many kernels a step of ali launches, and how many copies cuDNN makes because a tensor lies in another layout.

Small kernels are what a captured step's time is made of. The bounds leave a few for another version of torch.
"""

import pytest

KERNELS = {
    ("mixture25-paper", "fp32"): 124,
    ("digits", "fp32"): 282,
    ("cifar10", "bf16"): 254,
    ("imagenet64", "bf16"): 325,
}
OF_REPLICAS = {"ali": 250, "gan": 205}
"""Of the paper's toy task, for any number of replicas; with an Adam of each, ten took 300 and 254."""
TRANSPOSES = {"digits": 2}
"""Images of one channel lie in both layouts at once."""


@pytest.mark.parametrize(("recipe", "precision"), KERNELS)
def test_a_step_launches_no_more_kernels_and_transposes_no_image(clean_step, recipe, precision):
    seen = clean_step("ali", recipe, precision)
    assert seen["kernels"] <= KERNELS[recipe, precision]
    assert sum(seen["transposes"].values()) <= TRANSPOSES.get(recipe, 0)


def test_tf32_changes_no_operation_of_a_step(clean_step):
    seen = {precision: clean_step("ali", "cifar10", precision) for precision in ("fp32", "tf32")}
    assert seen["tf32"]["operations"] == seen["fp32"]["operations"]
    assert seen["tf32"]["products"] == ["tf32"]
    assert seen["fp32"]["products"] == ["ieee"]


def test_a_deterministic_step_takes_deterministic_algorithms_alone(cuda):
    seen = {asked: cuda.step("ali", "cifar10", "fp32", deterministic=asked) for asked in (False, True)}
    assert [seen[asked]["algorithms"] for asked in (False, True)] == [["any"], ["deterministic"]]
    assert seen[True]["kernels"] == seen[False]["kernels"]


def test_gradients_of_replicas_are_copied_together_into_the_layout_of_parameters(cuda):
    two, four = (cuda.step("ali", "mixture25-paper", "fp32", replicas=count) for count in (2, 4))
    assert two["strides_unlike"] == four["strides_unlike"] == 0
    for copy in ("copy_", "clone"):
        assert two["operations"].get(copy, 0) == four["operations"].get(copy, 0)


@pytest.mark.parametrize("model", OF_REPLICAS)
def test_ten_replicas_launch_as_many_kernels_as_two(cuda, model):
    two, ten = (cuda.step(model, "mixture25-paper", "fp32", replicas=count) for count in (2, 10))
    assert two["faults"] == ten["faults"] == []
    assert two["kernels"] == ten["kernels"] <= OF_REPLICAS[model]


def test_schedules_and_averages_of_all_replicas_take_a_few_operations(cuda):
    plain = {"training.learning_rate_schedule": "constant", "training.averaging": "none"}
    two, ten, constant = (
        cuda.step("ali", "mixture25", "fp32", replicas=count, overrides=overrides)["kernels"]
        for count, overrides in ((2, {}), (10, {}), (10, plain))
    )
    assert two == ten <= constant + 16
