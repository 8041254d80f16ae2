"""Decoding: every mode, size and damage of an image file, on disk or in an archive."""

import io
import os
import random
import shutil
import threading
import warnings
import zipfile

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from genzoo.data import decoding
from genzoo.data.decoding import ImageFiles, ImageTransform, image_names, in_blocks, listing
from genzoo.errors import UnreadableError

RANDOM = numpy.random.default_rng(0)
WHITE = 255


def noise(*shape):
    return RANDOM.integers(0, 256, shape, dtype=numpy.uint8)


def encoded(image, kind="png", **settings):
    """Return the content of an image file."""
    content = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(content, kind, **settings)
    return content.getvalue()


def smooth(width, height):
    return Image.fromarray(noise(5, 5, 3)).resize((width, height), Image.Resampling.BICUBIC)


def decoded(content, size, **settings):
    """Return the pixels (H, W, C), as Pillow's arrays have them."""
    found = ImageTransform(size=size, **settings)(content)
    assert found.dtype == numpy.uint8
    assert found.shape == (settings.get("channels", 3), size[1], size[0])
    return found.transpose(1, 2, 0)


def luma(rgb):
    """Return grey as ITU-R 601-2 weighs the colours."""
    return (rgb.astype(float) @ [0.299, 0.587, 0.114])[..., None]


def over_white(rgb, alpha):
    share = alpha[..., None].astype(float) / 255
    return rgb * share + WHITE * (1 - share)


def apart(found, expected):
    return numpy.abs(found.astype(float) - expected).max()


def read(place, names, transform):
    """Return what a block reads into rows of 7s, and its faults."""
    block = ImageFiles(place=place, names=tuple(names), transform=transform)
    out = numpy.full((block.rows, transform.channels, *reversed(transform.size)), 7, dtype=numpy.uint8)
    return out, block.read(out)


def write_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


# Sizes


def test_an_image_of_the_given_size_keeps_every_pixel():
    picture = noise(4, 6, 3)
    assert numpy.array_equal(decoded(encoded(picture), (6, 4)), picture)


@pytest.mark.parametrize(("width", "height"), [(4, 6), (6, 5), (7, 4), (1, 1)])
def test_an_image_of_another_size_than_the_given_one_is_refused_with_both(width, height):
    with pytest.raises(ValueError, match=f"^{width}×{height} pixels, expected 6×4$"):
        decoded(encoded(noise(height, width, 3)), (6, 4))


@pytest.mark.parametrize(
    ("width", "height"),
    [(100, 60), (60, 100), (101, 60), (60, 101), (16, 16), (16, 40), (9, 5), (1, 1), (1, 50), (500, 3)],
)
@pytest.mark.parametrize("size", [(16, 16), (24, 8), (8, 24)])
def test_crop_is_the_largest_centred_part_resized(width, height, size):
    source = Image.fromarray(noise(height, width, 3))
    scale = min(width / size[0], height / size[1])
    side, tall = size[0] * scale, size[1] * scale
    left, top = (width - side) / 2, (height - tall) / 2
    expected = source.resize(size, Image.Resampling.LANCZOS, box=(left, top, left + side, top + tall))
    assert apart(decoded(encoded(source), size, fit="crop"), numpy.asarray(expected)) <= 1


def test_crop_takes_the_middle_of_a_landscape_and_of_a_portrait():
    landscape = numpy.full((20, 60, 3), 9, dtype=numpy.uint8)
    landscape[:, 20:40] = 200
    for picture in (landscape, landscape.transpose(1, 0, 2)):
        middle = decoded(encoded(picture), (10, 10), fit="crop")[3:-3, 3:-3]  # the filter reaches over the edges
        assert (middle == 200).all()


@pytest.mark.parametrize(("width", "height"), [(1600, 1200), (1200, 1600), (500, 375), (193, 191), (40, 30)])
def test_a_jpeg_that_is_read_at_a_fraction_of_its_size_looks_as_if_read_whole(width, height):
    content = encoded(smooth(width, height), "jpeg", quality=95)
    whole = ImageOps.fit(Image.open(io.BytesIO(content)).convert("RGB"), (64, 64), Image.Resampling.LANCZOS)
    assert apart(decoded(content, (64, 64), fit="crop"), numpy.asarray(whole)) <= 3


def test_resize_and_corner_are_celebas():
    picture = smooth(178, 218)
    expected = numpy.asarray(picture.resize((64, 78), Image.Resampling.LANCZOS))[7:71]
    found = decoded(encoded(picture), (64, 64), fit="resize", resized=(64, 78), corner=(0, 7))
    assert numpy.array_equal(found, expected)


def test_resize_cuts_at_the_column_too_and_without_more_keeps_all():
    picture = Image.fromarray(noise(30, 40, 3))
    resized = numpy.asarray(picture.resize((20, 15), Image.Resampling.LANCZOS))
    found = decoded(encoded(picture), (8, 6), fit="resize", resized=(20, 15), corner=(5, 3))
    assert numpy.array_equal(found, resized[3:9, 5:13])
    assert numpy.array_equal(decoded(encoded(picture), (20, 15), fit="resize"), resized)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "64×48 as given, RGB"),
        ({"channels": 1}, "64×48 as given, grey"),
        ({"fit": "crop", "upright": True}, "largest centred part, resized to 64×48 (Lanczos"),
        ({"fit": "resize", "resized": (70, 80), "corner": (1, 2)}, "64×48 cut out at column 1, row 2, RGB"),
    ],
)
def test_a_transform_says_what_it_does(settings, text):
    assert text in str(ImageTransform(size=(64, 48), **settings))


# Modes


def test_grey_becomes_three_equal_channels_or_stays_one():
    grey = noise(4, 6)
    assert numpy.array_equal(decoded(encoded(grey), (6, 4)), grey[..., None].repeat(3, 2))
    assert numpy.array_equal(decoded(encoded(grey), (6, 4), channels=1), grey[..., None])


def test_colours_become_grey_by_their_brightness():
    picture = noise(4, 6, 3)
    assert apart(decoded(encoded(picture), (6, 4), channels=1), luma(picture)) <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_black_and_white_becomes_0_and_255(channels):
    bits = noise(4, 6) > 127
    found = decoded(encoded(Image.fromarray(bits)), (6, 4), channels=channels)
    assert numpy.array_equal(found, numpy.where(bits, 255, 0)[..., None].repeat(channels, 2))


def palette_image():
    """Return an image with a palette, and its indices and colours."""
    indices, colours = RANDOM.integers(0, 16, (4, 6)).astype(numpy.uint8), noise(16, 3)
    image = Image.fromarray(indices).convert("P")
    image.putpalette(colours.tobytes())
    image.putdata(indices.reshape(-1).tolist())
    return image, indices, colours


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff", "gif"])
def test_a_palette_is_looked_up(kind):
    image, indices, colours = palette_image()
    assert image.mode == "P"
    assert numpy.array_equal(decoded(encoded(image, kind), (6, 4)), colours[indices])
    assert apart(decoded(encoded(image, kind), (6, 4), channels=1), luma(colours[indices])) <= 1


@pytest.mark.parametrize("kind", ["png", "gif"])
def test_the_transparent_colour_of_a_palette_becomes_white(kind):
    image, indices, colours = palette_image()
    clear = int(indices[0, 0])
    expected = numpy.where((indices == clear)[..., None], WHITE, colours[indices])
    assert numpy.array_equal(decoded(encoded(image, kind, transparency=clear), (6, 4)), expected)


def test_a_palette_with_degrees_of_transparency_is_laid_over_white():
    image, indices, colours = palette_image()
    alpha = noise(16)
    content = encoded(image, transparency=alpha.tobytes())
    assert apart(decoded(content, (6, 4)), over_white(colours[indices], alpha[indices])) <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_grey_is_laid_over_white(channels):
    pair = noise(4, 6, 2)
    expected = over_white(pair[..., :1], pair[..., 1]).repeat(channels, 2)
    assert apart(decoded(encoded(Image.fromarray(pair, "LA")), (6, 4), channels=channels), expected) <= 1


@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
def test_transparent_colours_are_laid_over_white(kind):
    four = noise(4, 6, 4)
    four[0, :3, 3] = (0, 255, 128)
    settings = {"lossless": True, "exact": True} if kind == "webp" else {}
    expected = over_white(four[..., :3], four[..., 3])
    assert apart(decoded(encoded(four, kind, **settings), (6, 4)), expected) <= 1
    assert apart(decoded(encoded(four, kind, **settings), (6, 4), channels=1), luma(expected)) <= 1.5


def test_one_colour_that_stands_for_transparency_becomes_white():
    picture = noise(4, 6, 3)
    picture[1, 1] = picture[2, 5] = (10, 20, 30)
    expected = picture.copy()
    expected[1, 1] = expected[2, 5] = WHITE
    found = decoded(encoded(Image.fromarray(picture), transparency=(10, 20, 30)), (6, 4))
    assert numpy.array_equal(found, expected)


def test_cmyk_becomes_rgb():
    inks = [(255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (0, 0, 0, 255), (0, 0, 0, 0), (255, 255, 255, 255)]
    expected = [(0, 255, 255), (255, 0, 255), (255, 255, 0), (0, 0, 0), (255, 255, 255), (0, 0, 0)]
    image = Image.fromarray(numpy.array([inks], dtype=numpy.uint8), "CMYK")
    assert decoded(encoded(image, "tiff"), (6, 1)).tolist() == [[list(colour) for colour in expected]]
    flat = Image.new("CMYK", (16, 16), (0, 128, 255, 0))
    assert apart(decoded(encoded(flat, "jpeg", quality=100), (16, 16)), numpy.array([255, 127, 0])) <= 2


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["png", "tiff", "ppm"])
def test_of_sixteen_bits_the_upper_eight_are_kept(kind, channels):
    deep = numpy.array([[0, 255, 256, 511, 32_768, 65_535]], dtype=numpy.uint16)
    found = decoded(encoded(deep, kind), (6, 1), channels=channels)
    assert numpy.array_equal(found, numpy.array([[0, 0, 1, 1, 128, 255]])[..., None].repeat(channels, 2))


def test_of_an_animation_the_first_picture_is_taken():
    frames = [Image.new("P", (6, 4), number) for number in range(3)]
    for frame in frames:
        frame.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    content = encoded(frames[0], "gif", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(content)).n_frames == 3
    assert (decoded(content, (6, 4)) == (200, 0, 0)).all()


# Upright

UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: numpy.rot90(a, -1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: numpy.rot90(a),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_photograph_is_turned_as_its_orientation_says(orientation):
    picture, exif = noise(6, 6, 3), Image.Exif()
    exif[0x0112] = orientation
    content = encoded(picture, exif=exif)
    assert numpy.array_equal(decoded(content, (6, 6), upright=True), UPRIGHT[orientation](picture))
    assert numpy.array_equal(decoded(content, (6, 6)), picture)


@pytest.mark.parametrize("size", [(32, 16), (16, 32)])
def test_a_turned_photograph_is_cropped_as_it_is_seen(size):
    seen, exif = smooth(1200, 800), Image.Exif()
    exif[0x0112] = 6
    stored = seen.transpose(Image.Transpose.ROTATE_90)  # orientation 6: to be turned clockwise by 90°
    content = encoded(stored, "jpeg", quality=95, exif=exif)
    expected = ImageOps.fit(seen, size, Image.Resampling.LANCZOS)
    assert apart(decoded(content, size, fit="crop", upright=True), numpy.asarray(expected)) <= 6


@pytest.mark.parametrize("exif", [b"II*\0\x08\0\0\0\xff\xff", b"II*\0\xff\xff\xff\xff", b"II", b"nonsense"])
@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_damaged_orientation_is_no_obstacle(tmp_path, exif, kind):
    (tmp_path / "a.jpg").write_bytes(encoded(Image.new("RGB", (6, 6), (9, 9, 9)), kind, exif=b"Exif\0\0" + exif))
    out, faults = read(tmp_path, ["a.jpg"], ImageTransform(size=(6, 6), upright=True))
    assert faults == []
    assert (out == 9).all()


# Damage

GOOD = ImageTransform(size=(6, 4))


def cut(content):
    return content[: len(content) * 3 // 5]


@pytest.fixture
def good():
    return noise(4, 6, 3)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "not an image"),
        (b"\xff\xd8\xff", "not an image"),
        (b"<!DOCTYPE html><html>gone</html>", "not an image"),
        (b"to be or not to be\n" * 50, "not an image"),
        (b"%PDF-1.4\n", "not an image"),
        (bytes(10_000), "not an image"),
        (encoded(noise(4, 6, 3), "jpeg")[:-30], "truncated"),
        (cut(encoded(noise(40, 60, 3), "jpeg")), "60×40 pixels, expected 6×4"),
        (cut(encoded(noise(4, 6, 3))), ""),
        (cut(encoded(noise(4, 6, 3), "gif")), ""),
        (cut(encoded(noise(4, 6, 3), "webp")), ""),
        (cut(encoded(noise(4, 6, 3), "bmp")), "truncated"),
        (cut(encoded(noise(4, 6, 3), "tiff")), ""),
        (cut(encoded(noise(4, 6, 3), "ppm")), "truncated"),
        (encoded(noise(5, 6, 3)), "6×5 pixels, expected 6×4"),
    ],
    ids=lambda value: repr(value[:16]),
)
def test_what_cannot_be_read_is_named_with_its_cause_and_the_others_are_read(tmp_path, good, content, cause):
    (tmp_path / "bad.jpg").write_bytes(content)
    (tmp_path / "good.png").write_bytes(encoded(good))
    out, faults = read(tmp_path, ["good.png", "bad.jpg", "good.png"], GOOD)
    ((row, name, told),) = faults
    assert (row, name) == (1, "bad.jpg")
    assert cause in told
    assert told
    assert "\n" not in told
    for row in (0, 2):
        assert numpy.array_equal(out[row].transpose(1, 2, 0), good)


def test_a_file_that_is_missing_and_a_folder_in_its_place_are_faults(tmp_path, good):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "good.png").write_bytes(encoded(good))
    out, faults = read(tmp_path, ["missing.png", "folder.png", "dangling.png", "good.png"], GOOD)
    assert [fault.name for fault in faults] == ["missing.png", "folder.png", "dangling.png"]
    assert "No such file" in faults[0].cause
    assert "Is a directory" in faults[1].cause
    assert numpy.array_equal(out[3].transpose(1, 2, 0), good)


def test_a_pipe_in_the_place_of_an_image_is_a_fault_and_no_endless_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    found = []
    reading = threading.Thread(target=lambda: found.extend(read(tmp_path, ["pipe.png"], GOOD)[1]), daemon=True)
    reading.start()
    reading.join(60)
    waited = reading.is_alive()
    if waited:  # let it go
        os.close(os.open(tmp_path / "pipe.png", os.O_WRONLY))
        reading.join()
    assert not waited
    assert [fault.name for fault in found] == ["pipe.png"]


def test_a_name_that_is_no_text_is_told_in_a_printable_way(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).write_bytes(b"")
    assert image_names(tmp_path) == [name]
    _, (fault,) = read(tmp_path, [name], GOOD)
    assert fault.name == r"caf\udce9.png"
    fault.name.encode()


@pytest.mark.parametrize("pixels", [101, 199, 201, 100_000])
def test_more_pixels_than_any_photograph_has_are_a_fault(tmp_path, monkeypatch, pixels):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    (tmp_path / "bomb.png").write_bytes(encoded(Image.new("L", (pixels, 1))))
    (tmp_path / "good.png").write_bytes(encoded(Image.new("L", (100, 1))))
    _, faults = read(tmp_path, ["bomb.png", "good.png"], ImageTransform(size=(4, 4), fit="crop"))
    assert [fault.name for fault in faults] == ["bomb.png"]
    assert "decompression bomb" in faults[0].cause


def test_a_file_larger_than_any_image_is_not_opened(tmp_path, monkeypatch, good):
    content = encoded(good)
    (tmp_path / "image.png").write_bytes(content)
    archive = write_zip(tmp_path / "archive.zip", {"image.png": content})
    for place in (tmp_path, archive):
        monkeypatch.setattr(decoding, "_FILE_LIMIT", len(content) - 1)
        assert read(place, ["image.png"], GOOD)[1][0].cause == f"{len(content):,} bytes are too many for an image"
        monkeypatch.setattr(decoding, "_FILE_LIMIT", len(content))
        assert read(place, ["image.png"], GOOD)[1] == []


def test_what_pillow_warns_of_neither_shows_nor_ends_a_block(tmp_path, good, recwarn):
    image, *_ = palette_image()
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff"
    (tmp_path / "a.png").write_bytes(encoded(image, transparency=noise(16).tobytes()))
    (tmp_path / "b.png").write_bytes(encoded(good, exif=exif))
    before = list(warnings.filters)
    _, faults = read(tmp_path, ["a.png", "b.png"], ImageTransform(size=(6, 4), upright=True))
    assert faults == []
    assert list(recwarn) == []
    assert list(warnings.filters) == before


FUZZED = [encoded(noise(4, 6, 3), kind) for kind in ("png", "jpeg", "gif", "webp", "tiff", "bmp", "ppm")]


@given(
    st.binary(max_size=200)
    | st.builds(lambda content, seed: damaged(content, seed), st.sampled_from(FUZZED), st.integers(0))
)
def test_any_content_is_pixels_or_a_fault(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    folder.mkdir(exist_ok=True)
    (folder / "a.png").write_bytes(content)
    for transform in (GOOD, ImageTransform(size=(6, 4), channels=1, upright=True)):
        _, faults = read(folder, ["a.png"], transform)
        assert all(fault.row == 0 and fault.name == "a.png" and fault.cause for fault in faults)


def damaged(content, seed):
    """Return content with a few bytes changed, or cut."""
    chance, changed = random.Random(seed), bytearray(content)
    for _ in range(chance.randint(1, 5)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed[: chance.randint(1, 2 * len(changed))])


# Archives


def test_members_of_an_archive_are_read_by_name(tmp_path):
    pictures = {f"folder/{number}.png": noise(4, 6, 3) for number in range(3)}
    place = write_zip(tmp_path / "a.zip", {name: encoded(picture) for name, picture in pictures.items()})
    wanted = ["folder/2.png", "folder/missing.png", "folder/0.png"]
    out, faults = read(place, wanted, GOOD)
    assert numpy.array_equal(out[0].transpose(1, 2, 0), pictures["folder/2.png"])
    assert numpy.array_equal(out[2].transpose(1, 2, 0), pictures["folder/0.png"])
    assert [(fault.row, fault.name) for fault in faults] == [(1, "folder/missing.png")]


def claim(path, name, size):
    """Change the uncompressed size of a member in the directory at the archive's end."""
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(name.encode()))
    content[entry + 24 : entry + 28] = size.to_bytes(4, "little")
    path.write_bytes(content)


@pytest.mark.parametrize("size", [2**28 + 1, 2**32 - 2, 0, 10])
def test_a_member_that_lies_about_its_size_is_a_fault(tmp_path, good, size):
    place = write_zip(tmp_path / "a.zip", {"liar.png": encoded(good), "good.png": encoded(good)})
    claim(place, "liar.png", size)
    out, faults = read(place, ["liar.png", "good.png"], GOOD)
    assert [fault.name for fault in faults] == ["liar.png"]
    if size > 2**28:
        assert faults[0].cause == f"{size:,} bytes are too many for an image"
    assert numpy.array_equal(out[1].transpose(1, 2, 0), good)


def test_a_member_with_a_flipped_byte_is_a_fault(tmp_path, good):
    content = encoded(good)
    place = write_zip(tmp_path / "a.zip", {"bad.png": content, "good.png": content})
    whole = bytearray(place.read_bytes())
    whole[whole.index(content) + len(content) // 2] ^= 1
    place.write_bytes(whole)
    out, (fault,) = read(place, ["bad.png", "good.png"], GOOD)
    assert fault.row == 0
    assert "CRC" in fault.cause
    assert numpy.array_equal(out[1].transpose(1, 2, 0), good)


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04 cut off"])
def test_every_row_of_what_is_no_archive_is_a_fault(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    _, faults = read(tmp_path / "a.zip", ["a.png", "b.png"], GOOD)
    assert [fault.name for fault in faults] == ["a.png", "b.png"]


def test_names_that_lead_out_of_an_archive_write_nothing(tmp_path, monkeypatch, good):
    (tmp_path / "one" / "two").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "one" / "two")
    names = ["../evil.png", "../../evil.png", f"{tmp_path}/evil.png", "a/../../evil.png", "..\\evil.png"]
    place = write_zip(tmp_path / "a.zip", dict.fromkeys(names, encoded(good)))
    before = sorted(tmp_path.rglob("*"))
    out, faults = read(place, names, GOOD)
    assert faults == []
    assert all(numpy.array_equal(row.transpose(1, 2, 0), good) for row in out)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_that_was_replaced_is_read_anew(tmp_path):
    for _ in range(2):
        picture = noise(4, 6, 3)
        (tmp_path / "new.zip").unlink(missing_ok=True)
        os.replace(write_zip(tmp_path / "new.zip", {"a.png": encoded(picture)}), tmp_path / "a.zip")
        out, faults = read(tmp_path / "a.zip", ["a.png"], GOOD)
        assert faults == []
        assert numpy.array_equal(out[0].transpose(1, 2, 0), picture)


def test_a_folder_may_be_named_like_an_archive(tmp_path, good):
    (tmp_path / "pictures.zip").mkdir()
    (tmp_path / "pictures.zip" / "a.png").write_bytes(encoded(good))
    out, faults = read(tmp_path / "pictures.zip", ["a.png"], GOOD)
    assert faults == []
    assert numpy.array_equal(out[0].transpose(1, 2, 0), good)


def test_an_archive_may_be_named_in_capitals(tmp_path, good):
    _, faults = read(write_zip(tmp_path / "A.ZIP", {"a.png": encoded(good)}), ["a.png"], GOOD)
    assert faults == []


# Which files, in which order


def test_images_are_found_by_their_endings_and_sorted(tmp_path):
    wanted = [
        "B.PNG",
        "a.jpg",
        "b/a.JPeG",
        "b/c/a.webp",
        "c.gif",
        "c.png/inner.bmp",
        "d.tif",
        "e.tiff",
        "f.ppm",
        "g.pgm",
    ]
    others = [
        ".a.png",
        ".git/a.png",
        "b/.hidden/a.png",
        "b/.DS_Store",
        "notes.txt",
        "png",
        "a.png.txt",
        "a.svg",
        "a.jpg~",
    ]
    for name in wanted + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert image_names(tmp_path) == sorted(wanted)
    assert image_names(tmp_path, "b") == ["b/a.JPeG", "b/c/a.webp"]
    assert image_names(tmp_path, "nothing") == []


def test_linked_images_count_and_linked_folders_do_not(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").touch()
    (tmp_path / "link.png").symlink_to(tmp_path / "real" / "a.png")
    (tmp_path / "real" / "round").symlink_to(tmp_path)
    assert image_names(tmp_path) == ["link.png", "real/a.png"]


def test_a_folder_that_cannot_be_listed_is_told_and_not_left_out(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.png").touch()
    listing_of = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listing_of(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UnreadableError, match="closed cannot be read: Permission denied"):
        image_names(tmp_path)


def test_blocks_have_all_names_in_order(tmp_path):
    names = [f"{number}.png" for number in range(11)]
    blocks = in_blocks(tmp_path, names, GOOD, rows=4)
    assert [block.rows for block in blocks] == [4, 4, 3]
    assert [name for block in blocks for name in block.names] == names
    assert in_blocks(tmp_path, [], GOOD) == ()


@pytest.fixture
def listed(tmp_path):
    names = ["a.png", "b/c.png"]
    (tmp_path / "b").mkdir()
    for name in names:
        (tmp_path / name).write_bytes(b"content")
        os.utime(tmp_path / name, ns=(1, 10**18))
    return tmp_path, names


def test_a_listing_is_the_same_as_long_as_nothing_changes(listed, tmp_path):
    folder, names = listed
    known = listing(folder, names)
    (folder / "unlisted.png").touch()
    os.utime(folder / "a.png", ns=(2, 10**18))  # when it was read does not matter
    assert listing(folder, names) == known


def change_size(folder):
    (folder / "a.png").write_bytes(b"content, more")
    os.utime(folder / "a.png", ns=(1, 10**18))


def change_time(folder):
    os.utime(folder / "b" / "c.png", ns=(1, 10**18 + 1))


@pytest.mark.parametrize("change", [change_size, change_time])
def test_a_listing_changes_with_the_size_and_time_of_a_file(listed, change):
    folder, names = listed
    known = listing(folder, names)
    change(folder)
    assert listing(folder, names) != known


def test_a_listing_changes_with_names_and_their_order(listed):
    folder, names = listed
    os.link(folder / "a.png", folder / "d.png")
    choices = [names, names[::-1], ["d.png", "b/c.png"], names[:1], [*names, "d.png"], []]
    assert len({listing(folder, choice) for choice in choices}) == len(choices)


def test_a_listing_of_an_archive_is_of_the_archive_and_the_names(tmp_path):
    place = write_zip(tmp_path / "a.zip", {"a.png": b"a", "b.png": b"b"})
    os.utime(place, ns=(1, 10**18))
    known = listing(place, ["a.png"])
    shutil.copy2(place, tmp_path / "b.zip")
    assert listing(tmp_path / "b.zip", ["a.png"]) == known
    assert listing(place, ["b.png"]) != known
    os.utime(place, ns=(1, 10**18 + 1))
    assert listing(place, ["a.png"]) != known


def test_a_file_that_went_away_is_listed_as_one_that_is_not_there(listed):
    folder, names = listed
    known = listing(folder, names)
    (folder / "a.png").unlink()
    assert listing(folder, names) != known  # decoding says what is missing
