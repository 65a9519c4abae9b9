"""Any photograph, opened safely: to RGB pixels, or to the reason why not."""

import io
import math
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from xnn.errors import ConfigError, FacesError

RefusalStatus = Literal["unreadable", "truncated", "too_large", "not_an_image"]

DEFAULT_MAX_PIXELS = 50_000_000
_PILLOW_MAX_PIXELS = 178_956_970  # above this Pillow refuses by itself
_LARGEST_FILE_BYTES = 1 << 30

# Raster formats that Pillow decodes itself; nothing that starts another program, as EPS does.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
_ORIENTATION = 0x0112  # EXIF tag
_HALF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """Pixels of a photograph, upright, with what was unusual about its file."""

    rgb: UInt8[np.ndarray, "h w 3"]
    """Red, green, blue in 0..255."""

    notes: tuple[str, ...] = ()
    """Any of: alpha, animated, cmyk, exif-rotated, float, grey, palette, 16-bit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a file gives no photograph."""

    status: RefusalStatus
    reason: str


def open_photograph(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Photograph | Refusal:
    """Open a photograph of any common format, or say why that cannot be.

    The size is read from the header and compared with the limit before anything is decoded.
    EXIF orientation is applied; 16-bit, CMYK, palette, alpha (over white) and grey become 8-bit
    RGB; the first frame stands for an animation.

    Args:
        path: The file; its content decides, not its suffix.
        max_pixels: Largest width times height that is decoded.

    Returns:
        The photograph, or a refusal. A bad file is data here, not an error.

    Raises:
        ConfigError: `max_pixels` is outside 1..178956970.
    """
    _check_limit(max_pixels)
    content = _read(path)
    if isinstance(content, Refusal):
        return content
    return decode_photograph(content, max_pixels=max_pixels)


def decode_photograph(
    content: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Photograph | Refusal:
    """Open a photograph that is in memory, as a file's content; see `open_photograph`.

    Raises:
        ConfigError: `max_pixels` is outside 1..178956970.
    """
    _check_limit(max_pixels)
    if not content:
        return Refusal(status="unreadable", reason="empty file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow warns of is decided here
        return _decode(content, max_pixels)


def read_photograph(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Photograph:
    """Open a photograph that has to be good; see `open_photograph`.

    Raises:
        FacesError: It is not.
    """
    opened = open_photograph(path, max_pixels=max_pixels)
    if isinstance(opened, Refusal):
        raise FacesError(
            f"cannot use {path.name!r}: {opened.status.replace('_', ' ')}, {opened.reason}; "
            "replace the file or leave it out"
        )
    return opened


def _check_limit(max_pixels: int) -> None:
    if not 1 <= max_pixels <= _PILLOW_MAX_PIXELS:
        raise ConfigError(f"max_pixels={max_pixels}: expected 1..{_PILLOW_MAX_PIXELS}")


def _read(path: Path) -> bytes | Refusal:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            return Refusal(status="unreadable", reason="not a regular file")
        if status.st_size > _LARGEST_FILE_BYTES:
            return Refusal(status="too_large", reason=f"file of {status.st_size} bytes")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return Refusal(status="unreadable", reason=str(reason).lower())


def _decode(content: bytes, max_pixels: int) -> Photograph | Refusal:
    try:
        image = Image.open(io.BytesIO(content), formats=_known_formats())
    except Image.DecompressionBombError:
        return Refusal(status="too_large", reason=f"more than {_PILLOW_MAX_PIXELS} pixels")
    except Exception as error:  # hostile headers raise whatever they like
        return _unopenable(content, error)
    with image:
        width, height = image.size
        if width * height > max_pixels:
            return Refusal(
                status="too_large",
                reason=f"{width}x{height} = {width * height} pixels, the limit is {max_pixels}",
            )
        try:
            notes = _notes(image)
            image.load()
            rgb = _rgb(ImageOps.exif_transpose(image))
        except MemoryError:
            return Refusal(status="too_large", reason=f"{width}x{height} does not fit in memory")
        except Exception as error:  # hostile files raise whatever they like
            return _undecodable(error)
    return Photograph(rgb=rgb, notes=notes)


def _known_formats() -> list[str]:
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _unopenable(content: bytes, error: Exception) -> Refusal:
    if content.startswith(_SIGNATURES):
        return Refusal(status="truncated", reason="the file ends early or its header is broken")
    if content[4:8] == b"ftyp":
        reason = "a HEIC picture or a video; convert it to JPEG"
        return Refusal(status="not_an_image", reason=reason)
    if isinstance(error, UnidentifiedImageError):
        return Refusal(status="not_an_image", reason="no image format recognised")
    return Refusal(status="unreadable", reason=f"broken header ({type(error).__name__})")


def _undecodable(error: Exception) -> Refusal:
    text = str(error).lower()
    cut = isinstance(error, EOFError) or any(
        word in text for word in ("truncat", "broken data", "unexpected end", "not enough", "eof")
    )
    if cut:
        return Refusal(status="truncated", reason="the pixel data ends early")
    return Refusal(status="unreadable", reason=f"broken pixel data ({type(error).__name__})")


def _notes(image: Image.Image) -> tuple[str, ...]:
    """Say what is unusual; to be asked before loading, while the raw layout is still known."""
    mode = image.mode
    layout = " ".join(str(argument) for tile in getattr(image, "tile", []) for argument in tile)
    orientation = image.getexif().get(_ORIENTATION, 1)
    animated = image.format in ("GIF", "PNG", "WEBP", "AVIF") and getattr(image, "n_frames", 1) > 1
    found = {
        "16-bit": mode.startswith("I") or ";16" in layout,
        "alpha": mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info,
        "animated": animated,
        "cmyk": mode == "CMYK",
        "exif-rotated": orientation in range(2, 9),
        "float": mode == "F",
        "grey": mode in ("1", "L", "LA", "La", "F") or mode.startswith("I"),
        "palette": mode in ("P", "PA"),
    }
    return tuple(sorted(note for note, holds in found.items() if holds))


def _rgb(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    if image.mode.startswith("I") or image.mode == "F":
        grey = _eight_bit(np.asarray(image).astype(np.float64))
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layered)
    return np.array(image.convert("RGB"))


def _eight_bit(values: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Bring 16-bit integers, fractions or anything else to 0..255."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        scaled = values * 255
    elif low >= 0 and high <= 65535:
        scaled = values / 257
    else:
        scaled = (values - low) * (255 / (high - low)) if high > low else values * 0
    if not math.isfinite(high - low):
        scaled = values * 0
    grey: np.ndarray = np.floor(np.clip(scaled, 0, 255) + _HALF).astype(np.uint8)
    return grey
