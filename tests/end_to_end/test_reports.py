"""What `inspect`, `bench`, `doctor` and `models` tell people and programs."""

import json

import pytest


def test_inspect_tells_what_a_file_is_and_what_was_proven(edgecnn, model_file):
    done = edgecnn("inspect", model_file)
    assert done.returncode == 0
    for words in (
        "mnist_convnet, width 0.25",
        "uint8 (1, 28, 28, 1)",
        "opset 17",
        "Conv",
        "top-1 agreement 1.0000",
        "seed 1",
    ):
        assert words in done.stdout


def test_inspect_works_where_onnx_is_not_installed(edgecnn, model_file, tmp_path):
    (tmp_path / "onnx.py").write_text("raise ModuleNotFoundError('onnx', name='onnx')")
    done = edgecnn("inspect", model_file, "--format", "json", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0
    assert json.loads(done.stdout)["manifest"]["model"] == {"name": "mnist_convnet", "width": 0.25}


def test_bench_prints_a_column_a_file(edgecnn, model_file):
    done = edgecnn("bench", model_file, model_file, "--runs", "5", "--threads", "1")
    assert done.returncode == 0
    lines = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert lines["milliseconds"].count("digits.onnx") == 2
    assert lines["ran on"].count("CPUExecutionProvider, 1 thread") == 2
    assert "Spinning on" in done.stdout
    assert lines["peak memory of a process"].count("MB") == 2


def test_doctor_says_what_works_and_why_cuda_does_not(edgecnn):
    done = edgecnn("doctor")
    assert done.returncode == 0
    for words in ("device cpu", "works: CPUExecutionProvider", "device cuda", "no: ", "telemetry", "off"):
        assert words in done.stdout


def test_doctor_gives_programs_the_same(edgecnn):
    tree = json.loads(edgecnn("doctor", "--format", "json").stdout)
    assert [device["device"] for device in tree["devices"]] == ["cpu", "cuda"]
    assert tree["telemetry"] == "off"
    assert tree["versions"]["edgecnn"]


def test_models_lists_the_published_parameters(edgecnn):
    rows = json.loads(edgecnn("models", "--format", "json").stdout)
    assert {row["name"]: row["parameters"] for row in rows}["mnist_convnet"] == 93_322


@pytest.mark.slow
def test_models_reckons_one_model(edgecnn):
    done = edgecnn("models", "mnist_convnet", "--format", "json", "--classes", "3", "--image-size", "32,40")
    tree = json.loads(done.stdout)
    assert tree["image_size"] == [32, 40]
    assert tree["num_classes"] == 3
    assert tree["parameters"] == sum(layer["parameters"] for layer in tree["layers"])
    assert tree["layers"][-1]["output_shape"] == [3]
