"""The pictures of a report: which there are, and that data and prior are drawn once for all models."""

import io
from dataclasses import replace

import pytest
from models import WithoutSamples, identity_model
from PIL import Image
from toy_components import ToyImages, ToyMixture

from genzoo.comparison.sections import sections_of

IMAGES, VECTORS = ToyImages(rows=40), ToyMixture(rows=40)


def models_of(dataset):
    """Return two autoencoders and a model without an encoder."""
    models = {label: identity_model(dataset.spec) for label in ("a", "b", "sampler")}
    models["sampler"].networks.encoder = None
    return models


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        (
            IMAGES,
            {"Samples": ["data", "a", "b", "sampler"], "Reconstructions": ["a", "b"], "Interpolations": ["a", "b"]},
        ),
        (
            VECTORS,
            {"Samples": ["data", "a", "b", "sampler"], "Codes": ["prior", "a", "b"], "Reconstructions": ["a", "b"]},
        ),
    ],
)
def test_data_and_prior_are_drawn_once_and_every_model_beside_them(dataset, expected):
    sections = sections_of(models_of(dataset), dataset.load(None))
    assert {section.title: [picture.title for picture in section.pictures] for section in sections} == expected
    assert all(picture.content.startswith(b"\x89PNG") for section in sections for picture in section.pictures)


@pytest.mark.parametrize("dataset", [IMAGES, VECTORS])
def test_models_without_encoders_have_samples_alone(dataset):
    models = {"sampler": models_of(dataset)["sampler"]}
    assert [section.title for section in sections_of(models, dataset.load(None))] == ["Samples"]
    assert sections_of({}, dataset.load(None)) == []


@pytest.mark.parametrize("rows", [1, 7])
def test_with_fewer_rows_than_interpolations_need_a_report_has_none(rows):
    few = ToyImages(rows=rows)
    titles = [section.title for section in sections_of(models_of(few), few.load(None))]
    assert titles == ["Samples", "Reconstructions"]


@pytest.mark.parametrize("dataset", [IMAGES, VECTORS])
def test_models_without_samples_have_all_but_these(dataset):
    models = models_of(dataset)
    titles = [section.title for section in sections_of(models, dataset.load(None))]
    models["a"] = replace(models["a"], game=WithoutSamples())
    first, *others = sections_of(models, dataset.load(None))
    assert [picture.title for picture in first.pictures] == ["data", "b", "sampler"]
    assert [section.title for section in others] == titles[1:]
    alone = sections_of({"a": models["a"]}, dataset.load(None))
    assert [section.title for section in alone] == titles[1:]


@pytest.mark.parametrize(("smallest", "is_magnified"), [(8, True), (7, False)])
def test_images_that_are_not_magnified_say_so_to_the_page(monkeypatch, smallest, is_magnified):
    monkeypatch.setattr("genzoo.comparison.sections._SMALL_SIDE", smallest)
    sections = sections_of(models_of(IMAGES), IMAGES.load(None))
    assert {section.is_magnified for section in sections} == {is_magnified}
    wide = [section.title for section in sections if section.is_wide]
    assert wide == ([] if is_magnified else ["Reconstructions", "Interpolations"])


def test_digits_are_magnified_so_that_half_a_picture_shows_a_number_with_four_pixels():
    sections = sections_of(models_of(IMAGES), IMAGES.load(None))
    widths = {section.title: Image.open(io.BytesIO(section.pictures[-1].content)).width for section in sections}
    tile, gap, seam = 8 * 8, 12, 2
    assert widths == {
        "Samples": 8 * (tile + gap) + gap,
        "Reconstructions": 4 * (2 * tile + seam + gap) + gap,
        "Interpolations": 10 * tile + 7 * seam + 4 * gap,
    }
    assert max(widths.values()) == 702  # the page shows half of it at every width: tests/cli/test_report_page.py
