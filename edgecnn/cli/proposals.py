"""`--proposals` of `edgecnn run`: the regions of each picture, for a model that proposes none itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecnn.cli.streams import say

if TYPE_CHECKING:
    from edgecnn_runtime import Predictor
    from edgecnn_runtime.proposals import Proposer

ProposalsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.json",
        help="Look at these boxes, {PICTURE: [[x1, y1, x2, y2], ...]} in its pixels. [default: selective search]",
    ),
]
_LARGEST = 1 << 28  # bytes


def read_proposals(path: Path | None) -> Mapping[str, Any] | None:
    """Returns the boxes by picture; None where the option was not given.

    Args:
        path: of --proposals.

    Raises:
        typer.BadParameter: the file cannot be read, or is no such object.
    """
    if path is None:
        return None
    from edgecnn_runtime.strict_json import parse

    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        tree = parse(content.decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:  # no UTF-8 is a ValueError
        raise typer.BadParameter(
            f"expected JSON, {{PICTURE: [[x1, y1, x2, y2], ...]}}: {path} cannot be read: "
            f"{getattr(error, 'strerror', None) or error}.",
            param_hint="--proposals",
        ) from error
    if len(content) > _LARGEST:
        raise typer.BadParameter(f"expected at most {_LARGEST:,} bytes, received more.", param_hint="--proposals")
    if not isinstance(tree, dict):
        raise typer.BadParameter(
            f"expected an object, {{PICTURE: [[x1, y1, x2, y2], ...]}}, received {str(tree)[:40]!r}.",
            param_hint="--proposals",
        )
    return tree


def proposals_for(predictor: "Predictor", given: Mapping[str, Any] | None) -> "Mapping[str, Any] | Proposer | None":
    """Returns who proposes the regions of a model: the file, or selective search; nobody where it takes none.

    Args:
        predictor: of the model.
        given: of --proposals.

    Raises:
        ProposalsError: the model takes none, and there are some.
        MissingDependencyError: there are none, and the extra that proposes some is not installed.
    """
    spec = predictor.manifest.proposals_input
    if spec is None or given is not None:
        predictor.inputs.check_proposals(given)
        counts = {name: len(boxes) for name, boxes in (given or {}).items() if isinstance(boxes, list)}
        name = max(counts, key=counts.__getitem__, default=None)
        if spec is not None and name is not None and counts[name] > spec.count:
            say(f"edgecnn: {name!r:.80}: {counts[name]:,} regions, of which the model looks at the first {spec.count}")
        return given
    from edgecnn.extras import require
    from edgecnn.proposing import selective_search

    require("cv2")
    return selective_search
