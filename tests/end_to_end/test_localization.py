"""A localizer from a Keras model to the device: a small network, taught shapes for seconds by plain `fit`."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from drawn_shapes import write_yolo
from in_one_process import run_commands
from in_one_process import said as what_they_said
from PIL import Image

from edgecnn.data.scenes import boxes_of
from edgecnn.data.shapes import scene_of
from edgecnn_runtime import Predictor
from edgecnn_runtime.tasks.boxes import iou

pytestmark = pytest.mark.slow
IMAGES = {"train": 240, "test": 60}
TEACH = """
import sys
from pathlib import Path

import keras
import numpy as np

from edgecnn.data import load_dataset
from edgecnn.data.narrowing import largest_boxes
from edgecnn.tasks.localization.losses import encode, loss_weights, losses
from edgecnn.tasks.localization.outputs import arrays, location
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo
from edgecnn_runtime.preprocessing import Preprocessor

folder, size, shapes = Path(sys.argv[1]), (32, 32), Path(sys.argv[1]) / "data"

part = largest_boxes(load_dataset(str(shapes))).train
image = ImageInput("image", *size, "rgb", resize="letterbox", pad_value=114)
decoder, outputs = location(None, len(part.labels))
manifest = Manifest("localization", ModelInfo("shape_finder", 1.0), (image,), part.labels, decoder, outputs)
prepared = [Preprocessor(image)(part[index][0]) for index in range(len(part))]
pixels = np.concatenate([pixels for pixels, _ in prepared])
taught = arrays(part.targets, [placement for _, placement in prepared])
truths = {name: np.asarray(values) for name, values in encode(taught, size).items()}

keras.utils.set_random_seed(1)
picture = keras.Input((*size, 3), dtype="uint8", name="image")
x = keras.layers.Rescaling(1 / 255, name="normalization")(picture)
for number, filters in enumerate((12, 16, 24), start=1):
    x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{number}")(x)
    x = keras.layers.MaxPooling2D(name=f"pool{number}")(x)
x = keras.layers.Dense(64, activation="relu", name="features")(keras.layers.Flatten(name="flatten")(x))
heads = [keras.layers.Dense(len(part.labels), name="logits"), keras.layers.Dense(4, activation="sigmoid", name="boxes")]
model = keras.Model(picture, [head(x) for head in heads])
model.compile(optimizer=keras.optimizers.Adam(2e-3), loss=losses(), loss_weights=loss_weights(0.5))
model.fit(pixels, truths, epochs=40, verbose=0)
model.save(folder / "model.keras")
(folder / "manifest.json").write_text(manifest.to_json())
"""


@pytest.fixture(scope="session")
def taught(made_once):
    """A folder with data, a model, its files, and what each command said."""

    def teach(folder):
        write_yolo(folder / "data", IMAGES, 1, val="test")
        done = subprocess.run([sys.executable, "-c", TEACH, folder], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        model, data = folder / "model.keras", ("--data", folder / "data")
        bits = ("--quantize", "int8", "--max-drop", "0.02", "--min-speedup", "0")
        run_commands(
            folder,
            {
                "float32": ("export", model, "-o", folder / "float32.onnx", *data),
                "int8": ("export", model, "-o", folder / "int8.onnx", *data, *bits),
                "evaluate": ("evaluate", model, *data, "--format", "json"),
                "classes": ("export", model, "--data", "digits", "-o", folder / "digits.onnx"),
            },
        )

    return made_once("localizer", teach)


@pytest.fixture(scope="session")
def said(taught):
    return what_they_said(taught)


@pytest.fixture(scope="session")
def shown(taught, tmp_path_factory):
    """The first test pictures, and the boxes in them."""
    folder = tmp_path_factory.mktemp("shown")
    for index in range(6):
        (folder / f"{index}.png").write_bytes((taught / "data" / "images" / "test" / f"{index:03}.png").read_bytes())
    return folder, np.concatenate([boxes_of(scene_of("test", index, 1)) for index in range(6)])


def test_export_and_evaluate_end_well(said):
    assert {name: one["code"] for name, one in said.items()} == {
        **dict.fromkeys(("float32", "int8", "evaluate"), 0),
        "classes": 2,
    }, {name: one["stderr"] for name, one in said.items()}
    assert "least IoU" in said["float32"]["stdout"]
    assert "mean_iou" in said["float32"]["stdout"]


def test_data_without_boxes_are_refused_in_one_line(said, one_line):
    one_line(said["classes"]["stderr"], "expected data with boxes", "received a class an image")


def test_a_file_is_proven_at_three_levels(edgecnn, taught):
    tree = json.loads(edgecnn("inspect", taught / "float32.onnx", "--format", "json").stdout)
    parity = tree["evidence"]["parity"]
    assert [tensor["output"] for tensor in parity["tensors"]] == ["logits", "boxes"]
    assert parity["decoded"]["kind"] == "location"
    assert parity["decoded"]["top1_agreement"] == 1
    assert parity["decoded"]["least_iou"] >= 0.99
    assert (parity["metric"]["name"], parity["metric"]["images"]) == ("mean_iou", IMAGES["test"])
    assert parity["metric"]["source"] == pytest.approx(parity["metric"]["file"], abs=1e-6)
    assert {"parity.boxes", "parity.scores", "parity.mean_iou"} <= {gate["name"] for gate in tree["evidence"]["gates"]}
    assert "least IoU" in edgecnn("inspect", taught / "float32.onnx").stdout


def test_int8_is_judged_by_mean_iou(edgecnn, taught):
    evidence = json.loads(edgecnn("inspect", taught / "int8.onnx", "--format", "json").stdout)["evidence"]
    (gate,) = [gate for gate in evidence["gates"] if gate["name"] == "parity.mean_iou_drop"]
    assert (gate["budget"], gate["passed"]) == (0.02, True)
    assert evidence["precision"] == "int8"
    assert evidence["quantization"]["layers"] >= 4


def test_evaluate_gives_the_same_for_the_model_and_its_file(edgecnn, taught, said):
    keras = json.loads(said["evaluate"]["stdout"])
    done = edgecnn("evaluate", taught / "float32.onnx", "--data", taught / "data", "--format", "json")
    file = json.loads(done.stdout)
    assert (file["images"], keras["provider"]) == (IMAGES["test"], "TensorFlow")
    assert file["mean_iou"] == pytest.approx(keras["mean_iou"], abs=1e-6)
    assert {key: file[key] for key in ("accuracy", "right")} == {key: keras[key] for key in ("accuracy", "right")}
    command = ["run", taught / "float32.onnx", taught / "data" / "images" / "test", "--format", "json"]
    answers = json.loads(edgecnn(*command).stdout)
    boxes = np.array([[*answer["predictions"][0]["box"].values()] for answer in answers])
    true = np.concatenate([boxes_of(scene_of("test", index, 1)) for index in range(IMAGES["test"])])
    assert file["mean_iou"] == pytest.approx(iou(boxes, true).mean(), abs=1e-5)  # by the drawing, not by the file read
    assert sum(entry["support"] for entry in file["per_class"]) == IMAGES["test"]
    text = edgecnn("evaluate", taught / "float32.onnx", "--data", taught / "data").stdout
    assert f"mean IoU {file['mean_iou']:.4f}, accuracy" in text


def test_evaluate_draws_the_worst_answers_and_no_confusion_matrix(edgecnn, taught, tmp_path):
    drawn = tmp_path / "drawn"
    done = edgecnn("evaluate", taught / "float32.onnx", "--data", taught / "data", "--save", drawn)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in drawn.iterdir()] == ["worst.png"]


def test_run_gives_boxes_of_the_displayed_picture_in_every_format(edgecnn, taught, shown):
    folder, _ = shown
    command = ["run", taught / "float32.onnx", folder, "--device", "cpu", "--format"]
    answers = json.loads(edgecnn(*command, "json").stdout)
    boxes = np.array([[*answer["predictions"][0]["box"].values()] for answer in answers])
    assert [len(answer["predictions"]) for answer in answers] == [1] * 6
    assert {(answer["task"], *answer["shape"]) for answer in answers} == {("localization", 96, 128)}
    lines = [json.loads(line) for line in edgecnn(*command, "jsonl").stdout.splitlines()]
    assert [line["predictions"] for line in lines] == [answer["predictions"] for answer in answers]
    rows = list(csv.DictReader(io.StringIO(edgecnn(*command, "csv").stdout)))
    assert list(rows[0])[:9] == ["source", "rank", "name", "class", "confidence", "x1", "y1", "x2", "y2"]
    assert [[float(row[edge]) for edge in ("x1", "y1", "x2", "y2")] for row in rows] == boxes.tolist()
    assert f"{answers[0]['predictions'][0]['name']} 0." in (text := edgecnn(*command, "text").stdout)
    assert " at (" in text


def test_run_shows_further_classes_where_they_are_asked_for(edgecnn, taught, shown):
    done = edgecnn("run", taught / "float32.onnx", shown[0] / "0.png", "--format", "json", "--top-k", "2")
    first, second = json.loads(done.stdout)[0]["predictions"]
    assert first["box"] == second["box"]
    assert first["confidence"] >= second["confidence"]


def test_run_saves_pictures_with_the_box(edgecnn, taught, shown, tmp_path):
    done = edgecnn("run", taught / "float32.onnx", shown[0] / "1.png", "--save", tmp_path / "drawn", "--format", "json")
    box = json.loads(done.stdout)[0]["predictions"][0]["box"]
    (saved,) = (tmp_path / "drawn").glob("*.png")
    drawn, plain = np.asarray(Image.open(saved)), np.asarray(Image.open(shown[0] / "1.png"))
    factor = drawn.shape[1] // plain.shape[1]
    changed = (drawn != plain.repeat(factor, axis=0).repeat(factor, axis=1)).any(axis=-1)
    middle = round(factor * (box["y1"] + box["y2"]) / 2)
    assert changed[middle, round(factor * box["x1"])]


def test_a_turned_photo_has_its_box_in_displayed_pixels(edgecnn, taught, shown, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = Image.open(shown[0] / "2.png")
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    paths = shown[0] / "2.png", tmp_path / "turned.png"
    answers = json.loads(edgecnn("run", taught / "float32.onnx", *paths, "--format", "json").stdout)
    assert answers[0]["predictions"] == answers[1]["predictions"]
    assert answers[1]["shape"] == [96, 128]


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_verify_proves_the_file_on_this_machine(edgecnn, taught, name):
    done = edgecnn("verify", taught / f"{name}.onnx", "--device", "cpu")
    assert done.returncode == 0, done.stderr


def test_verify_finds_a_box_that_stands_elsewhere(edgecnn, taught, restamp, tmp_path, one_line):
    def swap(graph):
        for node in list(graph.graph.node):
            if "boxes" in node.output:
                node.output[0] = "straight"
                zero = graph.graph.initializer.add(name="shift", data_type=1, dims=[4], float_data=[0.01, 0, 0, 0])
                graph.graph.node.add(op_type="Add", input=["straight", zero.name], output=["boxes"])

    changed = restamp(taught / "float32.onnx", tmp_path / "changed.onnx", graph=swap)
    done = edgecnn("verify", changed, "--device", "cpu")
    assert done.returncode == 4
    one_line(done.stderr, "golden sample", "of the box")


def test_bench_takes_it(edgecnn, taught):
    done = edgecnn("bench", taught / "float32.onnx", "--runs", "3", "--warmup", "1", "--format", "json")
    assert done.returncode == 0, done.stderr


def test_a_program_gets_the_box_as_an_array(taught, shown):
    result = Predictor.load(taught / "float32.onnx", device="cpu").predict(shown[0] / "0.png")
    assert (result.box.shape, result.box.dtype) == ((4,), np.float32)
    assert result.label == result.top(1)[0].label


def test_other_tools_are_told_no_task_that_they_would_read_otherwise(taught):
    from edgecnn_runtime.container import read_model_file

    metadata = read_model_file(taught / "float32.onnx").metadata
    assert "task" not in metadata
    assert metadata["imgsz"] == "[32, 32]"


@pytest.mark.slow
def test_a_documented_localizer_goes_the_same_way(edgecnn, shown, tmp_path):
    path = tmp_path / "resnet34_localizer.onnx"
    options = ["--weights", "none", "--width", "0.05", "--image-size", "32,48"]
    exported = edgecnn("export", "resnet34_localizer", "-o", path, *options)
    assert exported.returncode == 0, exported.stderr
    assert edgecnn("verify", path, "--device", "cpu").returncode == 0
    answer = json.loads(edgecnn("run", path, shown[0] / "0.png", "--format", "json").stdout)[0]
    (found,) = answer["predictions"]
    assert found["name"] is None
    assert set(found["box"]) == {"x1", "y1", "x2", "y2"}
