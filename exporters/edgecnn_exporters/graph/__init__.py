"""From a Keras model to a graph on the disk: converted, named, ordered, folded, written."""
