import numpy as np
import pytest

from edgeface.errors import InvalidInputError
from edgeface.frame import Frame


def test_bgr_is_used_in_place_with_any_row_stride() -> None:
    big = np.zeros((100, 200, 3), np.uint8)
    for view in (big, big[10:60, 20:80], big[::-1], big[::3]):
        frame = Frame.from_array(view, "bgr")
        assert np.shares_memory(frame.planes[0], big)
        assert frame.size == (view.shape[1], view.shape[0])


@pytest.mark.parametrize("flip", [np.s_[:, ::-1], np.s_[..., ::-1], np.s_[:, ::2]])
def test_unpacked_rows_are_copied(flip: tuple[slice, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    frame = Frame.from_array(image[flip], "rgb")
    np.testing.assert_array_equal(frame.planes[0], image[flip])
    assert not np.shares_memory(frame.planes[0], image)


def test_nv12_and_i420_of_one_array_are_split_in_place() -> None:
    memory = np.arange(6 * 8, dtype=np.uint8).reshape(6, 8)
    luma, chroma = Frame.from_array(memory, "nv12").planes
    assert luma.shape == (4, 8)
    assert chroma.shape == (2, 4, 2)
    assert chroma[1, 3].tolist() == [46, 47]
    assert np.shares_memory(chroma, memory)
    y, u, v = Frame.from_array(memory, "i420").planes
    assert y.shape == (4, 8)
    assert u.ravel().tolist() == list(range(32, 40))
    assert v.ravel().tolist() == list(range(40, 48))


def test_nv12_with_padded_rows() -> None:
    memory = np.arange(6 * 10, dtype=np.uint8).reshape(6, 10)[:, :8]
    luma, chroma = Frame.from_array(memory, "nv21").planes
    np.testing.assert_array_equal(chroma.reshape(2, 8), memory[4:])
    assert np.shares_memory(luma, memory)


def test_a_buffer_that_is_too_long_needs_strides() -> None:
    """YUYV that is taken for NV12, or padded rows for packed ones."""
    for length in (640 * 480 * 2, 704 * 720):
        with pytest.raises(
            InvalidInputError, match="buffer must be 460800 bytes long for nv12 640x480 without strides"
        ):
            Frame.from_buffer(bytes(length), "nv12", (640, 480))
    for length in (460800, 462848, 475136, 524288):  # pages of 4, 16 and 64 KiB
        Frame.from_buffer(bytes(length), "nv12", (640, 480))
    Frame.from_buffer(bytes(704 * 720), "nv12", (640, 480), strides=[704, 704])


def test_i420_with_columns_cut_off_is_refused() -> None:
    """Each row of the array holds two rows of chroma: what is cut off is half of every second one."""
    whole = np.arange(6 * 10, dtype=np.uint8).reshape(6, 10)
    with pytest.raises(InvalidInputError, match=r"strides=\[stride, stride // 2, stride // 2\]"):
        Frame.from_array(whole[:, :8], "i420")
    frame = Frame.from_buffer(whole, "i420", (8, 4), strides=[10, 5, 5])
    assert [plane[1].tolist() for plane in frame.planes] == [whole[1, :8].tolist(), [45, 46, 47, 48], [55, 56, 57, 58]]
    turned = Frame.from_array(np.asfortranarray(whole), "i420")  # the same array in another order is copied
    assert turned.planes[1].tolist() == whole[4].reshape(2, 5).tolist()


@pytest.mark.parametrize("color", ["nv12", "nv21", "i420", "yuyv", "uyvy"])
def test_mirrored_yuv_is_refused_where_its_chroma_would_be_mixed_up(color: str) -> None:
    whole = np.zeros((6, 8, 2) if color in ("yuyv", "uyvy") else (6, 8), np.uint8)
    with pytest.raises(InvalidInputError, match="mirrored"):
        Frame.from_array(whole[:, ::-1], color)
    if whole.ndim == 2:
        with pytest.raises(InvalidInputError, match="mirrored"):
            Frame.from_array(whole[::-1], color)
    else:
        assert Frame.from_array(whole[::-1], color).size == (8, 6)


def test_buffer_with_strides_and_offsets() -> None:
    raw = bytes(range(200))
    luma, chroma = Frame.from_buffer(raw, "nv12", (6, 4), strides=[16, 16], offsets=[8, 100]).planes
    assert luma[1].tolist() == list(range(24, 30))
    assert chroma[1, 2].tolist() == [120, 121]
    odd = Frame.from_buffer(bytes(5 * 3 + 2 * 3 * 2), "i420", (5, 3))
    assert [p.shape for p in odd.planes] == [(3, 5), (2, 3), (2, 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            dict(buffer=bytes(10), color="gray", size=(4, 3)),
            "buffer must be at least 12 bytes long for gray 4x3, but got 10",
        ),
        (
            dict(buffer=bytes(99), color="gray", size=(4, 3), strides=[3]),
            "stride must be at least the 4 bytes of a row, but got 3",
        ),
        (dict(buffer=bytes(99), color="nv12", size=(4, 3), strides=[4]), "strides must be 2 numbers for nv12"),
        (dict(buffer=bytes(99), color="nv12", size=(4, 3), offsets=[4]), "offsets must be 2 numbers"),
        (dict(buffer=bytes(99), color="gray", size=(4, 3), offsets=[-1]), "buffer must be"),
        (dict(buffer=bytes(99), color="gray", size=(0, 3)), "size must be"),
        (dict(buffer="text", color="gray", size=(4, 3)), "buffer must be contiguous memory, but got str"),
    ],
)
def test_bad_buffers(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Frame.from_buffer(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("array", "color", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), "BGR", "color must be one of bgr, rgb, .*, but got 'BGR'"),
        (np.zeros((4, 4, 3), np.float32), "bgr", "frame must be of dtype uint8, but got float32"),
        (np.zeros((4, 4, 3), np.uint16), "bgr", "frame must be of dtype uint8, but got uint16"),
        ([[1, 2], [3, 4]], "gray", "frame must be a numpy array, but got list"),
        (None, "gray", "frame must be a numpy array, but got NoneType"),
        (np.zeros((4,), np.uint8), "gray", "frame must be an array of 2 or 3 dimensions"),
        (np.zeros((1, 4, 4, 3), np.uint8), "bgr", "frame must be an array of 2 or 3 dimensions"),
        (np.zeros((0, 4, 3), np.uint8), "bgr", "frame must be at least 1x1 pixel"),
        (np.zeros((4, 4), np.uint8), "bgr", r"a bgr frame must be of shape \(h, w, 3\), but got \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), "bgr", r"a bgr frame must be of shape \(h, w, 3\), but got \(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.uint8), "gray", r"a gray frame must be of shape \(h, w\), but got \(4, 4, 3\)"),
        (np.zeros((4, 4), np.uint8), "nv12", r"a nv12 frame must be of shape \(h \* 3/2, w\)"),
        (np.zeros((4, 5, 2), np.uint8), "yuyv", "the width of a yuyv frame must be even, but got 5"),
        (np.zeros((1, 20000), np.uint8), "gray", "at most 16384 pixels a side, but got 20000x1"),
    ],
)
def test_bad_arrays(array: object, color: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Frame.from_array(array, color)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"rotation": 45}, "rotation must be one of 0, 90, 180, 270, but got 45"),
        ({"matrix": "bt2020"}, "matrix must be one of bt601, bt709, but got 'bt2020'"),
        ({"range": "wide"}, "range must be one of limited, full"),
        ({"roi": (0, 0, 9, 4)}, "roi must be .* inside the 8x4 frame, but got"),
        ({"roi": (2, 0, 2, 4)}, "roi must be"),
        ({"roi": (0.0, 0, 2, 4)}, "roi must be"),
        ({"roi": 5}, "roi must be"),
    ],
)
def test_bad_attributes(attributes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Frame.from_array(np.zeros((4, 8), np.uint8), "gray", **attributes)


def test_planes_must_fit_each_other() -> None:
    with pytest.raises(
        InvalidInputError, match=r"plane 1 of a nv12 frame must be of shape \(2, 4, 2\), but got \(2, 3, 2\)"
    ):
        Frame((np.zeros((4, 8), np.uint8), np.zeros((2, 3, 2), np.uint8)), "nv12")
    with pytest.raises(InvalidInputError, match=r"Frame.planes must be a tuple of 2 array\(s\) for nv12, but got 1"):
        Frame((np.zeros((4, 8), np.uint8),), "nv12")


def test_roi_and_stamps_are_kept() -> None:
    frame = Frame.from_array(
        np.zeros((4, 8), np.uint8), "gray", roi=(1, 1, 5, 4), timestamp_ns=9, sequence=2, rotation=270
    )
    assert (frame.roi, frame.timestamp_ns, frame.sequence, frame.rotation) == ((1, 1, 5, 4), 9, 2, 270)
