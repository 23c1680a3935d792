"""Detectors that run an ONNX file, the names of the COCO classes, and a function that opens an ONNX file."""
