import pytest

from edgecnn.errors import UsageError
from edgecnn.quantize_config import QuantizeConfig, read_quantize_options


def test_read_quantize_options_gives_nothing_for_float32():
    assert read_quantize_options("none") is None


def test_read_quantize_options_takes_the_defaults_of_the_contract():
    assert read_quantize_options("int8") == QuantizeConfig("int8", 300, 0.01, 1.0, strict=False, reduce_range=False)


def test_read_quantize_options_takes_what_was_given():
    read = read_quantize_options("int8", calibration_samples=40, max_drop=0.0, min_speedup=0.0, reduce_range=True)
    assert read == QuantizeConfig("int8", 40, 0.0, 0.0, strict=False, reduce_range=True)


@pytest.mark.parametrize(
    ("quantize", "options", "needed"),
    [
        ("none", {"max_drop": 0.0}, "int8 or fp16"),
        ("none", {"min_speedup": 0.0}, "int8 or fp16"),
        ("none", {"strict": True}, "int8 or fp16"),
        ("none", {"calibration_samples": 300}, "int8"),
        ("fp16", {"calibration_samples": 300}, "int8"),
        ("fp16", {"reduce_range": True}, "int8"),
        ("fp16", {"tune_for": "amx"}, "int8"),
        ("none", {"tune_for": "amx"}, "int8"),
    ],
)
def test_read_quantize_options_refuses_what_cannot_take_effect(quantize, options, needed):
    option = next(iter(options)).replace("_", "-")
    with pytest.raises(UsageError, match=rf"--{option}: it cannot take effect with --quantize {quantize}.*{needed}\."):
        read_quantize_options(quantize, **options)


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"calibration_samples": 1}, "--calibration-samples"),
        ({"max_drop": -0.1}, "--max-drop"),
        ({"max_drop": float("nan")}, "--max-drop"),
        ({"min_speedup": -1.0}, "--min-speedup"),
        ({"min_speedup": float("inf")}, "--min-speedup"),
    ],
)
def test_config_refuses_numbers_out_of_range(options, option):
    with pytest.raises(UsageError, match=f"{option}: expected"):
        QuantizeConfig("int8", **options)
