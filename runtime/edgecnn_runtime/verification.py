"""Whether a file answers on this machine as it did where it was proven: decoding, preprocessing, network, results."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from edgecnn_runtime.errors import EdgeCNNError, ModelFileError, VerificationError
from edgecnn_runtime.evidence import Evidence
from edgecnn_runtime.golden import ALIKE, ELSEWHERE, Digest, GoldenSample, Held, Tolerance, Trace, digest
from edgecnn_runtime.images import ImageSource
from edgecnn_runtime.inputs import Prepared
from edgecnn_runtime.machine import cpu_family
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.predictor import Predictor
from edgecnn_runtime.proposals import Proposals
from edgecnn_runtime.providers import CPU, onnxruntime
from edgecnn_runtime.tasks.table import get_task

_PIXEL_AXES = 4  # (N, H, W, C); another input holds the numbers of words, which are the same or are of other words


@dataclass(frozen=True, slots=True)
class Difference:
    """One number of an answer.

    Attributes:
        what: for example "image mean", "logits rms" or "score of class 3".
        expected: as the sample holds it.
        received: on this machine.
        allowed: the largest difference that passes.
    """

    what: str
    expected: float
    received: float
    allowed: float

    @property
    def passed(self) -> bool:
        """Whether the difference is within what is allowed; never with NaN."""
        return abs(self.received - self.expected) <= self.allowed

    @property
    def excess(self) -> float:
        """The difference as a multiple of what is allowed; infinite with NaN."""
        difference = abs(self.received - self.expected)
        if not self.allowed > 0 or math.isnan(difference):
            return 0.0 if difference == 0 else math.inf
        return difference / self.allowed

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object; NaN and infinity are null."""
        numbers = {"expected": self.expected, "received": self.received, "allowed": self.allowed}
        return {"what": self.what, **{key: n if math.isfinite(n) else None for key, n in numbers.items()}}


@dataclass(frozen=True, slots=True)
class SampleCheck:
    """What became of one golden sample.

    Attributes:
        name: of the sample.
        passed: whether every number is within its tolerance.
        expected: the answer that the sample holds, for people.
        received: this machine's answer, or the error that took its place.
        worst: the number that is farthest off, by its tolerance; None where an error took the answer's place, or a
            size or shape differs.
    """

    name: str
    passed: bool
    expected: str
    received: str
    worst: Difference | None

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object of a sample."""
        return {
            "name": self.name,
            "passed": self.passed,
            "expected": self.expected,
            "received": self.received,
            "worst": None if self.worst is None else self.worst.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Verification:
    """What a file's golden samples gave on this machine.

    Attributes:
        provider: the execution provider that ran.
        cpu_family: of this machine.
        checked_on: the family that the file was proven on.
        modified: whether the file was altered after that, so that nothing is proven of it.
        samples: one a golden sample.
    """

    provider: str
    cpu_family: str
    checked_on: str
    modified: bool
    samples: tuple[SampleCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether every sample passed."""
        return all(sample.passed for sample in self.samples)

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object of `edgecnn verify`."""
        return {
            "passed": self.passed,
            "provider": self.provider,
            "cpu_family": self.cpu_family,
            "checked_on": self.checked_on,
            "modified": self.modified,
            "samples": [sample.to_dict() for sample in self.samples],
        }


def verify(predictor: Predictor) -> Verification:
    """Answers every golden sample of a file on this machine, and compares.

    How far an answer may be off stands in the file, but is never more than `golden.ALIKE` or `golden.ELSEWHERE` allow.

    Args:
        predictor: as `Predictor.load` gives it.

    Raises:
        ModelFileError: the file holds no golden samples.
    """
    claims = predictor.claims
    if claims is None:
        raise ModelFileError(
            "expected golden samples to verify the file with, received none that can be read. Export the model again."
        )
    if not claims.golden:
        raise ModelFileError(
            "expected golden samples to verify the file with, received a file that was exported without any, so that "
            "nothing is proven here. Export the model with --golden-samples 1 or more."
        )
    alike = _computes_alike(predictor, claims)
    limit = ALIKE if alike else ELSEWHERE[claims.precision]
    # other kernels round otherwise, and of a graph that suppresses or ranks by itself whole rows come and go by that
    decoder = predictor.manifest.decoder
    with_outputs = alike or not (decoder.suppresses == "graph" or decoder.ranks())
    least = decoder.least_tolerance
    return Verification(
        predictor.provider,
        cpu_family(),
        claims.cpu_family,
        predictor.evidence is None,
        tuple(
            _check(
                predictor,
                sample,
                _tolerance(sample.alike if alike else sample.elsewhere, limit, least),
                with_outputs=with_outputs,
            )
            for sample in claims.golden
        ),
    )


def verify_file(predictor: Predictor, name: str) -> Verification:
    """Does as `verify` does, and raises where a sample failed.

    Args:
        predictor: of the file.
        name: what messages call the file.

    Raises:
        ModelFileError: the file holds no golden samples.
        VerificationError: a sample failed; it and both answers are named.
    """
    try:
        verification = verify(predictor)
    except ModelFileError as error:
        raise ModelFileError(f"{name}: {error}") from error
    failed = [sample for sample in verification.samples if not sample.passed]
    if not failed:
        return verification
    first, total = failed[0], len(verification.samples)
    raise VerificationError(
        f"{name}: golden sample {first.name!r}: expected {first.expected}, received {first.received}. {len(failed)} of "
        f"{total} samples failed on {verification.provider}, {verification.cpu_family}. Do not use the file here: get "
        "it again, or export it on such a machine.",
        verification,
    )


def trace(
    predictor: Predictor, image: ImageSource, question: str | None = None, *, proposals: Proposals | None = None
) -> Trace:
    """Returns what a file makes of an image, step by step.

    Raises:
        ImageError: the image cannot be read.
        QuestionError: as `Inputs` raises it.
        ProposalsError: likewise.
        OutputError: the network answered with NaN or infinity.
        SessionError: the run failed.
    """
    prepared = predictor.inputs(image, question, proposals=proposals)
    return describe(predictor.manifest, prepared, predictor.run(prepared.feeds))


def describe(
    manifest: Manifest, prepared: Prepared, outputs: Mapping[str, npt.NDArray[Any]], *, limit: int | None = None
) -> Trace:
    """Returns what a model, of whatever kind, made of one image.

    Args:
        manifest: of the model.
        prepared: what the model was given of the image.
        outputs: raw outputs by name.
        limit: the most answers that are held; None for all there are.

    Raises:
        OutputError: an output that the result is read from holds NaN or infinity.
    """
    task, text = get_task(manifest.task), manifest.text_input
    result = task.decode(manifest, outputs, [prepared.placement])[0]
    held = task.hold(result, limit)
    if text is not None:  # a digest does not tell every order of a few numbers
        ids = " ".join(map(str, prepared.feeds[text.name][0].tolist()))
        held = replace(held, words={**held.words, "words of the question": ids})
    return Trace(
        result.shape,
        tuple(digest(name, values) for name, values in prepared.feeds.items()),
        tuple(digest(output.name, outputs[output.name]) for output in manifest.outputs),
        held,
    )


def differences(
    expected: Trace, received: Trace, tolerance: Tolerance, *, with_outputs: bool = True
) -> Iterator[Difference]:
    """Yields every number that is compared.

    Args:
        expected: as a sample holds it: a few answers.
        received: of the same sizes, shapes and words, with all answers.
        tolerance: of the sample, for this machine.
        with_outputs: whether raw outputs are compared too, beside pixels and results.
    """
    for held, got in zip(expected.inputs, received.inputs, strict=True):
        yield from _digest_differences(held, got, tolerance.pixels if len(held.shape) == _PIXEL_AXES else 0.0)
    for held, got in zip(expected.outputs, received.outputs, strict=True) if with_outputs else ():
        yield from _digest_differences(held, got, tolerance.outputs * held.largest)
    for what, number in expected.result.numbers.items():
        yield Difference(what, number, received.result.numbers[what], tolerance.results)


def _tolerance(allowed: Tolerance, limit: Tolerance, least: float) -> Tolerance:
    """Returns what a file allows, within what the runtime does, and of results no less than rounding needs."""
    capped = allowed.capped(limit)
    return replace(capped, results=max(capped.results, least))


def _computes_alike(predictor: Predictor, claims: Evidence) -> bool:
    """Whether the same kernels compute here as where the file was proven."""
    same_version = claims.provenance.versions.get("onnxruntime") == onnxruntime.__version__
    return same_version and predictor.provider == CPU and claims.cpu_family == cpu_family()


def _check(predictor: Predictor, sample: GoldenSample, tolerance: Tolerance, *, with_outputs: bool) -> SampleCheck:
    expected = sample.trace
    try:
        received = trace(predictor, sample.image_bytes, sample.question, proposals=sample.proposals)
    except EdgeCNNError as error:
        return SampleCheck(sample.name, False, expected.result.told, str(error).rstrip("."), None)
    forms = _form(expected, expected.result), _form(received, expected.result)
    if forms[0] != forms[1]:
        return SampleCheck(sample.name, False, *forms, None)
    compared = differences(expected, received, tolerance, with_outputs=with_outputs)
    worst = max(compared, key=lambda difference: difference.excess)
    answers = expected.result.told, received.result.told
    if worst.passed:
        return SampleCheck(sample.name, True, *answers, worst)
    return SampleCheck(
        sample.name,
        False,
        f"{answers[0]} ({worst.what} {worst.expected:.7g}, within {worst.allowed:.2g})",
        f"{answers[1]} ({worst.what} {worst.received:.7g})",
        worst,
    )


def _digest_differences(expected: Digest, received: Digest, allowed: float) -> Iterator[Difference]:
    for number in ("largest", "mean", "rms", "signed"):
        values = getattr(expected, number), getattr(received, number)
        yield Difference(f"{expected.name} {number}", *values, allowed)


def _form(trace: Trace, held: Held) -> str:
    """Returns what must be the same exactly, in words: sizes, shapes, and of the result what is held."""
    shapes = ", ".join(f"{part.name} {part.shape}" for part in (*trace.inputs, *trace.outputs))
    words = ", ".join(f"{what}: {trace.result.words.get(what, 'none')}" for what in held.words)
    missing = ", ".join(f"no {what}" for what in held.numbers if what not in trace.result.numbers)
    return f"an image of {trace.image_size} (height, width), {shapes}, {words}{missing and f', {missing}'}"
