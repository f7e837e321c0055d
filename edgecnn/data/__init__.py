"""Data sets of labelled images: reading them, and their pixels as the network takes them."""

from edgecnn.data.batches import iter_batches
from edgecnn.data.cache import cached_pixels
from edgecnn.data.load import load_dataset
from edgecnn.data.narrowing import as_class_ids, largest_boxes
from edgecnn.data.samples import Dataset, Samples

__all__ = ["Dataset", "Samples", "as_class_ids", "cached_pixels", "iter_batches", "largest_boxes", "load_dataset"]
