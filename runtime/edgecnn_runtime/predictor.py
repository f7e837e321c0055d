"""The Predictor: Preprocessor, Session and decoding as one, for devices to embed."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from io import IOBase
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgecnn_runtime.agreement import check_agreement
from edgecnn_runtime.allocation import release_free_memory
from edgecnn_runtime.container import ModelFile, parse_model_file, read_model_file
from edgecnn_runtime.decoders import Decoder
from edgecnn_runtime.errors import (
    EdgeCNNError,
    ImageError,
    ManifestError,
    ModelFileError,
    OutputError,
    ProposalsError,
    ResourceError,
    SessionError,
)
from edgecnn_runtime.evidence import Evidence
from edgecnn_runtime.forks import loading_again
from edgecnn_runtime.images import ImageSource
from edgecnn_runtime.inputs import Inputs, Prepared, join
from edgecnn_runtime.integrity import read_claims, read_evidence, read_manifest
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.model import Feeds, Model, read_by, run_all
from edgecnn_runtime.other_processor import warn_of_other_processor
from edgecnn_runtime.proposals import Proposals, Proposer
from edgecnn_runtime.providers import CPU, Device
from edgecnn_runtime.results import Failure, Result, Speed
from edgecnn_runtime.session import Session
from edgecnn_runtime.sources import Source, expand
from edgecnn_runtime.tasks.table import get_task

if TYPE_CHECKING:
    from edgecnn_runtime.verification import Verification

_LOGGER = logging.getLogger(__name__)


class Predictor:
    """A model file that answers images; safe to call from several threads, and picklable.

    A pickled Predictor loads its path again, and refuses a file that is another one by then.

    In a process that is forked after `load` (gunicorn --preload, multiprocessing's "fork") the threads of ONNX Runtime
    are missing. With threads=1 on the CPU none are, and the child shares the parent's weights. Else the child loads the
    path again with its first answer, if the file is the same still; a Predictor from bytes says that it must be loaded
    after the fork. Fork while no answer is being computed. docs/servers.md shows a server.

    Attributes:
        manifest: what the file says about its inputs, labels, decoder and outputs.
        evidence: what was proven about the file; None where there is none, or where it was altered and that is allowed.
        claims: the evidence, or what an altered file still says was proven; only for `verify` to compare with.
        verification: what they gave on this machine, where `load` was asked to verify; else None.
        session: the loaded graph.
        inputs: from an image to what the graph takes, and where the image lies in its pixels.
    """

    def __init__(self, session: Session, manifest: Manifest, evidence: Evidence | None = None) -> None:
        """Joins a loaded graph and its manifest; `Predictor.load` does so from a file.

        Raises:
            ManifestError: they contradict each other.
        """
        check_agreement(manifest, session)
        self.manifest = manifest
        self.evidence = evidence
        self.claims = evidence
        self.verification: Verification | None = None
        self._take(session)
        self.inputs = Inputs(manifest)
        self._task = get_task(manifest.task)
        self._origin: _Origin | None = None
        self._least: dict[str, float] = {}  # the least score that is listed, where one was named

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | bytes,
        *,
        device: Device = "auto",
        threads: int | None = None,
        spinning: bool = False,
        allow_modified: bool = False,
        verify: bool = False,
    ) -> "Predictor":
        """Loads a model file.

        Args:
            path: of the file, or all its bytes; what was loaded from bytes cannot be pickled.
            device: "cpu"; "cuda", which never falls back; "auto", which is CUDA where it works and else the CPU.
            threads: 1 or more; None is one for each CPU that this process may use.
            spinning: whether waiting threads burn CPU time: faster back to back, wasteful at a few calls a second.
            allow_modified: whether a file that was altered after its export, or that holds no evidence or no hash, is
                run all the same, without evidence; the log says so once.
            verify: whether the golden samples that travel in the file are answered first and compared; costs at most
                four answers. Without it a file of reduced precision that was checked on another processor family
                gives a warning.

        Raises:
            ModelFileError: the file is missing, damaged, altered, unproven, or needs a newer opset or IR version; or it
                is to be verified and holds no golden samples.
            ResourceError: memory or threads ran out.
            ManifestError: the manifest is missing, damaged, of another schema version, or contradicts the graph.
            ProviderError: device "cuda" cannot be used here.
            VerificationError: a golden sample is answered otherwise than it must be; both answers are named.
            TypeError: path is none.
        """
        options = _Options(device, threads, spinning, allow_modified, verify)
        if isinstance(path, bytes):
            return cls._open(parse_model_file(path, "the model's bytes"), None, options)
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"path: expected the path of a model file or its bytes, received {type(path).__name__}")
        return cls._open(read_model_file(path), str(Path(path).absolute()), options)

    @classmethod
    def _open(cls, file: ModelFile, path: str | None, options: "_Options") -> "Predictor":
        with contextlib.closing(file.payload):
            evidence = read_evidence(file, allow_modified=options.allow_modified)
            predictor = cls._join(file, evidence, options)
            if evidence is None:
                predictor.claims = read_claims(file)
        release_free_memory()
        predictor._origin = _Origin(path, file.sha256, file.metadata_sha256, options)
        if options.verify:
            from edgecnn_runtime.verification import verify_file  # only where asked for: it makes the import longer

            predictor.verification = verify_file(predictor, file.name)
        elif evidence is not None and predictor.provider == CPU:
            warn_of_other_processor(evidence, file.name)
        return predictor

    @classmethod
    def _join(cls, file: ModelFile, evidence: Evidence | None, options: "_Options") -> "Predictor":
        manifest = read_manifest(file)
        try:
            return cls(options.session(file, evidence), manifest, evidence)
        except (ModelFileError, ManifestError, ResourceError) as error:
            raise type(error)(f"{file.name}: {error}") from error

    def with_decoder(self, decoder: Decoder) -> "Predictor":
        """Returns a Predictor of the same loaded graph that reads its outputs otherwise: by other thresholds, say.

        `verify` holds the file's own decoder against its samples, so it is for a Predictor as `load` gives it.

        Args:
            decoder: usually `dataclasses.replace(predictor.manifest.decoder, ...)`.

        Raises:
            ManifestError: it does not fit the outputs, or a number in it is out of range.
        """
        other = Predictor(self.session, replace(self.manifest, decoder=decoder), self.evidence)
        other.claims, other.verification, other._origin = self.claims, self.verification, self._origin
        other._least = self._least
        return other

    def with_score_threshold(self, score_threshold: float) -> "Predictor":
        """Returns a Predictor of the same loaded graph that lists nothing below a score.

        Of a model that finds any number of boxes it is the decoder's threshold for all classes, which overrules the
        file's own. Of one whose answer is one class, `predictions` leave out classes below it, and a result that is
        below it altogether `is_unsure`: `predictions` are empty, `lines` say so. Its `top`, `label` and `score` stay
        those of the best class.

        Args:
            score_threshold: 0 to 1.

        Raises:
            ValueError: it is no such number, or the model's answers have no scores to compare with it.
            ManifestError: the decoder does not take it.
        """
        if not 0 <= score_threshold <= 1:
            raise ValueError(f"score_threshold: expected 0 to 1, received {score_threshold}")
        decoder = self.manifest.decoder
        if "score_threshold" in {known.name for known in fields(decoder)}:
            changed: dict[str, Any] = {"score_threshold": score_threshold, "operating_points": None}
            return self.with_decoder(replace(decoder, **changed))
        if not self._task.unsure:
            raise ValueError(f"score_threshold: expected a model whose answers have scores, received {decoder.kind!r}")
        other = self.with_decoder(decoder)
        other._least = {"least_score": float(score_threshold)}
        return other

    @property
    def provider(self) -> str:
        """The execution provider that runs the graph."""
        return self.session.provider

    @property
    def batch(self) -> int | None:
        """The graph's fixed batch size; None where it is free, and where tiles of one image fill it."""
        return self._batch

    def run(self, feeds: Feeds) -> dict[str, npt.NDArray[Any]]:
        """Returns the raw outputs of what is ready for the graph, one row an image.

        Args:
            feeds: one array an input, N rows each, as `inputs` makes them; N may be any number of 1 or more.

        Raises:
            SessionError: the shape is not what the graph takes, or the run failed.
            ModelFileError: the process was forked since `load`, and the file is another one now.
        """
        if self.session.lost:
            self._load_again()
        return run_all(self._model, feeds, self.batch)

    def predict(self, image: ImageSource, question: str | None = None, *, proposals: Proposals | None = None) -> Result:
        """Returns the result of one image, or the answer to a question about it.

        A path, its bytes, the Pillow image that `Image.open` gives of it, and its array give equal answers: EXIF turns
        are undone for these first three. A Pillow image that was made from another (rotate, transpose, resize, convert,
        copy, ...) is taken as it is, whatever its EXIF still says.

        Args:
            image: a path, the bytes of a file, a Pillow image, or a uint8 array (H,W), (H,W,1) or (H,W,3) in RGB order.
            question: about it, for a model that takes one.
            proposals: for a model that looks at regions which it does not propose itself: boxes of the picture, (P, 4)
                xyxy in its pixels, or a function that proposes some on the network's pixels, (H, W, C) uint8.

        Raises:
            ImageError: the image cannot be read or is refused.
            QuestionError: the model takes a question, and there is none or one without a word; or it takes none.
            ProposalsError: likewise of regions; or they are no boxes.
            TypeError: the image is none of these.
            OutputError: the network answered with NaN or infinity.
            SessionError: the run failed.
        """
        start = perf_counter()
        prepared = self.inputs(image, question, proposals=proposals)
        waiting = _Waiting(_name(image), prepared, (perf_counter() - start) * 1000)
        (result,) = self._run(prepared.feeds, [waiting])
        if isinstance(result, EdgeCNNError):
            raise result
        return result

    def predict_batch(
        self,
        images: Sequence[ImageSource],
        *,
        questions: Sequence[str] | None = None,
        proposals: Proposer | Sequence[Proposals] | None = None,
    ) -> list[Result | Failure]:
        """Returns one result or failure an image, in their order; of a model that takes questions one for each of them.

        An image that cannot be read, is no image at all, or finds no memory is one failure; the others are answered. An
        image is read once for all questions, whose answers follow each other.

        Images are run together as far as the graph's batch size allows; with a free batch size, all that have the same
        input size. A fixed batch that is not full is filled up with copies, whose results are dropped.

        Args:
            images: a list, or the like, of what `predict` takes; an array (N, H, W, C) is N images.
            questions: about every image, for a model that takes them.
            proposals: for a model that takes them, as for `predict`: one entry an image, or one function for all.

        Raises:
            QuestionError: as `predict` raises it.
            ProposalsError: as `predict` raises it where there are none, or of another number of images.
            TypeError: images is one image, or nothing that holds images.
        """
        if isinstance(images, np.ndarray) and images.ndim == 4:  # (N, H, W, C)
            images = list(images)
        if isinstance(images, str | os.PathLike | Image.Image | np.ndarray) or not _holds_images(images):
            raise TypeError(
                f"images: expected a list of images, received {type(images).__name__}. Give [image], or call predict."
            )
        sources = [Source(_name(image), image) for image in images]
        questions = self._checked(questions, proposals)
        given = [proposals] * len(sources) if proposals is None or callable(proposals) else list(proposals)
        if len(given) != len(sources):
            raise ProposalsError(f"proposals: expected one entry an image, {len(sources)}, received {len(given)}")
        return self._answer(sources, questions, given)

    def stream(
        self,
        sources: ImageSource | Iterable[ImageSource | Source | Failure],
        *,
        batch_size: int | None = None,
        questions: Sequence[str] | None = None,
        proposals: Proposer | Mapping[str, npt.ArrayLike] | None = None,
    ) -> Iterator[Result | Failure]:
        """Yields one result or failure an image, as they come; nothing accumulates, and no bad image ends it.

        Of a model that takes questions there is one for each question; an image is read once for all of them.

        Args:
            sources: one or many of: a file, a directory, a glob, "@list.txt" or "@-" (paths), "-" (image on stdin), all
                that `predict` takes, and what `sources.iter_sources` yields. An iterator may be endless.
            batch_size: how many images run together; None is the graph's fixed batch size, or 1 where that is free.
            questions: about every image, for a model that takes them.
            proposals: for a model that takes them: a function as for `predict`, or boxes by the image's path, or its
                last part.

        Raises:
            QuestionError: as `predict` raises it.
            ProposalsError: as `predict` raises it where there are none; an image without some is a failure.
            ValueError: batch_size is below 1 or above the graph's fixed batch size.
            TypeError: sources is an open file, or nothing that holds images.
        """
        one = isinstance(sources, str | os.PathLike | bytes | Image.Image | np.ndarray)
        if not one and not _holds_images(sources):
            raise TypeError(
                "sources: expected a path, an image, or an iterable of them, received "
                f"{type(sources).__name__}. Of an open file give the path or the bytes: file.read()."
            )
        size = (self.batch or 1) if batch_size is None else batch_size
        if size < 1 or (self.batch is not None and size > self.batch):
            limit = f"to {self.batch}, the graph's fixed batch size" if self.batch is not None else "or more"
            raise ValueError(f"batch_size: expected 1 {limit}, received {size}")
        return self._stream(sources, size, self._checked(questions, proposals), proposals)

    def __reduce__(self) -> tuple[Callable[..., "Predictor"], tuple["_Origin", Decoder, dict[str, float]]]:
        if self._origin is None or self._origin.path is None:
            raise TypeError(
                "only a Predictor that Predictor.load made from a path can be pickled, because it is loaded again"
            )
        return _load, (self._origin, self.manifest.decoder, self._least)

    def _take(self, session: Session) -> None:
        """Answers by a loaded graph from now on."""
        model: Model = read_by(session, self.manifest)
        batch = together = session.batch
        if self.manifest.decoder.cut_into() is not None:
            from edgecnn_runtime.tiles import of_pictures  # few files are read so

            (model, batch), together = of_pictures(model, self.manifest, batch), 1
        self._batch, self._together, self._model, self.session = batch, together, model, session

    def _checked(self, questions: Sequence[str] | None, proposals: Any) -> Sequence[str] | None:
        """Returns the questions, once it is seen that the network can take them, and the regions."""
        if isinstance(questions, str):
            raise TypeError("questions: expected a list of texts, received one text. Give [question], or call predict.")
        self.inputs.read(questions)
        self.inputs.check_proposals(proposals)
        return questions

    def _load_again(self) -> None:
        """Replaces a session whose threads are the parent's."""
        with loading_again():
            if self.session.lost and self._origin is not None and self._origin.path is not None:
                with contextlib.closing((file := self._origin.read()).payload):
                    session = self._origin.options.session(file, self.evidence)
                self._take(session)
                release_free_memory()
                _LOGGER.info("%s: loaded again in the forked process %d", file.name, os.getpid())

    def _stream(
        self,
        sources: ImageSource | Iterable[ImageSource | Source | Failure],
        batch_size: int,
        questions: Sequence[str] | None,
        proposals: Proposer | Mapping[str, npt.ArrayLike] | None,
    ) -> Iterator[Result | Failure]:
        waiting: list[Source | Failure] = []
        given: list[Proposals | None] = []
        for source in expand(sources):
            waiting.append(source)
            given.append(_proposals_of(source, proposals) if isinstance(proposals, Mapping) else proposals)
            if len(waiting) == batch_size:
                yield from self._answer(waiting, questions, given)
                waiting, given = [], []
        yield from self._answer(waiting, questions, given)

    def _answer(
        self,
        sources: Sequence[Source | Failure],
        questions: Sequence[str] | None,
        proposals: Sequence[Proposals | None],
    ) -> list[Result | Failure]:
        """Returns one answer a source and question: prepares each, runs those of one size together, keeps the order."""
        answers: dict[int, Result | Failure] = {}
        ready: dict[tuple[tuple[int, ...], ...], list[tuple[int, _Waiting]]] = {}
        pairs = zip(sources, proposals, strict=True)
        every = [one for source, given in pairs for one in self._prepare(source, questions, given)]
        for index, prepared in enumerate(every):
            if isinstance(prepared, Failure):
                answers[index] = prepared
            else:
                ready.setdefault(tuple(values.shape for values in prepared.ready.feeds.values()), []).append(
                    (index, prepared)
                )
        for same_size in ready.values():
            step = self._together or len(same_size)
            for first in range(0, len(same_size), step):
                indices, items = zip(*same_size[first : first + step], strict=True)
                answers.update(zip(indices, self._answer_batch(items), strict=True))
        return [answers[index] for index in range(len(every))]

    def _prepare(
        self, source: Source | Failure, questions: Sequence[str] | None, proposals: Proposals | None
    ) -> "Sequence[_Waiting | Failure]":
        """Returns what is ready to run, one a question; the time that it took is that of the first."""
        if isinstance(source, Failure):
            return [source]
        start = perf_counter()
        try:
            ready = self.inputs.of_questions(source.image, questions, proposals=proposals)
        except (ImageError, ProposalsError) as error:
            return [Failure.of(source.name, error)]
        except MemoryError:
            return [Failure.for_memory(source.name)]
        first_ms = (perf_counter() - start) * 1000
        return [_Waiting(source.name, one, 0.0 if index else first_ms) for index, one in enumerate(ready)]

    def _answer_batch(self, items: Sequence["_Waiting"]) -> list[Result | Failure]:
        names = [item.name for item in items]
        try:
            feeds = items[0].ready.feeds if len(items) == 1 else join([item.ready.feeds for item in items])
            results = self._run(feeds, items)
        except SessionError as error:
            return [Failure.of(name, error) for name in names]
        except MemoryError:
            return [Failure.for_memory(name) for name in names]
        return [
            Failure.of(name, result) if isinstance(result, EdgeCNNError) else result
            for name, result in zip(names, results, strict=True)
        ]

    def _run(self, feeds: Feeds, items: Sequence["_Waiting"]) -> list[Result | OutputError]:
        """Returns one result an item, or the error of that item alone; `feeds` are those of all, joined."""
        start = perf_counter()
        outputs = self.run(feeds)
        inference_ms = (perf_counter() - start) * 1000 / len(items)
        preprocess_ms = sum(item.preprocess_ms for item in items) / len(items)
        results: list[Result | OutputError] = []
        for index, item in enumerate(items):
            start, placement = perf_counter(), item.ready.placement
            row = {output: values[index : index + 1] for output, values in outputs.items()}
            try:
                result = self._task.decode(self.manifest, row, [placement])[0]
            except OutputError as error:
                results.append(error)
                continue
            speed = Speed(preprocess_ms, inference_ms, (perf_counter() - start) * 1000)
            provider = self.session.provider
            results.append(
                replace(
                    result,
                    source=item.name,
                    provider=provider,
                    speed_ms=speed,
                    frames=placement.frames,
                    question=item.ready.question,
                    **self._least,
                )
            )
        return results


class _Waiting(NamedTuple):
    """An image that is ready to run, with its name and the time that took."""

    name: str | None
    ready: Prepared
    preprocess_ms: float


class _Options(NamedTuple):
    """How a file is loaded, as `Predictor.load` takes it."""

    device: Device
    threads: int | None
    spinning: bool
    allow_modified: bool
    verify: bool

    def session(self, file: ModelFile, evidence: Evidence | None) -> Session:
        tf32 = evidence is not None and evidence.precision == "float16"
        return Session(file.payload, device=self.device, threads=self.threads, spinning=self.spinning, tf32=tf32)


class _Origin(NamedTuple):
    """Where a Predictor came from, so that another process can load the same one."""

    path: str | None
    sha256: str
    metadata_sha256: str
    options: _Options

    def read(self) -> ModelFile:
        """Reads the file again.

        Raises:
            ModelFileError: it is missing, or another one.
        """
        file = read_model_file(self.path or "")
        expected, received = (self.sha256, self.metadata_sha256), (file.sha256, file.metadata_sha256)
        if expected == received:
            return file
        file.payload.close()
        raise ModelFileError(
            f"{file.name}: expected the file that the Predictor was loaded from (SHA-256 of graph and metadata "
            f"{' and '.join(expected)}), received another ({' and '.join(received)}). Load a new Predictor from it."
        )


def _load(origin: _Origin, decoder: Decoder, least: dict[str, float]) -> Predictor:
    predictor = Predictor._open(origin.read(), origin.path, origin.options)
    predictor = predictor if decoder == predictor.manifest.decoder else predictor.with_decoder(decoder)
    predictor._least = least
    return predictor


def _holds_images(images: object) -> bool:
    """Whether it can be gone through image by image; a file's lines, bytes and keys are none."""
    return isinstance(images, Iterable) and not isinstance(images, bytes | bytearray | memoryview | Mapping | IOBase)


def _name(image: ImageSource) -> str | None:
    return os.fspath(image) if isinstance(image, str | os.PathLike) else None


def _proposals_of(source: Source | Failure, proposals: Mapping[str, npt.ArrayLike]) -> npt.ArrayLike | None:
    """Returns the boxes that stand for a source under its path or, where that is not there, its last part."""
    name = source.name if isinstance(source, Source) else None
    if name is None:
        return None
    return proposals.get(name, proposals.get(Path(name).name))
