import io
import logging
import os
import subprocess
import types
from collections import Counter

import pytest
from PIL import Image

from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.image_files import MAX_PIXELS
from edgecnn_runtime.images import open_image
from edgecnn_runtime.results import Failure
from edgecnn_runtime.sources import MOST_IMAGE_BYTES, Source, describe, iter_sources, read_stdin


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*sources):
    return [source.name for source in iter_sources(sources)]


def failures(*sources):
    found = list(iter_sources(sources))
    assert all(isinstance(each, Failure) for each in found)
    return [each.message for each in found]


def touch(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def test_a_file_is_itself_whatever_its_name(folder):
    touch(folder, "notes.txt")
    assert list(iter_sources(["notes.txt", "missing.png"])) == [
        Source("notes.txt", "notes.txt"),
        Source("missing.png", "missing.png"),
    ]


def test_sources_keep_their_order(folder):
    touch(folder, "b.png", "a.png")
    assert names("b.png", "a.png", "b.png") == ["b.png", "a.png", "b.png"]


# faults.md, row 20


def test_a_directory_gives_its_images_sorted_and_deep(folder):
    touch(folder, "d/b.png", "d/a.JPG", "d/c/z.webp", "d/c/a.bmp", "d/e.jpeg")
    assert names("d") == ["d/a.JPG", "d/b.png", "d/c/a.bmp", "d/c/z.webp", "d/e.jpeg"]


def test_other_files_are_skipped_and_counted(folder, caplog):
    touch(folder, "d/a.png", "d/notes.txt", "d/.hidden.png", "d/.cache/b.png", "d/model.onnx")
    (folder / "d/broken.png").symlink_to("nowhere")
    os.mkfifo(folder / "d/fifo.png")
    with caplog.at_level(logging.INFO, logger="edgecnn_runtime"):
        assert names("d") == ["d/a.png"]
    assert (
        caplog.records[0].getMessage().startswith("d: 1 images, left out: 2 broken links, FIFOs or devices, 2 hidden")
    )


def test_what_is_left_out_is_counted_by_suffix(folder):
    touch(folder, "d/a.png", "d/b.TXT", "d/c.txt", "d/README", "d/.git/e.png", "d/f/@eaDir/g.jpg", "e/h.mp4")
    left_out = Counter()
    found = list(iter_sources(["d", "e/*.png", "e"], left_out=left_out))
    assert [each.name for each in found if isinstance(each, Source)] == ["d/a.png"]
    assert left_out == {".txt": 2, "without suffix": 1, "hidden or of the system": 2, ".mp4": 1}
    assert describe(left_out).startswith("2 .txt, 2 hidden or of the system, 1 .mp4")


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "tif", "tiff", "gif", "avif", "heic", "heif", "JFIF"])
def test_every_kind_of_picture_is_found(folder, suffix):
    touch(folder, f"d/a.{suffix}")
    assert names("d") == [f"d/a.{suffix}"]


SYSTEM_FOLDERS = [".git", "@eaDir", "__MACOSX", "$RECYCLE.BIN", "#recycle", "lost+found", "System Volume Information"]


@pytest.mark.parametrize("name", SYSTEM_FOLDERS)
@pytest.mark.parametrize("source", ["d", "d/**/*.png", "*"])
def test_hidden_folders_and_those_of_systems_are_not_entered(folder, name, source):
    touch(folder, "d/a.png", f"d/{name}/b.png", f"d/e/{name}/f/c.png")
    left_out = Counter()
    assert [each.name for each in iter_sources([source], left_out=left_out)] == ["d/a.png"]


def test_a_folder_of_a_system_is_read_where_it_is_named(folder):
    touch(folder, "d/@eaDir/b.png")
    assert names("d/@eaDir", "d/@eaDir/*.png") == ["d/@eaDir/b.png"] * 2


def test_links_are_followed_and_loops_are_cut(folder):
    touch(folder, "d/a.png", "other/b.png")
    (folder / "d/again").symlink_to(".")
    (folder / "d/up").symlink_to("..")
    (folder / "d/self.png").symlink_to("self.png")
    assert sorted(names("d")) == ["d/a.png", "d/up/other/b.png"]


def test_a_tree_of_links_is_read_once_and_not_exponentially(folder):
    for level in range(40):
        touch(folder, f"{level}/a.png")
        for link in ("x", "y"):
            (folder / str(level) / link).symlink_to(folder / str(level + 1))
    assert len(names("0")) == 40


@pytest.mark.parametrize("name", ["a b.png", "new\nline.png", "日本 🐈.png", "'quote\".png", "[1]*.png"])
def test_names_of_any_kind_are_found(folder, name):
    touch(folder, f"d/{name}")
    assert names("d", f"d/{name}") == [f"d/{name}"] * 2


def test_names_that_are_not_utf8_are_found(folder):
    (folder / "d").mkdir()
    with open(os.path.join(b"d", b"\xff.png"), "wb"):  # noqa: PTH118, PTH123  (bytes are no Path)
        pass
    assert names("d") == ["d/\udcff.png"]


def test_an_empty_directory_is_a_failure(folder):
    (folder / "d").mkdir()
    assert "d: expected a directory with images" in failures("d")[0]


def test_a_directory_without_images_says_how_many_others_it_holds(folder):
    touch(folder, "d/a.txt", "d/b.txt")
    assert failures("d")[0].endswith("received 2 others: 2 .txt")


def test_a_directory_that_cannot_be_read_is_a_failure_and_the_others_go_on(folder, monkeypatch):
    touch(folder, "d/a.png", "d/closed/b.png", "d/z.png")
    real = os.scandir

    def deny(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", deny)
    assert list(iter_sources(["d"])) == [
        Source("d/a.png", "d/a.png"),
        Failure("d/closed", "image", "d/closed: expected a readable directory: Permission denied"),
        Source("d/z.png", "d/z.png"),
    ]


# globs, lists, stdin


def test_a_glob_gives_its_matches_sorted(folder):
    touch(folder, "b1.png", "a1.png", "c.txt")
    assert names("*1.png") == ["a1.png", "b1.png"]


def test_a_glob_reads_matching_directories(folder):
    touch(folder, "day1/a.png", "day2/b.png", "night/c.png")
    assert names("day*") == ["day1/a.png", "day2/b.png"]


def test_a_deep_glob_names_each_file_once(folder):
    touch(folder, "d/a.png", "d/e/b.png", "d/e/c.txt")
    assert names("d/**/*.png") == ["d/a.png", "d/e/b.png"]


def test_an_absolute_glob_works(folder):
    touch(folder, "a.png")
    assert names(f"{folder}/*.png") == [f"{folder}/a.png"]


def test_a_file_whose_name_looks_like_a_glob_is_itself(folder):
    touch(folder, "a[1].png", "a1.png")
    assert names("a[1].png") == ["a[1].png"]


def test_a_glob_without_a_match_is_a_failure(folder):
    assert failures(f"{folder}/*.png")[0].endswith("received no match")


def test_a_list_gives_its_paths_in_order(folder):
    touch(folder, "b.png", "d/a.png")
    (folder / "list.txt").write_bytes(b"b.png\n\n d/x y.png\r\n\xff.png\nd\n")
    assert names("@list.txt") == ["b.png", " d/x y.png", "\udcff.png", "d/a.png"]


@pytest.mark.parametrize(("content", "message"), [(None, "No such file"), (b"\n \n", "received none")])
def test_a_list_that_names_nothing_is_a_failure(folder, content, message):
    if content is not None:
        (folder / "list.txt").write_bytes(content)
    assert message in failures("@list.txt")[0]


def test_a_file_that_starts_with_an_at_sign_can_be_named(folder):
    touch(folder, "@a.png")
    assert names("./@a.png") == ["./@a.png"]


@pytest.fixture
def type_in(monkeypatch):
    """Gives standard input what it is called with, and returns the stream."""

    def give(content):
        stream = io.BytesIO(content)
        monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=stream))
        return stream

    return give


def test_a_dash_reads_the_bytes_of_stdin(type_in):
    type_in(PNG_START + b"the rest")
    assert list(iter_sources(["-"])) == [Source("-", PNG_START + b"the rest")]


def test_stdin_is_read_no_further_where_it_does_not_begin_like_an_image(type_in):
    stream = type_in(bytes(10_000_000))
    assert read_stdin() == bytes(stream.tell())
    assert stream.tell() < 100


def test_stdin_is_read_up_to_what_an_image_may_take_and_no_further(type_in, monkeypatch):
    monkeypatch.setattr("edgecnn_runtime.sources.MOST_IMAGE_BYTES", 5_000_000)
    assert len(read_stdin_of(type_in, 5_000_000)) == 5_000_000
    stream = type_in(PNG_START + bytes(50_000_000))
    failure = read_stdin()
    assert "at most 5 MB on standard input, received more. Save it to a file" in failure.message
    assert stream.tell() < 8_000_000


def read_stdin_of(type_in, size):
    type_in(PNG_START + bytes(size - len(PNG_START)))
    return read_stdin()


def test_the_limit_of_stdin_holds_the_largest_image_that_is_answered():
    stream = io.BytesIO()
    deepest = Image.new("RGBA", (1, 1000))
    deepest.save(stream, "TIFF")
    assert MOST_IMAGE_BYTES / MAX_PIXELS >= 2 * 4  # 16 bits, and Pillow writes 8
    assert 2 * len(stream.getvalue()) - 1000 < MOST_IMAGE_BYTES / MAX_PIXELS * 1000


@pytest.mark.parametrize("stdin", [None, types.SimpleNamespace()])
@pytest.mark.parametrize("source", ["-", "@-"])
def test_stdin_that_is_closed_is_a_failure(monkeypatch, source, stdin):
    monkeypatch.setattr("sys.stdin", stdin)
    (failure,) = iter_sources([source])
    assert (failure.source, failure.kind) == (source, "image")
    assert "it is closed" in failure.message
    assert read_stdin(source).message == failure.message.replace("a readable list of paths", "a list on standard input")


def test_stdin_that_finds_no_memory_is_a_failure(monkeypatch):
    class Full:
        def read(self, _size):
            raise MemoryError

    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=Full()))
    assert read_stdin().kind == "memory"


def test_a_list_comes_from_stdin_line_by_line(folder, type_in):
    touch(folder, "a.png", "d/b.png")
    type_in(b"a.png\nd\n-\n")
    assert names("@-") == ["a.png", "d/b.png", "./-"]
    held = b"\xef\xbb\xbfa.png\r\n"
    assert list(iter_sources(["@-"], stdin=held)) == [Source("a.png", "a.png")]


def test_a_file_that_is_called_dash_is_not_taken_for_stdin(folder):
    touch(folder, "-")
    assert names("?", "./-") == ["./-", "./-"]


PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ({"@at.png": PNG_START}, Source("@at.png", "@at.png")),
        ({"@at.png": b"no picture"}, Source("@at.png", "@at.png")),
        ({"at.png": b"listed.png"}, Source("listed.png", "listed.png")),
        ({"@at.png": PNG_START, "at.png": b"listed.png"}, Source("@at.png", "@at.png")),
        ({"@at.png": b"no picture", "at.png": b"listed.png"}, Source("listed.png", "listed.png")),
        ({}, "A file whose name begins with @ is named ./@at.png"),
        ({"at.png": PNG_START}, "received a picture. Name it without the @"),
        ({"at.png": b"BMW.png"}, Source("BMW.png", "BMW.png")),
    ],
    ids=[
        "file",
        "file of text",
        "list",
        "picture and list",
        "text and list",
        "neither",
        "picture alone",
        "list like a BMP",
    ],
)
def test_a_name_with_an_at_sign_is_the_file_or_the_list(folder, present, expected):
    for name, content in present.items():
        (folder / name).write_bytes(content)
    (found,) = iter_sources(["@at.png"])
    assert expected in found.message if isinstance(expected, str) else found == expected


def test_a_glob_may_begin_with_an_at_sign_and_finds_such_files(folder):
    touch(folder, "@a.png", "@b.png", "c.png")
    assert names("@*.png", "*.png") == ["@a.png", "@b.png", "@a.png", "@b.png", "c.png"]


def test_a_listed_path_that_lies_beside_its_list_is_a_failure_that_says_so(folder):
    touch(folder, "lists/a.png", "b.png", "lists/b.png")
    (folder / "lists/list.txt").write_text("a.png\nb.png\nmissing.png\n/missing.png\n")
    first, *others = iter_sources(["@lists/list.txt"])
    assert first.source == "a.png"
    assert "from the working directory on line 1 of lists/list.txt" in first.message
    assert "Run edgecnn in lists, or list lists/a.png" in first.message
    assert [each.name for each in others] == ["b.png", "missing.png", "/missing.png"]


def test_a_list_that_ends_in_nonsense_gives_the_paths_before_it(folder):
    (folder / "list.txt").write_bytes(b"a.png\n\0\nb.png\n")
    found = list(iter_sources(["@list.txt", "c.png"]))
    assert [getattr(each, "name", None) for each in found] == ["a.png", None, "c.png"]
    assert "@list.txt: line 2" in found[1].message


def test_a_list_that_is_a_fifo_or_a_device_is_refused_with_the_cure(folder):
    os.mkfifo(folder / "fifo")
    for source in ("@fifo", "@/dev/zero"):
        assert "not a regular file" in failures(source)[0]
        assert "as the source @-" in failures(source)[0]


@pytest.fixture
def nest(folder):
    """Makes folders in one another; pathlib, shutil and pytest go down by recursion, and so cannot remove them."""
    tops = []

    def make(name, depth):
        tops.append(folder / name)
        at = os.open(folder, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir(name, dir_fd=at)
            below = os.open(name, os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = below
        os.close(os.open("a.png", os.O_CREAT | os.O_WRONLY, dir_fd=at))
        os.close(at)

    yield make
    subprocess.run(["rm", "-r", *tops], check=True)


@pytest.mark.parametrize("source", ["x", "x/**/*.png", "**/a.png"])
def test_1500_nested_folders_are_read_to_the_bottom(nest, source):
    nest("x", 1500)
    assert names(source) == ["x/" * 1500 + "a.png"]


@pytest.mark.parametrize("source", ["d", "d/**/*.png"])
def test_folders_that_link_to_themselves_are_read_once(folder, source):
    touch(folder, "d/a.png")
    for name in "bcdefg":
        (folder / "d" / name).symlink_to(".")
    assert names(source) == ["d/a.png"]


def test_a_folder_whose_path_is_too_long_is_a_failure(folder, nest):
    nest("x" * 250, 30)  # 7,500 bytes, where a path has 4,096 at most
    touch(folder, "y.png")
    failure, *pictures = iter_sources([".", "y.png"])
    assert [each.name for each in pictures] == ["./y.png", "y.png"]
    assert "File name too long" in failure.message


def test_a_working_directory_that_is_gone_is_named(folder, monkeypatch):
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()
    for source in (".", "*.png", "@list"):
        assert "the working directory was removed" in failures(source)[0]
    with pytest.raises(ImageError, match="No such file or directory; the working directory was removed"):
        open_image("a.png")
    with pytest.raises(ImageError, match=r"No such file or directory$"):
        open_image(f"{folder}/a.png")


def test_nothing_is_expanded_before_it_is_needed(folder):
    touch(folder, "d/a.png")
    found = iter_sources(["d", "e"])
    assert next(found).name == "d/a.png"
    touch(folder, "e/late.png")
    assert [source.name for source in found] == ["e/late.png"]
