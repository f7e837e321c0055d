"""Somebody's trained Keras model made a run folder, proven with the model itself."""
