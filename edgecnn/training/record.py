"""`config.json`: what a run was asked to do, over which data, with which versions, and whether it came to its end."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version

from edgecnn.data.samples import Dataset
from edgecnn.errors import RunFolderError, UsageError
from edgecnn.training.config import TrainConfig
from edgecnn_runtime import strict_json
from edgecnn_runtime.errors import ManifestError

SCHEMA_VERSION = 2
_PACKAGES = ("edgecnn", "keras", "numpy", "pillow", "tensorflow")


@dataclass(frozen=True, slots=True)
class DataRecord:
    """The data that a run was trained on.

    Attributes:
        location: what `load_dataset` takes to read it again.
        fingerprint: of its content.
        train_images: images of the train part, the held-out ones among them.
        test_images: images of the test part.
    """

    location: str
    fingerprint: str
    train_images: int
    test_images: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The content of `config.json`.

    Attributes:
        config: the options; of `validation` the fraction that took effect, 0 where nothing was held out of the train
            part.
        data: what they were applied to.
        versions: of the packages that took part.
        finished: whether training has ended and `model.keras` holds its last weights.
    """

    config: TrainConfig
    data: DataRecord
    versions: Mapping[str, str]
    finished: bool = False

    def to_json(self) -> str:
        """Returns indented JSON with sorted keys."""
        return json.dumps({"schema_version": SCHEMA_VERSION, **asdict(self)}, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str, *, what: str = "config.json") -> "RunRecord":
        """Reads what `to_json` wrote, and what it wrote before a tenth was held out by default (schema version 1).

        Args:
            text: the JSON.
            what: names it in messages.

        Raises:
            RunFolderError: damaged, of another version, or with an option out of its range.
        """
        try:
            return strict_json.load(cls, _of_today(text), schema_version=SCHEMA_VERSION, what=what)
        except (ManifestError, UsageError) as error:
            raise RunFolderError(f"{what} is damaged: {error}") from error


def data_record(dataset: Dataset) -> DataRecord:
    """Returns what a run keeps of its data."""
    images = {part.part: len(part) for part in dataset.parts}
    judged = images.get("test", images.get("val", 0))
    return DataRecord(dataset.location, dataset.fingerprint, images.get("train", 0), judged)


def new_record(config: TrainConfig, dataset: Dataset) -> RunRecord:
    """Returns the record of a run that begins here and now."""
    return RunRecord(config, data_record(dataset), {package: version(package) for package in _PACKAGES})


def as_begun(asked: TrainConfig, stored: RunRecord) -> TrainConfig:
    """Returns the options of a run that goes on: what is held out is what was, unless a fraction is named."""
    return asked if asked.validation is not None else replace(asked, validation=stored.config.validation)


def check_same_run(stored: RunRecord, asked: RunRecord, *, where: str) -> None:
    """Checks that resuming would continue the same training; more epochs are fine, except where a cosine ends.

    Raises:
        UsageError: options or data contradict the stored ones; both values are named.
    """
    differences = [
        f"{field.name} {_value(stored.config, field.name)}, received {_value(asked.config, field.name)}"
        for field in fields(TrainConfig)
        if field.name not in ("data", "epochs")
        and _value(stored.config, field.name) != _value(asked.config, field.name)
    ]
    if asked.config.schedule == "cosine" and asked.config.epochs != stored.config.epochs:
        differences.append(f"epochs {stored.config.epochs}, where the cosine ends, received {asked.config.epochs}")
    elif asked.config.epochs < stored.config.epochs:
        differences.append(f"epochs {stored.config.epochs} or more, received {asked.config.epochs}")
    if stored.data.fingerprint != asked.data.fingerprint:
        differences.append(
            f"data {stored.data.location} (fingerprint {stored.data.fingerprint[:12]}), "
            f"received {asked.data.location} ({asked.data.fingerprint[:12]})"
        )
    if differences:
        raise UsageError(
            f"cannot resume {where}: expected {'; '.join(differences)}. Give the options that the run began with, or "
            "train into another folder."
        )


def _of_today(text: str) -> str:
    """Returns a record of schema version 1 as one of today; any other text as it is.

    There `null` for the fraction meant what 0 means today: nothing was held out of the train part.
    """
    try:
        tree = strict_json.parse(text)
        if tree["schema_version"] != 1 or isinstance(tree["schema_version"], bool):
            return text
        if tree["config"]["validation"] is None:
            tree["config"]["validation"] = 0.0
        return json.dumps({**tree, "schema_version": SCHEMA_VERSION})
    except (ValueError, TypeError, KeyError, RecursionError):  # which the strict reader names
        return text


def _value(config: TrainConfig, name: str) -> object:
    return config.rate if name == "learning_rate" else getattr(config, name)
