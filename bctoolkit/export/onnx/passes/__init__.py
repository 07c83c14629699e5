"""Passes over a finished ONNX graph: float16 and int8."""
