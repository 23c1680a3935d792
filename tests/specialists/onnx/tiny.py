"""Small ONNX networks, written as protobuf by hand because the package onnx is not needed for anything else.

Field numbers are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_FLOAT, _INT64, _INTS = 1, 7, 7  # of TensorProto.DataType and AttributeProto.AttributeType
SIDE, STRIDE, CHANNELS = 352, 16, 85  # FastestDet's


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])


def _message(*fields: tuple[int, int | str | bytes]) -> bytes:
    """Fields (number, value). Strings and messages are written with their length."""
    answer = b""
    for number, value in fields:
        if isinstance(value, int):
            answer += _varint(number << 3) + _varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            answer += _varint(number << 3 | 2) + _varint(len(data)) + data
    return answer


def _tensor(name: str, values: npt.NDArray[np.float32] | npt.NDArray[np.int64]) -> bytes:
    kind = _FLOAT if values.dtype == np.float32 else _INT64
    return _message(*((1, size) for size in values.shape), (2, kind), (8, name), (9, values.tobytes()))


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    axes = [(1, _message((2, size) if isinstance(size, str) else (1, size))) for size in shape]
    return _message((1, name), (2, _message((1, _message((1, _FLOAT), (2, _message(*axes)))))))


def _node(kind: str, inputs: Sequence[str], output: str, **ints: Sequence[int]) -> bytes:
    attributes = [(5, _message((1, name), *((8, one) for one in values), (20, _INTS))) for name, values in ints.items()]
    return _message(*((1, name) for name in inputs), (2, output), (4, kind), *attributes)


def fastestdet(first_axis: int | str, *, last_step: str = "") -> bytes:
    """A network with FastestDet's input and output: one convolution with random weights, and a sigmoid.

    `last_step`: "reshape" to one image, or "mix", which multiplies by the mean over the images of the batch.
    """
    random = np.random.default_rng(0)
    weights = random.normal(0, 0.02, (CHANNELS, 3, STRIDE, STRIDE)).astype(np.float32)
    shape = np.array([1, CHANNELS, SIDE // STRIDE, SIDE // STRIDE], np.int64)
    last = {
        "": [_node("Sigmoid", ["raw"], "y")],
        "reshape": [_node("Sigmoid", ["raw"], "scores"), _node("Reshape", ["scores", "shape"], "y")],
        "mix": [
            _node("Sigmoid", ["raw"], "scores"),
            _node("ReduceMean", ["scores"], "mean", axes=[0]),
            _node("Mul", ["scores", "mean"], "y"),
        ],
    }
    nodes = [_node("Conv", ["x", "weights"], "raw", strides=[STRIDE, STRIDE]), *last[last_step]]
    graph = _message(
        *((1, node) for node in nodes),
        (2, "tiny"),
        (5, _tensor("weights", weights)),
        (5, _tensor("shape", shape)),
        (11, _value("x", [first_axis, 3, SIDE, SIDE])),
        (12, _value("y", [first_axis, *shape[1:].tolist()])),
    )
    return _message((1, 8), (7, graph), (8, _message((1, ""), (2, 13))))
