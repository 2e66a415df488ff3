"""Images of more than 8 bits and of more bands than colours: TIFF's and PNG's own facts decide."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sbnet.data.io.image import brightest, check_photo, read_photo
from sbnet.data.synthetic.scenes import scene
from sbnet.errors import SBNetError
from tiff_file import write_tiff

RNG = np.random.default_rng(0)
RGB16 = RNG.integers(0, 65536, (6, 8, 3), dtype=np.uint16)
RGB8 = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
FOURTH = RNG.integers(0, 256, (6, 8, 1), dtype=np.uint8)
GREY, COLOUR = 1, 2  # of PhotometricInterpretation
APART = {"separate": True, "packed": True}  # one band after the other, compressed: what Pillow opens


def as_bytes(values: np.ndarray, white: float = 65535) -> np.ndarray:
    """What is shown of values of which `white` is white."""
    return np.clip(np.rint(values.astype(float) * 255 / white), 0, 255).astype(np.uint8)


def png(path: Path, values: np.ndarray, *, key: tuple[int, ...] = ()) -> Path:
    """16 bits, values (H, W) grey, (H, W, 2) with alpha, (H, W, 3) colour, (H, W, 4) with alpha; key: the transparent
    value. Pillow writes no such files but grey.
    """

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[values.size // (height * width)]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
        + (chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) if key else b"")
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 128, 129], [257 * 100, 65406, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    photo = read_photo(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(photo[..., 1], [[0, 0, 1], [100, 254, 255]])


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("white", [0, 4095, 30000])
def test_16_bit_colour_tiff(tmp_path: Path, big_endian: bool, packed: bool, white: int) -> None:
    path = write_tiff(tmp_path / "a.tif", RGB16, photometric=COLOUR, big_endian=big_endian, packed=packed)
    np.testing.assert_array_equal(read_photo(path, white=white), as_bytes(RGB16, white or 65535))
    assert brightest(path) == RGB16.max()
    assert check_photo(path).bits == 16


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_16_bit_grey_tiff_compressed(tmp_path: Path, compression: str) -> None:
    Image.fromarray(RGB16[..., 0]).save(tmp_path / "a.tif", compression=compression)
    shown = as_bytes(RGB16, 9000)[..., 0]
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif", white=9000)[..., 2], shown)


@given(seed=st.integers(0, 2**32), white=st.integers(1, 65535), bands=st.integers(1, 4))
def test_16_bit_png(tmp_path_factory: pytest.TempPathFactory, seed: int, white: int, bands: int) -> None:
    values = np.random.default_rng(seed).integers(0, 65536, (3, 5, bands), dtype=np.uint16)
    if bands in (2, 4):
        values[..., -1] = np.where(values[..., -1] > 32767, 65535, 0)
    path = png(tmp_path_factory.mktemp("png") / "a.png", values)
    shown = as_bytes(values[..., : 1 if bands < 3 else 3], white)
    if bands in (2, 4):
        shown = np.where(values[..., -1:] > 0, shown, 255)
    np.testing.assert_array_equal(read_photo(path, white=white), np.broadcast_to(shown, (3, 5, 3)))


def test_the_transparent_value_of_16_bits_is_white(tmp_path: Path) -> None:
    grey = png(tmp_path / "g.png", np.array([[0, 501, 257 * 2]]), key=(501,))
    np.testing.assert_array_equal(read_photo(grey)[..., 1], [[0, 255, 2]])
    values = np.array([[[0, 0, 0], [50000, 0, 9], [65535, 0, 0], [50000, 0, 8]]])
    colour = png(tmp_path / "c.png", values, key=(50000, 0, 9))
    np.testing.assert_array_equal(read_photo(colour)[0, :3], [[0, 0, 0], [255] * 3, [255, 0, 0]])
    assert read_photo(colour)[0, 3].tolist() == [195, 0, 0]  # another low byte is another colour


def test_alpha_of_16_bits(tmp_path: Path) -> None:
    values = np.concatenate([RGB16, np.full((6, 8, 1), 65535 // 2, np.uint16)], 2)
    path = write_tiff(tmp_path / "a.tif", values, photometric=COLOUR, extra=[2])
    np.testing.assert_allclose(read_photo(path).astype(int), as_bytes(RGB16 / 2 + 65535 / 2), atol=1)
    assert check_photo(path).alpha


@pytest.mark.parametrize("extra", [[0], None])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_fourth_band_that_is_no_alpha_is_left_out(
    tmp_path: Path, extra: list[int] | None, dtype: Any
) -> None:
    colours = RGB8 if dtype == np.uint8 else RGB16
    values = np.concatenate([colours, FOURTH.astype(dtype)], 2)
    path = write_tiff(tmp_path / "a.tif", values, photometric=COLOUR, extra=extra)
    np.testing.assert_array_equal(read_photo(path), RGB8 if dtype == np.uint8 else as_bytes(RGB16))
    kind = check_photo(path)
    assert (kind.left_out, kind.alpha) == (1, False)


@pytest.mark.parametrize("extra", [1, 2])
def test_a_fourth_band_that_is_alpha_is_laid_over_white(tmp_path: Path, extra: int) -> None:
    alpha = FOURTH / 255
    colours = RGB8 if extra == 2 else np.floor(RGB8 * alpha).astype(np.uint8)
    path = write_tiff(
        tmp_path / "a.tif", np.concatenate([colours, FOURTH], 2), photometric=COLOUR, extra=[extra]
    )
    shown = RGB8 * alpha + 255 * (1 - alpha)
    np.testing.assert_allclose(read_photo(path).astype(float), shown, atol=2)
    assert check_photo(path).left_out == 0


def test_grey_with_alpha_and_with_another_band(tmp_path: Path) -> None:
    values = np.concatenate([RGB8[..., :1], FOURTH], 2)
    alpha = FOURTH[..., 0] / 255
    for extra, shown in ((0, RGB8[..., 0]), (2, RGB8[..., 0] * alpha + 255 * (1 - alpha))):
        path = write_tiff(tmp_path / f"{extra}.tif", values, photometric=GREY, extra=[extra])
        np.testing.assert_allclose(read_photo(path)[..., 1].astype(float), shown, atol=1)


def test_white_of_12_bits_is_4095(tmp_path: Path) -> None:
    values = RGB16[..., 0] >> 4
    path = write_tiff(tmp_path / "a.tif", values, photometric=GREY, bits=12)
    np.testing.assert_array_equal(read_photo(path)[..., 0], as_bytes(values, 4095))


def test_floats_need_to_know_what_is_white(tmp_path: Path) -> None:
    values = np.linspace(-0.1, 1.1, 48, dtype=np.float32).reshape(6, 8)
    path = write_tiff(tmp_path / "a.tif", values, photometric=GREY)
    for ask in (read_photo, check_photo):
        with pytest.raises(
            SBNetError,
            match=r"a\.tif: .*float values .*data\.white_level=1, or sbnet predict --white-level 1",
        ):
            ask(path)
    np.testing.assert_array_equal(read_photo(path, white=1)[..., 0], as_bytes(values, 1))
    values[0, 0] = np.nan
    write_tiff(path, values, photometric=GREY)
    with pytest.raises(SBNetError, match="not finite"):
        read_photo(path, white=1)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("photometric", [GREY, COLOUR])
@pytest.mark.parametrize("packed", [False, True])
def test_a_tiff_that_lies_is_turned_upright(
    tmp_path: Path, kind: type[np.generic], photometric: int, packed: bool
) -> None:
    full = 65535 if kind == np.uint16 else 255
    values = (RGB16 if full > 255 else RGB8)[..., : 3 if photometric == COLOUR else 1].astype(kind)
    path = write_tiff(tmp_path / "a.tif", values, photometric=photometric, orientation=6, packed=packed)
    expected = np.broadcast_to(np.rot90(as_bytes(values, full), -1), (8, 6, 3))
    np.testing.assert_array_equal(read_photo(path), expected)


@pytest.mark.parametrize(
    ("values", "tags", "said"),
    [
        (np.zeros((4, 5, 4), np.uint8), {"photometric": GREY, "extra": [0, 0, 0]}, "8 bits, .* grey and 3 more"),
        (np.zeros((4, 5, 4), np.uint16), {"photometric": GREY, "extra": [0, 0, 0]}, "4 bands of 16 bits"),
        (np.zeros((4, 5, 9), np.uint16), {"photometric": GREY, "extra": [0] * 8}, "9 bands of 16 bits"),
        (np.zeros((4, 5, 3), np.float32), {"photometric": COLOUR}, "3 bands of 32 bits, float, .* red, green and blue"),
        (np.zeros((4, 5, 2), np.uint16), {"photometric": GREY, "extra": [2]}, "2 bands of 16 bits, .* grey and alpha"),
        (np.zeros((4, 5, 3), np.uint8), {"photometric": COLOUR, "separate": True}, "and blue, one band after"),
        (np.zeros((4, 5, 3), np.uint16), {"photometric": COLOUR, **APART}, "one band after"),
        (np.zeros((4, 5, 4), np.uint8), {"photometric": GREY, "extra": [0] * 3, **APART}, "one band after"),
        (np.zeros((4, 5, 4), np.uint16), {"photometric": COLOUR, "extra": [1]}, "colors premultiplied by alpha"),
        (np.zeros((4, 5), np.int8), {"photometric": GREY}, "one band of 8 bits, signed"),
        (np.zeros((4, 5), np.int16), {"photometric": GREY}, "one band of 16 bits, signed"),
        (np.zeros((4, 5), np.int32), {"photometric": GREY}, "one band of 32 bits, signed"),
        (np.zeros((4, 5), np.uint32), {"photometric": GREY}, "one band of 32 bits, by its header grey"),
        (np.zeros((4, 5), np.uint16), {"photometric": 0}, "by its header grey whose white is 0"),
        (np.zeros((4, 5), np.float32), {"photometric": 0}, "float, by its header grey whose white is 0"),
        (np.zeros((4, 5), np.float64), {"photometric": GREY}, "one band of 64 bits, float"),
    ],
)  # fmt: skip
def test_tiffs_that_are_not_supported(
    tmp_path: Path, values: np.ndarray, tags: dict[str, Any], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_tiff(tmp_path / "a.tif", values, **tags)
    for ask in (read_photo, check_photo):
        with pytest.raises(
            SBNetError,
            match=rf"a\.tif: the image cannot be read \(a TIFF of .*{said}.*, is not supported\): save ",
        ):
            ask(path)
    assert capfd.readouterr().err == ""


def test_a_photo_of_12_bits_in_16_looks_like_itself(tmp_path: Path) -> None:
    """A whole picture at 4095 for white is the picture within a grey level, and 16 times as dark without."""
    pixels = scene(0, 1, size=(48, 64))[0]
    values = np.rint(pixels / 255 * 4095).astype(np.uint16)
    path = png(tmp_path / "a.png", values)
    np.testing.assert_array_equal(read_photo(path, white=4095), pixels)
    assert read_photo(path).max() <= 16
