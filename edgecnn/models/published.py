"""What each documented model costs at its published size, reckoned once, so that nobody waits for Keras to be told it.

`published.json` beside this file is written by `python -m edgecnn.models.published`, and a test compares it with the
networks.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgecnn.models.build import build_model, get_spec
from edgecnn.models.catalog import CATALOG

_TABLE = Path(__file__).with_name("published.json")


def published_reckoning(name: str) -> dict[str, Any]:
    """Returns what `build_reckoning` gives for a model's published size, without building it.

    Args:
        name: a catalogue name.

    Example:
        >>> published_reckoning("lenet5")["parameters"]
        60840
    """
    stored = json.loads(_TABLE.read_text(encoding="utf-8"))[name]
    layers = [dict(zip(stored["columns"], row, strict=True)) for row in stored["layers"]]
    return {"layers": layers, **stored["totals"]}


def build_reckoning(
    name: str, *, image_size: tuple[int, int] | None = None, num_classes: int | None = None, width: float = 1.0
) -> dict[str, Any]:
    """Builds a model and reckons it.

    Args:
        name: a catalogue name.
        image_size: (height, width) in pixels; the published one by default.
        num_classes: number of logits; the published one by default.
        width: multiplier on filters and units, above 0.

    Returns:
        The tree of `edgecnn.models.reckoning.Reckoning`, its layers with their index in the backbone or None.

    Raises:
        UsageError: as for `build_model`.
    """
    from edgecnn.models.backbone import backbone_indices  # these take seconds: Keras
    from edgecnn.models.reckoning import reckon

    model = build_model(name, image_size=image_size, num_classes=num_classes, width=width)
    tree, indices = asdict(reckon(model)), backbone_indices(model, get_spec(name))
    layers = [
        {**layer, "output_shape": list(layer["output_shape"]), "backbone_index": indices.get(layer["name"])}
        for layer in tree.pop("layers")
    ]
    return {"layers": layers, **tree}


def _write() -> None:
    lines = []
    for name in CATALOG:
        tree = build_reckoning(name)
        layers = tree.pop("layers")
        rows = ",\n".join(f"  {json.dumps(list(layer.values()))}" for layer in layers)
        head = f'"columns": {json.dumps(list(layers[0]))}, "totals": {json.dumps(tree)}'
        lines.append(f'"{name}": {{{head}, "layers": [\n{rows}]}}')
    _TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    _write()
