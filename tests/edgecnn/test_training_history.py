import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.errors import RunFolderError
from edgecnn.training.history import EpochMetrics, history_from_csv, history_to_csv, stops_early

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, *[st.one_of(st.none(), NUMBERS)] * 2), max_size=5)


def with_losses(losses):
    return [EpochMetrics(epoch, 0.1, 0.9, loss, 0.5) for epoch, loss in enumerate(losses, start=1)]


@given(rows=ROWS)
def test_history_round_trips_every_float(rows):
    history = tuple(EpochMetrics(epoch, *cells) for epoch, cells in enumerate(rows, start=1))
    assert history_from_csv(history_to_csv(history)) == history


def test_history_to_csv_leaves_cells_empty_when_nothing_is_held_out():
    assert history_to_csv([EpochMetrics(1, 0.5, 0.25)]) == (
        "epoch,loss,accuracy,val_loss,val_accuracy\r\n1,0.5,0.25,,\r\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns epoch,loss,accuracy,val_loss,val_accuracy, received $"),
        ("epoch,loss\n", "received epoch,loss"),
        ("epoch,loss,accuracy,val_loss,val_accuracy\n1,x,0.1,,\n", "a number in every cell"),
        ("epoch,loss,accuracy,val_loss,val_accuracy\n1,0.1\n", "a number in every cell"),
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


@pytest.mark.parametrize("text", ["a\rb", "x" * 200_000, 'epoch,"' + "y" * 200_000])
def test_history_from_csv_refuses_what_is_no_csv(text):
    with pytest.raises(RunFolderError, match=r"history\.csv: expected the columns epoch"):
        history_from_csv(text)
