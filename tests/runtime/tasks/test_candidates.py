"""Regions with logits and shifts become candidates: against plain arithmetic, one region and class at a time."""

import math

import numpy as np
import pytest

from edgecnn_runtime.decoders import OutputSpec, RegionsDecoder
from edgecnn_runtime.errors import ManifestError, OutputError
from edgecnn_runtime.manifest import ImageInput, Manifest, ModelInfo
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.candidates import boxes_in, candidates
from edgecnn_runtime.tasks.detection import DETECTION
from edgecnn_runtime.tasks.table import decode

SIZE, ROWS, CLASSES = (80, 100), 20, 3
PLACE = Placement(SIZE, (1.0, 1.0), (0.0, 0.0))


def make_manifest(**changed) -> Manifest:
    decoder = RegionsDecoder(((10.0, 20.0),), **{"score_threshold": 0.2, "iou_threshold": 0.5} | changed)
    outputs = (
        OutputSpec("regions", (ROWS, 4)),
        OutputSpec("valid", ()),
        OutputSpec("logits", (ROWS, CLASSES + 1)),
        OutputSpec("shifts", (ROWS, CLASSES, 4)),
    )
    image = ImageInput(name="image", height=SIZE[0], width=SIZE[1], color="rgb")
    return Manifest("detection", ModelInfo("made_up", 1.0), (image,), ("a", "b", "c"), decoder, outputs)


def drawn(seed: int, valid: tuple[int, ...] = (20, 7)) -> dict[str, np.ndarray]:
    random, images = np.random.default_rng(seed), len(valid)
    corners = random.uniform(0, 60, (images, ROWS, 2))
    regions = np.concatenate([corners, corners + random.uniform(1, 20, (images, ROWS, 2))], axis=-1)
    for image, count in enumerate(valid):
        regions[image, count:] = 0
    return {
        "regions": regions.astype(np.float32),
        "valid": np.float32(valid),
        "logits": random.normal(0, 2, (images, ROWS, CLASSES + 1)).astype(np.float32),
        "shifts": random.normal(0, 2, (images, ROWS, CLASSES, 4)).astype(np.float32),
    }


def by_hand(outputs, image, threshold):
    """Every (box, score, class) that passes, in plain Python."""
    found = []
    for row in range(int(outputs["valid"][image])):
        logits = [math.exp(value) for value in outputs["logits"][image, row].tolist()]
        x1, y1, x2, y2 = outputs["regions"][image, row].tolist()
        for class_id in range(CLASSES):
            score = logits[class_id] / sum(logits)
            if score < threshold:
                continue
            dx, dy, dw, dh = outputs["shifts"][image, row, class_id].tolist()
            x, y = (x1 + x2) / 2 + 0.1 * dx * (x2 - x1), (y1 + y2) / 2 + 0.1 * dy * (y2 - y1)
            w = (x2 - x1) * math.exp(min(0.2 * dw, math.log(62.5)))
            h = (y2 - y1) * math.exp(min(0.2 * dh, math.log(62.5)))
            found.append(([x - w / 2, y - h / 2, x + w / 2, y + h / 2], score, class_id))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_candidates_are_those_that_plain_arithmetic_finds(seed):
    outputs = drawn(seed)
    for image, found in enumerate(candidates(make_manifest(), outputs, 2)):
        expected = by_hand(outputs, image, 0.2)
        assert len(expected) == len(found.scores) > 3
        assert found.class_ids.tolist() == [class_id for *_, class_id in expected]
        np.testing.assert_allclose(found.scores, [score for _, score, _ in expected], rtol=1e-5)
        np.testing.assert_allclose(found.boxes, [box for box, *_ in expected], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("agnostic", [False, True])
def test_decode_drops_what_overlaps_a_better_box(agnostic):
    outputs, manifest = drawn(5), make_manifest(agnostic=agnostic)
    for image, result in enumerate(decode(manifest, outputs, [PLACE, PLACE])):
        waiting, kept = sorted(by_hand(outputs, image, 0.2), key=lambda one: -one[1]), []
        for box, score, class_id in waiting:
            if all(not (agnostic or other[2] == class_id) or overlap(box, other[0]) < 0.5 for other in kept):
                kept.append((box, score, class_id))
        assert result.class_ids.tolist() == [class_id for *_, class_id in kept]
        np.testing.assert_allclose(result.scores, [score for _, score, _ in kept], rtol=1e-5)


def overlap(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def test_a_large_number_makes_a_box_no_larger_than_the_cut():
    (box,) = boxes_in(np.float32([[0, 0, 16, 16]]), np.float32([[0, 0, 1e6, 0]]))
    np.testing.assert_allclose(box, [8 - 500, 0, 8 + 500, 16], rtol=1e-5)


def test_rows_beyond_the_valid_ones_are_not_read():
    outputs = drawn(1, (5, 0))
    for name in ("logits", "shifts"):
        outputs[name][0, 5:] = np.nan
        outputs[name][1] = np.nan
    first, second = decode(make_manifest(), outputs, [PLACE, PLACE])
    assert len(first) > 0
    assert len(second) == 0


@pytest.mark.parametrize("name", ["regions", "logits", "shifts"])
def test_not_a_number_is_refused_where_it_is_read(name):
    outputs = drawn(2)
    outputs[name][0, 0] = np.nan
    outputs["logits"][0, 0, :] = outputs["logits"][0, 0, :] if name == "logits" else [9, 0, 0, 0]
    with pytest.raises(OutputError, match=f"output '{name}': expected finite numbers"):
        decode(make_manifest(), outputs, [PLACE, PLACE])


@pytest.mark.parametrize("count", [np.nan, -1.0, 21.0, 3.5])
def test_a_count_that_is_none_is_refused(count):
    outputs = drawn(2)
    outputs["valid"][1] = count
    with pytest.raises(OutputError, match="output 'valid': expected"):
        decode(make_manifest(), outputs, [PLACE, PLACE])


def test_the_manifest_comes_back_from_its_json():
    manifest = make_manifest(classes=(0, 2))
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert manifest.num_classes == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda outputs: outputs[:3], "reads output 'shifts'"),
        (
            lambda outputs: (*outputs[:3], OutputSpec("shifts", (ROWS, CLASSES + 1, 4))),
            "output 'shifts': expected shape",
        ),
        (lambda outputs: (OutputSpec("regions", (ROWS, 5)), *outputs[1:]), "output 'regions': expected shape"),
        (lambda outputs: (outputs[0], OutputSpec("valid", (1,)), *outputs[2:]), "output 'valid': expected shape"),
    ],
)
def test_outputs_of_another_shape_are_refused(change, message):
    manifest = make_manifest()
    with pytest.raises(ManifestError, match=message):
        Manifest(
            manifest.task, manifest.model, manifest.inputs, manifest.labels, manifest.decoder, change(manifest.outputs)
        )


@pytest.mark.parametrize("anchor", [(0.0, 4.0), (4.0, 1e9)])
def test_anchors_without_a_size_are_refused(anchor):
    manifest = make_manifest()
    fields = (manifest.task, manifest.model, manifest.inputs, manifest.labels, RegionsDecoder((anchor,)))
    with pytest.raises(ManifestError, match="expected anchors, each a width and a height above 0"):
        Manifest(*fields, manifest.outputs)


def test_aligned_brings_rows_into_the_order_of_the_reference():
    manifest, reference = make_manifest(), drawn(3)
    order = np.random.default_rng(0).permutation(ROWS)
    candidate = {name: values.copy() for name, values in reference.items()}
    for name in ("regions", "logits", "shifts"):
        candidate[name][0] = reference[name][0, order]
        candidate[name][0] += np.float32(1e-5)
    aligned = DETECTION.aligned(manifest, reference, candidate, exact=True)
    for name in reference:
        np.testing.assert_allclose(aligned[name], reference[name], atol=2e-5)
        assert name == "valid" or not np.array_equal(aligned[name][0], reference[name][0])


@pytest.mark.parametrize(("changed", "equal"), [(2, True), (3, False)])  # of 20: a tenth, and more
def test_aligned_lets_a_tenth_of_the_rows_be_of_other_regions(changed, equal):
    manifest, reference = make_manifest(), drawn(3)
    candidate = {name: values.copy() for name, values in reference.items()}
    candidate["regions"][0, :changed] += 30
    aligned = DETECTION.aligned(manifest, reference, candidate, exact=True)
    assert np.array_equal(aligned["regions"], reference["regions"]) == equal


def test_aligned_keeps_an_error_of_the_numbers_themselves():
    manifest, reference = make_manifest(), drawn(3)
    candidate = {name: values.copy() for name, values in reference.items()}
    candidate["shifts"] = candidate["shifts"] * np.float32(1.01)
    candidate["logits"] = candidate["logits"][..., ::-1].copy()
    aligned = DETECTION.aligned(manifest, reference, candidate, exact=True)
    assert np.array_equal(aligned["shifts"][0], candidate["shifts"][0])
    assert np.array_equal(aligned["logits"][0], candidate["logits"][0])


def test_aligned_does_not_take_a_region_that_is_decoded_otherwise_for_the_same():
    manifest, reference = make_manifest(), drawn(3)
    candidate = {name: values.copy() for name, values in reference.items()}
    candidate["regions"] = candidate["regions"] * np.float32(1.02)
    aligned = DETECTION.aligned(manifest, reference, candidate, exact=True)
    assert np.array_equal(aligned["regions"][0], candidate["regions"][0])
