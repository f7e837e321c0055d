import io

import pytest
from rich.console import Console
from rich.progress import Progress

from edgecnn.cli.progress import counted
from edgecnn.cli.training_progress import _Bars, training_progress
from edgecnn.training import EpochMetrics


@pytest.fixture
def terminal():
    """What bars draw on, as text."""
    return io.StringIO()


@pytest.fixture
def bars(terminal):
    with Progress(console=Console(file=terminal, force_terminal=True, width=120, color_system=None)) as progress:
        yield _Bars(progress)


def test_training_progress_says_a_line_a_stage_and_an_epoch_without_a_terminal(capsys):
    with training_progress() as progress:
        progress.on_stage("data")
        progress.on_batch(1, 2, {"loss": 0.5})
        progress.on_epoch(EpochMetrics(1, 0.5, {"accuracy": 0.75}, 0.25, {"accuracy": 0.875}), 3)
    assert capsys.readouterr().err.splitlines() == [
        "edgecnn: reading the data",
        "edgecnn: epoch 1 of 3: loss 0.5000, accuracy 0.7500, held out: 0.2500, 0.8750",
    ]


def test_bars_show_the_stage_the_batch_and_the_means(bars, terminal):
    bars.on_stage("fit")
    bars.on_batch(3, 7, {"loss": 0.5})
    bars._bars.refresh()
    shown = terminal.getvalue()
    assert "training" in shown
    assert "loss 0.5000" in shown


def test_bars_leave_finished_epochs_standing(bars, terminal):
    bars.on_epoch(EpochMetrics(2, 0.5, {"accuracy": 0.75}), 3)
    assert "edgecnn: epoch 2 of 3: loss 0.5000, accuracy 0.7500" in terminal.getvalue()


def test_counted_says_the_stage_once_without_a_terminal(capsys):
    with counted("evaluating") as on_batch:
        on_batch(1, 2)
        on_batch(2, 2)
    assert capsys.readouterr().err == "edgecnn: evaluating\n"
