"""Fault 26 in `edgecnn run --save` and `bench --report`: outputs that cannot be written, inputs that must stay."""

import json
import resource

import pytest
from PIL import Image


def limit_file_size():
    """Stands for a full disk: every file ends at 100 bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


def test_save_writes_an_annotated_picture_for_each_image(edgecnn, model_file, digits, tmp_path):
    done = edgecnn("run", model_file, digits / "3.png", "--save", tmp_path / "out")
    assert done.returncode == 0
    with Image.open(tmp_path / "out" / "3.png") as picture, Image.open(digits / "3.png") as original:
        assert picture.mode == "RGB"
        assert min(picture.size) > min(original.size)


def test_save_gives_images_of_one_name_different_names(edgecnn, model_file, digits, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "3.png").write_bytes((digits / "8.png").read_bytes())
    edgecnn("run", model_file, digits / "3.png", tmp_path / "other", "--save", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["3-2.png", "3.png"]


@pytest.mark.parametrize("how", ["same", "linked folder", "linked image"])
def test_save_never_overwrites_an_input(edgecnn, one_line, model_file, digits, tmp_path, how):
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    picture = inputs / "3.png"
    picture.write_bytes((digits / "3.png").read_bytes())
    source, output = inputs, inputs
    if how == "linked folder":
        output = tmp_path / "link"
        output.symlink_to(inputs)
    elif how == "linked image":
        source = tmp_path / "elsewhere.png"
        source.symlink_to(picture)
    done = edgecnn("run", model_file, digits, source, "--save", output)
    assert done.returncode == 2
    one_line(done.stderr, str(output), "Name another folder")
    assert picture.read_bytes() == (digits / "3.png").read_bytes()
    assert list(inputs.iterdir()) == [picture]


def test_save_names_the_file_when_the_disk_is_full(edgecnn, one_line, model_file, digits, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "3.png").write_bytes(b"earlier")
    done = edgecnn(
        *("run", model_file, digits / "3.png", digits / "4.png", "--save", output, "--format", "json"),
        preexec_fn=limit_file_size,
    )
    assert done.returncode == 1
    one_line(done.stderr, str(output / "3.png"))
    assert (output / "3.png").read_bytes() == b"earlier"
    assert list(output.iterdir()) == [output / "3.png"]
    assert len(json.loads(done.stdout)) == 1  # the answer before the failure


def test_save_refuses_a_file_as_its_folder(edgecnn, one_line, model_file, digits, tmp_path):
    (tmp_path / "out").write_bytes(b"mine")
    done = edgecnn("run", model_file, digits, "--save", tmp_path / "out")
    assert done.returncode == 1
    one_line(done.stderr, str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == b"mine"


@pytest.mark.parametrize("fault", ["full", "directory", "missing folder"])
def test_report_names_the_file_that_cannot_be_written(edgecnn, one_line, model_file, tmp_path, fault):
    report = tmp_path / "folder" / "report.json"
    if fault != "missing folder":
        report.parent.mkdir()
    if fault == "directory":
        report.mkdir()
    # Python 3.11 keeps the compiled modules that a full disk cuts off, and the tests share them.
    limit = {"preexec_fn": limit_file_size, "env": {"PYTHONDONTWRITEBYTECODE": "1"}} if fault == "full" else {}
    quick = ["--runs", "1", "--warmup", "0", "--starts", "0"]
    done = edgecnn("bench", model_file, *quick, "--report", report, **limit)
    assert done.returncode == 1
    one_line(done.stderr, str(report))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_report_holds_what_was_measured(edgecnn, model_file, tmp_path):
    report = tmp_path / "report.json"
    done = edgecnn("bench", model_file, model_file, "--runs", "20", "--threads", "1", "--report", report)
    tree = json.loads(report.read_text())
    assert done.returncode == 0
    assert [file["inference_ms"]["n"] for file in tree["files"]] == [20, 20]
    assert tree["spinning"] is True
    assert all(0 < file["inference_ms"]["p50"] <= file["inference_ms"]["p99"] for file in tree["files"])
    assert tree["files"][0]["metric"]["file"] > 0.5


def test_bench_refuses_runs_together_with_duration(edgecnn, one_line, model_file):
    done = edgecnn("bench", model_file, "--runs", "5", "--duration", "1")
    assert done.returncode == 2
    one_line(done.stderr, "--runs", "--duration")
