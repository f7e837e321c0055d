"""Makes one file of fewer bits after the other from a float32 file, and judges each."""

import itertools
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto

from edgecnn_exporters.candidate import Candidate
from edgecnn_exporters.files import writing
from edgecnn_exporters.proof.parity_report import ParityReport
from edgecnn_exporters.proof.synthetic import synthetic_batches
from edgecnn_exporters.quantization.calibration import (
    CalibrationImages,
    Calibrator,
    Method,
    check_images,
    feeds_of,
)
from edgecnn_exporters.quantization.config import QuantizationConfig
from edgecnn_exporters.quantization.quantize import (
    INT8_OPERATORS,
    Layers,
    float16_layers,
    int8_layers,
    quantize_int8,
    to_float16,
    write_source,
)
from edgecnn_exporters.quantization.search import search
from edgecnn_exporters.quantization.speed import Speedup, measure_speedup
from edgecnn_exporters.quantization.tries import Try
from edgecnn_exporters.regions import compute_layers, not_of_image_alone, with_producer
from edgecnn_exporters.rewrites import rewrite, tune_for_amx
from edgecnn_runtime.evidence import AMX_WEIGHTS, Calibration, Gate, Quantization
from edgecnn_runtime.machine import has_amx
from edgecnn_runtime.model import Feeds
from edgecnn_runtime.providers import cuda_problem
from edgecnn_runtime.session import Session

_LOGGER = logging.getLogger(__name__)
_NO_REWRITES: tuple[str, ...] = ()
_CORRECTED = ("bias_correction",)
_SENSITIVITY_IMAGES = 16
_SMALLEST = float(np.finfo(np.float32).tiny)

Judge = Callable[[Candidate], ParityReport]
Stages = Callable[[str], AbstractContextManager[None]]


class FileWorkshop:
    """Makes one file after the other; the last one stays.

    Attributes:
        candidate: the last file.
        parity: of the last file against the source.
    """

    candidate: Candidate
    parity: ParityReport

    def __init__(
        self,
        float32: Candidate,
        config: QuantizationConfig,
        calibration: CalibrationImages | None,
        folder: Path,
        judge: Judge,
        stages: Stages,
    ) -> None:
        """Looks at the calibration images and writes the graph to start from.

        Args:
            float32: the file to start from.
            config: what is asked for.
            calibration: the images that int8 takes its ranges from; None for float16.
            folder: for what is made.
            judge: compares a file with the source.
            stages: is entered with the name of each stage.

        Raises:
            CalibrationError: the images are too few or there is nothing on them.
            ExportError: a file cannot be written.
        """
        self._float32, self._config, self._folder, self._calibration = float32, config, folder, calibration
        self._judge, self._stages = judge, stages
        self._float32_payload = float32.payload()
        self._model, self._rewrites = onnx.load_from_string(self._float32_payload), _NO_REWRITES
        if config.precision == "int8":
            self._model, self._rewrites = rewrite(self._model, precision="int8")
        self._graph, self._count, self._images = self._model.graph, 0, 0
        self._tuned = _NO_REWRITES  # what was done to the last int8 graph
        if calibration is not None:
            self._prepare_int8(calibration.batches)

    def _prepare_int8(self, batches: Iterable[Feeds]) -> None:
        if self._config.tune_for == "amx" and has_amx() is False:
            _LOGGER.warning("--tune-for amx: this processor has no AMX, so the speed-up is measured without it")
        self._images = check_images(batches, self._float32.manifest.image_input.name)
        self._source = self._folder / "source.onnx"
        write_source(self._model, self._source)
        for weight in self._graph.initializer:
            weight.ClearField("raw_data")  # from here on they are read from the disk
        self._calibrated: dict[Method, Path] = {}
        self._calibrator = Calibrator(self._source, batches, batch=self._float32.batch, operators=INT8_OPERATORS)

    @property
    def layers(self) -> frozenset[str]:
        """The names of all layers that can be of fewer bits."""
        image = self._float32.manifest.image_input.name
        return frozenset(compute_layers(self._graph)) - set(not_of_image_alone(self._graph, image))

    def attempt(self, method: Method, float_nodes: frozenset[str]) -> Try:
        """Makes an int8 file with these nodes in float32 and judges it."""
        ranges = self._ranges(method)
        with self._stages(self._next_name()):
            model = self._quantize(ranges, method, float_nodes)
            return self._judged(model, int8_layers, method)

    def attempt_float16(self) -> Try:
        """Makes the float16 file and judges it."""
        with self._stages(self._next_name()):
            return self._judged(to_float16(self._model), float16_layers, None)

    def by_sensitivity(self, method: Method) -> Iterator[tuple[str, ...]]:
        """Yields for each layer the nodes that go back to float32 with it, the most sensitive layer first.

        That is the one without which the outputs are nearest to those of the float32 file, on a few images.
        """
        ranges = self._ranges(method)
        with self._stages("sensitivity"):
            feeds = list(itertools.islice(self._feeds(), _SENSITIVITY_IMAGES))
            expected = list(_answers(self._float32_payload, feeds))
            errors = {}
            quantizable = self.layers
            for layer in (name for name in compute_layers(self._graph) if name in quantizable):
                nodes = with_producer(self._graph, layer)
                model = self._quantize(ranges, method, frozenset(nodes))
                errors[nodes] = _error(expected, _answers(model.SerializeToString(), feeds))
        yield from sorted(errors, key=lambda nodes: errors[nodes])

    def quantization(self, last: Try) -> Quantization:
        """Returns the recipe of the last file."""
        int8 = self._config.precision == "int8"
        if self._config.tune_for == "amx" and not self._tuned:
            _LOGGER.warning("--tune-for amx: no layer is large enough to gain by it, so the file is as without it")
        return Quantization(
            format="QDQ" if int8 else "float16",
            activation_type="uint8" if int8 else "float16",
            weight_type="int8" if int8 else "float16",
            per_channel=int8,
            reduce_range=self._config.reduce_range,
            calibration=None
            if last.calibration is None or self._calibration is None
            else Calibration(last.calibration, self._images, self._calibration.fingerprint),
            layers=last.layers,
            float_layers=last.float_layers,
            rewrites=self._rewrites + (_CORRECTED if int8 else _NO_REWRITES) + self._tuned,
        )

    def _ranges(self, method: Method) -> Path:
        if method in self._calibrated:
            return self._calibrated[method]
        with self._stages(f"calibrate ({method})"):
            self._calibrated[method] = self._calibrator.ranges(method)
        return self._calibrated[method]

    def _next_name(self) -> str:
        self._count += 1
        return f"try {self._count}"

    def _quantize(self, ranges: Path, method: Method, float_nodes: frozenset[str]) -> ModelProto:
        model = quantize_int8(
            self._source,
            ranges,
            method=method,
            image=self._float32.manifest.image_input.name,
            float_nodes=float_nodes,
            reduce_range=self._config.reduce_range,
            means=self._calibrator.means(),
        )
        self._tuned = (AMX_WEIGHTS,) if self._config.tune_for == "amx" and tune_for_amx(model) else ()
        return model

    def _judged(self, model: ModelProto, layers_of: Callable[[ModelProto], Layers], method: Method | None) -> Try:
        if self._count > 1:
            self.candidate.path.unlink()
        path = self._folder / f"try{self._count}.onnx"
        with writing(path):
            self.candidate = Candidate.write(model, path, self._float32.manifest, self._float32.batch)
        payload = self.candidate.payload()
        layers = layers_of(onnx.load_from_string(payload))
        self.parity = self._judge(self.candidate)
        return self._try(layers, method, self._speedup(payload))

    def _try(self, layers: Layers, method: Method | None, speedup: Speedup | None) -> Try:
        metric, gate = self.parity.parity.metric, self.parity.gates[-1]
        assert gate.value is not None, "parity measures no time"
        return Try(
            precision=self._config.precision,
            calibration=method,
            layers=len(layers.reduced),
            float_layers=layers.kept,
            metric=None if metric is None else metric.name,
            source=None if metric is None else metric.source,
            file=None if metric is None else metric.file,
            drop=gate.value,
            bound=gate.bound,
            decided=gate.decided,
            agreement=self.parity.parity.decoded.agreement,
            speedup=speedup,
            size_bytes=self.candidate.graph.written.size_bytes,
            accurate=self.parity.passed,
            fast=None if speedup is None else speedup.ratio >= self._config.min_speedup,
            strict=self._config.strict,
        )

    def _speedup(self, payload: bytes) -> Speedup | None:
        """Returns the speed-up where it says something: of float16 on CUDA only, since CPUs convert it back."""
        if self._config.precision == "int8":
            return measure_speedup(self._float32_payload, payload, next(self._feeds()))
        if cuda_problem() is not None:
            return None
        return measure_speedup(self._float32_payload, payload, next(self._feeds()), device="cuda")

    def _feeds(self) -> Iterator[dict[str, npt.NDArray[Any]]]:
        drawn = (batch.feeds for batch in synthetic_batches(self._float32.manifest))
        return feeds_of(drawn if self._calibration is None else self._calibration.batches, self._float32.batch)


@dataclass(frozen=True, slots=True)
class Quantized:
    """The outcome of the tries.

    Attributes:
        candidate: the last try's file.
        parity: of that file against the source.
        quantization: its recipe.
        tries: all of them.
    """

    candidate: Candidate
    parity: ParityReport
    quantization: Quantization
    tries: tuple[Try, ...]

    def speed_gates(self, config: QuantizationConfig) -> tuple[Gate, ...]:
        """Returns the verdict on the file's speed, without its time, or nothing where it was not measured."""
        last = self.tries[-1]
        return () if last.fast is None else (Gate("speedup", float(config.min_speedup), None, last.fast),)


def quantize_file(
    float32: Candidate,
    config: QuantizationConfig,
    calibration: CalibrationImages | None,
    folder: Path,
    *,
    judge: Judge,
    stages: Stages,
) -> Quantized:
    """Makes files of fewer bits until one keeps the budget of the metric, or nothing is left to try.

    Args:
        float32: the file to start from.
        config: what is asked for.
        calibration: the images that int8 takes its ranges from; None for float16.
        folder: for what is made.
        judge: compares a file with the source.
        stages: is entered with the name of each stage.

    Raises:
        CalibrationError: the images are too few or there is nothing on them.
        QuantizationError: no layer can be of that precision, or the quantizer fails.
    """
    workshop = FileWorkshop(float32, config, calibration, folder, judge, stages)
    tries: list[Try] = []
    for one in search(workshop) if config.precision == "int8" else iter([workshop.attempt_float16()]):
        _LOGGER.info("try %d: %s", len(tries) + 1, one.describe())
        tries.append(one)
    return Quantized(workshop.candidate, workshop.parity, workshop.quantization(tries[-1]), tuple(tries))


def _answers(payload: bytes, feeds: Iterable[Feeds]) -> Iterator[dict[str, npt.NDArray[Any]]]:
    session = Session(payload, device="cpu")
    return (session.run(feed) for feed in feeds)


def _error(expected: Iterable[dict[str, npt.NDArray[Any]]], received: Iterable[dict[str, npt.NDArray[Any]]]) -> float:
    """Returns the squared differences of the outputs as a part of their squares, summed over the outputs.

    Maps may have another size in each run.
    """
    differences, squares = defaultdict[str, float](float), defaultdict[str, float](float)
    for reference, answer in zip(expected, received, strict=True):
        for name, values in reference.items():
            known = values.astype(np.float64)
            differences[name] += float(np.square(answer[name] - known).sum())
            squares[name] += float(np.square(known).sum())
    return sum(differences[name] / max(squares[name], _SMALLEST) for name in differences)
