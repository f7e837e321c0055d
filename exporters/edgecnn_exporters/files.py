"""The exporters' error where a file cannot be written, or is not ours to replace; the work is the runtime's."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edgecnn_exporters.errors import ExportError
from edgecnn_runtime.whole_files import workplace


@contextmanager
def working_folder(target: Path) -> Iterator[Path]:
    """Gives a temporary folder on the target's disk; it is removed with all that is in it, whatever happens.

    Raises:
        ExportError: the target's folder does not exist or cannot be written.
    """
    with ExitStack() as stack:
        with writing(target):
            if not target.parent.is_dir():
                raise ExportError(f"{target}: expected an existing folder, received {target.parent}. Make it first.")
            folder = stack.enter_context(workplace(target.parent))
        yield folder


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turns what the system says about a failed write into an error that names the file to be made.

    Raises:
        ExportError: disk full, read-only, no permission.
    """
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"{target}: cannot be written: {error.strerror or error}. What stood under that name before is intact."
        ) from error


def check_replaceable(target: Path) -> None:
    """Refuses a name that belongs to something else than a file.

    Raises:
        ExportError: a directory, a device or a pipe has that name.
    """
    with writing(target):
        if target.exists() and not target.is_file():
            kind = "a directory" if target.is_dir() else "a device or pipe"
            raise ExportError(f"{target}: expected the name of a file, received {kind}")
