"""What detections are worth, judged by pycocotools, by a direct reading of VOC's kit, and by hand."""

import contextlib
import io
import json

import numpy as np
import pytest
from detections import Decoder, Detections, DetectorManifest, Point, random_scenes
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edgecnn.data.targets import Objects
from edgecnn.tasks.detection.curves import VOC_RECALLS, Curve, area_under, interpolated_precision
from edgecnn.tasks.detection.matching import FALSE, PASSED, RIGHT, find_faults, judge
from edgecnn.tasks.detection.metric import LEAST_SCORE, AveragePrecision

BOX = (10, 10, 20, 20)
HALF = (10, 10, 20, 15)  # IoU .5 with it
FAR = (50, 50, 60, 60)


def metric_of(found, truths, *, batch=3, **options):
    metric = AveragePrecision(DetectorManifest(**options))
    for start in range(0, len(found), batch):
        metric.update(found[start : start + batch], truths[start : start + batch])
    return metric


def pycocotools_of(found, truths, classes=4):
    """COCO's precision (10 IoUs, 101 recalls, classes) at area all and 100 answers, -1 for a class without objects."""
    truth = COCO()
    numbered = [
        (image, box.tolist(), int(class_id), int(crowd))
        for image, objects in enumerate(truths)
        for box, class_id, crowd in zip(objects.boxes.astype(float), objects.class_ids, objects.crowd, strict=True)
    ]
    truth.dataset = {
        "info": {},
        "images": [{"id": image} for image in range(len(truths))],
        "categories": [{"id": class_id} for class_id in range(classes)],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": class_id,
                "iscrowd": crowd,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
            }
            for number, (image, (x1, y1, x2, y2), class_id, crowd) in enumerate(numbered, start=1)
        ],
    }
    answers = [
        {"image_id": image, "category_id": int(class_id), "bbox": [x1, y1, x2 - x1, y2 - y1], "score": float(score)}
        for image, one in enumerate(found)
        for (x1, y1, x2, y2), class_id, score in zip(
            one.boxes.astype(float).tolist(), one.class_ids, one.scores, strict=True
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(answers), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][:, :, :, 0, 2]


def compare_with_pycocotools(found, truths):
    evaluation = metric_of(found, truths).evaluation()
    expected = pycocotools_of(found, truths)
    known = expected > -1
    assert known.any()
    assert evaluation.ap50 == pytest.approx(expected[0][known[0]].mean(), abs=1e-6)
    assert evaluation.ap50_95 == pytest.approx(expected[known].mean(), abs=1e-6)
    for class_id, entry in enumerate(evaluation.per_class):
        theirs = expected[:, :, class_id]
        if theirs[0, 0] < 0:
            assert (entry.ap50, entry.ap50_95) == (None, None)
        else:
            assert entry.ap50 == pytest.approx(theirs[0].mean(), abs=1e-6)
            assert entry.ap50_95 == pytest.approx(theirs.mean(), abs=1e-6)


@pytest.mark.parametrize("seed", range(40))
def test_ap_is_that_of_pycocotools_on_ties_crowds_empty_images_and_classes_without_objects(seed):
    compare_with_pycocotools(*random_scenes(seed, crowds=0.2, difficult=0.2))


def test_ap_is_that_of_pycocotools_on_many_images_with_scores_of_their_own():
    compare_with_pycocotools(*random_scenes(99, images=150, crowds=0.05, levels=10**6))


def test_ap_is_that_of_pycocotools_where_a_class_has_more_than_100_answers_in_an_image():
    random = np.random.default_rng(5)
    corners = np.stack(np.divmod(np.arange(150), 15), axis=1) * 12
    boxes = np.concatenate([corners, corners + 10], axis=1)
    found = Detections(
        (boxes + random.integers(-1, 2, boxes.shape)).astype(np.float32),
        random.uniform(0.3, 1, 150).astype(np.float32),
        np.zeros(150, np.int64),
    )
    truths = Objects.of(boxes[:120].tolist(), [0] * 120)
    compare_with_pycocotools([found] * 2, [truths] * 2)
    first = Detections(
        *(part[np.argsort(-found.scores)[:100]] for part in (found.boxes, found.scores, found.class_ids))
    )
    ours, cut = metric_of([found], [truths]), metric_of([first], [truths])
    assert ours.value() == cut.value()
    assert ours.evaluation().per_class[0].recall > cut.evaluation().per_class[0].recall  # which count all answers


# Answers and objects as an early tiny detector gave them on blood cells: classes by turns, boxes with fractions.
RECORDED = (
    (
        [(0, 0.9281, (101.2, 54.7, 205.9, 160.3)), (0, 0.8813, (310.5, 22.4, 402.8, 131.9)),
         (0, 0.4127, (118.9, 70.2, 214.4, 171.1)), (1, 0.9671, (250.1, 180.6, 431.4, 388.2)),
         (2, 0.3055, (33.8, 300.4, 71.6, 341.5)), (0, 0.0213, (402.2, 300.8, 500.1, 402.6))],
        [(0, (98, 57, 207, 158)), (0, (305, 20, 407, 128)), (1, (243, 171, 440, 395)), (2, (30, 305, 75, 345)),
         (0, (520, 210, 625, 311))],
    ),
    (
        [(0, 0.7718, (12.1, 15.5, 111.4, 120.8)), (2, 0.6402, (401.7, 96.3, 440.2, 133.9)),
         (2, 0.6402, (405.7, 98.3, 446.2, 139.9)), (1, 0.1187, (300.2, 290.1, 470.6, 460.9))],
        [(0, (15, 18, 118, 122)), (2, (403, 100, 447, 140)), (2, (507, 11, 541, 40))],
    ),
    ([(0, 0.2874, (3.2, 8.8, 90.1, 99.6))], []),
    ([], [(1, (100, 100, 300, 290))]),
)  # fmt: skip


def test_ap_is_that_of_pycocotools_on_recorded_detections():
    found = [Detections.of(*answers) for answers, _ in RECORDED]
    truths = [Objects.of([box for _, box in marked], [class_id for class_id, _ in marked]) for _, marked in RECORDED]
    compare_with_pycocotools(found, truths)


# Pascal VOC


def voc_by_its_kit(found, truths, class_id):
    """VOCevaldet.m and VOCap.m line by line: recall, precision, AP of 2007 and of 2010 on; None without objects."""
    answers = sorted(
        (
            (-float(score), image, rank, box.astype(float))
            for image, one in enumerate(found)
            for rank, (box, score, other) in enumerate(zip(one.boxes, one.scores, one.class_ids, strict=True))
            if other == class_id
        ),
        key=lambda answer: answer[:3],
    )
    own = [np.flatnonzero(truth.class_ids == class_id) for truth in truths]
    positives = sum(int((~truth.difficult[chosen]).sum()) for truth, chosen in zip(truths, own, strict=True))
    if not positives:
        return None
    seen, right, false = set(), [], []
    for _, image, _, (x1, y1, x2, y2) in answers:
        most, best = -np.inf, None
        for number in own[image]:
            a1, b1, a2, b2 = truths[image].boxes[number].astype(float)
            width, height = min(x2, a2) - max(x1, a1), min(y2, b2) - max(y1, b1)
            if width > 0 and height > 0:
                shared = width * height
                overlap = shared / ((x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - shared)
                if overlap > most:
                    most, best = overlap, number
        if most >= 0.5 and truths[image].difficult[best]:
            continue
        hit = most >= 0.5 and (image, best) not in seen
        if hit:
            seen.add((image, best))
        right.append(hit)
        false.append(not hit)
    recall = np.cumsum(right) / positives
    precision = np.cumsum(right) / (np.cumsum(right) + np.cumsum(false))
    eleven = np.mean(
        [max((p for r, p in zip(recall, precision, strict=True) if r >= k / 10), default=0) for k in range(11)]
    )
    recall, precision = [0, *recall, 1], [0, *precision, 0]
    for place in range(len(precision) - 2, -1, -1):
        precision[place] = max(precision[place], precision[place + 1])
    area = sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))
    return eleven, area


@pytest.mark.parametrize("seed", range(30))
def test_ap_11_point_and_ap_all_are_those_of_the_kit_of_voc(seed):
    found, truths = random_scenes(seed, difficult=0.3)
    evaluation = metric_of(found, truths).evaluation()
    expected = [voc_by_its_kit(found, truths, class_id) for class_id in range(4)]
    for entry, theirs in zip(evaluation.per_class, expected, strict=True):
        assert (entry.ap_11_point, entry.ap_all) == (
            (None, None) if theirs is None else pytest.approx(theirs, abs=1e-12)
        )
    known = [pair for pair in expected if pair is not None]
    assert (evaluation.ap_11_point, evaluation.ap_all) == pytest.approx(np.mean(known, axis=0))


def test_both_ap_of_voc_are_as_published():
    """Padilla et al. 2020, A Survey on Performance Metrics for Object-Detection Algorithms: 24 answers, 15 objects."""
    verdicts = np.zeros(24, np.int8)
    verdicts[np.array([1, 3, 10, 12, 13, 14, 23]) - 1] = RIGHT
    curve = Curve.of(np.linspace(0.95, 0.1, 24).astype(np.float32), verdicts, 15)
    assert interpolated_precision(curve, VOC_RECALLS) == pytest.approx(0.2684, abs=5e-5)
    assert area_under(curve) == pytest.approx(0.2456, abs=1e-4)


def test_a_recall_that_is_just_reached_counts():
    verdicts = np.int8([RIGHT] * 3 + [FALSE] * 7)
    curve = Curve.of(np.linspace(0.9, 0.1, 10).astype(np.float32), verdicts, 10)
    assert interpolated_precision(curve, VOC_RECALLS) == pytest.approx(4 / 11)  # 0, .1, .2 and .3


# The protocols side by side


def verdicts(answers, truth):
    judged = judge(Detections.of(*answers), truth)
    return judged.coco[:, 0].tolist(), judged.voc.tolist(), judged.plain.tolist()


def test_a_second_answer_is_false():
    answers = [(0, 0.9, BOX), (0, 0.8, BOX)]
    assert verdicts(answers, Objects.of([BOX], [0])) == ([RIGHT, FALSE],) * 3


def test_a_difficult_object_is_passed_over_by_voc_and_counts_in_coco():
    answers = [(0, 0.9, BOX), (0, 0.8, BOX)]
    found = verdicts(answers, Objects.of([BOX], [0], difficult=[True]))
    assert found == ([RIGHT, FALSE], [PASSED] * 2, [PASSED] * 2)


def test_answers_in_a_crowd_are_passed_over():
    small = [(0, 0.9, (11, 11, 13, 13)), (0, 0.8, (15, 15, 17, 17)), (0, 0.7, FAR)]
    assert verdicts(small, Objects.of([BOX], [0], crowd=[True])) == ([PASSED, PASSED, FALSE],) * 3


def test_an_object_goes_before_the_crowd_that_it_is_in():
    truth = Objects.of([(0, 0, 100, 100), BOX], [0, 0], crowd=[True, False])
    assert verdicts([(0, 0.9, HALF), (0, 0.8, HALF)], truth) == ([RIGHT, PASSED], [RIGHT, FALSE], [RIGHT, PASSED])


def test_coco_takes_the_next_best_object_where_voc_calls_it_a_second_answer():
    truth = Objects.of([(0, 0, 10, 10), (0, 2, 10, 12)], [0, 0])
    answers = [(0, 0.9, (0, 0, 10, 10)), (0, 0.8, (0, 0, 10, 11))]
    assert verdicts(answers, truth) == ([RIGHT, RIGHT], [RIGHT, FALSE], [RIGHT, RIGHT])


def test_find_faults_keeps_the_order_of_answers_and_objects():
    found = Detections.of((1, 0.3, FAR), (0, 0.4, BOX), (0, 0.6, HALF))
    truth = Objects.of([FAR, BOX, FAR, (0, 0, 5, 5)], [0, 0, 1, 2], difficult=[False, False, False, True])
    judged, missed = find_faults(found, truth)
    assert judged.tolist() == [RIGHT, FALSE, RIGHT]
    assert missed.tolist() == [True, False, False, False]


# Precision, recall and F1 as the device answers


def counted_by_hand(found, truths, thresholds):
    """Right answers, answers and objects by class: answers below the threshold are dropped before anything else."""
    counts = np.zeros((4, 3), int)
    for one, truth in zip(found, truths, strict=True):
        for class_id, difficult in zip(truth.class_ids, truth.difficult, strict=True):
            counts[class_id, 2] += not difficult
        free = set(range(len(truth)))
        for number in sorted(range(len(one)), key=lambda number: (-one.scores[number], number)):
            class_id = one.class_ids[number]
            if one.scores[number] < thresholds[class_id]:
                continue
            fits = []
            for other in range(len(truth)):
                (x1, y1, x2, y2), (a1, b1, a2, b2) = one.boxes[number].tolist(), truth.boxes[other].tolist()
                shared = max(min(x2, a2) - max(x1, a1), 0) * max(min(y2, b2) - max(y1, b1), 0)
                union = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - shared
                if class_id == truth.class_ids[other] and shared / union >= 0.5:
                    fits.append((shared / union, other))
            own = [pair for pair in fits if pair[1] in free and not truth.difficult[pair[1]]]
            if own:
                free.discard(max(own)[1])
            elif any(truth.difficult[other] for _, other in fits):
                continue
            counts[class_id, :2] += (bool(own), 1)
    return counts


@pytest.mark.parametrize("points", [None, (Point(0, 0.375), Point(2, 0.875))])
@pytest.mark.parametrize("seed", range(12))
def test_precision_recall_and_f1_are_those_of_the_answers_that_the_device_gives(seed, points):
    found, truths = random_scenes(seed, difficult=0.2)
    decoder = Decoder(0.5, points)
    evaluation = metric_of(found, truths, decoder=decoder).evaluation()
    counts = counted_by_hand(found, truths, decoder.thresholds(4))
    everything = [*zip(counts, evaluation.per_class, strict=True), (counts.sum(axis=0), evaluation)]
    for (right, answered, objects), entry in everything:
        assert entry.precision == (pytest.approx(right / answered) if answered else None)
        assert entry.recall == (pytest.approx(right / objects) if objects else None)
        assert entry.f1 == (pytest.approx(2 * right / (answered + objects)) if answered + objects else None)


def test_image_scores_are_the_f1_of_each_image():
    truths = [Objects.of([BOX, FAR], [0, 1]), Objects.of([], []), Objects.of([], []), Objects.of([BOX], [0])]
    found = [
        Detections.of((0, 0.9, BOX), (0, 0.2, FAR)),
        Detections.of(),
        Detections.of((2, 0.9, BOX)),
        Detections.of(),
    ]
    metric = metric_of(found, truths)
    assert metric.image_scores().tolist() == [pytest.approx(2 / 3), 1, 0, 0]
    assert metric.scores() is None


def test_a_score_at_the_threshold_is_answered_whatever_float32_makes_of_it():
    for threshold in (0.3, 0.7):
        metric = metric_of([Detections.of((0, threshold, BOX))], [Objects.of([BOX], [0])], decoder=Decoder(threshold))
        assert metric.evaluation().recall == 1


# The metric


def test_the_metric_decodes_at_a_low_threshold_and_without_operating_points():
    manifest = DetectorManifest(decoder=Decoder(0.25, (Point(0, 0.9),)))
    assert AveragePrecision(manifest).manifest == DetectorManifest(decoder=Decoder(LEAST_SCORE, None))
    lower = DetectorManifest(decoder=Decoder(1e-4))
    assert AveragePrecision(lower).manifest == lower


def test_answers_below_the_devices_threshold_count_for_ap_alone():
    metric = metric_of([Detections.of((0, 0.9, BOX), (0, 0.1, FAR))], [Objects.of([BOX, FAR], [0, 0])])
    assert metric.value() == 1
    assert metric.evaluation().recall == 0.5


def test_value_is_ap50_whatever_the_batches():
    found, truths = random_scenes(3)
    values = {metric_of(found, truths, batch=batch).value() for batch in (1, 3, 8)}
    assert values == {metric_of(found, truths).evaluation().ap50}
    assert AveragePrecision.name == "ap50"


def test_evaluation_without_objects_has_no_ap():
    evaluation = metric_of([Detections.of((0, 0.9, BOX)), Detections.of()], [Objects.of([], [])] * 2).evaluation()
    assert (evaluation.images, evaluation.ap50, evaluation.ap_11_point, evaluation.recall) == (2, None, None, None)
    assert (evaluation.precision, evaluation.f1) == (0, 0)
    assert evaluation.headline() == "AP50 -, AP50:95 -, precision 0.0000, recall -, F1 0.0000 (IoU 0.5)"
    assert AveragePrecision(DetectorManifest()).value() == 0.0


def test_evaluation_is_json_with_the_names_of_the_interface():
    found, truths = [Detections.of((1, 0.9, BOX), (1, 0.8, FAR))], [Objects.of([BOX], [1])]
    tree = json.loads(json.dumps(metric_of(found, truths).evaluation(skipped=3).to_dict(), allow_nan=False))
    parts = ["ap50", "ap50_95", "ap_11_point", "ap_all", "precision", "recall", "f1"]
    assert list(tree) == ["images", "skipped", *parts, "per_class"]
    assert (tree["images"], tree["skipped"]) == (1, 3)
    values = {
        "ap50": 1,
        "ap50_95": 1,
        "ap_11_point": 1,
        "ap_all": 1,
        "precision": 0.5,
        "recall": 1,
        "f1": pytest.approx(2 / 3),
    }
    assert tree["per_class"][1] == {"name": "dog", "class": 1, **values, "score_threshold": 0.25, "support": 1}
    assert tree["per_class"][0] == {
        **{"name": "cat", "class": 0, "score_threshold": 0.25, "support": 0},
        **dict.fromkeys(parts),
    }
    assert {name: tree[name] for name in parts} == values


def test_evaluation_has_a_table_by_class():
    columns, rows = (
        metric_of([Detections.of((1, 0.9, BOX))], [Objects.of([BOX], [1])], labels=None).evaluation().table()
    )
    assert columns == ["class", "AP50", "AP50:95", "AP 11", "precision", "recall", "F1", "from score", "objects"]
    assert rows[0] == ["class 0", *["-"] * 6, "0.25", "0"]
    assert rows[1] == ["class 1", *["1.0000"] * 6, "0.25", "1"]
