"""The toolchain's branch of the error tree; each class carries the exit code that the command line ends with.

::

    EdgeCNNError                  1  (edgecnn_runtime.errors)
    |-- UsageError                2  options are unknown, missing, out of range, or contradict each other
    |   `-- UnknownModelError     2  no catalogue row has the name; its family is listed
    |-- DatasetError              1  data cannot be read; the file is named
    |   `-- UnknownDatasetError   2  neither a data set's name nor a path that is recognised
    |-- KerasFileError            1  a .keras file is missing, damaged, unsafe, or names a layer that is unknown
    |-- PretrainedWeightsError    1  weights cannot be had or are of another architecture; the layer is named
    |-- RunFolderError            1  a run folder is damaged, or training in it has not come to its end
    |-- TrainingError             1  training cannot go on: the loss is no number any more
    |-- MeasurementError          1  a measured process failed, so there is no measurement
    |-- ReportError               1  an earlier report cannot be read, or was not taken under the same conditions
    |-- RegressionError           5  a file is slower than an earlier report allows
    |-- WriteError                1  a file cannot be written; an earlier one of that name is intact
    `-- MissingDependencyError    1  a package is missing; the command that installs it is named
"""

import difflib
import re
from collections.abc import Iterable, Sequence

from edgecnn.extras import distribution_of, install_command
from edgecnn_runtime.errors import EdgeCNNError

_ALMOST = 0.85  # likeness of a misspelt name: "mobilnet_v4" has .87 to "mobilenet_v2", "inception" .82 to "xception"


class UsageError(EdgeCNNError):
    """Options are unknown, missing, out of range, contradict each other, or cannot take effect."""

    exit_code = 2
    kind = "usage"


class UnknownModelError(UsageError):
    """No row of the catalogue has the name."""

    kind = "unknown_model"

    @classmethod
    def near(cls, name: str, known: Iterable[str]) -> "UnknownModelError":
        """Returns the error for `name`, listing the known names of its family, the likest first, where there are such.

        A misspelt name has the family of the one that it is almost. A name of no family gets no suggestion: another
        network is none.

        >>> str(UnknownModelError.near("resnet101", ["resnet50", "xception", "resnet34_localizer"]))
        "unknown model 'resnet101': did you mean resnet50 or resnet34_localizer? Run `edgecnn models` for the list."
        >>> str(UnknownModelError.near("densenet121", ["resnet50", "xception"]))
        "unknown model 'densenet121'. Run `edgecnn models` for the list."
        """
        near = _relatives(name, sorted(known))
        hint = f": did you mean {_either(near)}?" if near else "."
        return cls(f"unknown model {name!r}{hint} Run `edgecnn models` for the list.")


def _relatives(name: str, known: Sequence[str]) -> list[str]:
    """Returns the known names of a name's family, or of the family of the one that it is almost."""
    typed = name.lower()
    relatives = [one for one in known if _akin(_family(one), _family(typed))]
    if not relatives:
        almost = difflib.get_close_matches(typed, known, n=1, cutoff=_ALMOST)
        relatives = [one for one in known for like in almost if _akin(_family(one), _family(like))]
    return sorted(relatives, key=lambda one: -difflib.SequenceMatcher(None, typed, one).ratio())


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _family(name: str) -> str:
    """Returns what stands before the version: "mobilenet" of "mobilenet_v2", "resnet" of "resnet34_localizer"."""
    return re.sub(r"_?[bv]?\d.*", "", name)


def _akin(family: str, other: str) -> bool:
    """Says whether two families are one, or one of them a branch of the other, as "faster_rcnn_vgg" is."""
    return bool(family and other) and (f"{family}_".startswith(f"{other}_") or f"{other}_".startswith(f"{family}_"))


class DatasetError(EdgeCNNError):
    """Data cannot be read, or is not of the form that was expected; the message names the file."""

    kind = "dataset"


class UnknownDatasetError(DatasetError):
    """Neither the name of a data set nor a path whose content is recognised."""

    exit_code = 2
    kind = "unknown_dataset"


class KerasFileError(EdgeCNNError):
    """A .keras file is missing, damaged, could run code or read other files, or names a layer that is unknown."""

    kind = "keras_file"


class PretrainedWeightsError(EdgeCNNError):
    """Weights cannot be downloaded or read, or they do not fit the model; then none of them was taken."""

    kind = "pretrained_weights"


class RunFolderError(EdgeCNNError):
    """A run folder is damaged, or training in it has not come to its end."""

    kind = "run_folder"


class TrainingError(EdgeCNNError):
    """Training cannot go on; the run folder keeps the last good epoch."""

    kind = "training"


class MeasurementError(EdgeCNNError):
    """A process that was to be measured failed, so there is no measurement."""

    kind = "measurement"


class ReportError(EdgeCNNError):
    """An earlier report cannot be read, or was not taken under the same conditions."""

    kind = "report"


class RegressionError(EdgeCNNError):
    """A file is slower than an earlier report allows."""

    exit_code = 5
    kind = "regression"


class WriteError(EdgeCNNError):
    """A file cannot be written; what stood under its name before is intact."""

    kind = "write"


class MissingDependencyError(EdgeCNNError):
    """A package is missing that this work needs."""

    kind = "missing_dependency"

    @classmethod
    def of(cls, package: str) -> "MissingDependencyError":
        """Returns the error for a missing package that an extra of edgecnn brings, by its name in imports.

        >>> str(MissingDependencyError.of("tensorflow"))
        'tensorflow is not installed: it comes with an extra. Run: pip install "edgecnn[train]"'
        """
        command = install_command(package)
        return cls(f"{distribution_of(package)} is not installed: it comes with an extra. Run: {command}")
