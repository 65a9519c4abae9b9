"""A trained front becomes what a device runs: ONNX files, checked against torch."""
