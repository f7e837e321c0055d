"""What the three pyproject files must agree on; `uv lock` accepts pins between members that disagree."""

import ast
import re
import sys
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


PACKAGES = {"edgecnn": "edgecnn", "edgecnn-runtime": "edgecnn_runtime", "edgecnn-exporters": "edgecnn_exporters"}
DISTRIBUTIONS = {  # of imports, where the names differ
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "tensorflow_datasets": "tensorflow-datasets",
    "mlperf_loadgen": "mlcommons-loadgen",
    "cv2": "opencv-contrib-python-headless",
    **{package: name for name, package in PACKAGES.items()},
}
BUILT_BY_THE_CALLER = {"edgecnn-exporters": {"tensorflow", "keras"}}  # whose model it is handed


def imported(name: str) -> set[str]:
    """The distributions that a distribution's own modules import, at their top or inside a function."""
    found = set()
    for path in (ROOT / FILES[name] / PACKAGES[name]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
    return {DISTRIBUTIONS.get(package, package) for package in found - set(sys.stdlib_module_names)} - {name}


def declared(name: str) -> set[str]:
    """What a distribution requires, with its extras, and what those of ours that it requires bring."""
    own = {re.split(r"[<>=\[;]", item)[0] for item in requirements(PROJECTS[name])}
    return own.union(*(declared(sibling) for sibling in own & set(PROJECTS) - {name}))


@pytest.mark.parametrize("name", FILES)
def test_what_is_imported_is_declared(name: str) -> None:
    assert imported(name) - declared(name) - BUILT_BY_THE_CALLER.get(name, set()) == set()


def test_rich_and_typer_are_required_by_name() -> None:
    assert {"rich", "typer"} <= {re.split(r"[<>=]", item)[0] for item in PROJECTS["edgecnn"]["dependencies"]}


@pytest.mark.parametrize("name", FILES)
def test_classifiers_are_known_and_name_the_pythons_that_are_allowed(name: str) -> None:
    classifiers = PROJECTS[name]["classifiers"]
    assert {"Typing :: Typed", "Programming Language :: Python :: 3", "Intended Audience :: Developers"} <= set(
        classifiers
    )
    from packaging.specifiers import SpecifierSet

    allowed = SpecifierSet(PROJECTS[name]["requires-python"])
    named = [item.rpartition(" ")[2] for item in classifiers if re.search(r":: 3\.\d+$", item)]
    assert all(allowed.contains(version) for version in named)
    if name == "edgecnn":
        assert named == [f"3.{minor}" for minor in range(20) if allowed.contains(f"3.{minor}")]


def lower_bounds(name: str) -> dict[str, str]:
    from packaging.requirements import Requirement

    parsed = [Requirement(item) for item in requirements(PROJECTS[name])]
    return {r.name: s.version for r in parsed for s in r.specifier if s.operator == ">="}


def test_the_evidence_states_the_lowest_onnxruntime_that_the_runtime_allows() -> None:
    from edgecnn_runtime.evidence import LEAST_ONNXRUNTIME

    bounds = lower_bounds("edgecnn-runtime")
    assert (bounds["onnxruntime"], bounds["onnxruntime-gpu"]) == (LEAST_ONNXRUNTIME, LEAST_ONNXRUNTIME)


def test_lower_bounds_keep_the_floors_of_the_advisories_and_agree() -> None:
    from packaging.version import Version

    floors = {"onnx": "1.21", "onnxruntime": "1.28.1", "onnxruntime-gpu": "1.28.1", "keras": "3.15.1", "pillow": "12.3"}
    bounds = [(name, bound) for project in FILES for name, bound in lower_bounds(project).items()]
    assert {name for name, _ in bounds} >= set(floors)
    assert all(Version(bound) >= Version(floors[name]) for name, bound in bounds if name in floors)
    assert len({bound for name, bound in bounds if name == "numpy"}) == 1


def distributions_of(extra: str) -> set[str]:
    """What an extra of edgecnn brings, with the extras that it names."""
    from packaging.requirements import Requirement

    parsed = [Requirement(item) for item in PROJECTS["edgecnn"]["optional-dependencies"][extra]]
    inner = [distributions_of(name) for item in parsed if item.name == "edgecnn" for name in item.extras]
    siblings = [
        {Requirement(item).name for item in PROJECTS[r.name]["optional-dependencies"].get(name, [])}
        for r in parsed
        if r.name in PROJECTS and r.name != "edgecnn"
        for name in r.extras
    ]
    own = {item.name for item in parsed}
    own |= {
        Requirement(item).name for name in own & set(PROJECTS) - {"edgecnn"} for item in requirements(PROJECTS[name])
    }
    return own.union(*inner, *siblings)


def test_the_extra_that_a_message_names_brings_the_package() -> None:
    from edgecnn.extras import EXTRAS, distribution_of

    for package, extra in EXTRAS.items():
        assert distribution_of(package).replace("_", "-") in distributions_of(extra), package


def test_every_package_that_is_imported_and_not_required_has_its_extra() -> None:
    from edgecnn.extras import EXTRAS, distribution_of

    required = {re.split(r"[<>=\[;]", item)[0] for item in PROJECTS["edgecnn"]["dependencies"]}
    required |= {re.split(r"[<>=\[;]", item)[0] for item in PROJECTS["edgecnn-runtime"]["dependencies"]}
    told = {distribution_of(package).replace("_", "-") for package in EXTRAS}
    assert imported("edgecnn") - required - told == set()


def test_evaluate_brings_nothing_that_trains() -> None:
    assert distributions_of("evaluate") >= {"onnxruntime", "scikit-learn", "scipy", "matplotlib"}
    assert not distributions_of("evaluate") & {"tensorflow", "keras", "h5py", "onnx", "tf2onnx", "edgecnn-exporters"}
