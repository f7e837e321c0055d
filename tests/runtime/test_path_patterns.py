import glob
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn_runtime.path_patterns import matches

NAMES = st.sampled_from(["a", "b", "ab", "a.png", "b.png", "A.PNG", ".h", "[x]", "a b"])
PARTS = st.sampled_from(["**", "*", "a", "b", "a*", "*.png", "?", "[ab]", ".*", "", "*b*", "[[]x]", "**.png", "[!a]*"])


def as_glob_says(pattern):
    """What Python's own glob gives, each once, but for "d/" of "d/**", which names d itself."""
    found = set(glob.glob(pattern, recursive=True))  # noqa: PTH207
    return sorted(path for path in found if os.path.lexists(path) and (not path.endswith("/") or pattern.endswith("/")))


@given(
    files=st.lists(st.lists(NAMES, min_size=1, max_size=4), max_size=12),
    patterns=st.lists(st.lists(PARTS, min_size=1, max_size=4), min_size=1, max_size=12),
    is_absolute=st.booleans(),
)
def test_matches_are_those_of_glob_on_trees_without_links(tmp_path_factory, files, patterns, is_absolute):
    folder = tmp_path_factory.mktemp("tree")
    for parts in files:
        path = folder.joinpath(*parts)
        if not any(above.is_file() for above in path.parents) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for parts in patterns:
            relative = "/".join(parts).lstrip("/")  # an empty part in front is the root of the file system
            pattern = f"{folder}/{relative}" if is_absolute else relative
            if glob.has_magic(pattern):
                assert matches(pattern) == as_glob_says(pattern), pattern


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("d/a.png", "d/e/b.png", "d/e/f/c.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    return tmp_path


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    "pattern", ["d/*/../*.png", "d/*/f/../*.png", "d//*.png", "*//e//*.png", "./d/**/c.png", "d/e/*/"]
)
def test_matches_keep_the_form_of_the_pattern_as_glob_does(pattern):
    assert matches(pattern) == as_glob_says(pattern) != []


def test_matches_name_what_a_link_leads_to_by_the_name_without_links(tree):
    (tree / "d/0").symlink_to("e")
    (tree / "d/up").symlink_to("..")
    assert matches("d/**/*.png") == ["d/a.png", "d/e/b.png", "d/e/f/c.png"]
    assert matches("d/0/**/*.png") == ["d/0/b.png", "d/0/f/c.png"]
    assert matches("d/**/0/*.png") == ["d/0/b.png"]


def test_matches_end_where_every_folder_links_to_every_other(tree):
    for level in range(12):
        (tree / f"g{level}").mkdir()
        (tree / f"g{level}/{level}.png").touch()
        for other in range(12):
            (tree / f"g{level}/to{other}").symlink_to(f"../g{other}")
    assert matches("g*/**/**/*.png") == [f"g{level}/{level}.png" for level in sorted(range(12), key=str)]
    assert len(matches("g0/**/*.png")) == 12
