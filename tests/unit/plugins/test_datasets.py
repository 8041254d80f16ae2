"""First-party data sets in their true on-disk formats: fetched from a loopback server, prepared and read."""

import json
from pathlib import Path

import formats
import numpy
import pytest
import torch
from loopback import serving_folder
from PIL import Image
from published import prepare_all, publishing

from genzoo import UnreadableError
from genzoo.data import as_input, prepared
from genzoo_data.celeba64 import CelebA64
from genzoo_data.cifar10 import CIFAR10
from genzoo_data.digits import Digits
from genzoo_data.folder import Folder
from genzoo_data.imagenet64 import ImageNet64
from genzoo_data.mixture import Mixture25
from genzoo_data.svhn import SVHN
from genzoo_data.tinyimagenet200 import TinyImageNet200


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return a folder and the loopback address that serves it."""
    folder = tmp_path_factory.mktemp("server")
    with serving_folder(folder) as address:
        yield folder, address


@pytest.fixture(scope="module", autouse=True)
def published(server):
    with publishing(*server) as written:
        yield written


@pytest.fixture(scope="module")
def root(tmp_path_factory, published):
    """Return a folder of data sets in which everything is fetched and prepared."""
    root = tmp_path_factory.mktemp("data")
    prepare_all(root, tmp_path_factory.mktemp("sources"), published)
    return root


# What is read is what was published


def test_cifar10_is_in_file_order_and_its_last_tenth_of_training_validates(root, published):
    images, labels = published["cifar10"]
    splits = CIFAR10().load(root)
    assert [len(split.x) for split in splits] == [90, 10, 20]
    found = torch.cat([split.x for split in splits])
    assert numpy.array_equal(found.numpy(), images)
    assert torch.cat([split.labels for split in splits]).tolist() == labels.tolist()


def test_svhn_trains_on_extra_validates_on_train_and_calls_ten_zero(root, published):
    splits = SVHN().load(root)
    for split, name in zip(splits, ("extra", "train", "test"), strict=True):
        images, digits = published["svhn"][name]
        assert numpy.array_equal(split.x.numpy(), images)
        assert split.labels.tolist() == digits.tolist()
    assert 0 in splits.train.labels


def test_celeba_has_the_official_split_its_attributes_and_the_papers_crop(root, published):
    values, partition = published["celeba64"]
    splits = CelebA64().load(root)
    for split, part in zip(splits, "012", strict=True):
        names = [name for name in partition if partition[name] == part]
        assert split.labels.tolist() == [values[name].tolist() for name in names]
        assert split.x.shape == (len(names), 3, 64, 64)


def test_celebas_crop_is_rows_7_to_70_of_the_image_at_64_by_78():
    content = formats.photograph(178, 218)
    expected = numpy.asarray(Image.open(formats.io.BytesIO(content)).resize((64, 78), Image.Resampling.LANCZOS))
    assert numpy.array_equal(CelebA64().transform(content), expected[7:71].transpose(2, 0, 1))


def test_imagenet_is_the_centre_square_with_classes_in_the_order_of_their_names(root):
    splits = ImageNet64().load(root)
    assert [len(split.x) for split in splits] == [24, 12, 4]
    assert splits.train.labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    assert splits.validation.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert splits.test.labels is None
    content = formats.photograph(150, 100)
    whole = Image.open(formats.io.BytesIO(content))
    expected = numpy.asarray(whole.resize((64, 64), Image.Resampling.LANCZOS, box=(25, 0, 125, 100)))
    assert numpy.array_equal(ImageNet64().transform(content), expected.transpose(2, 0, 1))


def test_without_test_images_every_other_validation_image_of_imagenet_tests(tmp_path):
    formats.write_imagenet(tmp_path / "source", test=False)
    prepared.prepare_dataset(ImageNet64(), tmp_path, source=tmp_path / "source", jobs=1)
    splits = ImageNet64().load(tmp_path)
    assert [len(split.x) for split in splits] == [24, 6, 6]
    assert splits.test.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_tiny_imagenet_has_its_classes_and_grey_images_become_rgb(root):
    splits = TinyImageNet200().load(root)
    assert [len(split.x) for split in splits] == [30, 6, 4]
    assert splits.train.labels.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert splits.validation.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert splits.test.labels is None
    grey = splits.train.x[0]
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])


def test_a_folder_is_split_by_name_and_its_sub_folders_are_classes(root):
    dataset = Folder(size=32).with_found_classes(root)
    assert dataset.spec.class_names == ("cats", "dogs")
    splits = dataset.load(root)
    assert [len(split.x) for split in splits] == [20, 2, 2]
    assert sorted(torch.cat([split.labels for split in splits]).tolist()) == [0] * 12 + [1] * 12


def test_images_stay_on_the_disk_until_they_are_used(root):
    x = TinyImageNet200().load(root).train.x
    # rows of one file, of which every split is a view
    assert x.dtype == torch.uint8
    maps = Path("/proc/self/maps").read_text()
    assert str(root / "tinyimagenet200" / "images.safetensors") in maps


# Fetching what is published


def test_every_published_hash_is_torchvisions():
    from torchvision import datasets

    found = {one.file: one.md5 for kind in (CelebA64,) for one in kind.downloads}
    theirs = {name: md5 for _, md5, name in datasets.CelebA.file_list}
    assert found == {name: theirs[name] for name in found}


def test_fetch_and_prepare_are_two_commands(say, server, tmp_path):
    for name in ("cifar10", "svhn", "tinyimagenet64"):
        fetched = say("data", "fetch", name, "--data", tmp_path, "--json").document
        assert fetched["files"]
        assert all(one["md5"] or len(one["sha256"]) == 64 for one in fetched["files"])
        assert say("data", "prepare", name, "--data", tmp_path, "--jobs", 1, "--json").document["left_out"] == 0
    status = say("data", "status", "--check", "--data", tmp_path, "--json").document
    states = {row["dataset"]: row["state"] for row in status["datasets"]}
    assert [states[name] for name in ("cifar10", "svhn", "tinyimagenet200")] == ["prepared"] * 3
    assert (states["celeba64"], states["digits"]) == ("not here", "needs none")


@pytest.mark.parametrize("name", ["celeba64", "imagenet64"])
def test_what_no_program_may_fetch_is_explained_step_by_step(say, name):
    said = say("data", "fetch", name)
    assert said.code == 3  # there is still nothing here
    assert said.out.startswith("1. ")
    assert f"genzoo data prepare {name} --source" in said.out
    assert json.loads(say("data", "fetch", name, "--json").out)["by_hand"]


def test_a_cifar_archive_with_another_hash_is_never_unpickled(tmp_path, say):
    canary = tmp_path / "canary"

    class Bomb:
        def __reduce__(self):
            return open, (str(canary), "w")

    source = tmp_path / "source"
    source.mkdir()
    with formats.tarfile.open(source / "cifar-10-python.tar.gz", "w:gz") as archive:
        content = formats.pickle.dumps(Bomb())
        member = formats.tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        member.size = len(content)
        archive.addfile(member, formats.io.BytesIO(content))
    said = say("data", "prepare", "cifar10", "--source", source, "--data", tmp_path / "data")
    assert said.code == 3
    assert "hash" in said.err
    with pytest.raises(UnreadableError, match="its pickles are not opened"):
        CIFAR10().contents(source)
    assert not canary.exists()


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html>gone</html>", b"PK\x03\x04 cut off"])
def test_what_is_not_tiny_imagenets_archive_is_refused(say, tmp_path, content):
    path = tmp_path / "tiny.zip"
    path.write_bytes(content)
    said = say("data", "prepare", "tinyimagenet200", "--source", path, "--data", tmp_path / "data")
    assert said.code == 3
    assert str(path) in said.err
    assert len(said.err.splitlines()) <= 3
    assert not (tmp_path / "data" / "tinyimagenet200").exists()


def test_names_that_lead_out_of_an_archive_lead_nowhere(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    picture = formats.photograph(64, 64)
    extra = [("../../evil.JPEG", picture), ("/tmp/genzoo-evil", picture), ("tiny-imagenet-200/train/../../../x", b"x")]
    formats.write_tinyimagenet(source, extra=extra)
    archive = (source / "tiny-imagenet-200.zip").rename(source / "tiny.zip")  # whose hash is not asked for
    before = sorted(tmp_path.rglob("*"))
    prepared.prepare_dataset(TinyImageNet200(), tmp_path / "data", source=archive, jobs=1)
    after = [path for path in tmp_path.rglob("*") if path not in before]
    assert all(path.is_relative_to(tmp_path / "data") for path in after)
    assert [len(split.x) for split in TinyImageNet200().load(tmp_path / "data")] == [30, 6, 4]


@pytest.mark.parametrize("name", ["extra_32x32.mat", "train_32x32.mat"])
def test_a_mat_file_that_is_none_is_refused(tmp_path, server, name):
    for path in server[0].glob("*.mat"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:50])
    with pytest.raises(UnreadableError, match="is not one of SVHN's"):
        SVHN().contents(tmp_path)


def test_attributes_that_do_not_fit_the_images_are_refused(tmp_path):
    formats.write_celeba(tmp_path)
    lines = (tmp_path / "list_attr_celeba.txt").read_text().splitlines()
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(UnreadableError, match=r"says nothing of 000040\.jpg"):
        CelebA64().contents(tmp_path)
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join([lines[0], "Smiling", *lines[2:]]))
    with pytest.raises(UnreadableError, match="forty attributes"):
        CelebA64().contents(tmp_path)


# Grey levels


def test_digits_have_all_of_their_levels_and_no_other_value():
    levels = Digits().spec.levels
    x = torch.cat([split.x for split in Digits().load(None)])
    of_rows = as_input(x).mul(levels - 1).round()
    assert sorted(of_rows.unique().tolist()) == list(range(17))
    assert torch.equal(of_rows.div(levels - 1).mul(255).round().to(torch.uint8), x)


@pytest.mark.parametrize("dataset", [CIFAR10(), SVHN(), CelebA64(), ImageNet64(), TinyImageNet200(), Folder()])
def test_images_of_files_have_as_many_levels_as_a_byte(dataset):
    assert dataset.spec.levels == 256


def test_vectors_have_no_levels():
    assert Mixture25().spec.levels is None
