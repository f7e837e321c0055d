"""The toolchain's branch of the error tree; each class carries the exit code that the command line ends with.

::

    EdgeCNNError                  1  (edgecnn_runtime.errors)
    |-- UsageError                2  options are unknown, missing, out of range, or contradict each other
    |   `-- UnknownModelError     2  no catalogue row has the name; near names are listed
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
from collections.abc import Iterable

from edgecnn.extras import distribution_of, install_command
from edgecnn_runtime.errors import EdgeCNNError


class UsageError(EdgeCNNError):
    """Options are unknown, missing, out of range, contradict each other, or cannot take effect."""

    exit_code = 2
    kind = "usage"


class UnknownModelError(UsageError):
    """No row of the catalogue has the name."""

    kind = "unknown_model"

    @classmethod
    def near(cls, name: str, known: Iterable[str]) -> "UnknownModelError":
        """Returns the error for `name`, listing the known names near it, or all of them where none is near.

        >>> str(UnknownModelError.near("mnist_convnett", ["mnist_convnet", "fashion_cnn"]))
        "unknown model 'mnist_convnett': did you mean mnist_convnet? Run `edgecnn models` for the list."
        """
        names = sorted(known)
        near = difflib.get_close_matches(name, names)
        hint = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(names)}."
        return cls(f"unknown model {name!r}: {hint} Run `edgecnn models` for the list.")


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
