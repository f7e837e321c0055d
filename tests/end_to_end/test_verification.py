"""Faults 3 and 9: `edgecnn verify` on a trained file, whole, damaged, and on another processor."""

import dataclasses
import json

import numpy as np
import onnx
import pytest

from edgecnn_runtime import Predictor
from edgecnn_runtime.container import METADATA_SHA256_KEY, append_metadata, read_model_file
from edgecnn_runtime.evidence import Quantization
from edgecnn_runtime.golden import Tolerance


def altered_weights(change):
    """Changes the kernel of the last layer, whose every row some picture uses."""

    def alter(proto):
        kernel = next(tensor for tensor in proto.graph.initializer if tensor.name == "logits/kernel")
        values = onnx.numpy_helper.to_array(kernel).copy()
        change(values)
        kernel.CopyFrom(onnx.numpy_helper.from_array(values, kernel.name))

    return alter


@pytest.fixture
def with_flipped_bit(tmp_path, model_file):
    """Writes a copy of the model file with one bit of a weight flipped."""

    def write(bit):
        file = read_model_file(model_file)
        kernel = next(
            tensor.raw_data
            for tensor in onnx.load_from_string(file.payload.read()).graph.initializer
            if tensor.name == "logits/kernel"
        )
        largest = int(np.abs(np.frombuffer(kernel, "<f4")).argmax())
        data = bytearray(model_file.read_bytes())
        data[data.index(kernel) + 4 * largest + bit // 8] ^= 1 << bit % 8
        path = tmp_path / "flipped.onnx"
        path.write_bytes(data)
        return path

    return write


def test_verify_proves_the_file_on_this_machine(edgecnn, model_file):
    done = edgecnn("verify", model_file)
    assert done.returncode == 0, done.stderr
    assert f"{model_file}: 4 of 4 golden samples passed [CPUExecutionProvider" in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == [
        *("plain.png", "resized.jpg", "turned.jpg", "tinted.png")
    ]


def test_verify_gives_programs_the_same_without_tensorflow(edgecnn, model_file, tmp_path):
    for name in ("tensorflow", "keras", "onnx", "edgecnn_exporters"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError({name!r}, name={name!r})")
    options = ["--format", "json", "--device", "cpu", "--threads", "1"]
    done = edgecnn("verify", model_file, *options, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    tree = json.loads(done.stdout)
    assert (tree["file"], tree["passed"], tree["modified"]) == (str(model_file), True, False)
    assert tree["checked_on"] == tree["cpu_family"]
    assert [sample["passed"] for sample in tree["samples"]] == [True] * 4


def test_verify_refuses_a_flipped_bit(edgecnn, one_line, with_flipped_bit):
    done = edgecnn("verify", with_flipped_bit(0))
    assert done.returncode == 6
    assert done.stdout == ""
    one_line(done.stderr, "SHA-256", "--allow-modified")


@pytest.mark.parametrize("bit", [30, 31], ids=["exponent", "sign"])
def test_verify_names_sample_and_answers_when_a_high_bit_is_flipped(edgecnn, one_line, with_flipped_bit, bit):
    path = with_flipped_bit(bit)
    done = edgecnn("verify", path, "--allow-modified", "--format", "json")
    assert done.returncode == 4
    one_line(done.stderr, str(path), "golden sample", "expected '", "received ")
    tree = json.loads(done.stdout)
    assert (tree["passed"], tree["modified"]) == (False, True)


def test_verify_says_so_of_an_altered_file_that_answers_alike(edgecnn, model_file, tmp_path):
    path = tmp_path / "renamed.onnx"
    path.write_bytes(model_file.read_bytes().replace(b'"mnist_convnet"', b'"MNIST_convnet"'))
    done = edgecnn("verify", path, "--allow-modified")
    assert done.returncode == 0, done.stderr
    assert "altered since it was proven on" in done.stdout


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_verify_fails_where_a_weight_is_not_finite(edgecnn, one_line, model_file, restamp, tmp_path, value):
    def spoil(values):
        values[0, 0] = value

    path = restamp(model_file, tmp_path / "spoilt.onnx", graph=altered_weights(spoil))
    done = edgecnn("verify", path, "--format", "json")
    assert done.returncode == 4
    one_line(done.stderr, str(path), "golden sample", "NaN")
    assert json.loads(done.stdout)["passed"] is False


def test_verify_refuses_a_file_without_samples(edgecnn, one_line, model_file, restamp, tmp_path):
    done = edgecnn("verify", restamp(model_file, tmp_path / "bare.onnx", golden=()))
    assert done.returncode == 6
    assert done.stdout == ""
    one_line(done.stderr, "bare.onnx", "expected golden samples", "Export")


def test_run_says_in_one_line_that_an_int8_file_was_checked_elsewhere(edgecnn, model_file, restamp, digits, tmp_path):
    def hold_a_byte(graph):
        """Adds what an int8 file has, where nothing uses it."""
        for name, value in (("byte", np.int8(0)), ("step", np.float32(1))):
            graph.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        graph.graph.node.append(onnx.helper.make_node("DequantizeLinear", ["byte", "step"], ["unused"]))

    recipe = Quantization("QDQ", "uint8", "int8", True, False, None, 1, (), ())
    changes = {"precision": "int8", "quantization": recipe, "cpu_family": "elsewhere"}
    path = restamp(model_file, tmp_path / "other.onnx", graph=hold_a_byte, **changes)
    done = edgecnn("run", path, digits, "--device", "cpu", "--format", "json")
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) == 10
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"edgecnn: {path}: its int8 answers were checked on elsewhere")
    assert f"edgecnn verify {path}" in line
    assert edgecnn("verify", path, "--device", "cpu").stderr == ""


def test_inspect_counts_the_samples_and_names_the_family(edgecnn, model_file, restamp, tmp_path):
    tree = json.loads(edgecnn("inspect", model_file, "--format", "json").stdout)
    assert (tree["golden"]["samples"], tree["golden"]["checked_here"]) == (4, True)
    assert 0 < tree["golden"]["size_bytes"] <= 65536
    other = restamp(model_file, tmp_path / "other.onnx", cpu_family="elsewhere")
    assert "another family: prove the file here with edgecnn verify" in edgecnn("inspect", other).stdout


@pytest.fixture
def unproven(tmp_path, model_file):
    """A copy whose last layer is zero, with the manifest and nothing else."""
    file = read_model_file(model_file)
    graph = onnx.load_from_string(file.payload.read())
    altered_weights(lambda values: values.fill(0))(graph)
    entries = {"edgecnn.manifest": file.metadata["edgecnn.manifest"]}
    data = append_metadata(graph.SerializeToString(), entries)
    path = tmp_path / "unproven.onnx"
    path.write_bytes(data[: data.rindex(METADATA_SHA256_KEY.encode()) - 2 - 2])  # its entry stands last
    read_model_file(path)
    return path


@pytest.mark.parametrize("command", ["run", "verify", "inspect", "bench"])
def test_a_file_without_proof_is_refused(edgecnn, one_line, unproven, digits, command):
    done = edgecnn(command, unproven, *([digits] if command == "run" else []))
    assert (done.returncode, done.stdout) == (6, "")
    one_line(done.stderr, str(unproven), "nothing is proven", "--allow-modified")


def test_a_file_without_proof_runs_where_that_is_allowed_and_it_is_said(edgecnn, unproven, digits):
    done = edgecnn("run", unproven, digits, "--allow-modified", "--device", "cpu", "--format", "json")
    assert (done.returncode, len(json.loads(done.stdout))) == (0, 10)
    (line,) = done.stderr.splitlines()
    assert str(unproven) in line
    assert "without evidence" in line
    shown = edgecnn("inspect", unproven, "--allow-modified")
    assert "evidence    none: the file was altered, or never proven" in shown.stdout


def test_verify_fails_zero_weights_whatever_the_file_allows(edgecnn, one_line, model_file, restamp, tmp_path):
    allowed = Tolerance(1e300, 1e300, 1e300)
    samples = tuple(
        dataclasses.replace(sample, alike=allowed, elsewhere=allowed)
        for sample in Predictor.load(model_file, device="cpu").evidence.golden
    )
    zero = altered_weights(lambda values: values.fill(0))
    path = restamp(model_file, tmp_path / "zero.onnx", graph=zero, golden=samples)
    done = edgecnn("verify", path)
    assert done.returncode == 4
    one_line(done.stderr, str(path), "4 of 4 samples failed")


def test_no_line_for_people_is_over_2000_characters(edgecnn, one_line, digits):
    for arguments in (
        ["run", "x" * 100_000, digits],
        ["y" * 100_000],
        ["run", "m.onnx", digits, "--device", "z" * 99_999],
    ):
        done = edgecnn(*arguments)
        assert done.returncode in (2, 6)
        one_line(done.stderr)
        assert max(map(len, done.stderr.splitlines())) <= 2000
