"""Detectors that run an ONNX file, the label sets of COCO, and how a specialist opens an ONNX file."""
