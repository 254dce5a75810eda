"""Sizes from headers, and what they are for: a small file cannot claim a large memory."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgeface.errors import ImageError, InvalidInputError
from edgeface.images import decode_image
from edgeface.picture_size import picture_size
from edgeface.ros.images import frame_from_compressed

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
# 62 bytes that took 6 GB and 13 s before they were refused
GIF_BOMB = bytes.fromhex(
    "474946383761307530758000000000000000002c000000001000100040081d0001081c48b0a0c18308132a5cc8b0a1c38710234a9c48b1a2c5"
    "810101003b"
)


def encoded(kind: str, picture: Image.Image = PICTURE, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


FILES = {
    "jpeg": encoded("JPEG"),
    "progressive jpeg": encoded("JPEG", progressive=True),
    "png": encoded("PNG"),
    "gif": encoded("GIF"),
    "bmp": encoded("BMP"),
    "webp": encoded("WEBP"),
    "lossless webp": encoded("WEBP", lossless=True),
    "animated webp": encoded("WEBP", save_all=True, append_images=[PICTURE.rotate(180)]),
    "webp with alpha": encoded("WEBP", PICTURE.convert("RGBA")),
    "tiff": encoded("TIFF"),
    "big tiff": encoded("TIFF", big_tiff=True),
    "ppm": encoded("PPM"),
    "pgm": encoded("PPM", PICTURE.convert("L")),
    "jpeg 2000": encoded("JPEG2000"),
    "jpeg 2000 code stream": (stream := encoded("JPEG2000"))[stream.index(b"\xff\x4f\xff\x51") :],
    "avif": encoded("AVIF"),
}


@pytest.mark.parametrize("name", FILES)
def test_the_header_s_size_is_the_picture_s(name: str) -> None:
    assert picture_size(FILES[name]) == (64, 48)


def test_a_thumbnail_s_size_is_not_the_picture_s() -> None:
    exif = b"\xff\xd8\xff\xe1" + struct.pack(">H", 2 + len(encoded("JPEG", PICTURE.resize((8, 8)))))
    assert picture_size(exif + encoded("JPEG", PICTURE.resize((8, 8))) + FILES["jpeg"][2:]) == (64, 48)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, kind: int) -> bytes:
    """A black one, of a thousandth of its size."""
    channels = {0: 1, 2: 3, 6: 4}[kind]
    packer = zlib.compressobj(9)
    row = bytes(1 + width * channels * depth // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def gif(canvas: tuple[int, int], frame: tuple[int, int]) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", *canvas, 0x80, 0, 0) + bytes(6)
    return head + b"!\xf9\x04\0\0\0\0\0" + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + GIF_BOMB[29:]


def tiff(size: tuple[int, int], tile: tuple[int, int]) -> bytes:
    values = {256: size[0], 257: size[1], 258: 8, 259: 1, 262: 1, 277: 1, 322: tile[0], 323: tile[1], 324: 8, 325: 16}
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    return b"II*\0" + struct.pack("<IH", 8, len(values)) + tags + bytes(64)


BOMBS = {
    "gif": GIF_BOMB,
    "gif whose frame is larger than its canvas": gif((1, 1), (16000, 16000)),
    "16-bit png": png(11000, 9100, 16, 0),
    "tiff of one tile": tiff((1, 1), (16384, 16384)),
    "bmp": b"BM" + struct.pack("<IIIIiiHHIIIIII", 0, 0, 54, 40, 16384, -16384, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(100),
    "pgm": b"P5\n# a remark\n16384 16384\n255\n" + bytes(100),
    "jpeg 2000": FILES["jpeg 2000 code stream"][:8]
    + struct.pack(">II", 16000, 16000)
    + FILES["jpeg 2000 code stream"][16:],
}

PEAK = """
import resource, sys
from edgeface.images import decode_image
import cv2
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(decode_image(data, max_pixels=int(sys.argv[1])).shape)
except Exception as error:
    print(type(error).__name__, error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def decoded(data: bytes, budget: int) -> tuple[str, int]:
    """What decoding printed, and how many MB it took at most, in a process of its own."""
    command = [sys.executable, "-P", "-c", PEAK, str(budget)]
    done = subprocess.run(command, input=data, capture_output=True, check=True, timeout=100)
    said, megabytes = done.stdout.decode().rsplit("\n", 2)[:2]
    return said, int(megabytes)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_takes_memory(name: str) -> None:
    assert len(BOMBS[name]) < 500_000
    said, megabytes = decoded(BOMBS[name], 100_000_000)
    assert said.startswith("ImageError image must")
    assert " pixels" in said
    assert megabytes < 30


def test_sixteen_bits_take_no_multiple_of_the_picture() -> None:
    side = 6000
    said, megabytes = decoded(png(side, side, 16, 0), side * side)
    assert said == f"({side}, {side}, 3)"
    assert megabytes < 10 * side * side / 1e6  # it was 30 bytes a pixel: 2 of the decoder, 1 of eight bits, 3 of colour


def test_the_budget_is_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    data = FILES["png"]
    assert decode_image(data, max_pixels=64 * 48).shape == (48, 64, 3)
    with pytest.raises(ImageError, match=r"at most 3071 pixels, but got 64x48 \(raise the limit with max_pixels"):
        decode_image(data, max_pixels=64 * 48 - 1)
    monkeypatch.setenv("EDGEFACE_MAX_PIXELS", "100")
    with pytest.raises(ImageError, match="at most 100 pixels"):
        decode_image(data)
    assert decode_image(data, max_pixels=10_000).shape == (48, 64, 3)
    for bad in ("", "many", "-1", "0", "1e9", "9" * 30):
        monkeypatch.setenv("EDGEFACE_MAX_PIXELS", bad)
        with pytest.raises(InvalidInputError, match="EDGEFACE_MAX_PIXELS must be a whole number above 0"):
            decode_image(data)
    for wrong in (0, -5, 2.5, True, "5e"):
        with pytest.raises(InvalidInputError, match="must be a whole number above 0"):
            decode_image(data, max_pixels=wrong)  # type: ignore[arg-type]


def test_compressed_messages_of_ros_have_the_same_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    header = SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=0))
    for name in ("gif", "16-bit png"):
        with pytest.raises(ImageError, match="at most"):
            frame_from_compressed(SimpleNamespace(header=header, data=BOMBS[name], format="png"))
    message = SimpleNamespace(header=header, data=FILES["png"], format="png")
    assert frame_from_compressed(message).size == (64, 48)
    with pytest.raises(ImageError, match="at most 10 pixels"):
        frame_from_compressed(message, max_pixels=10)


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    data = FILES["progressive jpeg"]
    at = data.index(b"\xff\xda")
    with pytest.raises(ImageError, match="at most 256 scans"):
        decode_image(data[:at] + data[at:-2].replace(b"\xff\xd9", b"") * 60 + b"\xff\xd9")


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_headers_give_a_size_or_none(data: st.DataObject) -> None:
    source = bytearray(FILES[data.draw(st.sampled_from(sorted(FILES)))])
    for _ in range(data.draw(st.integers(0, 6))):
        source[data.draw(st.integers(0, min(len(source), 400) - 1))] = data.draw(st.integers(0, 255))
    size = picture_size(bytes(source[: data.draw(st.integers(0, len(source)))]))
    assert size is None or (len(size) == 2 and min(size) > 0)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100), st.sampled_from([b"", *(data[:24] for data in FILES.values())]))
def test_any_bytes_give_a_size_or_none(data: bytes, head: bytes) -> None:
    size = picture_size(head + data)
    assert size is None or min(size) > 0
