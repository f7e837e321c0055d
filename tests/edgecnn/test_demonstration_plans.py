"""What the command offers, and what its rows say."""

from pathlib import Path
from typing import get_args

import pytest

from edgecnn.cli.demo import DemoTask
from edgecnn.demonstration.plans import DIGITS, SHAPES, DemoFolder
from edgecnn.errors import UsageError
from edgecnn.models import get_spec
from edgecnn.tasks.table import TASKS, load
from edgecnn.training.record import DataRecord, RunRecord

WITH_ONE = [task for task, row in TASKS.items() if row.demo is not None]


def test_the_command_offers_the_tasks_that_have_a_demonstration():
    assert sorted(get_args(DemoTask)) == sorted(WITH_ONE)


@pytest.mark.parametrize("task", WITH_ONE)
def test_a_demonstration_trains_a_model_of_its_task_and_can_show_it(task, tmp_path):
    plan = load(TASKS[task].demo)
    assert get_spec(plan.training.model).task == task
    assert callable(load(plan.show))
    assert {path.name for path in DemoFolder(tmp_path, plan).model_paths} == {
        f"{plan.name}.onnx",
        f"{plan.name}.int8.onnx",
    }


def test_one_demonstration_after_the_other_takes_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plans = [load(TASKS[task].demo) for task in WITH_ONE]
    for plan in plans:
        place = DemoFolder(Path(plan.folder), plan)
        place.check()
        place.run_dir.mkdir(parents=True)
        record = RunRecord(plan.training, DataRecord("made up", "0", 1, 1), {})
        (place.run_dir / "config.json").write_text(record.to_json())
        place.model_paths[0].write_bytes(b"a file")
    for plan in plans:
        DemoFolder(Path(plan.folder), plan).check()
    with pytest.raises(
        UsageError, match=r"demo of drawn shapes, received the demo of scikit-learn's digits\. Name anoth"
    ):
        DemoFolder(Path(DIGITS.folder), SHAPES).check()
