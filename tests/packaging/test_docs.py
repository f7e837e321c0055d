"""The pages say what the code says: keys, messages, links, options; and what is marked as runnable runs."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from edgecnn.cli import app
from edgecnn.models.catalog import CATALOG
from edgecnn_runtime import Evidence, Manifest

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "docs" / "README.md"
SUBJECTS = re.findall(r"^\| \[([\w-]+\.md)\]\(\1\) \|", INDEX.read_text(encoding="utf-8"), flags=re.MULTILINE)
PAGES = [ROOT / "README.md", *(ROOT / "docs" / name for name in SUBJECTS)]
ALL_PAGES = [*PAGES, INDEX, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md"))]
BLOCK = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def blocks(page: Path, *infos: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page whose first line is one of those, with that line."""
    text = page.read_text(encoding="utf-8")
    return [(found["info"], found["text"]) for found in BLOCK.finditer(text) if found["info"] in infos]


def commands(page: Path) -> list[str]:
    """Each line of the page's shell blocks."""
    return [line for _, text in blocks(page, "sh", "sh run", "") for line in text.splitlines() if line]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_index_has_a_row_for_every_page():
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert len(SUBJECTS) >= 8
    assert sorted(SUBJECTS) == sorted(pages)


def test_the_decisions_have_a_row_each():
    folder = ROOT / "docs" / "adr"
    text = (folder / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d{4})\]\((\d{4})-[\w-]+\.md\)", text, flags=re.MULTILINE)
    assert [first for first, _ in rows] == sorted(page.name[:4] for page in folder.glob("0*.md"))
    assert all(first == second for first, second in rows)


@pytest.mark.parametrize("page", ALL_PAGES, ids=named)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text) + re.findall(r'src="(?!https?:)([^"]+)"', text)
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", ALL_PAGES, ids=named)
def test_links_into_a_page_lead_to_a_heading(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        headings = re.findall(r"^#+ (.*)$", (page.parent / target).read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page", [page for page in ALL_PAGES if any("edgecnn " in line for line in commands(page))], ids=named
)
def test_commands_name_commands_and_options_that_exist(page):
    known = typer.main.get_command(app).commands
    for line in commands(page):
        words = shlex.split(line, comments=True)
        if "edgecnn" not in {Path(word).name for word in words}:
            continue
        start = next(index for index, word in enumerate(words) if Path(word).name == "edgecnn")
        if words[start - 1 : start] == ["cd"] or len(words) == start + 1:
            continue
        name, *arguments = words[start + 1 :]
        options = {option for parameter in known[name].params for option in parameter.opts}
        used = {word for word in arguments if re.fullmatch(r"--?[a-z][\w-]*", word)}
        assert used <= options, line


def strings_of(path: Path) -> Iterator[str]:
    """Every text in a module's code, with … where a value is put in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%[sdr]|\{\}", "…", node.value)


def test_every_message_that_is_explained_is_in_the_code():
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE)
    assert len(messages) >= 30
    folders = ("edgecnn", "exporters/edgecnn_exporters", "runtime/edgecnn_runtime")
    code = [text for folder in folders for path in sorted((ROOT / folder).rglob("*.py")) for text in strings_of(path)]
    assert [message for message in messages if not any(message in text for text in code)] == []


def test_the_tables_of_keys_are_those_of_the_code():
    command = [sys.executable, "docs/file_format_tables.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, check=False)
    assert done.returncode == 0, "run: uv run python docs/file_format_tables.py"


def test_the_table_of_the_documents_names_tests_that_there_are():
    done = subprocess.run([sys.executable, "docs/documents_table.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "run: uv run python docs/documents_table.py"


def test_the_table_of_the_documents_holds_every_network():
    text = (ROOT / "docs" / "documents.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert set(CATALOG) <= set(rows)
    assert all(rows[name].count("[yes](../tests/edgecnn/test_models.py)") == 5 for name in CATALOG)


def paths_in(tree: object, path: str = "") -> Iterator[str]:
    """The path of every key in a JSON value, as the tables write it."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield f"{path}.{key}".removeprefix(".")
            yield from paths_in(value, f"{path}.{key}")
    elif isinstance(tree, list):
        for value in tree:
            yield from paths_in(value, f"{path}[]")


@pytest.mark.parametrize(("name", "record"), [("manifest", Manifest), ("evidence", Evidence)])
def test_the_examples_are_read_and_hold_the_keys_of_the_tables(name, record):
    page = ROOT / "docs" / "file-format.md"
    (_, example), *others = blocks(page, f"json {name}")
    trees = [json.loads(example)]
    trees += [trees[0] | json.loads(changed) for _, changed in others]  # each shows what is otherwise in its file
    for tree in trees:
        assert json.loads(record.from_json(json.dumps(tree)).to_json()) == tree
    table = page.read_text(encoding="utf-8").split(f"<!-- {name}: begin -->")[1].split("<!-- ")[0]
    documented = set(re.findall(r"^\| `([^`]+)` \|", table, flags=re.MULTILINE))
    maps = ("provenance.versions.", "result.words.", "result.numbers.")  # whose keys are free
    shown = {path for tree in trees for path in paths_in(tree) if not any(name in path for name in maps)}
    assert shown == documented  # so the example leaves out no part that may be null


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the files that git knows or would take, as somebody who cloned them has."""
    folder = tmp_path_factory.mktemp("checkout") / "edgecnn"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(2400)  # thirty commands, nine of which load TensorFlow
def test_what_is_marked_to_run_runs(checkout):
    """All pages in one go, because they build on the README's first model."""
    environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": sys.prefix, "UV_NO_SYNC": "1"}
    done, failed = 0, []
    for page in PAGES:
        for info, text in blocks(page, "sh run", "python run"):
            python = info.startswith("python")
            for line in [text] if python else filter(None, text.splitlines()):
                command = [sys.executable, "-c", line] if python else ["bash", "-c", line]
                ran = subprocess.run(
                    command, cwd=checkout, env=environment, capture_output=True, text=True, check=False
                )
                done += 1
                if ran.returncode:
                    failed.append(f"{named(page)}: {line}: exit code {ran.returncode}: {ran.stderr[-1500:]}")
    assert failed == []
    assert done >= 30
    held = subprocess.run(
        ["uv", "pip", "list", "--python", "device", "--format", "json"], cwd=checkout, capture_output=True, check=True
    )
    names = {package["name"] for package in json.loads(held.stdout)}
    assert {"edgecnn", "edgecnn-runtime", "onnxruntime"} <= names
    assert not {"tensorflow", "keras", "onnx", "tf2onnx", "scikit-learn"} & names
