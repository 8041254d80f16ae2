"""Small data sets in the true on-disk formats of the published ones."""

import hashlib
import io
import pickle
import tarfile
import zipfile

import numpy
from PIL import Image
from scipy.io import savemat

from genzoo_data.celeba64 import ATTRIBUTES

RANDOM = numpy.random.default_rng(0)


def pixels(*shape):
    return RANDOM.integers(0, 256, shape, dtype=numpy.uint8)


def encoded(array, kind="jpeg", **settings):
    content = io.BytesIO()
    Image.fromarray(array).save(content, kind, **settings)
    return content.getvalue()


def photograph(width, height, *, kind="jpeg", grey=False):
    """Return a smooth picture, encoded."""
    coarse = pixels(5, 5) if grey else pixels(5, 5, 3)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return encoded(numpy.asarray(picture), kind)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_cifar10(folder, *, rows=20):
    """Write cifar-10-python.tar.gz with `rows` images per batch; return all images and labels in file order."""
    images, labels = [], []
    path = folder / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
            data, own = pixels(rows, 3072), RANDOM.integers(0, 10, rows).tolist()
            batch = {"data": data, "labels": own, "batch_label": name, "filenames": [f"{i}.png" for i in range(rows)]}
            content = pickle.dumps(batch, protocol=2)
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
            images.append(data.reshape(rows, 3, 32, 32))
            labels += own
    return numpy.concatenate(images), numpy.array(labels)


def write_svhn(folder):
    """Write the three .mat files; return images (N, 3, 32, 32) and digits per file."""
    written = {}
    for name, rows in (("extra", 60), ("train", 20), ("test", 12)):
        images, labels = pixels(32, 32, 3, rows), RANDOM.integers(1, 11, (rows, 1)).astype(numpy.uint8)
        savemat(folder / f"{name}_32x32.mat", {"X": images, "y": labels}, do_compression=True)
        written[name] = images.transpose(3, 2, 0, 1), labels.reshape(-1) % 10
    return written


def write_celeba(folder, *, train=24, held_out=8):
    """Write images, attributes and partition as published; return attributes by file name, and the partition."""
    names = [f"{number:06}.jpg" for number in range(1, train + 2 * held_out + 1)]
    partition = {name: "0" if i < train else "1" if i < train + held_out else "2" for i, name in enumerate(names)}
    values = {name: RANDOM.integers(0, 2, 40) for name in names}
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        archive.writestr("img_align_celeba/", "")
        for name in names:
            archive.writestr(f"img_align_celeba/{name}", photograph(178, 218))
    lines = [str(len(names)), " ".join(ATTRIBUTES) + " "]
    lines += [f"{name} " + " ".join(f"{2 * int(value) - 1:2}" for value in values[name]) for name in names]
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    (folder / "list_eval_partition.txt").write_text("".join(f"{name} {part}\n" for name, part in partition.items()))
    return values, partition


def write_imagenet(folder, *, test=True):
    """Write class folders of photographs of all sizes, with a flat test folder."""
    sizes = [(500, 375), (375, 500), (90, 70), (64, 64), (300, 301)]
    for part, rows in (("train", 8), ("val", 4)):
        for wnid in ("n01440764", "n01443537", "n02123045"):
            place = folder / part / wnid
            place.mkdir(parents=True)
            for number in range(rows):
                width, height = sizes[number % len(sizes)]
                (place / f"{wnid}_{number}.JPEG").write_bytes(photograph(width, height, grey=number == 1))
    if test:
        (folder / "test").mkdir()
        for number in range(4):
            (folder / "test" / f"ILSVRC2012_test_{number:08}.JPEG").write_bytes(photograph(200, 100))


def write_tinyimagenet(folder, *, extra=()):
    """Write tiny-imagenet-200.zip with three classes, and `extra` (name, content) members."""
    wnids = ["n02124075", "n04067472", "n04540053"]
    root = "tiny-imagenet-200"
    with zipfile.ZipFile(folder / "tiny-imagenet-200.zip", "w") as archive:
        archive.writestr(f"{root}/wnids.txt", "\n".join(wnids) + "\n")
        archive.writestr(f"{root}/words.txt", "".join(f"{wnid}\tthing\n" for wnid in wnids))
        for wnid in wnids:
            archive.writestr(f"{root}/train/{wnid}/{wnid}_boxes.txt", f"{wnid}_0.JPEG\t0\t0\t63\t63\n")
            for number in range(10):
                picture = photograph(64, 64, grey=number == 0)
                archive.writestr(f"{root}/train/{wnid}/images/{wnid}_{number}.JPEG", picture)
        lines = []
        for number in range(6):
            archive.writestr(f"{root}/val/images/val_{number}.JPEG", photograph(64, 64))
            lines.append(f"val_{number}.JPEG\t{wnids[number % 3]}\t0\t0\t63\t63\n")
        archive.writestr(f"{root}/val/val_annotations.txt", "".join(lines))
        for number in range(4):
            archive.writestr(f"{root}/test/images/test_{number}.JPEG", photograph(64, 64))
        for name, content in extra:
            archive.writestr(name, content)
    return wnids


def write_photographs(folder, *, rows=24, classes=()):
    """Write photographs of mixed sizes and modes below `folder`, in one sub-folder per class if there are any."""
    for number in range(rows):
        place = folder / classes[number % len(classes)] if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        width, height = 40 + 17 * (number % 7), 150 - 11 * (number % 5)
        kind = ("jpeg", "png", "webp")[number % 3]
        picture = photograph(width, height, kind=kind, grey=number % 6 == 0)
        (place / f"picture{number}.{'jpg' if kind == 'jpeg' else kind}").write_bytes(picture)
    (folder / "notes.txt").write_text("not an image")
