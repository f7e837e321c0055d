"""Which anchors a training begins with: a head that is taken keeps its own, any other gets those of the data."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgecnn.data.samples import Samples
from edgecnn.data.targets import Boxes, Objects
from edgecnn.errors import UsageError
from edgecnn.models import build_manifest, build_model, get_spec
from edgecnn.models.adapter import KerasModel
from edgecnn.models.pretrained import pretrained_model
from edgecnn.tasks.detection.first_anchors import fit
from edgecnn.training import RunFolder, TrainConfig, train
from edgecnn.training.network import new_trainee
from edgecnn_runtime.preprocessing import Preprocessor

SIZE, LABELS = (96, 128), ("circle", "square")
SPEC = get_spec("yolov3_tiny")


def samples(scale, labels=LABELS):
    """Twelve pictures of noise with a box each, larger by the scale, no two of a size."""
    random = np.random.default_rng(0)
    sources = tuple(random.integers(0, 256, (*SIZE, 3), dtype=np.uint8) for _ in range(12))
    sizes = [(scale * (4 + number), scale * (16 - number)) for number in range(12)]
    boxes = tuple(Objects.of([(2, 1, 2 + width, 1 + height)], [0]) for width, height in sizes)
    return Samples(sources, Boxes(boxes), labels, "train")


def fitted(scale, weights="none", labels=LABELS):
    manifest = build_manifest(SPEC, labels, image_size=SIZE, width=0.05)
    return fit(manifest, samples(scale, labels), config=options(weights))


def options(weights="none"):
    freeze = None if weights == "none" else "backbone"
    return TrainConfig(
        "yolov3_tiny", "unused", image_size=SIZE, width=0.05, weights=str(weights), freeze=freeze, seed=5
    )


def anchors(manifest):
    return [anchor for scale in manifest.decoder.scales for anchor in scale.anchors]


@pytest.fixture
def source(tmp_path):
    """A detector as a run leaves it, of small boxes, with a head that does not stand at its beginning."""
    model = build_model("yolov3_tiny", image_size=SIZE, num_classes=2, width=0.05, seed=1)
    random = np.random.default_rng(1)
    model.set_weights([weight + random.normal(0, 0.05, weight.shape) for weight in model.get_weights()])
    manifest = fitted(1)
    model.save(tmp_path / "best.keras")
    (tmp_path / "manifest.json").write_text(manifest.to_json())
    return tmp_path / "best.keras", model, manifest


def answers(model, manifest):
    """The boxes that a model means, by its own manifest."""
    manifest = replace(manifest, decoder=replace(manifest.decoder, score_threshold=0.003))
    pixels, placement = Preprocessor(manifest.image_input)(samples(1).sources[0])
    source = KerasModel(model, manifest)
    (answer,) = source.results(source.run({"image": pixels}), [placement])
    return answer


def test_a_continued_detector_answers_before_its_first_step_what_its_source_does(source):
    path, model, manifest = source
    assert anchors(fitted(3)) != anchors(manifest)
    continued = fitted(3, path)
    trainee = new_trainee(options(path), continued)
    given, expected = answers(trainee.model, continued), answers(model, manifest)
    assert len(expected) > 3
    np.testing.assert_allclose(given.boxes, expected.boxes, rtol=1e-5)
    assert given.class_ids.tolist() == expected.class_ids.tolist()
    np.testing.assert_allclose(given.scores, expected.scores, rtol=1e-5)


@pytest.mark.parametrize("beside", ["nothing", "no manifest", "another model's"])
def test_where_the_anchors_of_a_head_are_not_known_the_datas_are_taken_and_it_is_said(beside, source, caplog):
    path, _, manifest = source
    if beside == "nothing":
        path.with_name("manifest.json").unlink()
    elif beside == "no manifest":
        path.with_name("manifest.json").write_text("{}")
    else:
        other = replace(manifest, model=replace(manifest.model, name="yolov3"))
        path.with_name("manifest.json").write_text(other.to_json())
    assert anchors(fitted(3, path)) == anchors(fitted(3))
    assert f"anchors: those that the head of {path} was trained on are not known" in caplog.text


def test_a_head_of_other_classes_is_a_new_one_and_gets_the_anchors_of_the_data(source):
    path, _, manifest = source
    three = ("a", "b", "c")
    assert anchors(fitted(3, path, three)) == anchors(fitted(3)) != anchors(manifest)


@pytest.mark.parametrize(("classes", "taken"), [(2, True), (3, False)])
def test_darknets_head_keeps_the_published_anchors(classes, taken, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="edgecnn")
    model = build_model("yolov3_tiny", image_size=SIZE, num_classes=classes, width=0.05)
    path = tmp_path / "w.weights"
    count = sum(weight.size for weight in model.get_weights())
    path.write_bytes(bytes([0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0] + [0] * 8) + np.zeros(count, "<f4").tobytes())
    published = anchors(build_manifest(SPEC, LABELS))
    assert anchors(fitted(3, path)) == (published if taken else anchors(fitted(3)))
    assert ("anchors: the published ones" in caplog.text) == taken


def test_a_model_with_a_runs_weights_has_the_runs_anchors(source):
    path, _, manifest = source
    named = pretrained_model("yolov3_tiny", str(path), labels=LABELS, image_size=SIZE, width=0.05)
    assert named.manifest == manifest


def write_pictures(folder, sizes):
    """Twelve pictures with a box each, of those sizes in turn, as YOLO has them."""
    for name in ("images/train", "labels/train"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for index in range(12):
        width, height = sizes[index % len(sizes)]
        pixels = random.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / "train" / f"{index:02}.png")
        row = (index % 2, 0.5, 0.5, width / SIZE[1], height / SIZE[0])
        (folder / "labels" / "train" / f"{index:02}.txt").write_text(" ".join(map(str, row)) + "\n")
    (folder / "data.yaml").write_text("train: images/train\nval: images/train\nnames: [circle, square]\n")
    return folder


FEW = {1: [(20, 30)], 3: [(20, 30), (60, 40), (90, 80)], 5: [(8 * n, 90 - 10 * n) for n in range(1, 6)]}


@pytest.mark.parametrize("count", FEW)
def test_boxes_of_fewer_sizes_than_anchors_are_among_them_and_others_are_larger_and_smaller(count, caplog):
    """Objects of one size are what a fixed camera and one kind of part give."""
    caplog.set_level(logging.INFO, logger="edgecnn")
    images = tuple(Objects.of([(0, 0, *size)], [0]) for size in FEW[count]) * 3
    given = Samples((np.zeros((*SIZE, 3), np.uint8),) * len(images), Boxes(images), LABELS, "train")
    found = anchors(fit(build_manifest(SPEC, LABELS, image_size=SIZE), given, config=options()))
    assert len(set(found)) == 6
    assert set(FEW[count]) <= set(found)
    areas = [width * height for width, height in found]
    assert areas == sorted(areas)
    shapes = [width / height for width, height in FEW[count]]
    for width, height in found:
        assert min(abs(width / height / shape - 1) for shape in shapes) < 0.01
    if count == 1:
        assert [area / 600 for area in areas] == pytest.approx([0.25, 0.5, 1, 2, 4, 8], rel=0.01)
    assert f"the boxes are of {count} sizes alone; added {6 - count} larger and smaller ones" in caplog.text


def test_data_without_a_box_to_learn_are_refused():
    groups = tuple(Objects.of([(0, 0, 9, 9)], [0], crowd=[True]) for _ in range(3))
    given = Samples((np.zeros((*SIZE, 3), np.uint8),) * 3, Boxes(groups), LABELS, "train")
    with pytest.raises(UsageError, match="anchors: expected boxes in the train part to learn from, received none"):
        fit(build_manifest(SPEC, LABELS, image_size=SIZE), given, config=options())


def test_a_run_that_goes_on_keeps_its_anchors_whatever_would_be_fitted_now():
    earlier, manifest = fitted(3), build_manifest(SPEC, LABELS, image_size=SIZE, width=0.05)
    assert fit(manifest, samples(1), config=options(), earlier=earlier) == earlier
    other = replace(earlier, model=replace(earlier.model, name="yolov3"))
    assert fit(manifest, samples(1), config=options(), earlier=other) == fitted(1)


@pytest.mark.slow
def test_resume_goes_on_with_the_anchors_of_the_manifest(tmp_path):
    """Another version of numpy, or of ours, may fit others, and the checkpoint's losses hold these."""
    data = write_pictures(tmp_path / "data", FEW[5])
    config = replace(options(), data=str(data), epochs=1, batch_size=4)
    train(config, tmp_path / "run")
    path = tmp_path / "run" / "manifest.json"
    tree = json.loads(path.read_text())
    tree["decoder"]["scales"][0]["anchors"][0] = [9.25, 9.5]
    path.write_text(json.dumps(tree))
    train(replace(config, epochs=2), tmp_path / "run", resume=True)
    assert anchors(RunFolder.open(tmp_path / "run").manifest)[0] == (9.25, 9.5)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_pictures_with_boxes_of_few_sizes_are_learned(count, tmp_path):
    data = write_pictures(tmp_path / "data", FEW[count])
    config = replace(options(), data=str(data), epochs=1, batch_size=4)
    assert train(config, tmp_path / "run").epochs_trained == 1
    found = set(anchors(RunFolder.open(tmp_path / "run").manifest))
    assert len(found) == 6
    assert set(FEW[count]) <= found


@pytest.mark.slow
def test_a_run_that_goes_on_from_another_ones_weights_keeps_its_anchors(source, tmp_path):
    path, _, manifest = source
    sizes = [(10 + 8 * number, 90 - 7 * number) for number in range(12)]
    config = replace(options(path), data=str(write_pictures(tmp_path / "data", sizes)), epochs=1, batch_size=4)
    train(config, tmp_path / "run")
    assert anchors(RunFolder.open(tmp_path / "run").manifest) == anchors(manifest)
