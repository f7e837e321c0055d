"""What the command offers, and what its rows say."""

from typing import get_args

import pytest

from edgecnn.cli.demo import DemoTask
from edgecnn.demonstration.plans import DemoFolder
from edgecnn.models import get_spec
from edgecnn.tasks.table import TASKS, load

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
