"""`edgecnn run` and `edgecnn inspect` with a detector, whose raw outputs are the same for every image."""

import contextlib
import csv
import io
import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from model_files import encode, make_constant_graph, make_golden, make_graph, photo, stamp
from model_files import make_manifest as make_classifier
from PIL import Image

from edgecnn.cli import main
from edgecnn_exporters.graph.suppression import append_suppression, in_graph
from edgecnn_runtime import Predictor
from edgecnn_runtime.container import read_model_file
from edgecnn_runtime.decoders import OperatingPoint, OutputSpec, YoloDecoder, YoloScale
from edgecnn_runtime.integrity import read_manifest
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo

SCALES = (YoloScale("scale_16", 16, ((16.0, 24.0),)), YoloScale("scale_32", 32, ((40.0, 40.0), (36.0, 40.0))))
LABELS = ("cat", "dog", "cow")
SIZE = (64, 96)


def raw_outputs():
    """A cat (.9) twice in one cell, a dog (.5) in the same place, a cow (.4) elsewhere; scores to 3 digits."""
    outputs = {
        scale.output: np.full((SIZE[0] // scale.stride, SIZE[1] // scale.stride, len(scale.anchors), 8), -9, np.float32)
        for scale in SCALES
    }
    logit = {score: np.log(score / (1 - score)) for score in (0.9, 0.8, 0.5, 0.4)}
    outputs["scale_32"][0, 0, 0] = [0, 0, 0, 0, 20, logit[0.9], logit[0.5], -20]  # 40 x 40 at (16, 16)
    outputs["scale_32"][0, 0, 1] = [0, 0, 0, 0, 20, logit[0.8], -20, -20]  # 36 x 40 at (16, 16)
    outputs["scale_16"][2, 4, 0] = [0, 0, 0, 0, 20, -20, -20, logit[0.4]]  # 16 x 24 at (72, 40)
    return outputs


CAT, DOG, COW = [0, 0, 36, 36], [0, 0, 36, 36], [64, 28, 80, 52]


@pytest.fixture(scope="module")
def write_detector(tmp_path_factory):
    """Writes a detector, with changed fields of its decoder, and returns its path."""
    payload, folder = make_constant_graph(raw_outputs(), size=SIZE), tmp_path_factory.mktemp("detectors")

    def write(labels=LABELS, *, nms="runtime", **fields):
        outputs = tuple(OutputSpec(name, values.shape) for name, values in raw_outputs().items())
        image = ImageInput("image", *SIZE, "rgb", "letterbox", pad_value=114)
        decoder = YoloDecoder(SCALES, **fields)
        manifest = Manifest("detection", ModelInfo("tiny", 1.0), (image,), labels, decoder, outputs)
        path, graph = folder / f"{len(list(folder.iterdir()))}.onnx", payload
        if nms == "graph":
            graph = append_suppression(onnx.load_from_string(payload), manifest).SerializeToString()
            manifest = in_graph(manifest)
        path.write_bytes(stamp(graph, manifest))
        return str(path)

    return write


@pytest.fixture(scope="module")
def detector(write_detector):
    return write_detector()


@pytest.fixture
def pictures(tmp_path):
    """Two pictures of the network's own size, whose names are numbers."""
    folder = tmp_path / "in"
    folder.mkdir()
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    for name in ("000000000012", "7"):
        Image.fromarray(np.stack([x, y, x + y], axis=-1).astype(np.uint8)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def answers(capfd):
    """Runs `edgecnn run` and returns (name, score) of what was found in the first picture."""

    def run(*words, code=0):
        capfd.readouterr()
        assert main(["run", *map(str, words), "--format", "json"]) == code
        out = capfd.readouterr().out
        return [(found["name"], round(found["confidence"], 3)) for found in json.loads(out)[0]["predictions"]]

    return run


def test_run_answers_boxes_in_json_and_csv(detector, pictures, capfd):
    assert main(["run", detector, str(pictures), "--format", "json"]) == 0
    first, second = json.loads(capfd.readouterr().out)
    assert first["task"] == "detection"
    assert first["predictions"] == second["predictions"]
    assert [list(found["box"].values()) for found in first["predictions"]] == [CAT, DOG, COW]
    assert main(["run", detector, str(pictures), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert [(row["name"], row["x1"], row["rank"]) for row in rows[:3]] == [
        ("cat", "0.0", "1"),
        ("dog", "0.0", "2"),
        ("cow", "64.0", "3"),
    ]
    assert main(["run", detector, str(pictures / "7.png")]) == 0
    assert "cat 0.9000 at (0.0, 0.0, 36.0, 36.0), dog 0.5000 at" in capfd.readouterr().out


def test_an_image_in_which_nothing_is_found_is_in_every_format(detector, pictures, capfd):
    def answers(format):
        assert main(["run", detector, str(pictures), "--score-threshold", "0.9999", "--format", format]) == 0
        return capfd.readouterr().out

    sources = [entry["source"] for entry in json.loads(answers("json"))]
    assert len(sources) == 2
    (first, second) = csv.DictReader(io.StringIO(answers("csv")))
    assert [first.pop("source"), second.pop("source")] == sources
    assert first.pop("provider") == second.pop("provider") == "CPUExecutionProvider"
    assert first == second == dict.fromkeys(first, "")
    assert answers("yolo").splitlines() == [f"# {source}" for source in sources]
    assert [line.split(" [")[0] for line in answers("text").splitlines()] == [f"{one}: nothing" for one in sources]


@pytest.fixture(scope="module")
def suppressing(write_detector):
    """The same detector, whose graph decodes and suppresses by itself."""
    return write_detector(nms="graph")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--score-threshold", "0.45"],
        ["--score-threshold", "dog=0.6,2=.7"],
        ["--iou-threshold", "1"],
        ["--classes", "cow,1"],
        ["--max-detections", "1"],
        ["--batch", "2"],
    ],
    ids=" ".join,
)
def test_run_answers_alike_where_the_graph_suppresses(detector, suppressing, pictures, options, capfd):
    told = []
    for path in (detector, suppressing):
        assert main(["run", path, str(pictures), "--format", "json", *options]) == 0
        told.append([one["predictions"] for one in json.loads(capfd.readouterr().out)])
    for one, other in zip(*told, strict=True):
        for mine, its in zip(one, other, strict=True):
            assert mine.keys() == its.keys()
            assert (mine["name"], mine["class"]) == (its["name"], its["class"])
            assert its["confidence"] == pytest.approx(mine["confidence"], rel=1e-6)
            assert its["box"] == pytest.approx(mine["box"], abs=1e-4)
    assert told[0][0]


@pytest.mark.parametrize("options", [["--agnostic"], ["--no-agnostic"], ["--max-detections", "301"]], ids=" ".join)
def test_run_refuses_in_one_line_what_is_fixed_in_a_graph(suppressing, pictures, options, capfd):
    assert main(["run", suppressing, str(pictures), *options]) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    fixed = (
        "--max-detections: expected up to 300 boxes an image, the graph's rows, received 301"
        if "301" in options
        else "the file's own graph drops boxes"
    )
    assert fixed in " ".join(shown.err.split())


def test_inspect_shows_the_inputs_that_have_a_default(suppressing, capfd):
    assert main(["inspect", suppressing]) == 0
    shown = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    assert "score_thresholds, float32 (3), has a default" in shown
    assert "iou_threshold, float32 (1), has a default" in shown
    assert next(line for line in shown if line.startswith("output")).endswith(", 300, 6)")
    assert "decoder detections, iou_threshold 0.6, most 300, score_threshold 0.25, scored 3" in " ".join(shown)


def test_verify_compares_what_a_graph_that_suppresses_answers(write_detector, capfd):
    path = write_detector(nms="graph")
    file = read_model_file(path)
    manifest, payload = read_manifest(file), file.payload.read()
    golden = make_golden(payload, manifest, {"a.png": encode(photo())})
    written = Path(path).with_suffix(".golden.onnx")
    for least, code in ((0.25, 0), (0.45, 4)):
        other = replace(manifest, decoder=replace(manifest.decoder, score_threshold=least))
        written.write_bytes(stamp(payload, other, golden=golden))
        assert main(["verify", str(written)]) == code
    assert "golden sample 'a.png'" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["cat", "dog", "cow"]),
        (["--score-threshold", "0.45"], ["cat", "dog"]),
        (["--score-threshold", "dog=0.6"], ["cat", "cow"]),
        (["--score-threshold", "dog=0.6,2=.7"], ["cat"]),
        (["--iou-threshold", "1"], ["cat", "cat", "dog", "cow"]),
        (["--agnostic"], ["cat", "cow"]),
        (["--classes", "cow,1"], ["dog", "cow"]),
        (["--classes", "dog", "--agnostic"], ["dog"]),  # a class that is not asked for drops no box
        (["--max-detections", "1"], ["cat"]),
        (["--top-k", "2"], ["cat", "dog"]),
    ],
    ids=" ".join,
)
def test_run_reads_the_outputs_as_its_options_say(detector, pictures, answers, options, expected):
    assert [name for name, _ in answers(detector, pictures, *options)] == expected


def test_run_uses_the_operating_points_of_the_file(write_detector, pictures, answers):
    points = (OperatingPoint(1, 0.6, 0.5, 0.75), OperatingPoint(2, 0.1, 0.5, 0.5))
    detector = write_detector(operating_points=points, score_threshold=0.45)
    assert [name for name, _ in answers(detector, pictures)] == ["cat", "cow"]
    assert [name for name, _ in answers(detector, pictures, "--score-threshold", "0.45")] == ["cat", "dog"]
    assert [name for name, _ in answers(detector, pictures, "--score-threshold", "cow=0.9")] == ["cat"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--score-threshold", "much"], r"--score-threshold: expected a number, or class=number pairs .* 'much'"),
        (["--score-threshold", "1"], "expected a score_threshold from 0 to below 1, received 1.0"),
        (["--score-threshold", "nan"], "expected a score_threshold from 0 to below 1, received nan"),
        (
            ["--score-threshold", "horse=0.5"],
            "expected a class from 0 to 2 or a name of cat, dog, cow, received 'horse'",
        ),
        (["--score-threshold", "cat=2"], "expected a score from 0 to below 1, received 2.0"),
        (["--iou-threshold", "0"], "expected an iou_threshold above 0, at most 1, received 0.0"),
        (["--max-detections", "0"], "--max-detections: expected from 1 to 100000 boxes an image, received 0"),
        (["--classes", "cat,3"], "--classes: expected a class from 0 to 2 or a name of cat, dog, cow, received '3'"),
        (["--classes", ""], "expected a class from 0 to 2"),
        (["--classes", "-1"], "expected a class from 0 to 2"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_run_refuses_what_the_decoder_does_not_take(detector, pictures, options, message, capfd):
    assert main(["run", detector, str(pictures), *options]) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    assert re.search(message, " ".join(shown.err.split()))


@pytest.mark.parametrize(
    "options",
    [
        ["--score-threshold", "zero=0.5"],
        ["--iou-threshold", "0.5"],
        ["--max-detections", "3"],
        ["--agnostic"],
        ["--no-agnostic"],
        ["--classes", "zero"],
        ["--format", "coco"],
        ["--format", "yolo"],
        ["--crop", "crops"],
        ["--txt", "crops"],
    ],
    ids=" ".join,
)
def test_run_refuses_options_of_boxes_for_a_classifier(tmp_path, pictures, options, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "classifier.onnx"
    path.write_bytes(stamp(make_graph(), make_classifier()))
    assert main(["run", str(path), str(pictures), *options]) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    assert options[0].replace("no-", "") in shown.err
    assert not (tmp_path / "crops").exists()


def test_run_saves_pictures_and_crops(detector, pictures, tmp_path):
    shown, crops = tmp_path / "shown", tmp_path / "crops"
    assert main(["run", detector, str(pictures), "--save", str(shown), "--crop", str(crops)]) == 0
    assert sorted(path.name for path in shown.iterdir()) == ["000000000012.png", "7.png"]
    assert sorted(path.name for path in crops.iterdir()) == sorted(
        f"{stem}-{rank}.png" for stem in ("000000000012", "7") for rank in (1, 2, 3)
    )
    cow = np.asarray(Image.open(crops / "7-3.png"))
    x1, y1, x2, y2 = COW
    np.testing.assert_array_equal(cow, np.asarray(Image.open(pictures / "7.png"))[y1:y2, x1:x2])
    assert main(["run", detector, str(pictures), "--crop", str(crops), "--save", str(crops)]) == 2
    assert main(["run", detector, str(pictures), "--crop", str(pictures)]) == 2


def test_crops_of_stdin_are_named_after_it(detector, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((pictures / "7.png").read_bytes())))
    assert main(["run", detector, "-", "--crop", str(tmp_path / "crops"), "--top-k", "1"]) == 0
    assert [path.name for path in (tmp_path / "crops").iterdir()] == ["stdin-1.png"]


def test_coco_results_are_what_pycocotools_reads(detector, pictures, tmp_path, capfd):
    coco = pytest.importorskip("pycocotools.coco")
    (pictures / "broken.png").write_bytes(b"no picture")
    assert main(["run", detector, str(pictures), "--format", "coco"]) == 1
    shown = capfd.readouterr()
    assert "broken.png" in shown.err
    results = json.loads(shown.out)
    assert [(one["image_id"], one["category_id"]) for one in results] == [(i, c) for i in (12, 7) for c in (1, 2, 3)]
    (tmp_path / "results.json").write_text(shown.out)
    truth = coco.COCO()
    truth.dataset = {
        "images": [{"id": 12}, {"id": 7}],
        "annotations": [],
        "categories": [{"id": number} for number in (1, 2, 3)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        loaded = truth.loadRes(str(tmp_path / "results.json"))
    found = loaded.loadAnns(loaded.getAnnIds(imgIds=[7], catIds=[3]))
    assert [one["bbox"] for one in found] == [[64, 28, 16, 24]]
    assert found[0]["score"] == pytest.approx(0.4)
    assert found[0]["area"] == 16 * 24


def test_coco_results_of_names_that_are_no_numbers_and_of_nothing_found(write_detector, tmp_path, capfd):
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "street.png")
    arguments = [str(tmp_path / "street.png"), "--format", "coco"]
    assert main(["run", write_detector(), *arguments]) == 0
    assert {one["image_id"] for one in json.loads(capfd.readouterr().out)} == {"street"}
    assert main(["run", write_detector(score_threshold=0.99), *arguments]) == 0
    assert json.loads(capfd.readouterr().out) == []


def test_yolo_lines_are_parts_of_the_image(detector, pictures, capfd):
    assert main(["run", detector, str(pictures), "--format", "yolo"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 2 * 4
    assert lines[0] == f"# {pictures / '000000000012.png'}"
    assert lines[3] == "2 0.750000 0.625000 0.166667 0.375000 0.400000"
    class_id, *parts = lines[1].split()
    assert (class_id, [float(part) for part in parts]) == ("0", [0.1875, 0.28125, 0.375, 0.5625, 0.9])


def test_txt_files_are_read_as_labels_by_another_library(detector, write_detector, pictures, tmp_path):
    supervision = pytest.importorskip("supervision")
    labels, sheet = tmp_path / "labels", tmp_path / "data.yaml"
    assert main(["run", detector, str(pictures), "--txt", str(labels)]) == 0
    assert sorted(path.name for path in labels.iterdir()) == ["000000000012.txt", "7.txt"]
    sheet.write_text("names: [cat, dog, cow]\n")
    read = supervision.DetectionDataset.from_yolo(str(pictures), str(labels), str(sheet))
    for path, _, found in read:
        answer = Predictor.load(detector, device="cpu").predict(path)
        assert found.class_id.tolist() == answer.class_ids.tolist()
        np.testing.assert_allclose(found.xyxy, answer.boxes, atol=1)  # it rounds to pixels
    assert main(["run", write_detector(score_threshold=0.99), str(pictures / "7.png"), "--txt", str(labels)]) == 0
    assert (labels / "7.txt").read_text() == ""
    assert main(["run", detector, str(pictures), "--txt", str(labels), "--crop", str(labels)]) == 2
    assert main(["run", detector, str(pictures), "--txt", str(pictures)]) == 2


def test_inspect_shows_thresholds_and_operating_points(write_detector, capfd):
    points = (OperatingPoint(1, 0.6, 0.5, 0.75), OperatingPoint(2, 0.1, None, None))
    path = write_detector(operating_points=points)
    assert main(["inspect", path]) == 0
    shown = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    assert "decoder yolo, agnostic False, iou_threshold 0.6, most 300, score_threshold 0.25" in " ".join(shown)
    assert "dog: from score 0.6000, precision 0.5000, recall 0.7500" in shown
    assert "cow: from score 0.1000" in shown
    assert main(["inspect", path, "--format", "json"]) == 0
    manifest = json.loads(capfd.readouterr().out)["manifest"]
    assert manifest["decoder"]["operating_points"][0] == {"class_id": 1, "precision": 0.5, "recall": 0.75, "score": 0.6}


@pytest.mark.parametrize("least", [0.25, 0.99])
def test_verify_passes_golden_samples_of_a_detector_and_finds_another_answer(write_detector, capfd, least):
    path = write_detector(score_threshold=least)
    file = read_model_file(path)
    manifest, payload = read_manifest(file), file.payload.read()
    golden = make_golden(payload, manifest, {"a.png": encode(photo())})
    written = Path(path).with_suffix(".golden.onnx")
    written.write_bytes(stamp(payload, manifest, golden=golden))
    assert main(["verify", str(written)]) == 0
    other = replace(manifest, decoder=replace(manifest.decoder, score_threshold=0.45 if least < 0.5 else 0.1))
    written.write_bytes(stamp(payload, other, golden=golden))
    assert main(["verify", str(written)]) == 4
    assert "golden sample 'a.png'" in capfd.readouterr().err


@pytest.mark.parametrize("nms", ["runtime", "graph"])
def test_a_predictor_with_another_decoder_shares_its_graph_and_pickles(write_detector, pictures, nms):
    predictor = Predictor.load(write_detector(nms=nms), device="cpu", threads=1)
    strict = predictor.with_decoder(replace(predictor.manifest.decoder, score_threshold=0.85))
    assert strict.session is predictor.session
    for one, count in ((predictor, 3), (strict, 1), (pickle.loads(pickle.dumps(strict)), 1)):
        assert len(one.predict(pictures / "7.png").scores) == count
    batch = strict.predict_batch([pictures / "7.png"] * 3)
    assert [len(result) for result in batch] == [1, 1, 1]
