"""The README holds what it says: its tables, its Python, its commands."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
EDGECNN = str(Path(sys.executable).with_name("edgecnn"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_tables_and_picture_are_those_of_the_results() -> None:
    command = [sys.executable, "benchmarks/tables.py", "--check"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0, "run: uv run python benchmarks/tables.py"


def test_opens_with_the_two_commands() -> None:
    assert [block.strip() for block in blocks("")[:2]] == [
        "pip install uv && uv run edgecnn demo",
        "pip install uv && uv run pytest",
    ]


def test_commands_name_options_that_exist() -> None:
    commands = [line for block in blocks("") for line in block.splitlines() if line.startswith("uv run edgecnn ")]
    assert len(commands) >= 5
    for command in commands:
        name, *arguments = shlex.split(command)[3:]
        shown = subprocess.run([EDGECNN, name, "--help"], capture_output=True, text=True, check=True)
        for option in (argument for argument in arguments if argument.startswith("-")):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", shown.stdout), f"{command}: {option}"


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.slow
def test_python_runs(tmp_path: Path) -> None:
    train = ["train", "mnist_convnet", "--data", "digits", "--epochs", "1", "--width", "0.25", "-o", "run"]
    for command in (train, ["export", "run", "-o", "mnist.onnx", "--data", "digits"]):
        subprocess.run([EDGECNN, *command], cwd=tmp_path, check=True)
    (tmp_path / "frames").mkdir()
    for path in (tmp_path / "seven.png", tmp_path / "frames" / "1.png"):
        Image.fromarray(np.zeros((28, 28), np.uint8)).save(path)
    (code,) = blocks("python")
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(ran.stdout.splitlines()) == 2
