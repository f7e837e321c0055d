"""Loading TensorFlow before a command needs it: quietly, and with one line where it is not installed."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from edgecnn.extras import require


def load_tensorflow() -> None:
    """Imports TensorFlow and lets it look for devices, with its native start-up lines kept off stderr.

    No setting of TensorFlow's silences them; `edgecnn --verbose` shows them.

    Raises:
        MissingDependencyError: TensorFlow is not installed.
    """
    require("tensorflow")
    if logging.getLogger("edgecnn").isEnabledFor(logging.INFO):
        return
    with _native_stderr_silenced():
        import tensorflow  # takes seconds

        tensorflow.config.list_physical_devices()


@contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """Points descriptor 2 nowhere meanwhile; Python's own errors come after the block, where it points back."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
