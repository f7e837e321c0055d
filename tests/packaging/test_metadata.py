"""What the three pyproject files must agree on; `uv lock` accepts pins between members that disagree."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = {"edgecnn": ".", "edgecnn-runtime": "runtime", "edgecnn-exporters": "exporters"}
PROJECTS = {
    name: tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"] for name, folder in FILES.items()
}


def requirements(project: dict) -> list[str]:
    return project["dependencies"] + [
        item for extra in project.get("optional-dependencies", {}).values() for item in extra
    ]


def test_versions_agree() -> None:
    assert len({project["version"] for project in PROJECTS.values()}) == 1
    assert [project["name"] for project in PROJECTS.values()] == list(FILES)


@pytest.mark.parametrize("name", FILES)
def test_pins_between_members_are_the_version(name: str) -> None:
    version = PROJECTS[name]["version"]
    siblings = [item for item in requirements(PROJECTS[name]) if item.startswith("edgecnn-")]
    assert all(
        re.fullmatch(rf"edgecnn-(runtime|exporters)(\[cpu\]|\[cuda\])?=={re.escape(version)}", item)
        for item in siblings
    )


def test_runtime_depends_on_numpy_and_pillow_alone() -> None:
    assert [re.split(r"[<>=]", item)[0] for item in PROJECTS["edgecnn-runtime"]["dependencies"]] == ["numpy", "pillow"]


def test_dependencies_point_one_way() -> None:
    assert not [item for item in requirements(PROJECTS["edgecnn-runtime"]) if item.startswith("edgecnn")]
    assert not [item for item in requirements(PROJECTS["edgecnn-exporters"]) if re.match(r"edgecnn(\[|=|$)", item)]


def test_exporters_name_no_tensorflow() -> None:
    assert not [item for item in requirements(PROJECTS["edgecnn-exporters"]) if "tensorflow" in item or "keras" in item]


def test_constraints_lie_within_the_published_ranges() -> None:
    from packaging.requirements import Requirement

    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    tested = {Requirement(item).name: str(Requirement(item).specifier)[2:] for item in tool["constraint-dependencies"]}
    published = [Requirement(item) for project in PROJECTS.values() for item in requirements(project)]
    checked = [item for item in published if item.name in tested]
    assert {"numpy", "pillow", "onnxruntime", "tensorflow", "keras", "onnx", "tf2onnx", "typer"} <= {
        i.name for i in checked
    }
    assert all(item.specifier.contains(tested[item.name]) for item in checked)


def test_uv_lock_is_not_committed() -> None:
    assert "uv.lock" in (ROOT / ".gitignore").read_text().splitlines()
