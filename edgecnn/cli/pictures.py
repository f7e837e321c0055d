"""`--save DIR`, `--crop DIR`, `--txt DIR`, `--masks DIR`: files beside the answers, never on top of an input."""

import errno
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import cast

from edgecnn.atomic import make_folder, replacing, write_text
from edgecnn.cli.answers import yolo_lines
from edgecnn.errors import UsageError, WriteError
from edgecnn.outputs import Input, Output, check_outputs
from edgecnn_runtime import Result
from edgecnn_runtime.fonts import Typeface, legible
from edgecnn_runtime.images import ImageSource, open_image
from edgecnn_runtime.results import Failure
from edgecnn_runtime.sources import iter_sources
from edgecnn_runtime.tasks.boxes import EDGES
from edgecnn_runtime.tasks.task import Masks

CLASSES = "classes.txt"  # names beside masks


class PictureFolder:
    """A folder that gets one annotated PNG an image, named after it.

    Args:
        folder: made where it is missing.
        sources: all that will be answered; the folder must hold none of it, nor lie where a directory is read.
        limit: how many predictions each picture shows.
        model: the file that answers, which is read as well.
        beside: other files that are read, by the options that name them; None of those that are not given.
        typeface: draws the letters; its file is read as well.
        stdin: the list that "@-" stands for, as `read_stdin` gave it.

    Raises:
        UsageError: the folder holds or could become an input, or lies in a run folder.
        WriteError: it cannot be made.
    """

    option, suffix = "--save", ".png"

    def __init__(
        self,
        folder: Path,
        sources: Sequence[str],
        limit: int,
        *,
        model: str | None = None,
        beside: Mapping[str, Path | None] = MappingProxyType({}),
        typeface: Typeface | None = None,
        stdin: bytes | Failure | None = None,
    ) -> None:
        self._folder, self._limit, self._typeface = folder, limit, typeface or Typeface()
        self._names: set[str] = set()
        images = [*_inputs(sources, stdin)]
        _check_apart(folder, images)
        read = {"FILE.onnx": model, **beside, "--font": self._typeface.path}
        named = [Input(option, Path(path)) for option, path in read.items() if path is not None]
        _check_files(
            Output(self.option, folder / f"*{self.suffix}"), [*_lists(sources), *(path for path, _ in images)], named
        )
        make_folder(folder)

    @property
    def warning(self) -> str | None:
        """What to tell of letters that could not be drawn so far; None where there are none."""
        return self._typeface.warning

    def saved(self, answer: Result | Failure, image: ImageSource) -> Result | Failure:
        """Returns the answer once its picture is written; a Failure where the file system does not take the name.

        Args:
            answer: a Failure has no picture.
            image: the same that was answered.

        Raises:
            WriteError: the picture cannot be written for another reason, which would hold for the next ones too.
        """
        if isinstance(answer, Failure):
            return answer
        try:
            self._write(answer, image)
        except WriteError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.ENAMETOOLONG:
                raise
            return Failure(answer.source, error.kind, str(error))
        return answer

    def save(self, result: Result, image: ImageSource) -> Path:
        """Writes the picture with its best classes and returns its path.

        Args:
            result: of the image.
            image: the same that was answered.

        Raises:
            WriteError: the picture cannot be written.
        """
        path = self._folder / self._free_name(_stem(result))
        with replacing(path) as temporary:
            result.draw(image, limit=self._limit, font=self._typeface).save(temporary, format="PNG")
        return path

    def _write(self, result: Result, image: ImageSource) -> None:
        """Writes all pictures of an answer."""
        self.save(result, image)

    def _free_name(self, stem: str) -> str:
        """Returns a name that no other image of this run has: seven.png, seven-2.png, ..."""
        name, count = f"{stem}{self.suffix}", 1
        while name in self._names:
            count += 1
            name = f"{stem}-{count}{self.suffix}"
        self._names.add(name)
        return name


class CropFolder(PictureFolder):
    """A folder that gets one PNG a box: the part of the image that lies in it, to whole pixels, not annotated.

    The arguments are those of `PictureFolder`; the files are named after the image, best box first.
    """

    option = "--crop"

    def _write(self, result: Result, image: ImageSource) -> None:
        picture = open_image(image)
        for rank, found in enumerate(result.predictions(self._limit), start=1):
            x1, y1, x2, y2 = (found["box"][edge] for edge in EDGES)
            path = self._folder / self._free_name(f"{_stem(result)}-{rank}")
            with replacing(path) as temporary:
                cut = picture.crop((math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)))
                cut.save(temporary, format="PNG")


class LabelFolder(PictureFolder):
    """A folder that gets one .txt an image, a line a box as YOLO's tools read labels, with the score at its end.

    The arguments are those of `PictureFolder`. An image without a box has an empty file.
    """

    option, suffix = "--txt", ".txt"

    def _write(self, result: Result, image: ImageSource) -> None:
        del image
        lines = yolo_lines(result, self._limit)
        write_text(self._folder / self._free_name(_stem(result)), "".join(f"{line}\n" for line in lines))


class MaskFolder(PictureFolder):
    """A folder that gets one PNG of the class ids of all pixels an image, and what the classes are called.

    The arguments are those of `PictureFolder`. The ids are the indices of a palette in the colours of `--save`; names
    stand in `classes.txt`, one a line, in their order: so the folder can be the masks/ of a data set.
    """

    option = "--masks"

    def _write(self, result: Result, image: ImageSource) -> None:
        del image
        masks = cast(Masks, result)
        if not self._names:
            self._write_classes("".join(f"{legible(name)}\n" for name in masks.names()))
        with replacing(self._folder / self._free_name(_stem(result))) as temporary:
            masks.palette_image().save(temporary, format="PNG", optimize=True)

    def _write_classes(self, names: str) -> None:
        place = self._folder / CLASSES
        if place.is_file() and place.read_text(encoding="utf-8", errors="replace") != names:
            raise UsageError(
                f"--masks: {place} names other classes than this model's, so that masks of both would lie together. "
                "Name another folder."
            )
        write_text(place, names)


def open_typeface(font: Path | None) -> Typeface:
    """Returns what draws the letters.

    Args:
        font: a file; None takes Pillow's own font, or one of this system.

    Raises:
        UsageError: the file is no font that can be drawn with.
    """
    try:
        return Typeface(font)
    except ValueError as error:
        raise UsageError(f"--font: {error}. Name another file.") from error


def _stem(result: Result) -> str:
    stem = Path(result.source or "image").stem
    return "stdin" if stem == "-" else stem


def _check_apart(folder: Path, inputs: Iterable[tuple[Path, bool]]) -> None:
    """Keeps pictures from replacing an input, and from becoming one while a directory is still being read."""
    target = folder.resolve()
    for path, is_named in inputs:
        homes = (path.parent.resolve(), path.resolve().parent)
        if target in homes or (not is_named and any(target.is_relative_to(home) for home in homes)):
            raise UsageError(
                f"cannot save pictures in {folder}: the input {path} lies there or above. Name another folder."
            )


def _check_files(made: Output, paths: Iterable[Path], named: Sequence[Input]) -> None:
    """Keeps the folder out of run folders, and free of files that are an input under another name."""
    inputs, folder = [*(Input("SOURCE", path) for path in paths), *named], made.path.parent
    present = folder.iterdir() if folder.is_dir() else ()
    check_outputs([made, *(Output(made.option, path) for path in present)], inputs)


def _lists(sources: Iterable[str]) -> list[Path]:
    return [Path(source[1:]) for source in sources if source.startswith("@")]


def _inputs(sources: Iterable[str], stdin: bytes | Failure | None) -> Iterator[tuple[Path, bool]]:
    """Yields every image but stdin's, and whether it was named itself; for a directory its own place too."""
    for source in sources:
        if os.path.isdir(source):  # noqa: PTH112  (Path.is_dir raises where a name is too long)
            yield Path(source) / "*", False
        for found in iter_sources([source], stdin=stdin) if source != "-" else ():
            if not isinstance(found, Failure) and found.name is not None:
                yield Path(found.name), found.name == source
