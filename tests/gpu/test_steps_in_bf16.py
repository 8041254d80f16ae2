"""Models take steps in bf16 on fake CUDA tensors: all on some recipes, some on all, and as slow tests all on all.

The other precision has a file of its own, so that two processes share the time that these take.
"""

import pytest
from fake_cuda import models_on_recipes


@pytest.mark.parametrize(("model", "recipe"), models_on_recipes())
def test_a_step_waits_for_nothing_stays_on_its_device_and_keeps_the_layout(clean_step, model, recipe):
    clean_step(model, recipe, "bf16")
