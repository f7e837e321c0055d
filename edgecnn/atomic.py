"""Files that appear whole or not at all, with our error where they cannot be written; the work is the runtime's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgecnn.errors import WriteError
from edgecnn_runtime.whole_files import publish, workplace


@contextmanager
def replacing(path: Path, *, temporary_folder: Path | None = None) -> Iterator[Path]:
    """Gives a temporary path to write to, which takes the name `path` when the block ends without an error.

    A link of that name is replaced; what it leads to stays as it is.

    Args:
        path: the file to make or to replace, or the folder of files to make; its folder exists.
        temporary_folder: where the temporary file stands, on the same file system; the folder of `path` by default.

    Raises:
        WriteError: the file cannot be written (disk full, read-only, a directory of that name).
    """
    with writing(path), workplace(temporary_folder or path.parent) as place:
        temporary = place / "new"
        yield temporary
        publish(temporary, path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the system says about a failed write into the one-line error that names the file.

    Raises:
        WriteError: the file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from error


def write_text(path: Path, text: str, *, temporary_folder: Path | None = None) -> None:
    """Writes UTF-8 text as one whole, its line ends as they are.

    Raises:
        WriteError: the file cannot be written.
    """
    with replacing(path, temporary_folder=temporary_folder) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def make_folder(path: Path) -> None:
    """Makes a folder and those above it; one that exists is fine.

    Raises:
        WriteError: it cannot be made.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
