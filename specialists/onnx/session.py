"""Opens an ONNX network for inference with onnxruntime, on the CPU or on a GPU with CUDA."""

from __future__ import annotations

from typing import Any

from engine.errors import StartError

_CUDA = "CUDAExecutionProvider"
# Full float32 keeps results close to the CPU's. DEFAULT does not time algorithms, so results are repeatable.
_CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"}


def onnx_errors() -> tuple[type[Exception], ...]:
    """The exceptions that onnxruntime raises. They have no common base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    files = (state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)
    return (state.Fail, state.InvalidArgument, state.RuntimeException, *files, RuntimeError)


def open_session(model: str | bytes, name: str, *, gpus: float = 0.0) -> Any:
    """An onnxruntime session for an ONNX file, given as its path or its content. `name`: the name of the file in error
    messages.

    The session uses one thread, because several workers run side by side on one machine. Raises StartError if
    onnxruntime rejects the file. Also raises StartError if `gpus` is above 0 and CUDA cannot be used, because
    onnxruntime would use the CPU without an error.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # exported files cause thousands of harmless warnings
    providers: list[Any] = ["CPUExecutionProvider"]
    if gpus:
        _check_cuda(gpus, onnxruntime.get_available_providers())
        onnxruntime.preload_dlls()  # finds the CUDA libraries that were installed with torch
        providers.insert(0, (_CUDA, _CUDA_OPTIONS))
    try:
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    except onnx_errors() as error:
        raise StartError(f"'{name}' is not an ONNX network that onnxruntime can run: {error}.") from error
    if gpus:
        _check_cuda(gpus, session.get_providers())
    return session


def _check_cuda(gpus: float, providers: list[str]) -> None:
    if _CUDA not in providers:
        raise StartError(
            f"it asks for {gpus:g} GPUs, but onnxruntime cannot use CUDA here (it has {', '.join(providers)}): set "
            "`gpus: 0`, or install onnxruntime-gpu in place of onnxruntime, for the CUDA version of this machine"
        )
