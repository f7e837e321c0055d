"""edgecnn: documented CNNs from Keras to one self-describing, verified ONNX file, and to the device."""
