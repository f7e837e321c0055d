"""A process that answers one picture and tells when it did what; `startup` runs it as a script.

Arguments: the model file, the device, the threads ("" for the default), "1" for spinning, and a question for a file
that takes one; regions, where it takes such, are windows. The picture comes on stdin. Times are of `perf_counter`, in
seconds.
"""

import sys
from time import perf_counter

ENTERED = perf_counter()


def main(model: str, device: str, threads: str, spinning: str, question: str) -> None:
    """Loads, answers and tells, in the order in which an application would."""
    from edgecnn_runtime import Predictor  # its import is measured
    from edgecnn_runtime.proposals import windows

    imported = perf_counter()
    options = {"threads": int(threads) if threads else None, "spinning": spinning == "1"}
    predictor = Predictor.load(model, device=device, **options)  # type: ignore[arg-type]
    loaded = perf_counter()
    asked = None if predictor.manifest.text_input is None else question
    looked_at = None if predictor.manifest.proposals_input is None else windows
    speed = predictor.predict(sys.stdin.buffer.read(), asked, proposals=looked_at).speed_ms
    answered = perf_counter()
    assert speed is not None, "a Predictor always measures"
    from edgecnn.memory import peak_memory_bytes  # nothing from here on is measured

    found = {
        "entered": ENTERED,
        "imported": imported,
        "loaded": loaded,
        "answered": answered,
        "session_ms": predictor.session.creation_ms,
        "first_inference_ms": speed.inference,
        "peak_memory_bytes": peak_memory_bytes(),
    }
    import json

    from edgecnn.benchmarking.child import FOUND

    sys.stdout.write(f"\n{FOUND}{json.dumps(found)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
