"""A task is a room: nothing outside names a class of it."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("runtime/edgecnn_runtime", "exporters/edgecnn_exporters", "edgecnn")
SHARED = {
    "task",
    "anchors",
    "table",
    "scores",
    "boxes",
    "candidates",
    "class_maps",
    "outlines",
    "rle",
    "__init__",
}  # what tasks share lies beside them
ALLOWED = {
    "runtime/edgecnn_runtime/__init__.py": {"Classification"},  # what embedding imports
}


def rooms() -> dict[str, list[Path]]:
    """Each task's files, by its name: NAME.py and NAME_*.py in the runtime, and all of its room in the toolchain."""
    runtime = ROOT / PACKAGES[0] / "tasks"
    names = {path.stem.partition("_")[0] for path in runtime.glob("*.py") if path.stem not in SHARED}
    return {
        name: [
            *(path for path in runtime.glob(f"{name}*.py") if path.stem.partition("_")[0] == name),
            *(ROOT / "edgecnn" / "tasks" / name).glob("*.py"),
        ]
        for name in names
    }


def classes(files: list[Path]) -> set[str]:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
    found = {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    return {name for name in found if not name.startswith("_")}


def named(path: Path) -> set[str]:
    """Every identifier of a file; not what stands in texts."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.alias):
            names.add(node.name.rpartition(".")[2])
    return names


def test_no_class_of_a_task_is_named_outside_its_room():
    everything = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    found = rooms()
    assert set(found) == {"classification", "localization", "detection", "segmentation", "question"}
    own, said = {room: classes(files) for room, files in found.items()}, {path: named(path) for path in everything}
    shared_names = {name for one in own for other in own if other != one for name in own[one] & own[other]}
    strangers = [
        (str(path.relative_to(ROOT)), name)
        for room, files in found.items()
        for path in everything
        if path not in files
        for name in (said[path] & own[room]) - shared_names
        if name not in ALLOWED.get(str(path.relative_to(ROOT)), set())
    ]
    assert strangers == []


def test_nothing_compares_with_the_name_of_a_task():
    names = set(rooms())
    asked = [
        (str(path.relative_to(ROOT)), node.lineno)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare | ast.MatchValue)
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and part.value in names
    ]
    assert asked == []
