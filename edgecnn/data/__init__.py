"""Data sets of labelled images: reading them, and their pixels as the network takes them."""

from edgecnn.data.batches import iter_batches
from edgecnn.data.cache import cached_pixels
from edgecnn.data.load import load_dataset
from edgecnn.data.samples import Dataset, Samples

__all__ = ["Dataset", "Samples", "cached_pixels", "iter_batches", "load_dataset"]
