"""Images and masks of every mode that Pillow saves, and what is refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sbnet.data.io.image import check_photo, mask_classes, photo_size, read_mask, read_photo
from sbnet.data.synthetic.scenes import scene
from sbnet.errors import SBNetError

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = RGB[..., 0].copy()


def _save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_rgb_png_is_read_exactly_and_writable(tmp_path: Path) -> None:
    photo = read_photo(_save(Image.fromarray(RGB), tmp_path / "a.png"))
    assert photo.dtype == np.uint8
    np.testing.assert_array_equal(photo, RGB)
    assert photo.flags.writeable
    assert photo.flags.c_contiguous


def test_grey_one_bit_and_one_pixel(tmp_path: Path) -> None:
    grey = read_photo(_save(Image.fromarray(GREY), tmp_path / "g.png"))
    np.testing.assert_array_equal(grey, np.repeat(GREY[..., None], 3, 2))
    bits = read_photo(_save(Image.fromarray(GREY > 99), tmp_path / "b.png"))
    np.testing.assert_array_equal(bits[..., 0], np.where(GREY > 99, 255, 0))
    one = read_photo(_save(Image.fromarray(RGB[:1, :1]), tmp_path / "1.png"))
    np.testing.assert_array_equal(one, RGB[:1, :1])


def test_palette(tmp_path: Path) -> None:
    image = Image.fromarray(RGB).quantize(256)
    np.testing.assert_array_equal(
        read_photo(_save(image, tmp_path / "p.png")), np.asarray(image.convert("RGB"))
    )


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_laid_over_white(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    alpha = np.full(GREY.shape, 255, np.uint8)
    alpha[0], alpha[1] = 0, 128
    image.putalpha(Image.fromarray(alpha))
    photo = read_photo(_save(image, tmp_path / "a.png")).astype(int)
    colour = np.asarray(image.convert("RGBA"))[..., :3].astype(int)
    np.testing.assert_array_equal(photo[0], 255)
    np.testing.assert_allclose(photo[1], colour[1] * 128 / 255 + 127, atol=1)
    np.testing.assert_array_equal(photo[2:], colour[2:])


def test_transparent_palette_and_colour_key(tmp_path: Path) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    photo = read_photo(_save(image, tmp_path / "p.png", transparency=1))
    np.testing.assert_array_equal(photo[0], [[10, 20, 30], [255, 255, 255], [10, 20, 30]])
    key = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    photo = read_photo(_save(key, tmp_path / "k.png", transparency=(4, 5, 6)))
    np.testing.assert_array_equal(photo[0], [[1, 2, 3], [255, 255, 255]])


def test_cmyk_jpeg(tmp_path: Path) -> None:
    flat = Image.new("RGB", (16, 16), (200, 40, 90))
    photo = read_photo(_save(flat.convert("CMYK"), tmp_path / "c.jpg", quality=100))
    np.testing.assert_allclose(photo[8, 8].astype(int), (200, 40, 90), atol=6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path: Path, orientation: int) -> None:
    # What a viewer shows: transpose first where rows and columns are swapped, then mirror.
    shown = {
        1: RGB, 2: RGB[:, ::-1], 3: RGB[::-1, ::-1], 4: RGB[::-1], 5: RGB.transpose(1, 0, 2),
        6: np.rot90(RGB, -1), 7: np.rot90(RGB, 2).transpose(1, 0, 2), 8: np.rot90(RGB),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = _save(Image.fromarray(RGB), tmp_path / "r.png", exif=exif)
    np.testing.assert_array_equal(read_photo(path), shown)


def test_broken_exif_is_no_rotation(tmp_path: Path) -> None:
    path = _save(Image.fromarray(RGB), tmp_path / "r.png", exif=b"Exif\0\0MM\0*\xff\xff\xff")
    np.testing.assert_array_equal(read_photo(path), RGB)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = _save(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_photo(path)[0, 0], (255, 0, 0))


def test_missing_truncated_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(SBNetError, match=r"none\.jpg: there is no such image"):
        read_photo(tmp_path / "none.jpg")
    with pytest.raises(SBNetError, match="there is no such image"):
        read_photo(tmp_path)
    for suffix in ("jpg", "png"):
        whole = _save(Image.fromarray(np.tile(RGB, (20, 20, 1))), tmp_path / f"whole.{suffix}").read_bytes()
        (tmp_path / f"cut.{suffix}").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(SBNetError, match=rf"cut\.{suffix}: the image cannot be read \(broken"):
            read_photo(tmp_path / f"cut.{suffix}")
    for content in (b"", b"Dear reader"):
        (tmp_path / "text.jpg").write_bytes(content)
        with pytest.raises(SBNetError, match=r"text\.jpg: the image cannot be read \(not an image\)"):
            read_photo(tmp_path / "text.jpg")


def _png_header(path: Path, width: int, height: int) -> Path:
    """A PNG that claims a size and holds nothing: what a decompression bomb looks like before decoding."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + end + struct.pack(">I", 0) + b"IDAT\x35\xaf\x06\x1e")
    return path


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path) -> None:
    path = _save(Image.fromarray(RGB), tmp_path / "a.png")
    assert read_photo(path, max_pixels=35).shape == (5, 7, 3)
    with pytest.raises(SBNetError, match=r"a\.png: 7 x 5 pixels exceed the limit of 34: save it smaller"):
        read_photo(path, max_pixels=34)
    for side in (10_001, 60_000):  # beyond this bound; beyond Pillow's own
        with pytest.raises(SBNetError, match=r"bomb\.png.* the limit (of|is) 30000000: save it smaller"):
            read_photo(_png_header(tmp_path / "bomb.png", side, side))


def test_masks(tmp_path: Path) -> None:
    ids = np.array([[0, 1, 255], [2, 2, 0]], np.uint8)
    grey, palette = Image.fromarray(ids), Image.fromarray(ids)
    palette.putpalette(bytes(range(256)) * 3)
    for image in (grey, palette):
        path = _save(image, tmp_path / "m.png")
        np.testing.assert_array_equal(read_mask(path, classes=3, size=(2, 3)), ids)
        assert mask_classes(path, classes=3) == (1, 2)


def test_masks_that_do_not_fit(tmp_path: Path) -> None:
    ids = np.array([[0, 1, 255], [2, 9, 0]], np.uint8)
    path = _save(Image.fromarray(ids), tmp_path / "m.png")
    with pytest.raises(SBNetError, match=r"m\.png: the mask has the class ids 2, 9, but there are 2 classes"):
        read_mask(path, classes=2)
    with pytest.raises(
        SBNetError, match=r"m\.png: the mask has 3 x 2 pixels, its image \(upright\) has 2 x 3"
    ):
        read_mask(path, classes=10, size=(3, 2))
    with pytest.raises(SBNetError, match=r"c\.png: a mask holds class ids .* this one is RGB"):
        read_mask(_save(Image.fromarray(RGB), tmp_path / "c.png"), classes=2)
    with pytest.raises(SBNetError, match="there is no such mask"):
        mask_classes(tmp_path / "none.png", classes=2)


def test_sizes_are_checked_from_the_headers(tmp_path: Path) -> None:
    photo, mask = tmp_path / "a.jpg", tmp_path / "a.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.new("RGB", (8, 5)).save(photo, exif=exif)
    Image.new("P", (5, 8)).save(mask)
    check_photo(photo, mask)
    check_photo(photo, None)
    Image.new("P", (8, 5)).save(mask)
    with pytest.raises(
        SBNetError, match=r"a\.png: the mask has 8 x 5 pixels, its image \(upright\) has 5 x 8"
    ):
        check_photo(photo, mask)
    with pytest.raises(SBNetError, match="exceed the limit"):
        check_photo(photo, None, max_pixels=39)
    tiff = tmp_path / "a.tif"
    Image.new("RGB", (8, 5)).save(tiff, exif=exif)
    assert read_photo(tiff).shape[:2] == (8, 5)
    Image.new("P", (5, 8)).save(mask)
    check_photo(tiff, mask)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_is_decoded_smaller_where_that_is_enough(tmp_path: Path, orientation: int) -> None:
    """Upright 600 x 800. Resized to what is needed, it is nearly the image decoded whole."""
    pixels = scene(0, 1, size=(600, 800))[0]
    turned = np.rot90(pixels) if orientation == 6 else pixels  # counter-clockwise; the tag turns it back
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = _save(Image.fromarray(turned), tmp_path / "a.jpg", quality=92, exif=exif)
    assert photo_size(path) == (600, 800)
    whole = read_photo(path)
    assert whole.shape == (600, 800, 3)
    for needed, decoded in (((301, 401), (600, 800)), ((150, 200), (300, 400)), ((75, 100), (150, 200))):
        photo = read_photo(path, needed=needed)
        assert photo.shape[:2] == decoded
        width_and_height = needed[::-1]
        one, other = (
            np.asarray(Image.fromarray(each).resize(width_and_height, Image.Resampling.BICUBIC)).astype(int)
            for each in (whole, photo)
        )
        assert np.abs(one - other).mean() < 0.75


def test_other_formats_are_decoded_whole(tmp_path: Path) -> None:
    path = _save(Image.fromarray(np.zeros((64, 80, 3), np.uint8)), tmp_path / "a.png")
    assert read_photo(path, needed=(8, 10)).shape == (64, 80, 3)
    grey = _save(Image.fromarray(np.full((64, 80), 77, np.uint8)), tmp_path / "g.jpg")
    small = read_photo(grey, needed=(8, 10))
    assert small.shape == (16, 20, 3)
    assert (np.abs(small.astype(int) - 77) <= 1).all()
