"""Decodes encoded bytes to upright RGB pixels. Any bytes give either pixels or an ImageError.

Two words name the position of pixels: `stored` is as they are in the file, `upright` is after EXIF is applied. Pillow
returns a TIFF upright and every other format as stored. Outside of this file all pixels are upright.

How other modes become RGB: transparent pixels are put on white; of an animation the first frame is taken; CMYK is
converted by Pillow's formula, without colour profiles; 16 bits are scaled to 8; for floats see `_scaled`.
"""

from __future__ import annotations

import functools
import hashlib
import io
import struct
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError, ImageError
from engine.images.file_kinds import recognise
from engine.images.jpeg_header import jpeg_size
from engine.images.orientation import orient_array

if TYPE_CHECKING:
    from PIL import Image

Pixels = npt.NDArray[np.uint8]

# The formats that are opened, the most frequent first because Pillow tries them in this order. Left out are formats
# that start other programs (EPS) or that are drawings, icons, textures and layers rather than photos.
EXTENSIONS = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
    "MPO": "jpg",
    "JPEG2000": "jp2",
    "PPM": "ppm",
}
REASONS = (
    "empty",
    "not_an_image",
    "unsupported",
    "git_lfs_pointer",
    "web_page",
    "too_many_bytes",
    "too_many_pixels",
    "too_small",
    "corrupt",
    "out_of_memory",
)
PILLOW_PIXELS = 178_956_970  # Pillow refuses images and frames with more pixels


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest images that are decoded. Decoding 64 million pixels takes 650 to 900 MB in each thread."""

    max_pixels: int = 64_000_000
    max_bytes: int = 64 * 1024 * 1024
    min_side: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.max_pixels <= PILLOW_PIXELS:
            raise ConfigError(f"max_pixels is {self.max_pixels}: expected 1 to {PILLOW_PIXELS}.")
        if self.max_bytes < 1 or self.min_side < 1:
            raise ConfigError(f"max_bytes is {self.max_bytes}, min_side {self.min_side}: expected 1 or more.")


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of an image file states."""

    format: str  # a key of EXTENSIONS
    width: int  # upright
    height: int
    orientation: int = 1  # EXIF 1 to 8: how to turn the stored pixels upright
    frames: int = 1  # 2 stands for any larger number: counting the frames of a hostile GIF takes minutes

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height of the image as stored in the file."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)

    @property
    def extension(self) -> str:
        return EXTENSIONS[self.format]


def image_id(data: bytes) -> str:
    """The id of an image: the first 32 hex digits of the sha256 of its encoded bytes."""
    return hashlib.sha256(data).hexdigest()[:32]


def probe(data: bytes, limits: Limits | None = None) -> Header:
    """Read only the header. Raises ImageError if the file is no supported image or is larger than the limits."""
    limits = limits or Limits()
    if header := _of_ordinary_jpeg(data, limits):
        return header
    try:
        image = _open(data, limits)
        width, height = _stored_size(image)
        orientation = _orientation(image, data)
        if orientation >= 5:
            width, height = height, width
        return Header(str(image.format), width, height, orientation, 2 if getattr(image, "is_animated", False) else 1)
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001  decoders raise all kinds of errors on hostile bytes
        raise _as_image_error(error, "header") from None


def decode(data: bytes, limits: Limits | None = None) -> Pixels:
    """Upright RGB pixels, height x width x 3. The array may be read-only. Raises ImageError if decoding fails."""
    try:
        image = _open(data, limits or Limits())
        orientation = 1 if image.format == "TIFF" else _orientation(image, data)
        depth = _bits(image)  # before load, which may close the file
        image.load()
        return np.ascontiguousarray(orient_array(_rgb(image, depth), orientation))
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001  decoders raise all kinds of errors on hostile bytes
        raise _as_image_error(error, "pixels") from None


def _of_ordinary_jpeg(data: bytes, limits: Limits) -> Header | None:
    """The header of a JPEG within the limits that has no EXIF or XMP. None if Pillow has to decide."""
    if len(data) > limits.max_bytes or (size := jpeg_size(data)) is None:
        return None
    width, height = size
    fits = width * height <= limits.max_pixels and min(size) >= limits.min_side
    return Header("JPEG", width, height) if fits else None


# --- opening ----------------------------------------------------------------------------------


@functools.cache
def _pillow() -> Any:
    """Pillow's module Image, with all formats loaded and warnings off. Set up once for each process.

    The warnings stay off, because `catch_warnings`, which could turn them on again, is not thread-safe.
    """
    from PIL import Image

    Image.init()
    warnings.filterwarnings("ignore", module=r"PIL\.")
    return Image


@functools.cache
def _formats() -> tuple[str, ...]:
    """The formats that this build of Pillow opens. MPO is not among them, because the plugin for JPEG opens it."""
    return tuple(name for name in EXTENSIONS if name in _pillow().OPEN)


def _open(data: bytes, limits: Limits) -> Image.Image:
    """Open the image and check its size. Decodes no pixels."""
    if not data:
        raise ImageError("empty", "the file is empty")
    if len(data) > limits.max_bytes:
        raise ImageError("too_many_bytes", f"{len(data)} bytes are more than max_bytes, {limits.max_bytes}")
    if len(data) < 8:
        raise ImageError("not_an_image", f"{len(data)} bytes are too few for an image")
    pillow = _pillow()
    try:
        image: Image.Image = pillow.open(io.BytesIO(data), formats=_formats())
    except pillow.DecompressionBombError as error:
        raise ImageError("too_many_pixels", str(error)) from None
    except OSError as error:  # UnidentifiedImageError is one
        raise _unopened(data, error) from None
    width, height = image.size
    if width * height > limits.max_pixels:
        raise ImageError("too_many_pixels", f"{width} x {height} pixels are more than max_pixels, {limits.max_pixels}")
    if min(width, height) < limits.min_side:
        raise ImageError("too_small", f"{width} x {height} pixels: a side is below min_side, {limits.min_side}")
    return image


def _unopened(data: bytes, error: Exception) -> ImageError:
    """The ImageError for bytes that no supported format could open. Its sentence follows from the first bytes only."""
    readable = ", ".join(EXTENSIONS)
    reason, sentence = recognise(data, readable)
    if reason:
        return ImageError(reason, sentence)
    known = [name for name, (_, accept) in _pillow().OPEN.items() if accept is not None and accept(data[:16]) is True]
    ours = [name for name in known if name in EXTENSIONS]
    if ours:
        return ImageError("corrupt", f"begins like {ours[0]}, but its header cannot be read")
    if known:
        return ImageError("unsupported", f"{known[0]} is not read; convert it to one of {readable}")
    return ImageError("not_an_image", "its first bytes are not those of a known image format")


def _as_image_error(error: Exception, part: str) -> ImageError:
    if isinstance(error, MemoryError):
        return ImageError("out_of_memory", f"its {part} need more memory than this process may have")
    if type(error).__name__ == "DecompressionBombError":
        return ImageError("too_many_pixels", str(error))
    return ImageError("corrupt", f"its {part} cannot be read: {type(error).__name__}: {error}"[:300])


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as stored. Pillow's own size of a TIFF is upright, so it is turned back here."""
    width, height = image.size
    if image.format == "TIFF" and image.tag_v2.get(274) in (5, 6, 7, 8):  # type: ignore[attr-defined]
        return height, width
    return width, height


_TELL_ORIENTATION = frozenset({"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"})


def _orientation(image: Image.Image, data: bytes) -> int:
    """The orientation from EXIF or XMP, 1 to 8. Returns 1 if there is none or if the metadata is damaged."""
    if image.format == "JPEG" and not _TELL_ORIENTATION & image.info.keys():
        return 1  # a shortcut, because looking with Pillow would make reading the header half as long again
    try:
        if image.format == "PNG" and "exif" not in image.info:
            late = _late_exif(data)
            if late:
                image.info["exif"] = b"Exif\0\0" + late
        # Calls the base class's method, because PNG's own method decodes all pixels first.
        value = _pillow().Image.getexif(image).get(274, 1)
    except Exception:  # noqa: BLE001  decoders raise all kinds of errors on hostile bytes
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _late_exif(data: bytes) -> bytes:
    """The eXIf chunk of a PNG, which may come after the pixels. Returns b'' if there is none."""
    position = 8
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        if name == b"eXIf":
            return data[position + 8 : position + 8 + length]
        position += 12 + length
    return b""


# --- any mode to RGB --------------------------------------------------------------------------


def _rgb(image: Image.Image, depth: int) -> Pixels:
    """Convert an opened image to RGB pixels as stored. `depth`: see `_bits`."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        grey = _scaled(np.asarray(image), depth)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = _over_white(image)
    elif image.mode != "RGB":
        image = image.convert("RGB")
    return np.asarray(image)


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    image = image if image.mode == "RGBA" else image.convert("RGBA")
    ground = _pillow().new("RGBA", image.size, (255, 255, 255, 255))
    ground.alpha_composite(image)
    answer: Image.Image = ground.convert("RGB")
    return answer


def _bits(image: Image.Image) -> int:
    """The bits that the values of a grey image use, up to 16. Returns 0 if the format does not record it."""
    if image.mode.startswith("I;16"):
        if image.format == "TIFF":
            bits = image.tag_v2.get(258, (16,))  # type: ignore[attr-defined]
            return int(bits[0]) if isinstance(bits, tuple) else int(bits)
        return 16
    return 16 if image.mode == "I" and image.format == "PPM" else 0


def _scaled(values: npt.NDArray[Any], depth: int) -> Pixels:
    """Scale grey values of more than 8 bits to 8 bits. If `depth` is 0, their range is guessed from the values.

    The guess is the smallest of the ranges 0 to 1 (floats only), 0 to 255 and 0 to 65535 that holds all values. If none
    does, the range goes from the smallest value to the largest. NaN and infinity become black.
    """
    if depth == 16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    floats = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = (0.0, float(2**depth - 1)) if depth else _range(floats, whole=values.dtype.kind in "iu")
    with np.errstate(all="ignore"):
        floats -= low
        floats *= 255.0 / (high - low)
        return np.clip(np.rint(floats, out=floats), 0, 255).astype(np.uint8)


def _range(values: npt.NDArray[np.float32], *, whole: bool) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    for top in (255.0, 65535.0) if whole else (1.0, 255.0, 65535.0):
        if low >= 0 and high <= top:
            return 0.0, top
    return (low, high) if high > low else (min(low, 0.0), max(high, 0.0))
