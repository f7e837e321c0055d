"""The README is a way in: short, the two commands, tables that are generated; tests/packaging/test_docs.py runs it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from edgecnn.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEMO, TESTS = "pip install uv && uv run edgecnn demo", "pip install uv && uv run pytest"


def test_tables_figures_and_picture_are_those_of_the_results():
    command = [sys.executable, "benchmarks/tables.py", "--check"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0, "run: uv run python benchmarks/tables.py"


def test_opens_with_the_two_commands_each_alone_on_its_line():
    blocks = re.findall(r"```\w*[^\n]*\n(.*?)```", README, flags=re.DOTALL)
    assert [block.strip() for block in blocks[:2]] == [DEMO, TESTS]
    assert [README.splitlines().count(command) for command in (DEMO, TESTS)] == [1, 1]


def test_is_short_and_says_what_is_measured_in_five_lines():
    assert len(README.splitlines()) < 150
    figures = README.split("<!-- figures: begin -->")[1].split("<!-- figures: end -->")[0].strip().splitlines()
    assert len(figures) == 5
    assert all(re.search(r"\d", line) for line in figures)
    assert "(benchmarks/README.md)" in README


def test_shows_a_small_picture():
    (name,) = re.findall(r'<img src="([^"]+)"', README)
    picture = (ROOT / name).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 100_000


def test_lists_every_command():
    rows = re.findall(r"^\| `edgecnn ([\w-]+)", README, flags=re.MULTILINE)
    assert sorted(rows) == sorted(command.callback.__name__.replace("_", "-") for command in app.registered_commands)


def test_names_the_wheels_of_this_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert set(re.findall(r"edgecnn(?:_runtime)?-([\d.]+)-py3", README)) == {version}
