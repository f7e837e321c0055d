"""The error tree of the runtime; each class carries the exit code that the command line ends with.

::

    EdgeCNNError               1  anything that edgecnn says itself
    |-- ManifestError          6  the manifest is damaged, of another version, or contradicts the graph
    |-- ImageError             1  an image cannot be read, or is not of the form that was asked for
    |   `-- ImageTypeError     1  it is no image at all: None, a number, a list; a TypeError too
    |-- QuestionError          2  a question has no word, is missing, or is asked of a model that takes none
    |-- ProposalsError         2  regions are missing, are no boxes, or are given to a model that takes none
    |-- PlainInputError        2  what a plain ONNX file takes cannot be told from it, or was told wrong
    |-- VerificationError      4  on this machine the file answers its golden samples otherwise than they say
    `-- SessionError           1  ONNX Runtime could not do what was asked
        |-- ProviderError      3  the asked device is not available
        |-- ResourceError      1  memory or threads ran out; the file is not to blame
        |-- ModelFileError     6  the model file is refused
        `-- OutputError        1  the network answered with NaN or infinity

The exporters and the toolchain declare their own branches in `edgecnn_exporters.errors` and `edgecnn.errors`.
"""

import re
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from edgecnn_runtime.verification import Verification


_LONGEST_MESSAGE = 2000  # characters; what a message quotes may be a million
_KEPT_END = 500  # of a longer one: the cure stands at its end
_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # lines and escapes of a terminal, in what a message quotes


class EdgeCNNError(Exception):
    """Root of every error that edgecnn raises on purpose; its message is one line of at most 2,000 characters.

    Attributes:
        exit_code: what the command line exits with.
        kind: a stable word for machines; the message is for people.
    """

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"

    def __str__(self) -> str:
        message = super().__str__()
        message = _BREAKS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), message)
        if len(message) <= _LONGEST_MESSAGE:
            return message
        gap = f" [... {len(message)} characters in all ...] "
        return message[: _LONGEST_MESSAGE - _KEPT_END - len(gap)] + gap + message[-_KEPT_END:]


class ManifestError(EdgeCNNError):
    """The manifest is damaged, of a schema version that is not read here, or contradicts the graph."""

    exit_code = 6
    kind = "manifest"


class ImageError(EdgeCNNError):
    """An image cannot be read, is refused, or does not have the dtype and shape that was asked for."""

    kind = "image"


class ImageTypeError(ImageError, TypeError):
    """What was given as an image is of another type; where there are others, it is a failure of this one."""

    kind = "image_type"


class QuestionError(EdgeCNNError):
    """A question holds no word, is missing, or is asked of a model that takes none."""

    exit_code = 2
    kind = "question"


class ProposalsError(EdgeCNNError):
    """Regions to look at are missing, are no boxes, or are given to a model that takes none."""

    exit_code = 2
    kind = "proposals"


class PlainInputError(EdgeCNNError):
    """What a plain ONNX file takes cannot be told from its graph alone, or was told otherwise than the graph says."""

    exit_code = 2
    kind = "plain_input"


class VerificationError(EdgeCNNError):
    """On this machine the file answers a golden sample otherwise than where it was made.

    Attributes:
        verification: what every sample gave.
    """

    exit_code = 4
    kind = "verification"

    def __init__(self, message: str, verification: "Verification") -> None:
        super().__init__(message)
        self.verification = verification


class SessionError(EdgeCNNError):
    """ONNX Runtime could not do what was asked; raised when inputs do not fit or a run fails."""

    kind = "session"


class ProviderError(SessionError):
    """The asked device or execution provider is not available on this machine."""

    exit_code = 3
    kind = "provider"


class ResourceError(SessionError):
    """Memory or threads ran out; the model file may be as good as any."""

    kind = "resources"


class ModelFileError(SessionError):
    """The model file is missing, unreadable, damaged, incompatible, unproven or altered after it was stamped."""

    exit_code = 6
    kind = "model_file"


class OutputError(SessionError):
    """The network's output holds NaN or infinity, so no result can be read from it."""

    kind = "invalid_output"
