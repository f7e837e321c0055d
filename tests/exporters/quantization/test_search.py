import pytest

from edgecnn_exporters.quantization.search import search
from edgecnn_exporters.quantization.speed import Speedup
from edgecnn_exporters.quantization.tries import Try

LAYERS = ("a", "b", "c", "d")


def outcome(method, kept, drop, budget, ratio):
    speedup = None if ratio is None else Speedup(ratio, 1.0, 1.0 / ratio, 30, 1, 1, "CPUExecutionProvider")
    fast = None if ratio is None else ratio >= 1
    layers = tuple(sorted(kept))
    return Try(
        *("int8", method, 4 - len(layers), layers, "accuracy", 0.9, 0.9 - drop, drop, drop, True, 1.0, speedup, 9),
        *(drop <= budget, fast),
    )


class Fake:
    """Drops by method; each layer back in float32 takes its part away and costs speed."""

    layers = frozenset(LAYERS)

    def __init__(self, drops, gains, *, budget=0.01, ratio=2.0, slower=0.0):
        self.drops, self.gains, self.budget = drops, gains, budget
        self.ratio, self.slower = ratio, slower
        self.ranked = []

    def attempt(self, method, float_nodes):
        drop = self.drops[method] - sum(self.gains[layer] for layer in float_nodes)
        ratio = None if self.ratio is None else self.ratio - self.slower * len(float_nodes)
        return outcome(method, float_nodes, drop, self.budget, ratio)

    def by_sensitivity(self, method):
        self.ranked.append(method)
        yield from ((layer,) for layer in sorted(LAYERS, key=lambda layer: -self.gains[layer]))


def drops(trimmed, minmax=0.5, percentile=0.5, entropy=0.5):
    return {"trimmed": trimmed, "minmax": minmax, "percentile": percentile, "entropy": entropy}


EQUAL = dict.fromkeys(LAYERS, 0.01)


@pytest.mark.parametrize(
    ("given", "methods"),
    [
        (drops(0.01), ["trimmed"]),
        (drops(0.02, 0.0), ["trimmed", "minmax"]),
        (drops(0.02, 0.02, 0.0), ["trimmed", "minmax", "percentile"]),
        (drops(0.02, 0.02, 0.02, 0.0), ["trimmed", "minmax", "percentile", "entropy"]),
    ],
)
def test_search_takes_the_first_calibration_that_is_accurate(given, methods):
    tries = list(search(Fake(given, EQUAL)))
    assert [one.calibration for one in tries] == methods
    assert tries[-1].fits


def test_search_puts_the_most_sensitive_layers_back_one_after_another():
    workshop = Fake(drops(0.3, 0.3, 0.25, 0.4), {"a": 0.01, "b": 0.1, "c": 0.0, "d": 0.15})
    tries = list(search(workshop))
    assert workshop.ranked == ["percentile"]
    assert [one.float_layers for one in tries[4:]] == [("d",), ("b", "d")]
    assert {one.calibration for one in tries[4:]} == {"percentile"}
    assert tries[-1].fits


def test_search_never_puts_all_layers_back():
    tries = list(search(Fake(drops(0.5), dict.fromkeys(LAYERS, 0.0))))
    assert [len(one.float_layers) for one in tries] == [0, 0, 0, 0, 1, 2, 3]
    assert not tries[-1].fits


def test_search_stops_where_more_float32_is_too_slow_already():
    tries = list(search(Fake(drops(0.5), EQUAL, ratio=1.3, slower=0.2)))
    assert [len(one.float_layers) for one in tries] == [0, 0, 0, 0, 1, 2]
    assert tries[-1].fast is False


def test_search_does_not_go_on_when_an_accurate_file_is_slow():
    tries = list(search(Fake(drops(0.0), EQUAL, ratio=0.9)))
    assert [(one.accurate, one.fast, one.fits) for one in tries] == [(True, False, False)]


def test_try_describes_itself_in_one_line():
    assert outcome("minmax", {"a"}, 0.25, 0.01, 2.0).describe() == (
        "int8, minmax, 1 of 4 layers in float32: accuracy drop 0.2500, speed-up 2.00"
    )
    assert outcome("minmax", (), 0.25, 0.01, None).describe().endswith("drop 0.2500, speed-up not measured")
