import json
from typing import get_args, get_type_hints

import numpy as np
import onnx
import onnxruntime
import plain_files
import pytest
import questions
from onnx import TensorProto
from PIL import Image

from edgecnn.cli import main
from edgecnn.cli.run import run
from edgecnn_runtime.pixel_scaling import PixelScalingName
from edgecnn_runtime.plain import Layout

CPU = ["--device", "cpu", "--threads", "1"]


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "plain.onnx"
    path.write_bytes(plain_files.make_plain())
    return path


def expected_of(plain, picture, scale=lambda pixels: pixels):
    """The outputs by ONNX Runtime alone, of an array by Pillow and NumPy alone."""
    pixels = np.asarray(Image.open(picture).resize((16, 12), Image.Resampling.BILINEAR), np.float32)
    session = onnxruntime.InferenceSession(plain, providers=["CPUExecutionProvider"])
    array = np.ascontiguousarray(scale(pixels).transpose(2, 0, 1)[np.newaxis], np.float32)
    return dict(zip(("output", "map"), session.run(["output", "map"], {"input": array}), strict=True))


def test_raw_prints_a_line_an_output_and_says_once_what_it_took(plain, picture, capfd):
    assert main(["run", "--raw", str(plain), str(picture), str(picture), "--top-k", "2", *CPU]) == 0
    captured = capfd.readouterr()
    first, second, *again = captured.out.splitlines()
    scores, spread = (expected_of(plain, picture)[name] for name in ("output", "map"))
    best = np.argsort(-scores[0])[:2]
    told = ", ".join(f"{index} {scores[0, index]:.6g}" for index in best)
    assert first.startswith(f"{picture}: raw output float32 (1, 7): {told} [CPUExecutionProvider, ")
    assert second.startswith(f"{picture}: raw map float32 (1, 7, 10, 15): min {spread.min():.6g}, mean ")
    assert len(again) == 2
    (said,) = [line for line in captured.err.splitlines() if "plain ONNX" in line]
    assert "without manifest and evidence" in said
    assert "input input, float32 (1, 3, 12, 16), taken for nchw. Pixels are given as 'raw', 0 to 255" in said


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_raw_gives_whole_outputs_as_json(plain, picture, capfd, format):
    assert main(["run", "--raw", str(plain), str(picture), "--pixels", "unit", "--format", format, *CPU]) == 0
    out = capfd.readouterr().out
    (answer,) = json.loads(out) if format == "json" else map(json.loads, out.splitlines())
    assert answer.keys() == {"source", "shape", "provider", "speed_ms", "outputs"}
    assert (answer["source"], answer["shape"]) == (str(picture), [30, 40])
    assert answer["speed_ms"].keys() == {"preprocess", "inference"}
    for name, values in expected_of(plain, picture, lambda pixels: pixels / 255).items():
        (output,) = [output for output in answer["outputs"] if output["name"] == name]
        assert output["shape"] == list(values.shape)
        np.testing.assert_allclose(output["values"], values, rtol=1e-4, atol=1e-5)


def test_raw_summarises_a_large_output(tmp_path, picture, capfd):
    path = tmp_path / "large.onnx"
    path.write_bytes(plain_files.make_plain(shape=(1, 3, 64, 64)))
    assert main(["run", "--raw", str(path), str(picture), "--format", "jsonl", *CPU]) == 0
    outputs = {output["name"]: output for output in json.loads(capfd.readouterr().out)["outputs"]}
    assert (outputs["map"]["truncated"], outputs["map"]["values"]) == (True, None)
    assert outputs["map"]["min"] < outputs["map"]["mean"] < outputs["map"]["max"]
    assert outputs["output"]["truncated"] is False


def test_raw_takes_what_the_graph_leaves_open(tmp_path, picture, capfd):
    path = tmp_path / "free.onnx"
    path.write_bytes(plain_files.make_plain(shape=("N", 3, "h", 3)))
    options = ["run", "--raw", str(path), str(picture), *CPU]
    assert main(options) == 2
    assert "--layout nchw or --layout nhwc" in capfd.readouterr().err.splitlines()[-1]
    assert main([*options, "--layout", "nchw"]) == 2
    assert "--image-size H,W" in capfd.readouterr().err.splitlines()[-1]
    assert main([*options, "--layout", "nchw", "--image-size", "9,3"]) == 0
    assert "raw map float32 (1, 7, 7, 2)" in capfd.readouterr().out


def test_raw_of_one_of_edgecnns_files_goes_through_its_manifest(write_model, picture, capfd):
    model = write_model()
    assert main(["run", "--raw", model, str(picture), "--format", "jsonl", *CPU]) == 0
    captured = capfd.readouterr()
    (output,) = json.loads(captured.out)["outputs"]
    pixels = np.asarray(Image.open(picture).convert("L").resize((4, 4), Image.Resampling.BILINEAR))
    assert output["name"] == "logits"
    assert output["values"] == [[pixels.sum(), pixels.sum()]]  # the weights of this model are ones
    assert "plain" not in captured.err


@pytest.mark.parametrize(
    "option",
    [
        *(["--score-threshold", "0.5"], ["--iou-threshold", "0.5"], ["--max-detections", "3"], ["--agnostic"]),
        *(["--no-agnostic"], ["--classes", "0"], ["--question", "What?"], ["--questions", "q.txt"]),
        *(["--proposals", "p.json"], ["--batch", "1"], ["--save", "d"], ["--font", "f.ttf"], ["--crop", "d"]),
        *(["--txt", "d"], ["--masks", "d"], ["--polygons"]),
        *(["--format", "csv"], ["--format", "coco"], ["--format", "yolo"]),
    ],
    ids=" ".join,
)
def test_raw_refuses_options_that_cannot_take_effect(plain, picture, option, capsys):
    assert main(["run", "--raw", str(plain), str(picture), *option]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert option[0].replace("--no-", "--") in last
    assert "--raw" in last


@pytest.mark.parametrize("option", [["--layout", "nchw"], ["--image-size", "8,8"], ["--pixels", "unit"]], ids=" ".join)
def test_what_is_for_plain_files_is_refused_elsewhere(write_model, plain, picture, option, capsys):
    for command in (["run", str(plain)], ["run", write_model()], ["run", "--raw", write_model()]):
        assert main([*command, str(picture), *option]) == 2
        assert option[0] in capsys.readouterr().err.splitlines()[-1]


def test_allow_modified_is_refused_where_nothing_was_ever_proven(plain, picture, capsys):
    for command in (["run", "--raw", str(plain), str(picture)], ["inspect", str(plain)]):
        assert main([*command, "--allow-modified"]) == 2
        assert "--allow-modified" in capsys.readouterr().err.splitlines()[-1]


def test_pixels_that_do_not_fit_the_input_are_a_usage_error(tmp_path, picture, capsys):
    path = tmp_path / "u8.onnx"
    path.write_bytes(plain_files.make_plain(dtype=TensorProto.UINT8))
    assert main(["run", "--raw", str(path), str(picture), "--pixels", "torch", *CPU]) == 2
    assert "takes uint8: expected pixels 'raw'" in capsys.readouterr().err


def test_raw_refuses_a_model_of_edgecnn_that_is_asked_questions(tmp_path, picture, capsys):
    model = questions.write(tmp_path / "questions.onnx")
    assert main(["run", "--raw", str(model), str(picture), *CPU]) == 2
    assert "--raw: expected a model that takes an image alone, received one with text beside" in capsys.readouterr().err


def test_raw_goes_on_after_a_bad_image_and_exits_with_1(plain, picture, tmp_path, capfd):
    (tmp_path / "b.png").write_bytes(b"none")
    sources = [str(tmp_path / "b.png"), str(picture)]
    assert main(["run", "--raw", str(plain), *sources, "--format", "json", *CPU]) == 1
    captured = capfd.readouterr()
    bad, good = json.loads(captured.out)
    assert (bad["error"]["kind"], good["source"]) == ("image", str(picture))
    assert captured.err.splitlines()[-1] == "edgecnn: 1 of 2 images failed"


def test_other_commands_say_what_takes_a_plain_file(plain, picture, capsys):
    for command in (["run", str(plain), str(picture)], ["verify", str(plain)]):
        assert main(command) == 6
        (line,) = capsys.readouterr().err.splitlines()
        assert "'edgecnn run --raw', 'edgecnn bench' and 'edgecnn inspect' take it" in line


def test_the_names_on_the_command_line_are_those_of_the_runtime():
    hints = get_type_hints(run)
    for option, names in (("pixels", PixelScalingName), ("layout", Layout)):
        literal = get_args(hints[option])[0]
        assert set(get_args(literal)) == set(get_args(names))


# inspect


def test_inspect_shows_what_a_plain_file_holds(plain, capfd):
    assert main(["inspect", str(plain), "--format", "json"]) == 0
    tree = json.loads(capfd.readouterr().out)
    assert (tree["manifest"], tree["evidence"], tree["golden"], tree["no_image_input"]) == (None,) * 4
    assert tree["inputs"] == [{"name": "input", "dtype": "float32", "shape": ["batch_size", 3, 12, 16]}]
    assert tree["image_input"] == {
        **{"name": "input", "dtype": "float32", "layout": "nchw", "height": 12, "width": 16, "channels": 3},
        "batch": None,
    }
    graph = tree["graph"]
    assert [output["name"] for output in graph["outputs"]] == ["output", "map"]
    assert graph["operator_counts"] == {"Conv": 1, "Flatten": 1, "GlobalAveragePool": 1}
    assert graph["operators"] == sorted(graph["operator_counts"])
    assert (graph["opset"], graph["ir_version"], graph["opsets"], graph["batch"]) == (17, 8, {"": 17}, "dynamic")
    assert (graph["size_bytes"], graph["parameters"]) == (plain.stat().st_size, 7 * 3 * 3 * 2)
    assert graph["parameters_by_type"] == {"float32": 126}


def test_inspect_tells_people_what_is_not_known(tmp_path, capfd):
    path = tmp_path / "q.onnx"
    path.write_bytes(plain_files.make_quantized("QLinear"))
    assert main(["inspect", str(path)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert (
        "plain ONNX  without manifest and evidence: nothing is known of preprocessing, labels, or whether it answers "
        "like its source"
    ) in lines
    assert "image       guessed: nchw, 12 x 16, RGB; edgecnn run --raw and bench take it so" in lines
    assert "needs       opset 17, IR version 8, com.microsoft 1" in lines
    assert any(line.startswith("weights     ") and "190 int8" in line for line in lines)
    assert any("QLinearConv 1" in line and "com.microsoft.QLinearAdd 1" in line for line in lines)


def test_inspect_shows_a_file_that_takes_no_image_too(tmp_path, capfd):
    model = onnx.load_from_string(plain_files.make_plain(shape=(1, 4, 12, 16), channels=4))
    path = tmp_path / "four.onnx"
    onnx.save(model, path)
    assert main(["inspect", str(path), "--format", "json"]) == 0
    tree = json.loads(capfd.readouterr().out)
    assert tree["image_input"] is None
    assert "expected an image of 1 or 3 channels" in tree["no_image_input"]
    assert main(["inspect", str(path)]) == 0
    assert "image       input 'input', float32 (1, 4, 12, 16): expected an image of" in capfd.readouterr().out
    assert main(["bench", str(path), *CPU]) == 6


# faults


@pytest.mark.parametrize("command", ["inspect", "bench", "raw"])
def test_plain_files_that_are_refused_exit_with_6_in_one_line(command, tmp_path, picture, capfd):
    data = plain_files.make_plain()
    files = {
        "truncated.onnx": data[:-30],
        "picture.onnx": picture.read_bytes(),
        "operator.onnx": plain_files.change_plain(lambda model: setattr(model.graph.node[0], "op_type", "Nonsense")),
        "graph.onnx": plain_files.change_plain(lambda model: model.graph.node[0].input.__setitem__(0, "nothing")),
        "external.onnx": plain_files.write_external(tmp_path / "external.onnx").read_bytes(),
    }
    commands = {"raw": ["run", "--raw"], "inspect": ["inspect"], "bench": ["bench", "--starts", "0", "--runs", "1"]}
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        arguments = [*commands[command], str(path), *([str(picture)] if command == "raw" else [])]
        assert main(arguments) == 6, name
        captured = capfd.readouterr()
        lines = [line for line in captured.err.splitlines() if "device auto" not in line and "loading" not in line]
        assert captured.out == ""
        assert len(lines) == 1, lines
        assert lines[0].startswith(f"edgecnn: {path}: ")
