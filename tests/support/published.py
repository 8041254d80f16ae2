"""The published data sets, small, in the place of the real ones: fetched from the loopback address and prepared."""

from contextlib import contextmanager
from dataclasses import replace

import formats
import pytest

from genzoo.data import downloads, prepared
from genzoo_data.celeba64 import CelebA64
from genzoo_data.cifar10 import CIFAR10
from genzoo_data.folder import Folder
from genzoo_data.imagenet64 import ImageNet64
from genzoo_data.svhn import SVHN
from genzoo_data.tinyimagenet200 import TinyImageNet200


@contextmanager
def publishing(folder, address):
    """Have the data sets that are fetched come from `address`, which serves `folder`; give what was written there."""
    written = {
        "cifar10": formats.write_cifar10(folder),
        "svhn": formats.write_svhn(folder),
        "tinyimagenet200": formats.write_tinyimagenet(folder),
    }
    with pytest.MonkeyPatch.context() as patch:
        for kind in (CIFAR10, SVHN, TinyImageNet200):
            downloads = tuple(
                replace(one, urls=(f"{address}/{one.file}",), md5=one.md5 and formats.md5(folder / one.file))
                for one in kind.downloads
            )
            patch.setattr(kind, "downloads", downloads)
        yield written


def prepare_all(root, sources, written):
    """Fetch and prepare every data set below `root`, from `sources` where a person would bring the files."""
    for dataset in (CIFAR10(), SVHN(), TinyImageNet200()):
        downloads.fetch_all(dataset, root)
        prepared.prepare_dataset(dataset, root, jobs=1)
    formats.write_imagenet(sources / "imagenet")
    prepared.prepare_dataset(ImageNet64(), root, source=sources / "imagenet", jobs=1)
    (sources / "celeba").mkdir()
    written["celeba64"] = formats.write_celeba(sources / "celeba")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            CelebA64,
            "downloads",
            tuple(replace(one, md5=formats.md5(sources / "celeba" / one.file)) for one in CelebA64.downloads),
        )
        prepared.prepare_dataset(CelebA64(), root, source=sources / "celeba", jobs=1)
    formats.write_photographs(sources / "photographs", classes=("cats", "dogs"))
    for size in (32, 64):
        prepared.prepare_dataset(Folder(size=size), root, source=sources / "photographs", jobs=1)
