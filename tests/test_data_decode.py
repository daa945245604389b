"""Image files of every kind become 8-bit arrays; damaged, foreign and oversized ones are one clear line."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from oplstm_jax.data import decode as decode_module
from oplstm_jax.data.decode import decode, resize

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def png_claiming(width, height):
    """A PNG whose header claims a size that its few bytes of pixels do not have."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def test_greyscale_and_colour_convert_into_each_other():
    grey = encode(Image.fromarray(RAMP))
    np.testing.assert_array_equal(decode(grey, "a", None, channels=1)[..., 0], RAMP)
    np.testing.assert_array_equal(decode(grey, "a", None, channels=3), np.stack([RAMP] * 3, axis=-1))
    red = encode(Image.new("RGB", (8, 8), (255, 0, 0)))
    assert (decode(red, "a", None, channels=1) == 76).all()


def test_sixteen_bits_keep_their_upper_byte():
    deep = encode(Image.fromarray(RAMP.astype(np.uint16) * 256 + 255))
    np.testing.assert_array_equal(decode(deep, "a", None, channels=1)[..., 0], RAMP)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_are_laid_on_white(mode):
    clear = np.zeros((8, 8, len(mode)), np.uint8)
    clear[:4, :, -1] = 255
    pixels = decode(encode(Image.fromarray(clear)), "a", None, channels=1)
    assert (pixels[:4] == 0).all() and (pixels[4:] == 255).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_photographs_stand_as_their_camera_says(kind):
    """Orientation 6: what is seen as the top was stored as the left side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    left = Image.fromarray(np.repeat(RAMP[:1] * 8, 8, axis=0))  # brighter from left to right
    pixels = decode(encode(left, kind, exif=exif), "a", None, channels=1)[..., 0].astype(int)
    assert (np.diff(pixels, axis=0) > 0).all() and (np.ptp(pixels, axis=1) < 3).all()


@pytest.mark.parametrize("mode", ["1", "P", "CMYK"])
def test_other_modes_are_read(mode):
    image = Image.fromarray(np.stack([(RAMP > 100).astype(np.uint8) * 255] * 3, axis=-1)).convert(mode)
    pixels = decode(encode(image, "TIFF"), "a", None, channels=1)
    assert np.abs(pixels[..., 0].astype(int) - (RAMP > 100) * 255).max() <= 1


def test_resizing_inverts_first_and_squashes_to_a_square():
    wide = np.zeros((4, 8), np.uint8)
    wide[:, 4:] = 255
    squashed = resize(wide, 4, invert=True)
    expected = np.asarray(Image.fromarray(255 - wide).resize((4, 4), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(squashed[..., 0], expected)
    assert squashed[0, 0, 0] == 255 and squashed[0, 3, 0] == 0


def test_a_damaged_image_is_one_line_that_names_the_file():
    whole = encode(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)), "JPEG")
    for data in (b"", b"hello", whole[: len(whole) // 2], encode(Image.fromarray(RAMP))[:40]):
        with pytest.raises(ValueError, match="^birds/a.jpg: cannot decode image") as caught:
            decode(data, "birds/a.jpg", 8)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("side", [9000, 60000])
def test_a_huge_claimed_size_is_refused_before_decoding(side):
    with pytest.raises(ValueError, match="bomb.png: (image has 81000000 pixels|cannot decode)"):
        decode(png_claiming(side, side), "bomb.png", 8)


def test_a_huge_file_is_refused(monkeypatch):
    monkeypatch.setattr(decode_module, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match="a: file has 11 bytes; expected at most 10"):
        decode(bytes(11), "a", 8)


@given(st.binary(max_size=60), st.integers(0, 200), st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]))
@settings(max_examples=150, deadline=None)
def test_no_corruption_causes_anything_but_an_array_or_a_value_error(noise, position, kind):
    data = encode(Image.fromarray(np.stack([RAMP] * 3, axis=-1)), kind)
    corrupt = data[:position] + noise + data[position + len(noise) :]
    try:
        assert decode(corrupt, "a", 8).shape == (8, 8, 3)
    except ValueError as error:
        assert str(error).startswith("a: ") and "\n" not in str(error)
