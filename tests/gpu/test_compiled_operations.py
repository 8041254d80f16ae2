"""A compiled step takes each convolution as often as the mathematics needs: nothing goes back twice, nothing in vain.

What is needed follows from the layer tables. Every row is convolved once. Its weights' gradient is needed once, and its
input's where something that is trained lies before it. Players share one backward pass of the critic, unless batch
statistics couple its rows: then the generator's pass needs the critic's input gradients once more, and the critic's own
pass ends at the first row of each of its tables.
"""

from collections import Counter

import pytest
import torch
from fake_cuda import names_of
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd
from torch.utils._python_dispatch import TorchDispatchMode
from trainers import job_of_request, new_trainer

from genzoo.nn import Conv, TransposedConv

QUICK = ("digits", "cifar10", "svhn")


def image_recipes():
    """Return all image recipes, those of larger networks marked as slow."""
    jobs = {name: job_of_request("gan", recipe=name) for name in names_of("recipes")}
    names = [name for name, job in jobs.items() if job.settings.dataset.spec.is_image]
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


def kinds(operator, arguments):
    """Return how many convolutions of each kind an operator takes."""
    if operator == torch.ops.aten.convolution.default:
        return Counter(forward=1)
    if operator == torch.ops.aten.convolution_backward.default:
        by_input, by_weight, _ = arguments[-1]
        return Counter(input_gradient=int(by_input), weight_gradient=int(by_weight))
    return Counter()


class Eager(TorchDispatchMode):
    """Counts the convolutions that are taken as written."""

    def __init__(self):
        super().__init__()
        self.count = Counter()

    def __torch_dispatch__(self, operator, types, arguments=(), keywords=None):
        self.count += kinds(operator, arguments)
        return operator(*arguments, **(keywords or {}))


class CountingBackend:
    """A backend of torch.compile that counts the convolutions of its graphs each time that one runs."""

    def __init__(self):
        self.count, self.graphs = Counter(), 0

    def __call__(self, graph, inputs):
        return aot_autograd(fw_compiler=self._compile)(graph, inputs)

    def _compile(self, graph, inputs):
        self.graphs += 1
        nodes = [node for node in graph.graph.nodes if node.op == "call_function"]
        count = sum((kinds(node.target, node.args) for node in nodes), Counter())

        def run(*values):
            self.count += count
            return graph(*values)

        return make_boxed_func(run)


@pytest.fixture
def backend(monkeypatch):
    """Have torch.compile use a backend that counts, and return it."""
    counting, compile = CountingBackend(), torch.compile
    monkeypatch.setattr(torch, "compile", lambda rule, **how: compile(rule, **how, backend=counting))
    yield counting
    torch._dynamo.reset()


def needed(networks, *, shared_pass):
    """Return how many convolutions of each kind a step of both players needs."""
    coder, critic = [networks.encoder.body, networks.encoder.head], networks.critic
    generators = [rows_of(*coder), rows_of(networks.decoder.stack)]
    judges = rows_of(critic.x, critic.z, critic.joint)
    count = Counter()
    for rows in (*generators, judges):
        count += Counter(forward=sum(rows), weight_gradient=sum(rows), input_gradient=sum(rows))
    first_rows = [rows[0] for rows in generators]
    if not shared_pass:
        count += Counter(input_gradient=sum(judges))
        first_rows += [rows_of(critic.x)[0], rows_of(critic.z)[0]]
    return count - Counter(input_gradient=sum(first_rows))


def rows_of(*stacks):
    """Return 1 for each row that convolves and 0 for each that does not."""
    return [int(isinstance(card.row, Conv | TransposedConv)) for stack in stacks for card in stack.cards]


@pytest.mark.parametrize("recipe", image_recipes())
def test_a_compiled_step_takes_no_convolution_more_than_it_needs(backend, recipe):
    overrides = {"training.batch_size": 2, "game.penalty": "none"}
    trainer = new_trainer("ali", recipe=recipe, device="cpu", execution="compiled", overrides=overrides)
    shared_pass = trainer.per_player_reason is None
    expected = needed(trainer.networks, shared_pass=shared_pass)
    trainer.take_step()
    assert backend.graphs
    backend.count.clear()
    trainer.take_step()
    assert backend.count == expected
    written = new_trainer("ali", recipe=recipe, device="cpu", overrides=overrides)
    with Eager() as eager:
        written.take_step()
    assert eager.count == expected
