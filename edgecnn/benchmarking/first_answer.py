"""A process that answers one picture and tells when it did what; `startup` runs it as a script.

Arguments: the model file, the device, the threads ("" for the default), "1" for spinning, a question for a file that
takes one; regions, where it takes such, are windows; and of plain ONNX "LAYOUT,HEIGHT,WIDTH", else "". The picture
comes on stdin. Times are of `perf_counter`, in seconds.
"""

import sys
from time import perf_counter
from typing import Any, NamedTuple

ENTERED = perf_counter()


class _First(NamedTuple):
    """When the file was loaded, how long ONNX Runtime took for that, and the graph's first run; milliseconds."""

    loaded: float
    session_ms: float
    first_inference_ms: float


def main(model: str, device: str, threads: str, spinning: str, question: str, plain: str) -> None:
    """Loads, answers and tells, in the order in which an application would."""
    import edgecnn_runtime

    if plain:
        import edgecnn_runtime.plain  # noqa: F401  (imports are measured)

    imported = perf_counter()
    options = {"device": device, "threads": int(threads) if threads else None, "spinning": spinning == "1"}
    first = _run(model, options, plain) if plain else _answer(model, options, question)
    answered = perf_counter()
    from edgecnn.memory import peak_memory_bytes  # nothing from here on is measured

    found = {
        "entered": ENTERED,
        "imported": imported,
        "loaded": first.loaded,
        "answered": answered,
        "session_ms": first.session_ms,
        "first_inference_ms": first.first_inference_ms,
        "peak_memory_bytes": peak_memory_bytes(),
    }
    import json

    from edgecnn.benchmarking.child import FOUND

    sys.stdout.write(f"\n{FOUND}{json.dumps(found)}\n")


def _answer(model: str, options: dict[str, Any], question: str) -> _First:
    from edgecnn_runtime import Predictor
    from edgecnn_runtime.proposals import windows

    predictor = Predictor.load(model, **options)
    loaded = perf_counter()
    asked = None if predictor.manifest.text_input is None else question
    looked_at = None if predictor.manifest.proposals_input is None else windows
    speed = predictor.predict(sys.stdin.buffer.read(), asked, proposals=looked_at).speed_ms
    assert speed is not None, "a Predictor always measures"
    return _First(loaded, predictor.session.creation_ms, speed.inference)


def _run(model: str, options: dict[str, Any], plain: str) -> _First:
    """Makes the array of a plain file ready and runs its graph; nobody can read its outputs."""
    from edgecnn_runtime.plain import PlainModel, load_plain_file

    layout, height, width = plain.split(",")
    loaded_model = PlainModel(
        load_plain_file(model, **options),
        layout=layout,  # type: ignore[arg-type]
        image_size=(int(height), int(width)),
    )
    loaded = perf_counter()
    ready = loaded_model.prepare(sys.stdin.buffer.read())
    start = perf_counter()
    loaded_model.run(ready.feeds)
    return _First(loaded, loaded_model.file.session.creation_ms, (perf_counter() - start) * 1000)


if __name__ == "__main__":
    main(*sys.argv[1:])
