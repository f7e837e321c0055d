"""Pillow as it must be while an image is read, whatever else the process asked of it."""

import logging
import re
import threading
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from PIL import ImageFile

from edgecnn_runtime.errors import ImageError

_LOGGER = logging.getLogger("edgecnn_runtime.images")
_ALWAYS = ("always", None, Warning, re.compile(r"PIL\."), 0)  # as filterwarnings("always", module=...) lays it down
_THREAD = threading.local()  # its `name`: of the image that the thread reads


class StrictPillow:
    """Holds while one image is read: `with StrictPillow(name):`, and then what reads it.

    Truncated files are refused, also where somebody set `ImageFile.LOAD_TRUNCATED_IMAGES`; Pillow's warnings go to our
    log and name the image; whatever Pillow raises becomes an ImageError that names it.

    Args:
        name: of the image, for messages.
    """

    __slots__ = ("_name", "_outer")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        _PROCESS.enter()
        self._outer: str | None = getattr(_THREAD, "name", None)
        _THREAD.name = self._name

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _THREAD.name = self._outer
        _PROCESS.leave()
        if not isinstance(error, Exception) or isinstance(error, ImageError):
            return
        if isinstance(error, MemoryError):
            raise ImageError(f"{self._name}: there is not enough memory to decode the image") from error
        problem = str(error) or type(error).__name__
        raise ImageError(f"{self._name}: the image is damaged or truncated: {problem}") from error


class _ProcessSettings:
    """What Pillow and `warnings` read from the whole process: the first thread sets it, the last one puts it back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._truncated = False
        self._filters = warnings.catch_warnings()

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._truncated, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filters = [_ALWAYS, *warnings.filters]  # filterwarnings() makes it anew each time
                warnings.showwarning = _LogInstead(warnings.showwarning)
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)
                ImageFile.LOAD_TRUNCATED_IMAGES = self._truncated


class _LogInstead:
    """Takes the place of `warnings.showwarning`; a thread that reads no image is shown its warnings as before."""

    def __init__(self, show: Callable[..., None]) -> None:
        self._show = show

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        name = getattr(_THREAD, "name", None)
        if name is None:
            self._show(message, category, filename, lineno, file, line)
        else:
            _LOGGER.warning("%s: %s", name, message)


_PROCESS = _ProcessSettings()
