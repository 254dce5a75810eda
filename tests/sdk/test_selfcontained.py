"""A bundle's hashes cover every weight, or the bundle is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from support import tiny

from edgeface.bundle import Bundle, bundled_models
from edgeface.errors import BundleCorruptError, BundleError
from edgeface.selfcontained import check_selfcontained

ONNX = tiny.onnx_network()


def external(tensor: TensorProto, flag: bool = True, entries: bool = True) -> TensorProto:
    """The tensor, which now claims to lie in another file."""
    if entries:
        tensor.external_data.add(key="location", value="/etc/passwd")
    if flag:
        tensor.data_location = TensorProto.EXTERNAL
    return tensor


def model(**changes: object) -> onnx.ModelProto:
    network = onnx.load_from_string(ONNX)
    for name, change in changes.items():
        getattr(network, name).MergeFrom(change)
    return network


def weights() -> TensorProto:
    return numpy_helper.from_array(np.ones((1,), np.float32), "w")


def in_initializer(flag: bool = True, entries: bool = True) -> onnx.ModelProto:
    network = model()
    external(network.graph.initializer[0], flag, entries)
    return network


def in_constant() -> onnx.ModelProto:
    network = model()
    network.graph.node.append(helper.make_node("Constant", [], ["c"], value=external(weights())))
    return network


def in_list_of_tensors() -> onnx.ModelProto:
    network = model()
    network.graph.node.append(helper.make_node("Constant", [], ["c"]))
    network.graph.node[-1].attribute.add(name="v", type=onnx.AttributeProto.TENSORS).tensors.append(external(weights()))
    return network


def in_subgraph() -> onnx.ModelProto:
    network = model()
    inner = helper.make_graph([], "inner", [], [], [external(weights())])
    network.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))
    return network


def in_sparse() -> onnx.ModelProto:
    network = model()
    network.graph.sparse_initializer.add().values.CopyFrom(external(weights()))
    return network


def in_function() -> onnx.ModelProto:
    network = model()
    node = helper.make_node("Constant", [], ["c"], value=external(weights()))
    network.functions.add(name="f", domain="d").node.append(node)
    return network


def in_training() -> onnx.ModelProto:
    network = model()
    network.training_info.add().initialization.initializer.append(external(weights()))
    return network


ELSEWHERE = {
    "initializer": in_initializer(),
    "only the flag": in_initializer(entries=False),
    "only the entries": in_initializer(flag=False),
    "constant": in_constant(),
    "list of tensors": in_list_of_tensors(),
    "subgraph": in_subgraph(),
    "sparse": in_sparse(),
    "function": in_function(),
    "training": in_training(),
}


@pytest.mark.parametrize("place", ELSEWHERE)
def test_onnx_with_external_data_is_refused_wherever_it_is(place: str, tmp_path: Path) -> None:
    network = ELSEWHERE[place].SerializeToString()
    with pytest.raises(BundleError, match=r"n\.onnx must hold its weights, but got external data"):
        check_selfcontained("n.onnx", "onnx", network)
    entry = tiny.model_entry("n.onnx", network, "uint8", "NCHW")
    files = {"manifest.json": json.dumps(tiny.manifest([entry])).encode(), "n.onnx": network}
    for name in ("b.efm", "folder"):
        with pytest.raises(BundleError, match="external data"):
            Bundle.open(tiny.pack(tmp_path / name, files))


def test_external_data_behind_what_cannot_be_read_is_refused() -> None:
    """Groups, unknown fields and rubbish at the end do not hide it."""
    network = ELSEWHERE["initializer"].SerializeToString()
    unknown = (
        b"\xc3\x3e\x08\x01\xc4\x3e" + b"\xc8\x3e\x01" + b"\xcd\x3e1234" + b"\xc9\x3e12345678"
    )  # field 1000: group, …
    for hidden in (unknown + network, network + unknown, network + b"\xff", network[:-1]):
        with pytest.raises(BundleError):
            check_selfcontained("n.onnx", "onnx", hidden)
    assert onnx.load_from_string(unknown + ONNX).graph.node
    check_selfcontained("n.onnx", "onnx", unknown + ONNX)


def test_the_runtime_s_own_format_is_refused() -> None:
    with pytest.raises(BundleError, match="must be ONNX, but got onnxruntime's own format"):
        check_selfcontained("n.onnx", "onnx", struct.pack("<I", 8) + b"ORTM" + bytes(64))


def test_deep_and_endless_networks_are_refused() -> None:
    nested = b""
    for number in [*[6, 5, 1] * 60, 7]:  # from the inside: a graph of an attribute of a node of a graph …
        nested = bytes([number << 3 | 2]) + _varint(len(nested)) + nested
    with pytest.raises(BundleError, match="100 deep"):
        check_selfcontained("n.onnx", "onnx", nested)
    with pytest.raises(BundleError, match="at most"):
        check_selfcontained("n.onnx", "onnx", b"\x08\x01" * (1 << 21))


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


@pytest.mark.parametrize("name", bundled_models())
def test_what_ships_is_self_contained(name: str) -> None:
    Bundle.find(name)


def test_tflite_that_points_outside_is_refused() -> None:
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="ai-edge-litert is not installed")
    import flatbuffers

    def packed(network: object) -> bytes:
        builder = flatbuffers.Builder(1024)
        builder.Finish(network.Pack(builder), b"TFL3")  # type: ignore[attr-defined]
        return bytes(builder.Output())

    whole = tiny.tflite_network((64, 64))
    check_selfcontained("n.tflite", "tflite", whole)
    behind = schema.ModelT.InitFromPackedBuf(whole, 0)
    behind.buffers[1].data, behind.buffers[1].offset, behind.buffers[1].size = None, len(whole), 4
    options = schema.ModelT.InitFromPackedBuf(whole, 0)
    options.subgraphs[0].operators[2].largeCustomOptionsOffset = 4096
    other = schema.ModelT.InitFromPackedBuf(whole, 0)
    group = schema.ExternalBufferGroupT()
    group.name = "weights.bin"
    other.externalBufferGroups = [group]
    for network, message in ((behind, "bytes behind"), (options, "options behind"), (other, "other files")):
        with pytest.raises(BundleError, match=f"inside the flatbuffer, but got {message}"):
            check_selfcontained("n.tflite", "tflite", packed(network) + bytes(64))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=6),
    st.none() | st.integers(0, 1 << 20),
    st.sampled_from(["onnx", "tflite"]),
)
def test_damaged_networks_give_errors_of_ours(changes: list[tuple[int, int]], cut: int | None, kind: str) -> None:
    if kind == "tflite" and not tiny.tflite_writer_installed():
        kind = "onnx"
    network = bytearray(ONNX if kind == "onnx" else TFLITE)
    for at, value in changes:
        network[at % len(network)] = value
    try:
        check_selfcontained("n", kind, bytes(network if cut is None else network[: cut % len(network)]))
    except BundleError as error:
        assert "n must" in str(error) or "ONNX must" in str(error)


TFLITE = tiny.tflite_network((64, 64)) if tiny.tflite_writer_installed() else b""


def test_tables_that_point_outside_are_named() -> None:
    with pytest.raises(BundleCorruptError, match="n must be an intact TFLite file"):
        check_selfcontained("n", "tflite", b"\xff\xff\xff\x7fTFL3" + bytes(40))
