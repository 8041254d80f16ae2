"""What a rank averages: in the order of memory, with one copy; and, on two GPUs, in a captured step."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode
from toy_components import TRAINING, ToyImageNetworks, ToyImages, WithEncoder
from trainers import equal, learned, settings_of, trainer_on

from genzoo.training.distributed import Group

COPIES = {"cat", "clone", "contiguous", "copy_", "_to_copy"}


class Copies(TorchDispatchMode):
    """Counts the operations that copy tensors."""

    def __init__(self):
        super().__init__()
        self.count = Counter()

    def __torch_dispatch__(self, operator, types, arguments=(), keywords=None):
        name = operator.overloadpacket.__name__
        self.count.update({name} & COPIES)
        return operator(*arguments, **(keywords or {}))


@pytest.fixture
def twins(monkeypatch):
    """Return one of two ranks that hold the same tensors, so that their mean is each's own to the bit."""
    monkeypatch.setattr(dist, "all_reduce", lambda flat: flat.mul_(2))
    group = Group.__new__(Group)
    group.rank, group.size, group._releases = 0, 2, []
    return group


def tensors():
    image = torch.randn(6, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    return [torch.tensor(2.0), torch.randn(5), torch.randn(4, 7), torch.randn(4, 7).t(), image, image[:, :, :1, :1]]


def test_tensors_in_any_dense_layout_are_copied_once_into_the_bucket_and_keep_their_strides(twins):
    values = tensors()[:-1]
    with Copies() as copies:
        means = twins.average(values)
    assert copies.count == {"cat": 1}
    for mean, value in zip(means, values, strict=True):
        assert torch.equal(mean, value)
        assert mean.stride() == value.stride()
    assert len({mean.untyped_storage().data_ptr() for mean in means}) == 1


def test_a_tensor_with_gaps_is_averaged_as_well(twins):
    values = tensors()
    assert all(torch.equal(mean, value) for mean, value in zip(twins.average(values), values, strict=True))


def test_a_step_on_images_copies_no_averaged_gradient_again(twins, monkeypatch):
    monkeypatch.setattr("genzoo.training.trainer.synchronise", lambda networks: None)
    settings = settings_of(
        WithEncoder(),
        dataset=ToyImages(),
        architecture=ToyImageNetworks(dropout=0.0),
        training=replace(TRAINING, batch_statistics="local"),
    )
    trainer, alone = trainer_on(settings), trainer_on(settings)
    trainer.ranks = twins
    for _ in range(2):
        trainer.take_step()
        alone.take_step()
    parameters = list(trainer.networks.parameters())
    assert any(parameter.ndim == 4 and not parameter.is_contiguous() for parameter in parameters)
    assert {parameter.grad.stride() == parameter.stride() for parameter in parameters} == {True}
    assert len({parameter.grad.untyped_storage().data_ptr() for parameter in parameters}) == 1
    assert equal(learned(trainer), learned(alone))


def test_what_a_step_has_captured_is_dropped_before_the_ranks_part(twins, monkeypatch):
    done = []
    monkeypatch.setattr(dist, "destroy_process_group", lambda: done.append("parted"))
    twins.before_parting(lambda: done.append("released"))
    twins.part()
    assert done == ["released", "parted"]
