"""`config.json` of a run folder that was adopted: the model as it came, how it is asked, and what it was scored on."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from edgecnn.adopting.model_file import ModelFile
from edgecnn.adopting.mounting import Mounting
from edgecnn.errors import RunFolderError
from edgecnn.outputs import RUN_CONFIG
from edgecnn.training.record import DataRecord
from edgecnn_runtime import strict_json
from edgecnn_runtime.errors import ManifestError

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Adopted:
    """The model as it came.

    Attributes:
        name: of its file, before it was copied.
        sha256: of the file.
        file: its copy in the run folder.
        architecture: the copy of the JSON beside it; null where the file holds the whole model.
        imports: modules with layers of its own.
        mounting: what stands before it and behind it.
        shape: of its image's input, without the batch axis; null where a size is free.
        in_float32: whether it computed in fewer bits, and is asked in float32.
    """

    name: str
    sha256: str
    file: str
    architecture: str | None
    imports: tuple[str, ...]
    mounting: Mounting
    shape: tuple[int | None, ...]
    in_float32: bool


@dataclass(frozen=True, slots=True)
class AdoptionRecord:
    """The content of `config.json`.

    Attributes:
        adopted: the model as it came.
        data: that it was scored on; null where there were none. What it was trained on is not known.
        versions: of the packages that took part.
    """

    adopted: Adopted
    data: DataRecord | None
    versions: Mapping[str, str]

    def to_json(self) -> str:
        """Returns indented JSON with sorted keys."""
        return json.dumps({"schema_version": SCHEMA_VERSION, **asdict(self)}, indent=2, sort_keys=True) + "\n"

    def model_file(self, folder: Path) -> ModelFile:
        """Returns the model as it came, in its run folder."""
        names = self.adopted.file, self.adopted.architecture
        for name in names:
            if name is not None and Path(name).name != name:
                raise RunFolderError(f"{folder / RUN_CONFIG} is damaged: expected a file's name, received {name!r}")
        architecture = None if names[1] is None else folder / names[1]
        return ModelFile(folder / names[0], architecture, self.adopted.imports)


def read_adoption(folder: Path) -> AdoptionRecord:
    """Reads `config.json`.

    Raises:
        RunFolderError: damaged, or of another version.
    """
    path = folder / RUN_CONFIG
    try:
        return strict_json.load(
            AdoptionRecord, path.read_text(encoding="utf-8"), schema_version=SCHEMA_VERSION, what=str(path)
        )
    except (OSError, UnicodeError) as error:
        raise RunFolderError(f"{path}: cannot be read: {error}") from error
    except ManifestError as error:
        raise RunFolderError(f"{path} is damaged: {error}") from error
