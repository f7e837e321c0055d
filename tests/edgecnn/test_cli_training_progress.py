import io

import pytest
from rich.console import Console
from rich.progress import Progress

from edgecnn.cli.progress import counted
from edgecnn.cli.training_progress import Pace, _Bars, _Lines, training_progress
from edgecnn.training import EpochMetrics


class Clock:
    """Shows the time that a test sets."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def terminal():
    """What bars draw on, as text."""
    return io.StringIO()


@pytest.fixture
def bars(terminal, clock):
    console = Console(file=terminal, force_terminal=True, width=160, color_system=None)
    with Progress(
        "{task.description}", "{task.completed}/{task.total}", "{task.fields[pace]}", console=console
    ) as shown:
        yield _Bars(shown, clock)


def test_lines_say_a_stage_and_an_epoch_with_its_seconds(capsys, clock):
    progress = _Lines(clock)
    progress.on_stage("data")
    for epoch, seconds in ((1, 61.5), (2, 7.0)):
        progress.on_epoch_begin(epoch, 3)
        progress.on_batch(9, 18, {"loss": 0.5})
        clock.now += seconds
        progress.on_epoch(EpochMetrics(epoch, 0.5, {"iou": 0.75}, 0.25, {"ap50": 0.625, "iou": 0.875}), 3)
    assert capsys.readouterr().err.splitlines() == [
        "edgecnn: reading the data",
        "edgecnn: epoch 1 of 3: loss 0.5000, iou 0.7500, held out: loss 0.2500, ap50 0.6250, iou 0.8750, 1:02",
        "edgecnn: epoch 2 of 3: loss 0.5000, iou 0.7500, held out: loss 0.2500, ap50 0.6250, iou 0.8750, 0:07",
    ]


def test_training_progress_says_lines_without_a_terminal(capsys):
    with training_progress() as progress:
        progress.on_stage("data")
    assert capsys.readouterr().err == "edgecnn: reading the data\n"


def last_line(terminal):
    return terminal.getvalue().split("\x1b[2K")[-1].rstrip()


def test_bars_show_the_epoch_the_parts_of_the_loss_the_images_a_second_and_the_time_left_of_the_run(
    bars, terminal, clock
):
    bars.on_stage("fit")
    bars.on_epoch_begin(3, 10)  # of a run that goes on
    clock.now += 20  # of which TensorFlow builds its graph
    bars.on_batch(100, 400, {"loss": 1.0})
    clock.now += 4
    bars.on_batch(200, 400, {"loss": 0.5, "mean_iou": 0.25, "box": 0.125, "objectness": 0.375})
    bars._bars.refresh()
    assert last_line(terminal) == (
        "epoch 3 of 10  loss 0.5000  mean_iou 0.2500  box 0.1250  objectness 0.3750 200/400 25 images/s  2:00 left"
    )


def test_bars_show_how_far_the_images_are_prepared(bars, terminal, clock):
    bars.on_stage("cache")
    bars.on_batch(0, 3000, {})
    clock.now += 0.5
    bars.on_batch(1000, 3000, {})
    bars._bars.refresh()
    assert last_line(terminal) == "preparing the images 1000/3000 2000 images/s  0:01 left"


def test_pace_expects_epochs_as_long_as_the_one_before_with_its_validation(clock):
    pace = Pace(clock)
    pace.begin(1, 4)
    assert pace.tell(0, 40) == ""
    assert pace.tell(10, 40) == ""  # no time has gone by
    clock.now += 1
    assert pace.tell(10, 40) == "10 images/s  0:15 left"  # three quarters of 4 seconds, and 3 epochs of 4
    clock.now += 3
    assert pace.tell(40, 40) == "10 images/s  0:12 left"
    clock.now += 6
    assert pace.end() == 10
    pace.begin(2, 4)
    clock.now += 2
    assert pace.tell(10, 40) == "0:28 left"  # three quarters of 10 seconds, and 2 epochs of 10
    clock.now += 4
    assert pace.tell(20, 40) == "2.5 images/s  0:25 left"


def test_bars_leave_finished_epochs_standing(bars, terminal):
    bars.on_epoch(EpochMetrics(2, 0.5, {"accuracy": 0.75}), 3)
    assert "edgecnn: epoch 2 of 3: loss 0.5000, accuracy 0.7500" in terminal.getvalue()


def test_counted_says_the_stage_once_without_a_terminal(capsys):
    with counted("evaluating") as on_batch:
        on_batch(1, 2)
        on_batch(2, 2)
    assert capsys.readouterr().err == "edgecnn: evaluating\n"
