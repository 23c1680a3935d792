"""ONNX detectors and their label sets."""
