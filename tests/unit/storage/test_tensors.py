"""Tensors as the content of safetensors files."""

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from genzoo.storage.tensors import pack

DTYPES = [
    *(torch.uint64, torch.int64, torch.float64, torch.complex64, torch.float32, torch.uint32, torch.int32),
    *(torch.bfloat16, torch.float16, torch.uint16, torch.int16, torch.int8, torch.uint8, torch.bool),
]
SHAPES = st.lists(st.integers(0, 4), max_size=4)


@given(st.dictionaries(st.text(), st.tuples(st.sampled_from(DTYPES), SHAPES), max_size=8), st.integers(0, 2**20))
def test_a_packed_file_is_that_of_the_library_to_the_byte(kinds, seed):
    source = torch.Generator().manual_seed(seed)
    tensors = {
        name: torch.randint(0, 2, shape, generator=source).to(dtype)
        for name, (dtype, shape) in kinds.items()
        if name != "__metadata__"
    }
    assert bytes(pack(tensors)) == safetensors.torch.save(tensors)


def test_notes_are_the_metadata(tmp_path):
    (tmp_path / "file").write_bytes(pack({"x": torch.ones(2)}, notes={"β": "ü"}))
    with safetensors.safe_open(tmp_path / "file", "pt") as file:
        assert file.metadata() == {"β": "ü"}


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.randn(4, 3).t(),
        torch.randn(3, 1).expand(3, 4),
        torch.randn(6)[::2],
        torch.nn.Parameter(torch.randn(3)),
    ],
    ids=["channels last", "transposed", "expanded", "strided", "parameter"],
)
def test_a_tensor_of_any_layout_is_packed_by_its_values(tensor):
    stored = safetensors.torch.load(bytes(pack({"tensor": tensor})))["tensor"]
    assert torch.equal(stored, tensor.detach())


def test_what_is_packed_does_not_change_with_its_tensors():
    tensor = torch.zeros(3)
    content = pack({"tensor": tensor})
    tensor += 1
    assert torch.equal(safetensors.torch.load(bytes(content))["tensor"], torch.zeros(3))
