"""The ranges of the activations, by ONNX Runtime's own calibrators, whose memory does not grow with the images.

A calibrator keeps all that one call of `collect_data` sees, so each call sees one run of the graph.

"trimmed" is MinMax for each run, and then of each end the furthest that is no outlier among the runs, by the fences of
a box plot, or else what nine in ten keep within: one image that a network answers with huge values cannot take the
resolution of all the others. docs/adr/0015 has the measurements.
"""

import contextlib
import io
import itertools
import logging
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import (
    HistogramCollector,
    TensorData,
    TensorsData,
    create_calibrator,
    load_tensors_data,
    save_tensors_data,
)

from edgecnn_exporters.errors import CalibrationError
from edgecnn_exporters.files import writing
from edgecnn_runtime.model import Feeds, runs

Method = Literal["trimmed", "minmax", "percentile", "entropy"]
METHODS: tuple[Method, ...] = get_args(Method)
ENOUGH = 32  # images; fewer are warned about
_MEANS_OF = 64  # runs

_ORT_METHODS = {
    "trimmed": CalibrationMethod.MinMax,
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
_FENCE = 1.5  # interquartile ranges (Tukey 1977)
_KEPT = 90  # per cent of the runs, whatever the fences say
# ONNX Runtime's own defaults make a percentile symmetric and leave entropy one threshold to choose from.
_OPTIONS: dict[str, dict[str, Any]] = {
    "trimmed": {},
    "minmax": {},
    "percentile": {"symmetric": False, "num_bins": 2048, "percentile": 99.99},
    "entropy": {"symmetric": False, "num_bins": 512, "num_quantized_bins": 128},
}
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationImages:
    """What the ranges of int8 are taken from.

    Attributes:
        batches: what the network takes, by the input's name, N rows each; read several times.
        fingerprint: of the data that they are from.

    Raises:
        ValueError: the batches can be read but once.
    """

    batches: Iterable[Feeds]
    fingerprint: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.batches, Iterator):
            raise ValueError("batches: expected an iterable that can be read again, received an iterator")


def ort_method(method: Method) -> Any:
    """Returns ONNX Runtime's name of a method."""
    return _ORT_METHODS[method]


def empty_tensors(ranges: Path) -> frozenset[str]:
    """Returns the names of the tensors that were 0 on all images.

    Args:
        ranges: that `Calibrator.ranges` wrote.
    """
    found = load_tensors_data(ranges).items()
    return frozenset(name for name, tensor in found if not any(np.ravel(limit).any() for limit in tensor.range_value))


def check_images(batches: Iterable[Feeds], input_name: str) -> int:
    """Returns how many images there are, once they are found fit to calibrate with.

    Args:
        batches: as `CalibrationImages` has them, read once to the end.
        input_name: of the graph's image.

    Raises:
        CalibrationError: none, one, or images of a single colour only.
    """
    count, varied = 0, False
    for batch in batches:
        images = batch[input_name]
        count += len(images)
        varied = varied or any(image.min() != image.max() for image in images)
    if count < 2:
        raise CalibrationError(f"calibration: expected at least 2 images, better {ENOUGH} or more, received {count}")
    if not varied:
        raise CalibrationError(
            f"calibration: expected images with something on them, received {count} of a single value each (all "
            "black, for one). Give images like those that the model will see."
        )
    if count < ENOUGH:
        _LOGGER.warning("calibration on %d images: give %d or more, so that the ranges hold", count, ENOUGH)
    return count


class Calibrator:
    """Finds the ranges of a float32 graph's activations, each method once.

    The bins of the histograms are laid out over what MinMax found. Left to themselves they have the width that the
    first images suggest, and one dark image there takes any amount of memory.
    """

    def __init__(self, model: Path, batches: Iterable[Feeds], *, batch: int | None, operators: Sequence[str]) -> None:
        """Prepares the calibration; nothing is run.

        Args:
            model: the graph's file; others appear beside it.
            batches: as `CalibrationImages` has them; read again for each method.
            batch: how many images the graph takes at a time; None for any number.
            operators: types whose inputs and outputs are measured.
        """
        self._model, self._batches, self._operators = model, batches, list(operators)
        self._batch = batch
        self._means: dict[str, npt.NDArray[np.float64]] | None = None

    def ranges(self, method: Method) -> Path:
        """Returns the file with the ranges, for `quantize_static(calibration_cache_path=...)`.

        Raises:
            CalibrationError: a tensor is not finite on any image.
            ExportError: a temporary file cannot be written.
        """
        cache = self._model.with_name(f"{method}.json")
        if not cache.exists():
            layout = load_tensors_data(self.ranges("minmax")) if method in ("percentile", "entropy") else None
            with self._opened(method, layout) as calibrator:
                ranges = self._trimmed(calibrator) if method == "trimmed" else self._whole(calibrator)
            with writing(cache):
                save_tensors_data(ranges, cache)
        return cache

    def means(self) -> Mapping[str, npt.NDArray[np.float64]]:
        """Returns the mean of each channel of what convolutions and Gemms read, (C,), by the tensor's name.

        Over up to 64 runs; what is not finite is left out.

        Raises:
            ExportError: a temporary file cannot be written.
        """
        if self._means is None:
            self._means = self._measured_means()
        return self._means

    def _measured_means(self) -> dict[str, npt.NDArray[np.float64]]:
        model, augmented = onnx.load(self._model), self._model.with_name("means.onnx")
        given = {tensor.name for tensor in (*model.graph.input, *model.graph.initializer)}
        read = {node.input[0]: node.op_type for node in model.graph.node if node.op_type in ("Conv", "Gemm")}
        outputs = {name: f"{name}/mean" if kind == "Conv" else name for name, kind in read.items() if name not in given}
        if not outputs:  # for no names a session answers with everything
            return {}
        known = {tensor.name for tensor in model.graph.output}
        for name, output in outputs.items():
            if output != name:
                model.graph.node.append(onnx.helper.make_node("GlobalAveragePool", [name], [output]))
            if output not in known:
                model.graph.output.append(onnx.helper.make_empty_tensor_value_info(output))
        try:
            with writing(augmented):
                onnx.save(model, augmented)
            options = SessionOptions()
            options.log_severity_level = 3
            session = InferenceSession(augmented, options, providers=["CPUExecutionProvider"])
            sums, runs = defaultdict[str, Any](float), 0
            for feed in itertools.islice(feeds_of(self._batches, self._batch), _MEANS_OF):
                for name, values in zip(outputs, session.run(list(outputs.values()), feed), strict=True):
                    sums[name] = sums[name] + values.astype(np.float64).mean(axis=0).reshape(-1)  # (C,)
                runs += 1
        finally:
            augmented.unlink(missing_ok=True)
        return {name: total / runs for name, total in sums.items() if np.isfinite(total).all()}

    @contextlib.contextmanager
    def _opened(self, method: Method, layout: TensorsData | None) -> Iterator[Any]:
        """Gives a calibrator of ONNX Runtime's, which prints its progress otherwise."""
        augmented = self._model.with_name(f"{method}.onnx")
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                with writing(self._model):
                    calibrator = create_calibrator(
                        self._model,
                        self._operators,
                        augmented_model_path=str(augmented),
                        calibrate_method=_ORT_METHODS[method],
                        extra_options=_OPTIONS[method],
                    )
                if layout is not None:
                    calibrator.collector = _laid_out(calibrator, layout)
                yield calibrator
        finally:
            augmented.unlink(missing_ok=True)

    def _whole(self, calibrator: Any) -> TensorsData:
        for feed in feeds_of(self._batches, self._batch):
            calibrator.collect_data(_Reader(feed))
        return calibrator.compute_data()

    def _trimmed(self, calibrator: Any) -> TensorsData:
        lowest, highest = defaultdict(list), defaultdict(list)
        for feed in feeds_of(self._batches, self._batch):
            calibrator.calibrate_tensors_range = None  # of the runs before
            with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # an image without a number
                calibrator.collect_data(_Reader(feed))
            for name, tensor in calibrator.compute_data().items():
                low, high = (float(np.ravel(limit)[0]) for limit in tensor.range_value)
                lowest[name].append(low)
                highest[name].append(high)
        trimmed = {
            name: TensorData(
                lowest=-_whisker(-np.array(lowest[name], np.float32), name),
                highest=_whisker(np.array(highest[name], np.float32), name),
            )
            for name in lowest
        }
        return TensorsData(CalibrationMethod.MinMax, trimmed)


def _whisker(values: npt.NDArray[np.float32], name: str) -> np.float32:
    """Returns the largest value that is no outlier, or else one that at most one value in ten exceeds."""
    values = values[np.isfinite(values)]
    if not values.size:
        raise CalibrationError(
            f"calibration: {name} is not finite on any image. Train the model again, or check its data."
        )
    first, third, kept = np.percentile(values, [25, 75, _KEPT])
    return np.float32(max(values[values <= third + _FENCE * (third - first)].max(), kept))


def _laid_out(calibrator: Any, layout: TensorsData) -> HistogramCollector:
    """Returns a collector with empty histograms over the ranges that are known."""
    collector = HistogramCollector(
        method=calibrator.method,
        symmetric=calibrator.symmetric,
        num_bins=calibrator.num_bins,
        num_quantized_bins=calibrator.num_quantized_bins,
        percentile=calibrator.percentile,
        scenario=calibrator.scenario,
    )
    for name, tensor in layout.items():
        lowest, highest = (np.float32(np.ravel(limit)[0]) for limit in tensor.range_value)
        reach = max(abs(lowest), abs(highest))
        if reach > 0:
            edges = np.linspace(-reach, reach, calibrator.num_bins + 1, dtype=np.float32)
            counts = np.zeros(calibrator.num_bins, np.int64)
            collector.histogram_dict[name] = (counts, edges, lowest, highest, reach)
    return collector


def feeds_of(batches: Iterable[Feeds], batch: int | None) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Yields what one run of the graph takes; rows that do not fill a fixed batch are filled up with the last one."""
    for feeds in batches:
        yield from (full for full, _ in runs(feeds, batch or 1))


class _Reader:
    """One run, as ONNX Runtime's calibrators ask for it."""

    def __init__(self, feed: Feeds) -> None:
        self._feeds = [feed]

    def get_next(self) -> Feeds | None:
        return self._feeds.pop() if self._feeds else None
