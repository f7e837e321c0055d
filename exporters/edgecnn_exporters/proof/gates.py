"""What stands between a file and its name: from the numbers of a comparison to verdicts, by precision."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgecnn_runtime.evidence import Gate, MetricParity, Precision

TENSOR_BUDGET = 1e-4  # of an output's own maximum, float32
HALF_TENSOR_BUDGET = 1e-2  # likewise, float16 where there are no labels
# Float32, of what `Agreement.relative` holds by that name: of an image's best score; what the IoU of boxes lacks of 1;
# the part of the pixels whose class is another.
RESULT_BUDGETS: Mapping[str, float] = {"scores": 1e-3, "boxes": 1e-2, "pixels": 1e-3}
# The root mean square of the differences, as a part of the source's own spread over the images. Measured, ADR 0018:
# int8 up to 0.19 and float16 up to 0.007; an output that does not depend on the image is off by 1, half a one by 0.7.
SPREAD_BUDGETS: Mapping[str, float] = {"int8": 0.5, "float16": 0.05}
# The part of the images of which the source is sure (twice the score of its second class) that get another class, over
# what the metric may lose. Measured: none.
DISAGREEMENT_BUDGET = 0.1
PIXELS_BUDGET = 0.02  # likewise, of class maps: the part of the pixels. Measured: .003 at most
METRIC_BUDGET = 1e-3  # absolute, float32; never less than what one image weighs
_Z = 1.645  # one-sided 95 %


@dataclass(frozen=True, slots=True)
class Compared:
    """The numbers that verdicts are made of.

    Attributes:
        images: how many were compared.
        non_finite: on how many of them an output was NaN or infinite.
        max_relative: the largest difference of an output, as a part of its own maximum.
        spread_error: the root mean square of an output's differences, as a part of the source's spread over the images.
        results: the largest difference of each kind of number in a result, a key of `RESULT_BUDGETS`.
        disagreements: on how many images the best answers differ though the source's margin exceeds the tolerance.
        decided: on how many images the source is sure of its best answer.
        decided_disagreement: the part of those on which the file's best answer is another, or of their answers.
        metric: of both; None without labels.
        drops: (N,) what each image takes from the metric, source minus file; None where the metric is no mean.
    """

    images: int
    non_finite: int
    max_relative: float
    spread_error: float
    results: Mapping[str, float]
    disagreements: int
    decided: int
    decided_disagreement: float
    metric: MetricParity | None
    drops: npt.NDArray[np.float64] | None


Gates = Callable[[Compared], tuple[Gate, ...]]


def float32_gates(numbers: Compared) -> tuple[Gate, ...]:
    """Returns the verdicts on a file of the source's own precision: equal up to rounding."""
    gates = [
        _at_most("parity.non_finite_images", 0, numbers.non_finite),
        _at_most("parity.tensors", TENSOR_BUDGET, numbers.max_relative),
        *(_at_most(f"parity.{name}", RESULT_BUDGETS[name], value) for name, value in numbers.results.items()),
        _at_most("parity.decided_disagreements", 0, numbers.disagreements),
    ]
    if numbers.metric is not None:
        budget = max(METRIC_BUDGET, 1 / numbers.images)
        difference = abs(numbers.metric.source - numbers.metric.file)
        gates.append(_at_most(f"parity.{numbers.metric.name}", budget, difference))
    return tuple(gates)


def quantized_gates(precision: Precision, max_drop: float) -> Gates:
    """Returns what judges a file of fewer bits: outputs and best classes always, and the drop of the metric.

    Args:
        precision: of the file, a key of `SPREAD_BUDGETS`.
        max_drop: the most that the metric may lose against the source, absolute.
    """

    def judge(numbers: Compared) -> tuple[Gate, ...]:
        budget = _disagreement_budget(numbers, max_drop)
        answers = (
            _at_most("parity.non_finite_images", 0, numbers.non_finite),
            _at_most("parity.outputs", SPREAD_BUDGETS[precision], numbers.spread_error),
            _at_most("parity.decided_disagreement", budget, numbers.decided_disagreement),
        )
        if numbers.metric is None:
            return *answers, _at_most("parity.tensors", HALF_TENSOR_BUDGET, numbers.max_relative)
        return *answers, _drop_gate(numbers.metric, numbers.drops, max_drop)

    return judge


def _disagreement_budget(numbers: Compared, max_drop: float) -> float:
    """Returns the budget, which forbids neither one image of few nor what the metric may lose."""
    lost = max(max_drop, 0.0)
    if "pixels" in numbers.results:
        return min(1.0, PIXELS_BUDGET + lost)
    return min(1.0, max(DISAGREEMENT_BUDGET + lost, 1 / max(numbers.decided, 1)))


def upper_bound(drops: npt.NDArray[np.float64]) -> float:
    """Returns the one-sided 95 % bound on the mean of paired differences.

    Half an image is added to each of the four outcomes of a pair (both right, both wrong, either alone), so that the
    bound stays honest where few answers differ or none.

    Args:
        drops: (N,) differences in -1 .. 1, N at least 1.

    Reference: Agresti and Min 2005, Simple improved confidence intervals for comparing matched proportions.

    Example:
        >>> round(upper_bound(np.zeros(1000)), 5)
        0.00164
    """
    count = len(drops) + 2
    mean = float(drops.sum()) / count
    variance = (float(np.square(drops).sum()) + 1) / count - mean**2
    return mean + _Z * math.sqrt(variance / count)


def _drop_gate(metric: MetricParity, drops: npt.NDArray[np.float64] | None, budget: float) -> Gate:
    name = f"parity.{metric.name}_drop"
    if drops is None or not len(drops):
        return _at_most(name, budget, round(metric.source - metric.file, 12))
    value, bound = float(drops.sum()) / len(drops), upper_bound(drops)
    return Gate(name, float(budget), value, value <= budget, bound, decided=bound <= budget)


def _at_most(name: str, budget: float, value: float) -> Gate:
    return Gate(name, float(budget), float(value), bool(value <= budget))
