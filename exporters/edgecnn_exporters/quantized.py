"""A file of fewer bits from a float32 file that is proven: made, judged, and made again until it keeps its budgets."""

import logging
from dataclasses import dataclass
from pathlib import Path

from edgecnn_exporters.candidate import Candidate
from edgecnn_exporters.proof.compare import ParityReport
from edgecnn_exporters.quantization.config import QuantizationConfig
from edgecnn_exporters.quantization.search import Try, search
from edgecnn_exporters.quantization.workshop import FileWorkshop, Judge, Stages
from edgecnn_runtime.evidence import Gate, Quantization

_LOGGER = logging.getLogger(__name__)


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
    float32: Candidate, config: QuantizationConfig, folder: Path, *, judge: Judge, stages: Stages
) -> Quantized:
    """Makes files of fewer bits until one keeps the budget of the metric, or nothing is left to try.

    Args:
        float32: the file to start from.
        config: what is asked for.
        folder: for what is made.
        judge: compares a file with the source.
        stages: is entered with the name of each stage.

    Raises:
        CalibrationError: the images are too few or there is nothing on them.
        QuantizationError: no layer can be of that precision, or the quantizer fails.
    """
    workshop = FileWorkshop(float32, config, folder, judge, stages)
    tries: list[Try] = []
    for one in search(workshop) if config.precision == "int8" else iter([workshop.attempt_float16()]):
        _LOGGER.info("try %d: %s", len(tries) + 1, one.describe())
        tries.append(one)
    return Quantized(workshop.candidate, workshop.parity, workshop.quantization(tries[-1]), tuple(tries))
