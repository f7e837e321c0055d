import pytest

from edgecnn.errors import UnknownModelError, UsageError
from edgecnn.exporting.config import ExportConfig
from edgecnn_runtime.golden import MAX_SAMPLES


@pytest.fixture
def paths(tmp_path):
    """A folder and a .keras file."""
    (tmp_path / "run").mkdir()
    (tmp_path / "model.keras").write_bytes(b"")
    return {"run folder": str(tmp_path / "run"), "keras file": str(tmp_path / "model.keras")}


@pytest.mark.parametrize("kind", ["run folder", "keras file"])
def test_config_tells_a_folder_from_a_file(paths, kind):
    assert ExportConfig(paths[kind]).kind == kind


def test_config_takes_a_path_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist_convnet").mkdir()
    assert ExportConfig("mnist_convnet").kind == "run folder"


def test_config_takes_a_name_with_random_weights():
    assert ExportConfig("mnist_convnet", weights="none").kind == "name"


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        ("run folder", "manifest"),
        ("run folder", "weights"),
        ("run folder", "labels"),
        ("keras file", "weights"),
        ("run folder", "image_size"),
        ("keras file", "width"),
    ],
)
def test_config_refuses_an_option_that_cannot_take_effect(paths, tmp_path, kind, option):
    value = {"weights": "none", "image_size": (32, 32), "width": 0.5}.get(option, tmp_path)
    with pytest.raises(UsageError, match=f"--{option.replace('_', '-')}: it cannot take effect"):
        ExportConfig(paths[kind], **{option: value})


def test_config_refuses_a_manifest_for_a_name(tmp_path):
    with pytest.raises(UsageError, match="--manifest"):
        ExportConfig("mnist_convnet", weights="none", manifest=tmp_path)


def test_config_asks_for_weights_of_a_name():
    with pytest.raises(UsageError, match="--weights none"):
        ExportConfig("mnist_convnet")


def test_config_lists_names_near_an_unknown_one():
    with pytest.raises(UnknownModelError, match="did you mean mnist_convnet"):
        ExportConfig("mnist_convnett", weights="none")


def test_config_says_that_a_path_is_missing():
    with pytest.raises(UsageError, match="runs/nothing: expected a run folder"):
        ExportConfig("runs/nothing")


@pytest.mark.parametrize("count", [-1, 5])
def test_config_refuses_a_number_of_golden_samples_out_of_range(paths, count):
    with pytest.raises(UsageError, match=f"--golden-samples: expected 0 to {MAX_SAMPLES}, received {count}"):
        ExportConfig(paths["run folder"], golden_samples=count)


def test_config_takes_as_many_golden_samples_as_a_file_holds(paths):
    assert ExportConfig(paths["run folder"]).golden_samples == MAX_SAMPLES


def test_config_asks_for_data_to_calibrate_on(paths):
    with pytest.raises(UsageError, match=r"--quantize int8: it needs images.*--data"):
        ExportConfig(paths["keras file"], quantize="int8")
    with pytest.raises(UsageError, match=r"--quantize int8: it needs images.*--data"):
        ExportConfig("mnist_convnet", weights="none", quantize="int8")
    assert ExportConfig(paths["run folder"], quantize="int8").quantize == "int8"  # it names its own data


def test_config_takes_float16_without_data(paths):
    assert ExportConfig(paths["keras file"], quantize="fp16").data is None


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
def test_config_refuses_an_option_of_fewer_bits_that_cannot_take_effect(paths, quantize, options, needed):
    option = next(iter(options)).replace("_", "-")
    with pytest.raises(UsageError, match=rf"--{option}: it cannot take effect with --quantize {quantize}.*{needed}\."):
        ExportConfig(paths["run folder"], quantize=quantize, **options)


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"calibration_samples": 1}, "--calibration-samples"),
        ({"max_drop": -0.1}, "--max-drop"),
        ({"max_drop": float("nan")}, "--max-drop"),
        ({"min_speedup": -1.0}, "--min-speedup"),
        ({"min_speedup": float("inf")}, "--min-speedup"),
        ({"reduce_range": True, "tune_for": "amx"}, "--reduce-range"),
    ],
)
def test_config_refuses_budgets_out_of_range(paths, options, option):
    with pytest.raises(UsageError, match=option):
        ExportConfig(paths["run folder"], quantize="int8", **options)
