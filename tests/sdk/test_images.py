import io
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgeface.errors import EdgeFaceError, ImageError, InvalidInputError
from edgeface.images import SUFFIXES, decode_image, find_images, read_image, write_image

RGB = np.zeros((48, 64, 3), np.uint8)
RGB[8:16, 16:24] = (255, 0, 0)
RGB[:, 40:] = (10, 120, 200)
BGR = np.ascontiguousarray(RGB[..., ::-1])
PICTURE = Image.fromarray(RGB)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def opencv(array: np.ndarray, suffix: str) -> bytes:
    known, data = cv2.imencode(suffix, array)
    assert known
    return bytes(data.tobytes())


def turned(tag: int) -> bytes:
    """The picture stored turned, with the EXIF tag that turns it back."""
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[tag]
    exif = Image.Exif()
    exif[0x0112] = tag
    stored = PICTURE if undo is None else PICTURE.transpose(undo)
    return encoded(stored, "PNG", exif=exif)


MIRRORED = PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)

# name -> (file, worst difference of a channel that the format allows)
SAME_PICTURE = {
    "jpeg": (encoded(PICTURE, "JPEG", quality=100, subsampling=0), 4),
    "progressive jpeg": (encoded(PICTURE, "JPEG", quality=100, subsampling=0, progressive=True), 4),
    "cmyk jpeg": (encoded(PICTURE.convert("CMYK"), "JPEG", quality=100, subsampling=0), 4),
    "png": (encoded(PICTURE, "PNG"), 0),
    "palette png": (encoded(PICTURE.quantize(8), "PNG"), 0),
    "png with alpha": (encoded(PICTURE.convert("RGBA"), "PNG"), 0),
    "16-bit png": (opencv(BGR.astype(np.uint16) * 257, ".png"), 0),
    "16-bit tiff": (opencv(BGR.astype(np.uint16) * 257, ".tiff"), 0),
    "bmp": (encoded(PICTURE, "BMP"), 0),
    "webp": (encoded(PICTURE, "WEBP", lossless=True), 0),
    "first of an animated gif": (encoded(PICTURE, "GIF", save_all=True, append_images=[MIRRORED]), 0),
    "first of an animated webp": (encoded(PICTURE, "WEBP", save_all=True, append_images=[MIRRORED], lossless=True), 0),
    "first of an animated png": (encoded(PICTURE, "PNG", save_all=True, append_images=[MIRRORED]), 0),
    "first page of a tiff": (encoded(PICTURE, "TIFF", save_all=True, append_images=[MIRRORED]), 0),
} | {f"exif orientation {tag}": (turned(tag), 0) for tag in range(1, 9)}


@pytest.mark.parametrize("name", SAME_PICTURE)
def test_every_kind_of_file_gives_the_same_picture(tmp_path: Path, name: str) -> None:
    data, tolerance = SAME_PICTURE[name]
    if "gif" in name and cv2.__version__.startswith("4."):
        pytest.skip("OpenCV 4 has no GIF decoder; it gives a clear error")
    path = tmp_path / "picture"
    path.write_bytes(data)
    image = read_image(path)
    assert (image.shape, image.dtype, image.flags.c_contiguous) == ((48, 64, 3), np.uint8, True)
    assert int(np.abs(image.astype(int) - BGR.astype(int)).max()) <= tolerance


@pytest.mark.parametrize(
    "data",
    [
        encoded(PICTURE.convert("L"), "PNG"),
        encoded(PICTURE.convert("LA"), "PNG"),
        encoded(PICTURE.convert("L"), "JPEG", quality=100),
        opencv(np.asarray(PICTURE.convert("L")).astype(np.uint16) * 257, ".png"),
    ],
    ids=["gray png", "gray png with alpha", "gray jpeg", "16-bit gray png"],
)
def test_grey_pictures_become_three_equal_channels(data: bytes) -> None:
    image = decode_image(data)
    gray = np.asarray(PICTURE.convert("L"))
    for channel in range(3):
        assert int(np.abs(image[..., channel].astype(int) - gray).max()) <= 3


def test_sixteen_bits_are_rounded_and_not_cut() -> None:
    deep = np.full((2, 2, 3), 0x80FF, np.uint16)  # 128.5 of 255: cutting gives 128, rounding 129 (33023 / 257 = 128.49)
    assert decode_image(opencv(deep, ".png"))[0, 0, 0] == round(0x80FF / 257)
    assert decode_image(opencv(np.full((2, 2, 3), 0xFFFF, np.uint16), ".png")).min() == 255


def _png_of_size(width: int, height: int) -> bytes:
    import zlib

    header = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    chunk = (13).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")
    return encoded(PICTURE, "PNG")[:8] + chunk + encoded(PICTURE, "PNG")[33:]


_nan = BGR.astype(np.float32)
_nan[0, 0] = np.nan

REFUSED = {
    "empty": (b"", "image must not be empty, but got .* of 0 bytes"),
    "text": (b"not a picture " * 20, "image must be of a known format and intact"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image must be of a known format and intact"),
    "float tiff with nan": (opencv(_nan, ".tiff"), "image must have 8 or 16 bits a channel, but got float32"),
    "0x0 png": (_png_of_size(0, 0), "image must be"),
    "png that claims to be huge": (_png_of_size(2**31 - 1, 2**31 - 1), "image must be"),
    "too long a side": (opencv(np.zeros((1, 20000), np.uint8), ".png"), "at most 16384 pixels a side, but got 20000x1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, name: str) -> None:
    data, message = REFUSED[name]
    path = tmp_path / "the picture.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(path)
    assert "the picture.png" in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"image must be a readable file, but got .*no\.jpg: No such file"):
        read_image(tmp_path / "no.jpg")
    with pytest.raises(ImageError, match=r"image must be a readable file, but got .*: Is a directory"):
        read_image(tmp_path)


@pytest.mark.parametrize("name", [name for name in SAME_PICTURE if "tiff" not in name])
def test_truncated_files_are_refused_and_not_filled_with_grey(name: str) -> None:
    """A TIFF is left out: its pictures may lie before whatever is cut off."""
    data, _ = SAME_PICTURE[name]
    for length in (3, 12, len(data) // 3, len(data) // 2, len(data) - 16):
        with pytest.raises(ImageError):
            decode_image(data[:length])


def test_a_jpeg_with_a_thumbnail_and_rubbish_after_it() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a thumbnail has an end marker of its own: \xff\xd9"
    data = encoded(PICTURE, "JPEG", quality=95, exif=exif)
    assert decode_image(data + b"rubbish" * 10).shape == (48, 64, 3)
    with pytest.raises(ImageError, match="truncated"):
        decode_image(data[: len(data) - 40])


def test_one_pixel_and_very_many() -> None:
    assert decode_image(opencv(np.full((1, 1, 3), 7, np.uint8), ".png")).tolist() == [[[7, 7, 7]]]
    big = decode_image(opencv(np.zeros((8000, 8000), np.uint8), ".jpg"))
    assert big.shape == (8000, 8000, 3)


def test_writing(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", BGR)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), BGR)
    for bad in ("a.xyz", "a"):
        with pytest.raises(ImageError, match="image must be written as one of"):
            write_image(tmp_path / bad, BGR)
    with pytest.raises(ImageError, match=r"writable file, but got .*: No such file or directory"):
        write_image(tmp_path / "nowhere" / "a.png", BGR)


def test_folders_are_searched_and_files_taken_as_named(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "sub/c.webp", "notes.txt", "sub/x.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    named = tmp_path / "notes.txt"
    found = list(find_images([named, tmp_path, "missing.jpg"]))
    assert list(find_images("missing.jpg")) == [Path("missing.jpg")]
    assert found == [named, tmp_path / "a.png", tmp_path / "b.JPG", tmp_path / "sub/c.webp", Path("missing.jpg")]
    assert all(suffix == suffix.lower() for suffix in SUFFIXES)


@settings(max_examples=200)
@given(st.data())
def test_random_damage_gives_an_error_or_a_picture(data: st.DataObject) -> None:
    source, _ = SAME_PICTURE[data.draw(st.sampled_from(sorted(SAME_PICTURE)))]
    damaged = bytearray(source)
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position : position + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    _decode_or_refuse(bytes(damaged))


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\x00"]))
def test_random_bytes_give_an_error_or_a_picture(data: bytes, magic: bytes) -> None:
    _decode_or_refuse(magic + data)


def _decode_or_refuse(data: bytes) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            image = decode_image(data)
    except EdgeFaceError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.size > 0


@pytest.mark.parametrize(
    "image",
    [
        np.full((8, 8, 3), 0.5),
        np.ones((8, 8, 3), np.bool_),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8, 2), np.uint8),
        [[0]],
        None,
    ],
)
def test_only_pictures_are_written(tmp_path: Path, image: Any) -> None:
    with pytest.raises(InvalidInputError, match="image must be a uint8 array of shape"):
        write_image(tmp_path / "a.png", image)
    assert not list(tmp_path.iterdir())


def test_what_a_format_or_a_name_cannot_hold_is_said(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"one that \.jpg holds here, but got 2x70000"):
        write_image(tmp_path / "a.jpg", np.zeros((70000, 2, 3), np.uint8))
    with pytest.raises(ImageError, match="a writable file, but got"):
        write_image(f"{tmp_path}/a\0.png", np.zeros((2, 2), np.uint8))
