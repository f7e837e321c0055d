"""`edgecnn verify`: whether a model file answers on this machine as it did where it was proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecnn.cli.options import AllowModified, Device, Format, ModelArgument, Threads
from edgecnn.cli.streams import stdout_for_results
from edgecnn.cli.tables import Table

if TYPE_CHECKING:
    from edgecnn_runtime.verification import SampleCheck, Verification


def verify(
    model: ModelArgument,
    device: Device = "auto",
    threads: Threads = None,
    allow_modified: AllowModified = False,
    format: Format = "text",
) -> None:
    """Answer the golden samples that travel in a file, on this machine; exit code 4 if an answer differs."""
    with stdout_for_results() as results:
        from edgecnn_runtime import Predictor, VerificationError  # these load ONNX Runtime
        from edgecnn_runtime.verification import verify

        failure = None
        try:
            predictor = Predictor.load(
                model, device=device, threads=threads, allow_modified=allow_modified, verify=True
            )
            verification = predictor.verification or verify(predictor)
        except VerificationError as error:
            failure, verification = error, error.verification
        if format == "json":
            results.json({"file": model, **verification.to_dict()})
        else:
            results.report(_format_verification(model, verification))
        if failure is not None:
            raise failure


def _format_verification(model: str, verification: Verification) -> list[str | Table]:
    samples = verification.samples
    passed = sum(sample.passed for sample in samples)
    rows = [[sample.name, "passed" if sample.passed else "FAILED", *_format_sample(sample)] for sample in samples]
    proven = "altered since it was proven" if verification.modified else "proven"
    return [
        f"{model}: {passed} of {len(samples)} golden samples passed [{verification.provider}, "
        f"{verification.cpu_family}; {proven} on {verification.checked_on}]",
        Table(["sample", "verdict", "expected", "received", "farthest off", "by", "allowed"], rows),
    ]


def _format_sample(sample: SampleCheck) -> list[str]:
    answers = [sample.expected, sample.received]
    worst = sample.worst
    if worst is None:
        return [*answers, "-", "-", "-"]
    return [*answers, worst.what, f"{abs(worst.received - worst.expected):.2g}", f"{worst.allowed:.2g}"]
