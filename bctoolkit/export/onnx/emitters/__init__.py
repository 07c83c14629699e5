"""How each Keras layer is written in ONNX."""
