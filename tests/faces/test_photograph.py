"""Odd and hostile files: to pixels, or to the right reason."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from xnn.errors import ConfigError, FacesError
from xnn.faces.crop import read_crop, read_crops
from xnn.faces.photograph import Photograph, Refusal, open_photograph, read_photograph

RAMP = np.add.outer(np.arange(40) * 3, np.arange(60) * 2).astype(np.uint8)  # 40 high, 60 wide
COLOUR = np.stack([RAMP, 255 - RAMP, RAMP // 2], axis=2)


def opened(path: Path, **limits: int) -> Photograph:
    result = open_photograph(path, **limits)
    assert isinstance(result, Photograph), result
    return result


def refused(path: Path, **limits: int) -> Refusal:
    result = open_photograph(path, **limits)
    assert isinstance(result, Refusal)
    return result


def png(mode: tuple[int, int], rows: bytes, width: int, height: int) -> bytes:
    """Write a PNG by hand: Pillow cannot write 16-bit colour, nor lie about sizes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, *mode, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_plain_colour_is_kept(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    photograph = opened(tmp_path / "a.png")
    assert photograph.notes == ()
    np.testing.assert_array_equal(photograph.rgb, COLOUR)


def test_sixteen_bits_grey_and_colour(tmp_path: Path) -> None:
    deep = RAMP.astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "grey.png")
    Image.fromarray(deep).save(tmp_path / "grey.tif")
    for name in ("grey.png", "grey.tif"):
        photograph = opened(tmp_path / name)
        assert photograph.notes == ("16-bit", "grey")
        np.testing.assert_array_equal(photograph.rgb, np.repeat(RAMP[:, :, None], 3, axis=2))
    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in COLOUR)
    (tmp_path / "colour.png").write_bytes(png((16, 2), rows, 60, 40))
    photograph = opened(tmp_path / "colour.png")
    assert photograph.notes == ("16-bit",)
    np.testing.assert_array_equal(photograph.rgb, COLOUR)


def test_fractions_are_stretched(tmp_path: Path) -> None:
    Image.fromarray(RAMP.astype(np.float32) / 255).save(tmp_path / "a.tif")
    photograph = opened(tmp_path / "a.tif")
    assert photograph.notes == ("float", "grey")
    np.testing.assert_array_equal(photograph.rgb[..., 0], RAMP)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    photograph = opened(tmp_path / "a.jpg")
    assert photograph.notes == ("cmyk",)
    assert np.abs(photograph.rgb.astype(int) - COLOUR).mean() < 4


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int, suffix: str) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(COLOUR).transpose(undo[orientation])
    stored.save(tmp_path / f"a.{suffix}", exif=exif)
    photograph = opened(tmp_path / f"a.{suffix}")
    assert photograph.notes == ("exif-rotated",)
    np.testing.assert_array_equal(photograph.rgb, COLOUR)


def test_alpha_palette_and_animation(tmp_path: Path) -> None:
    clear = np.dstack([COLOUR, np.zeros((40, 60), np.uint8)])
    clear[20:, :, 3] = 255
    Image.fromarray(clear).save(tmp_path / "a.png")
    photograph = opened(tmp_path / "a.png")
    assert photograph.notes == ("alpha",)
    assert photograph.rgb[:20].min() == 255
    np.testing.assert_array_equal(photograph.rgb[20:], COLOUR[20:])

    frames = [Image.new("L", (30, 30), value).convert("P") for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    photograph = opened(tmp_path / "a.gif")
    assert {"animated", "palette"} & set(photograph.notes) >= {"animated"}
    assert photograph.rgb.max() == 10
    Image.fromarray(RAMP).convert("1").save(tmp_path / "b.png")
    assert opened(tmp_path / "b.png").notes == ("grey",)


def test_truncated_and_broken(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    for suffix in ("jpg", "png", "gif", "webp", "bmp", "tif"):
        whole = tmp_path / f"whole.{suffix}"
        Image.fromarray(noise).save(whole)
        cut = tmp_path / f"cut.{suffix}"
        cut.write_bytes(whole.read_bytes()[:-8000])
        assert refused(cut).status in ("truncated", "unreadable"), suffix
    assert refused(tmp_path / "cut.jpg").status == "truncated"
    (tmp_path / "head.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:12])
    assert refused(tmp_path / "head.jpg").status == "truncated"


def test_files_that_are_no_photographs(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    assert refused(tmp_path / "text.jpg").status == "not_an_image"
    (tmp_path / "zero.jpg").touch()
    assert refused(tmp_path / "zero.jpg") == Refusal(status="unreadable", reason="empty file")
    (tmp_path / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    assert "convert it to JPEG" in refused(tmp_path / "x.heic").reason
    os.mkfifo(tmp_path / "pipe.jpg")  # opening it would wait for ever
    assert refused(tmp_path / "pipe.jpg").reason == "not a regular file"
    assert refused(tmp_path / "nothing.jpg").reason == "no such file or directory"
    (tmp_path / "a.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert refused(tmp_path / "a.eps").status == "not_an_image"  # would start another program


@pytest.mark.parametrize("side", [8_000, 10_000, 100_000, 2**31 - 1])
def test_giant_headers_are_refused_before_decoding(tmp_path: Path, side: int) -> None:
    (tmp_path / "a.png").write_bytes(png((8, 0), b"\0" * 9, side, side))
    assert refused(tmp_path / "a.png").status == "too_large"


def test_the_limit_is_exact(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    assert opened(tmp_path / "a.png", max_pixels=2400).rgb.shape == (40, 60, 3)
    assert "60x40 = 2400 pixels" in refused(tmp_path / "a.png", max_pixels=2399).reason
    with pytest.raises(ConfigError, match="max_pixels=0"):
        open_photograph(tmp_path / "a.png", max_pixels=0)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_flipped_bytes_never_crash(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    suffix = data.draw(st.sampled_from(["jpg", "png", "gif", "tif", "webp", "bmp"]))
    path = tmp_path_factory.getbasetemp() / f"flip.{suffix}"
    Image.fromarray(COLOUR).save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    result = open_photograph(path, max_pixels=1_000_000)
    assert isinstance(result, Refusal) or result.rgb.shape[2] == 3


def test_a_crop_has_one_size(tmp_path: Path) -> None:
    crop = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    Image.fromarray(crop).save(tmp_path / "a.png")
    Image.fromarray(crop[..., 0]).save(tmp_path / "grey.png")
    both = read_crops([tmp_path / "a.png", tmp_path / "grey.png"])
    np.testing.assert_array_equal(both[0], crop)
    np.testing.assert_array_equal(both[1], np.repeat(crop[..., :1], 3, axis=2))
    Image.fromarray(COLOUR).save(tmp_path / "photo.png")
    with pytest.raises(FacesError, match=r"60x40 pixels, .* run `xnn faces align`"):
        read_crop(tmp_path / "photo.png")
    (tmp_path / "t.png").write_text("x")
    with pytest.raises(FacesError, match=r"cannot use 't.png': not an image"):
        read_photograph(tmp_path / "t.png")
