"""Fake CUDA tensors for the tests of this folder."""

import pytest
from fake_cuda import FakeCuda, obstacle

SOURCES = {"m1+m2": "vae", "perceptual-autoencoder": "classifier", "vq-vae-prior": "vq-vae"}
"""The models whose `--from` is another one's run than the GAN's."""
OF_CLASSES = {
    "catgan",
    "classifier",
    "feature-matching",
    "ladder",
    "m1+m2",
    "m2",
    "perceptual-autoencoder",
    "semi-aae",
    "semi-ali",
}
OF_SMALL_IMAGES = {"autoregressive"}
REFUSALS = (
    "needs images of at most 256 numbers",
    "needs labels, and these data have none",
    "learns classes, and these data have none",
    "prior.categories is 10, and the data have",
)


@pytest.fixture(scope="module")
def cuda(tmp_path_factory):
    """Yield the program that takes steps on fake CUDA tensors; skip the test where there can be none."""
    if why := obstacle():
        pytest.skip(why)
    program = FakeCuda(tmp_path_factory.mktemp("driver"))
    yield program
    program.close()


@pytest.fixture
def clean_step(cuda):
    """Return a function that takes a step and asserts what every step on a GPU must keep; it returns what was seen."""

    def take(model, recipe, precision, *, device=0):
        seen = cuda.step(model, recipe, precision, device=f"cuda:{device}", source=SOURCES.get(model, "gan"))
        if "refused" in seen:
            assert model.startswith("conditional-") or model in OF_CLASSES | OF_SMALL_IMAGES
            assert any(text in seen["refused"] for text in REFUSALS)
            return seen
        assert seen["faults"] == []
        assert seen["devices"] == [f"cuda:{device}"]
        assert seen["current"] == seen["seeded"] == [device]
        assert seen["parameters"] > seen["strides_unlike"] == 0
        assert seen["capturable"]
        return seen

    return take
