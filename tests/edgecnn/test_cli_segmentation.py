"""`edgecnn run` and `edgecnn evaluate` with a segmenter that looks at each pixel alone, for pictures of any size."""

import contextlib
import csv
import io
import json

import numpy as np
import onnxruntime
import pytest
import segmentations
from model_files import make_graph, stamp
from model_files import make_manifest as make_classifier
from PIL import Image

from edgecnn.cli import main
from edgecnn.data.load import load_dataset

STEP, LABELS = 8, segmentations.LABELS
SIZES = {"000000000012": (24, 41), "7": (33, 21), "street": (8, 50)}


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    path = tmp_path_factory.mktemp("segmenters") / "m.onnx"
    manifest = segmentations.make_manifest((None, None), multiple_of=STEP)
    path.write_bytes(stamp(segmentations.make_graph((None, None)), manifest))
    return str(path)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Waves of colour in pictures of unlike sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, (height, width) in SIZES.items():
        y, x = np.mgrid[0:height, 0:width]
        waves = [np.sin(x / 5 + y / 9), np.cos(x / 7 - y / 4), np.sin((x + y) / 6)]
        pixels = np.rint(128 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def maps(pictures):
    """The class map of each picture, by its stem, from ONNX Runtime alone: no pixel looks at another."""
    session = onnxruntime.InferenceSession(segmentations.make_graph((None, None)))
    found = {}
    for path in sorted(pictures.iterdir()):
        with Image.open(path) as image:
            (logits,) = session.run(None, {"image": np.asarray(image)[np.newaxis]})
        found[path.stem] = logits[0].argmax(axis=2)
        assert np.unique(found[path.stem]).tolist() == [0, 1, 2]
    return found


@pytest.fixture
def run(segmenter, pictures, capfd):
    """Runs the segmenter over the pictures and returns what stands on stdout."""

    def run(*options, sources=None, code=0):
        capfd.readouterr()
        assert main(["run", segmenter, *(sources or [str(pictures)]), *map(str, options)]) == code
        return capfd.readouterr().out

    return run


def largest_first(class_map):
    """(class, pixels) of the classes that are there."""
    counts = np.bincount(class_map.ravel(), minlength=len(LABELS)).tolist()
    return sorted(((c, count) for c, count in enumerate(counts) if count), key=lambda pair: -pair[1])


def test_masks_hold_the_classes_as_numbers_of_a_palette(run, maps, tmp_path):
    run("--masks", tmp_path / "masks", "--save", tmp_path / "shown")
    assert {path.name for path in (tmp_path / "masks").iterdir()} == {*(f"{stem}.png" for stem in SIZES), "classes.txt"}
    assert (tmp_path / "masks" / "classes.txt").read_text() == "sky\nbird\ntree\n"
    palettes = set()
    for stem, expected in maps.items():
        with Image.open(tmp_path / "masks" / f"{stem}.png") as mask:
            assert mask.mode == "P"
            np.testing.assert_array_equal(np.asarray(mask), expected)
            palettes.add(tuple(mask.getpalette()[: 3 * len(LABELS)]))
    (palette,) = palettes
    assert len({palette[at : at + 3] for at in (0, 3, 6)}) == 3
    assert {path.name for path in (tmp_path / "shown").iterdir()} == {f"{stem}.png" for stem in SIZES}


def test_the_folder_of_masks_is_read_as_that_of_a_data_set(run, maps, pictures, tmp_path):
    (tmp_path / "images").mkdir()
    for path in pictures.iterdir():
        (tmp_path / "images" / path.name).write_bytes(path.read_bytes())
    run("--masks", tmp_path / "masks", sources=[str(tmp_path / "images")])
    samples = load_dataset(f"masks:{tmp_path}").select("all")
    assert samples.labels == LABELS
    read = {samples.sources[index].stem: samples[index][1] for index in range(len(samples))}
    assert read.keys() == maps.keys()
    for stem, expected in maps.items():
        np.testing.assert_array_equal(read[stem], expected)


def test_masks_of_other_classes_do_not_come_together(segmenter, pictures, capfd, tmp_path):
    (tmp_path / "classes.txt").write_text("road\nroof\n")
    assert main(["run", segmenter, str(pictures), "--masks", str(tmp_path)]) == 2
    told = capfd.readouterr().err.splitlines()[-1]
    assert f"--masks: {tmp_path / 'classes.txt'} names other classes" in told
    assert (tmp_path / "classes.txt").read_text() == "road\nroof\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_mask_of_stdin_is_named_after_it(run, pictures, maps, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((pictures / "7.png").read_bytes())))
    run("--masks", tmp_path, sources=["-"])
    with Image.open(tmp_path / "stdin.png") as mask:
        np.testing.assert_array_equal(np.asarray(mask), maps["7"])


def test_json_and_csv_say_how_much_each_class_covers(run, maps):
    answers = json.loads(run("--format", "json"))
    lines = [json.loads(line) for line in run("--format", "jsonl").splitlines()]
    assert [answer["predictions"] for answer in answers] == [line["predictions"] for line in lines]
    rows = list(csv.DictReader(io.StringIO(run("--format", "csv"))))
    text = run().splitlines()
    for answer, expected, line in zip(answers, maps.values(), text, strict=True):
        assert answer["task"] == "segmentation"
        found = answer["predictions"]
        assert [(one["class"], one["pixels"]) for one in found] == largest_first(expected)
        assert [one["name"] for one in found] == [LABELS[one["class"]] for one in found]
        assert [one["share"] for one in found] == pytest.approx([one["pixels"] / expected.size for one in found])
        own, rows = rows[: len(found)], rows[len(found) :]
        assert [(row["name"], int(row["class"]), int(row["pixels"]), float(row["share"])) for row in own] == [
            (one["name"], one["class"], one["pixels"], one["share"]) for one in found
        ]
        assert [row["rank"] for row in own] == [str(rank) for rank in range(1, len(found) + 1)]
        told = [f"{one['name']} {100 * one['share']:.1f} % ({one['pixels']:,} pixels)" for one in found]
        assert ", ".join(told) in line
    assert rows == []


def test_top_k_leaves_the_smaller_classes_out_and_masks_whole(run, maps, tmp_path):
    answers = json.loads(run("--format", "json", "--top-k", "1", "--masks", tmp_path / "masks"))
    for answer, (stem, expected) in zip(answers, maps.items(), strict=True):
        assert [one["class"] for one in answer["predictions"]] == [largest_first(expected)[0][0]]
        with Image.open(tmp_path / "masks" / f"{stem}.png") as mask:
            np.testing.assert_array_equal(np.asarray(mask), expected)


def test_run_lengths_are_decoded_by_pycocotools(run, maps):
    coco = pytest.importorskip("pycocotools.mask")
    for answer, expected in zip(json.loads(run("--format", "json")), maps.values(), strict=True):
        for found in answer["predictions"]:
            np.testing.assert_array_equal(coco.decode(found["segmentation"]), expected == found["class"])


def test_coco_results_are_what_pycocotools_reads(run, maps, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    results = json.loads(run("--format", "coco"))
    assert {one["image_id"] for one in results} == {12, 7, "street"}
    (tmp_path / "results.json").write_text(json.dumps([one for one in results if one["image_id"] != "street"]))
    truth = coco.COCO()
    truth.dataset = {
        "images": [{"id": int(stem), "height": SIZES[stem][0], "width": SIZES[stem][1]} for stem in list(SIZES)[:2]],
        "annotations": [],
        "categories": [{"id": number, "name": name} for number, name in enumerate(LABELS, 1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        loaded = truth.loadRes(str(tmp_path / "results.json"))
    for stem in ("000000000012", "7"):
        found = loaded.loadAnns(loaded.getAnnIds(imgIds=[int(stem)]))
        assert {one["category_id"] for one in found} == {1, 2, 3}
        for one in found:
            mask = maps[stem] == one["category_id"] - 1
            np.testing.assert_array_equal(loaded.annToMask(one), mask)
            assert (one["area"], one["score"]) == (mask.sum(), 1)


def rasterised(rings, size):
    """The pixels whose middle lies inside an odd number of rings, (H, W)."""
    inside = np.zeros(size, bool)
    for ring in rings:
        for (x, y), (x2, y2) in zip(ring, [*ring[1:], ring[0]], strict=True):
            assert (x == x2) != (y == y2)  # along edges of pixels
            if x == x2:  # a ray to the left crosses it
                inside[min(y, y2) : max(y, y2), x:] ^= True
    return inside


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_polygons_are_outlines_of_the_classes(run, maps, format):
    def read(*options):
        told = run("--format", format, *options)
        return json.loads(told) if format == "json" else [json.loads(line) for line in told.splitlines()]

    for answer, expected in zip(read("--polygons"), maps.values(), strict=True):
        for found in answer["predictions"]:
            np.testing.assert_array_equal(rasterised(found["polygons"], expected.shape), expected == found["class"])
    assert not any("polygons" in found for answer in read() for found in answer["predictions"])


def test_a_picture_smaller_than_a_cell_is_one_failure_and_the_others_go_on(run, pictures, maps, tmp_path):
    Image.new("RGB", (40, STEP - 1)).save(tmp_path / "low.png")
    sources = [str(pictures / "7.png"), str(tmp_path / "low.png"), str(pictures / "street.png")]
    for options in ([], ["--batch", "3"]):
        answers = json.loads(run("--format", "json", *options, sources=sources, code=1))
        assert ["error" in answer for answer in answers] == [False, True, False]
        assert "image of 7 x 40: expected a height and width of 8 pixels or more" in answers[1]["error"]["message"]
        assert [(one["class"], one["pixels"]) for one in answers[2]["predictions"]] == largest_first(maps["street"])


@pytest.mark.parametrize(
    ("options", "needs"),
    [
        (["--format", "yolo"], "boxes"),
        (["--crop", "made"], "boxes"),
        (["--txt", "made"], "boxes"),
        (["--score-threshold", "0.5"], ""),
        (["--iou-threshold", "0.5"], ""),
        (["--max-detections", "3"], ""),
        (["--agnostic"], ""),
        (["--classes", "sky"], ""),
        (["--polygons"], "json or jsonl, received text"),
        (["--polygons", "--format", "csv"], "json or jsonl, received csv"),
        (["--polygons", "--format", "coco"], "json or jsonl, received coco"),
        (["--masks", "made", "--save", "made"], "it is that of --save, made"),
        (["--save", "made", "--crop", "other"], "boxes"),
    ],
    ids=" ".join,
)
def test_run_refuses_what_a_segmenter_does_not_give(segmenter, pictures, tmp_path, capfd, monkeypatch, options, needs):
    monkeypatch.chdir(tmp_path)
    assert main(["run", segmenter, str(pictures), *options]) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    told = " ".join(shown.err.split())
    assert needs in told
    assert any(option in told for option in options if option.startswith("--"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [["--masks", "made"], ["--polygons", "--format", "json"]], ids=" ".join)
def test_run_refuses_masks_of_a_classifier(tmp_path, pictures, capfd, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "classifier.onnx").write_bytes(stamp(make_graph(), make_classifier()))
    assert main(["run", "classifier.onnx", str(pictures), *options]) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    told = " ".join(shown.err.split())
    assert options[0] in told
    assert "expects answers with masks, received a model whose answers have name, class, confidence" in told
    assert [path.name for path in tmp_path.iterdir()] == ["classifier.onnx"]


def test_masks_never_lie_on_top_of_an_input(segmenter, pictures, capfd):
    before = {path.name: path.read_bytes() for path in pictures.iterdir()}
    assert main(["run", segmenter, str(pictures), "--masks", str(pictures)]) == 2
    assert "another folder" in capfd.readouterr().err
    assert {path.name: path.read_bytes() for path in pictures.iterdir()} == before


# Data with masks that are wrong: one line, and nothing is scored.


@pytest.fixture
def masked(tmp_path):
    """A data set of one part, which tests spoil."""
    segmentations.write_masks(tmp_path / "set", {"test": [(24, 30), (17, 40), (33, 33)]})
    return tmp_path / "set" / "test"


def spoil(change):
    def spoiled(test):
        path = test / "masks" / "001.png"
        with Image.open(path) as mask:
            change(path, np.asarray(mask))

    return spoiled


def saved(path, values):
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


def with_edge(test):
    (test.parent / "classes.txt").write_text("sky\nbird\n")
    for path in (test / "masks").iterdir():
        with Image.open(path) as mask:
            values = np.asarray(mask)
        saved(path, np.where(values == 2, 255, values))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (spoil(lambda path, mask: saved(path, mask[:-1])), "40 x 17 (width x height)"),
        (spoil(lambda path, mask: saved(path, np.where(mask == 1, 7, mask))), "received 0, 2, 7"),
        (spoil(lambda path, _: path.unlink()), "expected a mask 001.png"),
        (spoil(lambda path, mask: saved(path, np.stack([mask] * 3, axis=2))), "colours without a palette (mode RGB)"),
        (with_edge, "`ignore: 255`"),
    ],
    ids=["another size", "values of no class", "missing", "colours", "0, 1 and 255"],
)
def test_evaluate_refuses_wrong_masks_in_one_line(segmenter, masked, capfd, wrong, said):
    wrong(masked)
    assert main(["evaluate", segmenter, "--data", str(masked.parent)]) == 1
    shown = capfd.readouterr()
    assert shown.out == ""
    *_, line = shown.err.splitlines()
    assert line.startswith("edgecnn: ")
    assert said in line
    assert str(masked / "masks") in line
    assert "Traceback" not in shown.err


def test_evaluate_refuses_masks_of_other_classes(segmenter, masked, capfd):
    (masked.parent / "classes.txt").write_text("sky\nbird\nlake\n")
    assert main(["evaluate", segmenter, "--data", str(masked.parent)]) == 2
    assert "labels do not fit the model" in capfd.readouterr().err


def test_evaluate_saves_the_worst_images_and_the_confusion(segmenter, masked, tmp_path, capfd):
    words = ["evaluate", segmenter, "--data", str(masked.parent), "--save", str(tmp_path / "drawn")]
    assert main(words) == 0
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {"confusion.png", "worst.png"}
    shown = capfd.readouterr().out
    assert "mean IoU" in shown.split("pixel accuracy")[0]
    assert [line.split()[0] for line in shown.splitlines()[2:]] == ["class", *LABELS]


def test_evaluate_refuses_a_part_of_which_nothing_is_said(segmenter, masked, capfd):
    (masked.parent / "classes.txt").unlink()
    (masked.parent / "data.yaml").write_text("names: [sky, bird, tree]\nignore: 255\n")
    for path in (masked / "masks").iterdir():
        with Image.open(path) as mask:
            saved(path, np.full(mask.size[::-1], 255))
    assert main(["evaluate", segmenter, "--data", str(masked.parent), "--format", "json"]) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "expected a pixel to judge by that is not ignored, received none in 3 images" in shown.err
