"""What no command may write over: each command, each of its outputs, each way in which that can be something else."""

import hashlib
import os

import pytest
from PIL import Image

from edgecnn.cli import main
from edgecnn.models.build import build_manifest, get_spec
from edgecnn.training import TrainConfig, run_folder
from edgecnn.training.record import DataRecord, RunRecord


@pytest.fixture
def place(tmp_path, monkeypatch, write_classes, write_model, npz):
    """A folder with everything that commands read; none of it is ever changed."""
    monkeypatch.chdir(tmp_path)
    for name in ("run", "own"):
        folder = tmp_path / name
        (folder / "unfinished").mkdir(parents=True)
        record = RunRecord(TrainConfig("mnist_convnet", "x"), DataRecord(str(npz), "f" * 64, 9, 3), {})
        run_folder.begin(folder, record, build_manifest(get_spec("mnist_convnet"), ("a", "b")))
        (folder / "model.keras").write_bytes(b"weights")
    write_classes(tmp_path / "classes", cat=2, dog=2)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "net.keras").write_bytes(b"weights of another network")
    (tmp_path / "net" / "manifest.json").write_text("{}")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    (tmp_path / "start.weights.h5").write_bytes(b"weights to begin with")
    (tmp_path / "old.json").write_text("{}")
    Image.new("L", (4, 4)).save(tmp_path / "seven.png")
    write_model("model.onnx")
    return tmp_path


# command, its words with OUT for the output, and the inputs that it reads
COMMANDS = [
    ("export run", "export run --data set.npz -o OUT", ["run/model.keras", "run/config.json", "set.npz"]),
    ("export run without data", "export run -o OUT", ["set.npz"]),  # which its record names
    ("export run of a folder", "export run --data classes -o OUT", ["classes/cat/0.png"]),
    ("export run of a forced kind", "export run --data npz:set.npz -o OUT", ["set.npz"]),
    ("export keras", "export net/net.keras -o OUT", ["net/net.keras", "net/manifest.json"]),
    ("export manifest", "export net/net.keras --manifest run/manifest.json -o OUT", ["run/manifest.json"]),
    (
        "export name",
        "export mnist_convnet --weights start.weights.h5 --labels labels.txt -o OUT",
        ["start.weights.h5", "labels.txt"],
    ),
    ("bench", "bench model.onnx --compare old.json --report OUT", ["model.onnx", "old.json"]),
    ("feature-maps", "feature-maps run seven.png -o OUT", ["seven.png"]),
    ("feature-maps keras", "feature-maps net/net.keras seven.png -o OUT", ["net/net.keras", "net/manifest.json"]),
]
CASES = [(words, source) for _, words, sources in COMMANDS for source in sources]


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refused(place, capfd, words, *said, code=2):
    """Runs a command and checks that it ends in one line, before it has changed or made anything."""
    before = contents(place)
    assert main(words.split()) == code
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    last = captured.err.strip().splitlines()[-1]
    assert [word for word in said if word not in last] == [], last
    assert contents(place) == before
    assert captured.out == ""


@pytest.mark.parametrize("how", ["itself", "link", "hard link", "link to its folder"])
@pytest.mark.parametrize(("words", "source"), CASES, ids=lambda value: value.replace(" ", "_"))
def test_no_output_is_an_input(place, capfd, words, source, how):
    target = place / source
    if how == "itself":
        output = source
    elif how == "link to its folder":
        (place / "elsewhere").symlink_to(target.parent)
        output = f"elsewhere/{target.name}"
    else:
        output = "other.png"
        (place / output).symlink_to(target) if how == "link" else os.link(target, place / output)
    refused(place, capfd, words.replace("OUT", output), output)


@pytest.mark.parametrize(
    "words",
    [
        *(words for _, words, _ in COMMANDS),
        "run model.onnx seven.png --save OUT",
        "train mnist_convnet --data set.npz -o OUT",
        "demo -o OUT",
    ],
)
@pytest.mark.parametrize("where", ["own/new.png", "own/deep/new.png", "link/new.png"])
def test_no_output_lies_in_a_run_folder(place, capfd, words, where):
    (place / "own" / "deep").mkdir()
    (place / "link").symlink_to("own")
    refused(place, capfd, words.replace("OUT", where), where, "run folder")


@pytest.mark.parametrize("how", ["link", "hard link"])
@pytest.mark.parametrize("source", ["in/seven.png", "classes", "@list.txt", "in/*.png", "model.onnx"])
def test_no_saved_picture_is_an_input_under_another_name(place, capfd, source, how):
    (place / "in").mkdir()
    (place / "seven.png").rename(place / "in" / "seven.png")
    (place / "list.txt").write_text("in/seven.png\n")
    (place / "out").mkdir()
    read = {"classes": "classes/cat/1.png", "model.onnx": "model.onnx"}.get(source, "in/seven.png")
    link = (place / "out" / "9.png").symlink_to if how == "link" else (place / "out" / "9.png").hardlink_to
    link(place / read)
    picture = "in/seven.png" if source == "model.onnx" else source
    refused(place, capfd, f"run model.onnx {picture} --save out", "out/9.png")


FOREIGN = {
    "model.report.json": ["", "notes", "{}", '{"file": "other.onnx", "passed": true, "parity": {}, "evidence": null}'],
    "model.report.md": ["", "# model.onnx\n\nmine\n"],
    "model.report.png": ["", "\x89PNG"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in FOREIGN.items() for text in texts])
def test_export_replaces_no_report_that_is_not_its_own(place, capfd, name, text):
    (place / "out").mkdir()
    (place / "out" / name).write_text(text)
    words = "export run --data set.npz --quantize int8 -o out/model.onnx"
    refused(place, capfd, words, f"out/{name}", "Move it away")


def test_export_replaces_no_picture_of_somebody(place, capfd):
    Image.new("RGB", (4, 4)).save(place / "model.report.png")
    refused(place, capfd, "export run --data set.npz --quantize int8 -o model.onnx", "model.report.png")


def test_export_replaces_no_folder_of_a_reports_name(place, capfd):
    (place / "model.report.json").mkdir()
    refused(place, capfd, "export run -o model.onnx", "model.report.json")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train mnist_convnet --data classes -o classes/run", "lies in classes"),
        ("train mnist_convnet --data classes -o classes --overwrite", "holds classes"),
        ("train mnist_convnet --data classes -o classes/cat --overwrite", "lies in classes"),
        ("train mnist_convnet --data classes -o link/run", "lies in classes"),
        ("train mnist_convnet --data classes -o . --overwrite", "holds classes"),
        ("train mnist_convnet --data set.npz -o . --overwrite", "holds set.npz"),
        ("train mnist_convnet --data set.npz --weights own/model.keras -o own --overwrite", "holds own/model.keras"),
        ("train mnist_convnet --data set.npz --weights start.weights.h5 -o kept --overwrite", "start.weights.h5"),
        ("evaluate model.onnx --data classes --save classes/cat", "lies in classes"),
        ("evaluate own/model.keras --data classes --save own", "holds own/model.keras"),
        ("evaluate run --data set.npz --save run/pictures", "outside run folders"),
        ("feature-maps run seven.png -o seven.png", "seven.png"),
    ],
)
def test_no_output_mixes_with_what_is_read(place, capfd, words, said):
    (place / "link").symlink_to("classes")
    (place / "kept").mkdir()
    (place / "kept" / "model.keras").hardlink_to(place / "start.weights.h5")
    refused(place, capfd, words, said.replace("lies in", "is or lies in"))


def test_demo_replaces_no_training_of_somebody(place, capfd):
    (place / "own").rename(place / "run2")
    (place / "demo").mkdir()
    (place / "run2").rename(place / "demo" / "run")
    refused(place, capfd, "demo", "an earlier demo")


def test_demo_replaces_no_file_of_somebody(place, capfd):
    (place / "demo").mkdir()
    (place / "demo" / "digits.onnx").write_bytes(b"mine")
    refused(place, capfd, "demo", "an earlier demo")


def test_an_output_beside_the_classes_of_the_data_is_fine(place, capfd):
    before = contents(place)
    assert main(["export", "run", "--data", "classes", "-o", "classes/model.onnx"]) == 1  # "run" is not finished
    assert "interrupted" in capfd.readouterr().err
    assert contents(place) == before


def test_a_run_folder_named_like_a_data_set_is_not_its_data(place, capfd):
    (place / "own").rename(place / "digits")
    assert main(["train", "mnist_convnet", "--data", "digits", "-o", "digits"]) == 2
    assert "expected an empty folder" in capfd.readouterr().err


def test_names_that_differ_in_case_alone_are_one_file_where_the_system_says_so(place, capfd, monkeypatch):
    """Stands for a file system that ignores case: it finds set.npz under the name SET.NPZ."""
    stat = type(place).stat

    def ignoring_case(path, **options):
        found = path.with_name("set.npz") if path.name == "SET.NPZ" else path
        return stat(found, **options)

    monkeypatch.setattr(type(place), "stat", ignoring_case)
    refused(place, capfd, "export run --data set.npz -o SET.NPZ", "SET.NPZ")
