"""Opens an ONNX network for inference with onnxruntime, on the CPU."""

from __future__ import annotations

from typing import Any

from engine.errors import StartError


def open_session(model: str | bytes, name: str) -> Any:
    """An onnxruntime session for the path or the content of an ONNX file; `name`: for error messages.

    Uses one thread: several workers run side by side on one machine. StartError if onnxruntime rejects the file.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    # onnxruntime's errors have no common base class.
    errors = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # exported files cause thousands of harmless warnings
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except (*errors, state.RuntimeException, RuntimeError) as error:
        raise StartError(f"'{name}' is not an ONNX network that onnxruntime can run: {error}.") from error
