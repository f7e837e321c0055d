"""The encoded picture that every measurement answers, and what is asked about it."""

import io
from typing import Any

import numpy as np
from PIL import Image

from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.proposals import windows

IMAGE_SIZE = (480, 640)  # (height, width)
QUESTION, FURTHER_QUESTION = "What is in the picture?", "And what color is it?"


def beside_picture(manifest: Manifest) -> dict[str, Any]:
    """Returns what a model takes beside a picture, as `Predictor.predict` does: nothing, a question, or regions.

    The regions are the same windows for every picture, as many as it takes: who proposes some is not measured.

    Args:
        manifest: of the model.
    """
    if manifest.proposals_input is not None:
        return {"proposals": windows}
    return {} if manifest.text_input is None else {"question": QUESTION}


def make_picture(seed: int = 0) -> bytes:
    """Returns a JPEG of smooth waves and some grain, so that decoding costs about what a photo's does.

    Args:
        seed: of the grain; equal seeds give equal bytes.
    """
    height, width = IMAGE_SIZE
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(x / 37 + y / 53), np.cos(x / 29 - y / 71), np.sin((x + y) / 83)], axis=-1)  # (H, W, 3)
    grain = np.random.default_rng(seed).normal(0, 8, waves.shape)
    encoded = io.BytesIO()
    Image.fromarray(np.clip(128 + 90 * waves + grain, 0, 255).astype(np.uint8)).save(encoded, "JPEG", quality=90)
    return encoded.getvalue()
