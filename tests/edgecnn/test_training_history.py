import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.errors import RunFolderError
from edgecnn.training.history import EpochMetrics, best_epoch, history_from_csv, history_to_csv, stops_early

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.lists(st.sampled_from(["accuracy", "mean_iou", "a,b", "val_x"]), min_size=1, unique=True)


def with_losses(losses):
    return [
        EpochMetrics(epoch, 0.1, {"accuracy": 0.9}, loss, {"accuracy": 0.5})
        for epoch, loss in enumerate(losses, start=1)
    ]


@given(data=st.data(), names=NAMES, is_held_out=st.lists(st.booleans(), min_size=1, max_size=5))
def test_history_round_trips_every_float_and_the_order_of_the_metrics(data, names, is_held_out):
    numbers = st.lists(NUMBERS, min_size=len(names), max_size=len(names))
    part = st.tuples(NUMBERS, numbers.map(lambda values: dict(zip(names, values, strict=True))))
    history = tuple(
        EpochMetrics(epoch, *data.draw(part), *(data.draw(part) if held_out else ()))
        for epoch, held_out in enumerate(is_held_out, start=1)
    )
    again = history_from_csv(history_to_csv(history))
    assert again == history
    assert [list(row.metrics) for row in again] == [names] * len(history)


def test_history_to_csv_leaves_cells_empty_when_nothing_is_held_out():
    assert history_to_csv([EpochMetrics(1, 0.5, {"accuracy": 0.25})]) == (
        "epoch,loss,accuracy,val_loss,val_accuracy\r\n1,0.5,0.25,,\r\n"
    )


def test_history_to_csv_names_the_columns_after_the_metrics_the_watched_one_first():
    row = EpochMetrics(1, 0.5, {"mean_iou": 0.25, "accuracy": 0.75}, 1.5, {"mean_iou": 0.125, "accuracy": 1.0})
    assert row.watched == "mean_iou"
    assert history_to_csv([row]) == (
        "epoch,loss,mean_iou,accuracy,val_loss,val_mean_iou,val_accuracy\r\n1,0.5,0.25,0.75,1.5,0.125,1.0\r\n"
    )


def test_history_has_a_column_for_what_only_the_held_out_part_is_scored_by():
    rows = (
        EpochMetrics(1, 0.5, {"mean_iou": 0.25, "box": 2.0}, 1.5, {"ap50": 0.125, "mean_iou": 0.75, "box": 3.0}),
        EpochMetrics(2, 0.25, {"mean_iou": 0.5, "box": 1.0}, 1.0, {"ap50": 0.0, "mean_iou": 0.625, "box": 2.5}),
    )
    assert (rows[0].watched, rows[0].val_watched) == ("mean_iou", "ap50")
    assert history_to_csv(rows) == (
        "epoch,loss,ap50,mean_iou,box,val_loss,val_ap50,val_mean_iou,val_box\r\n"
        "1,0.5,,0.25,2.0,1.5,0.125,0.75,3.0\r\n"
        "2,0.25,,0.5,1.0,1.0,0.0,0.625,2.5\r\n"
    )
    again = history_from_csv(history_to_csv(rows))
    assert again == rows
    assert [list(row.val_metrics) for row in again] == [["ap50", "mean_iou", "box"]] * 2
    assert again[0].val_watched == "ap50"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns epoch,loss,METRICS,val_loss,val_METRICS, received $"),
        ("epoch,loss\n", "received epoch,loss"),
        ("epoch,loss,val_loss\n", "received epoch,loss,val_loss"),
        ("epoch,loss,accuracy,val_loss,val_mean_iou\n", "received epoch,loss,accuracy,val_loss,val_mean_iou"),
        ("epoch,loss,accuracy,val_loss,val_accuracy\n1,x,0.1,,\n", "a number in every cell"),
        ("epoch,loss,accuracy,val_loss,val_accuracy\n1,0.1\n", "a number in every cell"),
        ("epoch,loss,accuracy,val_loss,val_accuracy\n1,0.1,0.1,0.2,\n", "a number in every cell"),
        ("epoch,loss,accuracy,val_loss,val_accuracy\n1,0.1,0.1,,,\n", "a number in every cell"),
        ("epoch,loss,accuracy,val_loss,val_accuracy\n1,0.1,,0.2,0.1\n", "a number in every cell"),
        ("epoch,loss,a,b,val_loss,val_a,val_b\n1,.1,,.1,.2,.1,.1\n2,.1,.1,.1,.2,.1,.1\n", "a number in every cell"),
        ("epoch,loss,accuracy,val_loss,val_accuracy\n2,0.1,0.1,,\n", r"epochs 1 to 1, received \[2\]"),
    ],
)
def test_history_from_csv_refuses_what_is_damaged(text, message):
    with pytest.raises(RunFolderError, match=message):
        history_from_csv(text)


@pytest.mark.parametrize(
    ("losses", "patience", "stops"),
    [
        ([], 1, False),
        ([0.5], 1, False),
        ([0.5, 0.6], 1, True),
        ([0.5, 0.5], 1, True),
        ([0.5, 0.6], 2, False),
        ([0.5, 0.6, 0.4], 2, False),
        ([0.5, 0.6, 0.7], 2, True),
        ([0.5, 0.6, 0.7], None, False),
    ],
)
def test_stops_early_counts_epochs_without_a_better_loss(losses, patience, stops):
    assert stops_early(with_losses(losses), patience) is stops


@pytest.mark.parametrize(
    ("scores", "better", "best"),
    [
        ([], "higher", None),
        ([(0.5, 0.1)], "higher", 1),
        ([(0.5, 0.1), (0.9, 0.3), (0.1, 0.2)], "higher", 2),  # whatever the loss is
        ([(0.5, 0.1), (0.9, 0.3), (0.1, 0.2)], "lower", 1),
        ([(0.5, 0.3), (0.4, 0.3), (0.6, 0.3)], "higher", 2),  # of equal scores the lower loss
        ([(0.5, 0.3), (0.5, 0.3), (0.6, 0.2)], "higher", 1),  # of equal ones the first
        ([(0.5, 0.3), (0.5, 0.3), (0.4, 0.3)], "lower", 3),
    ],
)
def test_best_epoch_is_chosen_by_the_watched_metric_then_by_the_loss(scores, better, best):
    rows = [EpochMetrics(i, 9.0, {"a": -i}, loss, {"b": b, "a": i}) for i, (loss, b) in enumerate(scores, start=1)]
    assert best_epoch(rows, better) == best


def test_best_epoch_is_none_when_nothing_is_held_out():
    assert best_epoch([EpochMetrics(1, 0.5, {"accuracy": 0.5})]) is None


@pytest.mark.parametrize("text", ["a\rb", "x" * 200_000, 'epoch,"' + "y" * 200_000])
def test_history_from_csv_refuses_what_is_no_csv(text):
    with pytest.raises(RunFolderError, match=r"history\.csv: expected the columns epoch"):
        history_from_csv(text)
