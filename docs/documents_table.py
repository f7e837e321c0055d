"""Writes docs/documents.md: what the project set out to build, and the test that holds each piece of it.

Every cell is a test: of a network the conformance tests, which run for every row of the catalogue, of all else the one
that is named here. `uv run python docs/documents_table.py` rewrites the page; with `--check` it changes nothing and
exits with 1 where the page is another one. A test that does not exist, or is skipped, is refused; whether all of them
pass is what `.ci/run` says, slow ones among them.
"""

import ast
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from edgecnn.models.catalog import CATALOG

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "documents.md"
STEPS = ("builds", "trains", "exports", "int8", "runs")
_MODELS, _LAYERS, _REGIONS = "test_models.py", "test_models_layers.py", "test_models_regions.py"
CONFORMANCE = {
    "builds": (_MODELS, "test_build_model_has_the_published_parameters"),
    "trains": (_MODELS, "test_build_model_learns_pictures_by_heart"),
    "exports": (_MODELS, "test_build_model_exports_at_its_published_size"),
    "int8": (_MODELS, "test_build_model_in_int8_answers_what_it_learned"),
    "runs": (_MODELS, "test_build_model_exports_to_a_file_that_answers_alike"),
}
_BACKBONE = "test_models_backbone.py"
TRANSFER = {
    "builds": (_BACKBONE, "test_build_transfer_model_puts_pooling_and_one_dense_layer_on_the_backbone"),
    "trains": ("test_training_train.py", "test_train_transfers_a_backbone_in_two_runs"),
    "exports": (_BACKBONE, "test_a_transfer_model_goes_to_the_device"),
    "int8": (_BACKBONE, "test_a_transfer_model_goes_to_the_device"),
    "runs": (_BACKBONE, "test_a_transfer_model_goes_to_the_device"),
}
_OF_A_LAYER = {
    "trains": (_LAYERS, "test_layer_has_the_gradients_that_differences_show"),
    "exports": (_LAYERS, "test_layer_becomes_standard_operators_that_answer_alike"),
    "int8": (_LAYERS, "test_layer_answers_alike_between_layers_of_int8"),
    "runs": (_LAYERS, "test_layer_becomes_standard_operators_that_answer_alike"),
}
LAYERS = {
    "`DepthMaxPool`": (_LAYERS, "test_depth_max_pool_equals_the_documented_forms"),
    "`GlobalAveragePooling2D` as the mean over height and width": (
        _LAYERS,
        "test_global_average_pooling_is_the_mean_over_rows_and_columns",
    ),
    "`LocalResponseNormalization`": (_LAYERS, "test_response_normalization_divides_by_the_neighbours_of_its_depth"),
    "residual unit": (_LAYERS, "test_residual_unit_projects_its_input_where_the_shape_changes"),
    "inception module": (_LAYERS, "test_inception_module_joins_its_branches_in_the_order_of_the_paper"),
    "squeeze-and-excitation": (_LAYERS, "test_squeeze_excite_halves_every_channel_when_its_gate_knows_nothing"),
    "`TrainableAveragePooling`": (_LAYERS, "test_trainable_average_pooling_scales_and_shifts_each_map"),
    "`RBF`": (_LAYERS, "test_rbf_gives_squared_distances_that_no_training_changes"),
}
ROI_ALIGN = {
    "builds": (_REGIONS, "test_roi_align_is_the_operator_of_onnx"),
    **{step: CONFORMANCE[step] for step in STEPS[1:]},
}
FEATURES = {
    "shift, flip, rotation, contrast, brightness of images": (
        ("test_data_augment.py", "test_shift_moves_by_at_most_a_tenth"),
        ("test_data_augment.py", "test_contrast_keeps_the_mean_and_stretches_by_at_most_a_fifth"),
        ("test_data_augment.py", "test_rotation_keeps_the_middle"),
    ),
    "the same of boxes": (("test_data_augment_boxes.py", "test_a_box_is_found_again_where_the_arithmetic_says"),),
    "the same of masks": (("test_data_augment_masks.py", "test_pixels_and_masks_move_alike"),),
    "rare classes repeated (`--balance`)": (
        ("test_data_balance.py", "test_repeats_make_every_class_as_large_as_the_largest"),
    ),
    "early stopping": (
        ("test_training_train.py", "test_train_stops_early_and_keeps_the_last_weights"),
        ("test_training_history.py", "test_stops_early_counts_epochs_without_a_better_loss"),
    ),
    "checkpoints, and going on to the same weights": (
        ("test_training_train.py", "test_train_resumes_to_the_same_weights_when_interrupted"),
        ("test_training_kill.py", "test_train_resumes_to_the_same_weights_when_killed"),
    ),
    "one seed for all": (("test_training_fitting.py", "test_run_epoch_depends_on_seed_and_epoch_alone"),),
    "`--strategy mirrored`": (("test_training_network.py", "test_new_trainee_trains_mirrored_to_the_same_loss"),),
    "learning curves, as a picture and a table": (
        ("test_training_train.py", "test_train_leaves_a_run_folder"),
        ("test_training_history.py", "test_history_round_trips_every_float_and_the_order_of_the_metrics"),
    ),
    "head first, then unfrozen from a layer on": (
        ("test_training_network.py", "test_new_trainee_unfreezes_from_a_layer_on"),
    ),
    "sizes in turn (`--multi-scale`)": (
        (
            "tasks/test_detection_trainee.py",
            "test_a_trainee_of_many_sizes_learns_from_each_of_them_and_is_saved_in_the_manifests",
        ),
    ),
    "anchors by k-means on IoU": (
        ("tasks/test_detection_anchors.py", "test_fit_anchors_finds_clear_clusters_exactly"),
    ),
    "localizer's loss of two parts": (
        (
            "tasks/test_localization_losses.py",
            "test_the_loss_is_the_weighted_sum_of_cross_entropy_and_squared_error",
        ),
    ),
    "YOLOv3's loss": (
        ("tasks/test_detection_losses.py", "test_loss_is_darknets_summed_over_the_image_in_the_mean_of_the_batch"),
    ),
    "batches without positives or without negatives": (
        (_REGIONS, "test_a_batch_without_positives_or_without_negatives_trains"),
    ),
}
METRICS = {
    "accuracy, precision, recall, support": (
        ("tasks/test_classification_metric.py", "test_score_answers_agrees_with_counting_by_hand"),
    ),
    "IoU": (("../runtime/tasks/test_boxes.py", "test_iou_agrees_with_pycocotools"),),
    "mean IoU of boxes": (
        ("tasks/test_localization_metric.py", "test_mean_iou_is_the_mean_over_images_whatever_the_class"),
    ),
    "non-max suppression": (
        ("../runtime/tasks/test_boxes.py", "test_suppression_is_that_of_brute_force_in_1000_cases"),
    ),
    "decoding of YOLO's grids": (("../runtime/tasks/test_detection.py", "test_decode_gives_what_plain_python_gives"),),
    "decoding of regions": (
        ("../runtime/tasks/test_candidates.py", "test_candidates_are_those_that_plain_arithmetic_finds"),
    ),
    "AP by 11 points": (
        ("tasks/test_detection_metric.py", "test_ap_11_point_and_ap_all_are_those_of_the_kit_of_voc"),
        ("tasks/test_detection_metric.py", "test_both_ap_of_voc_are_as_published"),
    ),
    "AP50 and AP50:95": (
        ("tasks/test_detection_metric.py", "test_ap_is_that_of_pycocotools_on_recorded_detections"),
        (
            "tasks/test_detection_metric.py",
            "test_ap_is_that_of_pycocotools_on_ties_crowds_empty_images_and_classes_without_objects",
        ),
    ),
    "pixel accuracy, mean IoU of masks": (
        ("tasks/test_segmentation_metric.py", "test_value_is_that_of_keras"),
        ("tasks/test_segmentation_metric.py", "test_evaluation_is_the_one_counted_by_hand"),
    ),
    "answer accuracy, by kind and without the picture": (
        ("tasks/test_question.py", "test_metric_tells_kinds_apart_and_what_the_most_frequent_answer_gets"),
        ("tasks/test_question.py", "test_text_alone_shows_which_model_looks"),
    ),
    "reckoning": (
        ("test_models_reckoning.py", "test_reckon_gives_the_documented_check_value"),
        ("test_models_reckoning_measured.py", "test_reckon_gives_the_buffers_that_live_when_layers_run_one_by_one"),
    ),
}
_BEGINS = """# What the documents ask for

Written by `uv run python docs/documents_table.py`; no cell is written by hand. A cell leads to the file of the test
that holds it. Those of a network run for each row of the [catalogue](models.md). `bash .ci/run` runs all of them.
"""


def main() -> int:
    """Rewrites or checks the page."""
    fresh = page()
    if "--check" in sys.argv[1:]:
        return int(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != fresh)
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


def page() -> str:
    """Returns the page's text."""
    models = [(f"`{name}`", *(cell(*CONFORMANCE[step]) for step in STEPS)) for name in CATALOG]
    layers = [
        (name, cell(*own, text=said(own[1])), *(cell(*_OF_A_LAYER[step]) for step in STEPS[1:]))
        for name, own in LAYERS.items()
    ]
    own = ROI_ALIGN["builds"]
    layers.append(
        ("`RoIAlign`, in `faster_rcnn`", cell(*own, text=said(own[1])), *(cell(*ROI_ALIGN[step]) for step in STEPS[1:]))
    )
    transfer = [("transfer learning", *(cell(*TRANSFER[step], text=said(TRANSFER[step][1])) for step in STEPS))]
    parts = (
        _BEGINS,
        "## Models\n",
        f"{named_steps(CONFORMANCE)}\n",
        f"{table(('model', *STEPS), models)}\n",
        f"{table(('what', *STEPS), transfer)}\n",
        "## Layers\n",
        f"{named_steps(_OF_A_LAYER)}\n",
        f"{table(('layer', *STEPS), layers)}\n",
        "## Training\n",
        f"{table(('what', 'held by'), named(FEATURES))}\n",
        "## Metrics and decoding\n",
        f"{table(('what', 'held by'), named(METRICS))}\n",
    )
    return "\n".join(parts)


def named_steps(steps: Mapping[str, tuple[str, str]]) -> str:
    """Returns a line a column: its test, for all rows."""
    return "\n".join(f"- {step}: `{test}`" for step, (_, test) in steps.items())


def named(rows: Mapping[str, Iterable[tuple[str, str]]]) -> list[tuple[str, str]]:
    """Returns each row with its tests by name."""
    return [(what, ", ".join(cell(*test, text=said(test[1])) for test in tests)) for what, tests in rows.items()]


def said(test: str) -> str:
    """Returns a test's name as words.

    >>> said("test_a_flip_is_numpys")
    'a flip is numpys'
    """
    return test.removeprefix("test_").replace("_", " ")


def cell(file: str, test: str, *, text: str = "yes") -> str:
    """Returns a link to a test, once it is seen that there is one.

    Args:
        file: below tests/edgecnn.
        test: the name of its function.
        text: what is shown.

    Raises:
        ValueError: no such test, or one that is skipped or expected to fail.
    """
    path = (ROOT / "tests" / "edgecnn" / file).resolve()
    marks = tests_of(path).get(test)
    if marks is None or any(mark in ("skip", "skipif", "xfail") for mark in marks):
        raise ValueError(f"{file}: expected a test {test}, that is neither skipped nor expected to fail, found {marks}")
    return f"[{text}](../{path.relative_to(ROOT).as_posix()})"


@cache
def tests_of(path: Path) -> dict[str, list[str]]:
    """Returns the test functions of a file, with the names of their marks."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {
        node.name: [
            part.attr for one in node.decorator_list for part in ast.walk(one) if isinstance(part, ast.Attribute)
        ]
        for node in functions
    }


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Returns a Markdown table."""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
