"""ONNX, written layer by layer; its quantizations are passes over that graph."""
