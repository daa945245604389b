"""Encoded image files -> uint8 arrays of one size: the only place where image files are opened.

Greyscale, colour, palette, transparent (laid on white) and 16-bit files are handled, and photographs turned as their
camera says they are to be seen (EXIF orientation); whatever cannot be decoded is a one-line ValueError that names the
file. The size of a picture is checked before its pixels are decoded.
"""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

MAX_PIXELS = 64_000_000  # of one image file; larger ones are refused before their pixels are decoded
MAX_BYTES = 64_000_000  # of one encoded image file
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def decode(data: bytes, source: str, size: int | None, channels: int = 3, invert: bool = False) -> np.ndarray:
    """The image file `data` as uint8 [size, size, channels], squashed bilinearly (with antialiasing) to a square.

    size: height and width, or None for the file's own. channels: 1 for greyscale, 3 for RGB. invert: 255 - value
    before resizing, for dark ink on white paper. source: what errors call the file.

    Raises ValueError for data that is no image, is damaged, or is too large.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"{source}: file has {len(data)} bytes; expected at most {MAX_BYTES}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                pixels = image.width * image.height
                eight_bit = _eight_bit(ImageOps.exif_transpose(image)) if pixels <= MAX_PIXELS else None
    except Exception as error:  # decoders raise nearly anything on damaged files
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else error
        raise ValueError(f"{source}: cannot decode image ({reason}); expected an undamaged PNG, JPEG, ...") from error
    if eight_bit is None:
        raise ValueError(f"{source}: image has {pixels} pixels; expected at most {MAX_PIXELS}")
    return resize(np.asarray(eight_bit.convert("L" if channels == 1 else "RGB")), size, invert)


def resize(image: np.ndarray, size: int | None, invert: bool = False) -> np.ndarray:
    """image uint8 [H, W] or [H, W, 3] as uint8 [size, size, channels] by PIL's bilinear filter; inverted first."""
    image = 255 - image if invert else image
    if size is not None and image.shape[:2] != (size, size):
        image = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
    return image[:, :, None] if image.ndim == 2 else image


def resize_all(images: np.ndarray, size: int | None, channels: int | None = None) -> np.ndarray:
    """images uint8 [I, H, W, channels], each resized; as they are where nothing changes. Greyscale may become RGB."""
    if channels == 3 and images.shape[3] == 1:
        images = np.repeat(images, 3, axis=3)
    if channels == 1 and images.shape[3] == 3:
        images = np.stack([np.asarray(Image.fromarray(image).convert("L"))[:, :, None] for image in images])
    if size is None or images.shape[1:3] == (size, size):
        return images
    flat = images[..., 0] if images.shape[3] == 1 else images
    return np.stack([resize(image, size) for image in flat])


def _eight_bit(image: Image.Image) -> Image.Image:
    """The decoded image in mode L or RGB: 16-bit values lose their lower byte, transparent parts become white."""
    if image.mode.startswith("I"):  # 16-bit greyscale, which convert() would clip
        values = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        return image.convert("RGB")
    return image.convert("L") if image.mode in ("1", "L") else image.convert("RGB")
