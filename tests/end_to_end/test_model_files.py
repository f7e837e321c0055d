"""Faults 1, 2, 3, 7 and 10: model files that are missing, damaged, altered, too new, or at odds with themselves."""

import json
import os
import subprocess
import sys

import pytest

# Many damaged files through the command line in one process; a signal would end it without the list of codes.
MANY = """
import json, random, sys
from pathlib import Path
from edgecnn.cli import main
data, target, kind = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), sys.argv[3]
choose, codes = random.Random(0), []
for _ in range(60):
    place = choose.randrange(len(data))
    if kind == "truncated":
        damaged = data[:place]
    else:
        damaged = bytearray(data)
        damaged[place] ^= 1 << choose.randrange(8)
    target.write_bytes(damaged)
    codes.append(main(["inspect", str(target)]))
print(json.dumps(codes))
"""


@pytest.fixture
def damaged_file(tmp_path):
    """Writes model.onnx of the kind that is asked for."""
    path = tmp_path / "model.onnx"

    def write(kind):
        if kind == "directory":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "link loop":
            path.symlink_to(path)
        elif kind != "missing":
            contents = {
                "empty": b"",
                "text": b"not a model",
                "png": b"\x89PNG\r\n\x1a\n" + bytes(64),
                "zeros": bytes(999),
            }
            path.write_bytes(contents[kind])
        return path

    return write


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "link loop", "empty", "text", "png", "zeros"])
def test_run_refuses_what_is_no_model_file(edgecnn, one_line, damaged_file, digits, kind):
    path = damaged_file(kind)
    done = edgecnn("run", path, digits)
    assert done.returncode == 6
    assert done.stdout == ""
    one_line(done.stderr, str(path))


@pytest.mark.parametrize("command", ["inspect", "bench"])
def test_other_commands_refuse_a_missing_file(edgecnn, one_line, tmp_path, command):
    done = edgecnn(command, tmp_path / "nothing.onnx")
    assert done.returncode == 6
    one_line(done.stderr, "nothing.onnx", "No such file")


@pytest.mark.parametrize("kind", ["truncated", "flipped"])
def test_inspect_refuses_files_damaged_anywhere(tmp_path, model_file, kind):
    command = [sys.executable, "-c", MANY, model_file, tmp_path / "damaged.onnx", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [6] * 60


def test_run_names_the_byte_where_a_file_is_truncated(edgecnn, one_line, tmp_path, model_file, digits):
    path = tmp_path / "half.onnx"
    path.write_bytes(model_file.read_bytes()[:1000])
    done = edgecnn("run", path, digits)
    assert done.returncode == 6
    one_line(done.stderr, "truncated at byte 1000")


def flip_weight(data):
    """Flips a bit in the middle of the largest run of weights."""
    damaged = bytearray(data)
    damaged[len(damaged) // 2] ^= 1
    return bytes(damaged)


def test_run_refuses_one_flipped_bit_in_a_weight(edgecnn, one_line, tmp_path, model_file, digits):
    path = tmp_path / "flipped.onnx"
    path.write_bytes(flip_weight(model_file.read_bytes()))
    done = edgecnn("run", path, digits)
    assert done.returncode == 6
    one_line(done.stderr, "SHA-256", "--allow-modified")


def test_run_answers_with_an_altered_file_when_it_is_allowed(edgecnn, tmp_path, model_file, digits):
    path = tmp_path / "flipped.onnx"
    path.write_bytes(flip_weight(model_file.read_bytes()))
    done = edgecnn("run", path, digits, "--allow-modified", "--format", "json")
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) == 10


def test_run_says_how_to_export_again_when_the_opset_is_too_new(
    edgecnn, one_line, tmp_path, model_file, restamp, digits
):
    def raise_opset(graph):
        graph.opset_import[0].version = 99

    done = edgecnn("run", restamp(model_file, tmp_path / "new.onnx", graph=raise_opset), digits)
    assert done.returncode == 6
    one_line(done.stderr, "needs opset 99", "re-export with --opset")


def test_run_says_how_to_export_again_when_the_ir_is_too_new(edgecnn, one_line, tmp_path, model_file, restamp, digits):
    def raise_ir(graph):
        graph.ir_version = 99

    done = edgecnn("run", restamp(model_file, tmp_path / "new.onnx", graph=raise_ir), digits)
    assert done.returncode == 6
    one_line(done.stderr, "IR version 99", "re-export")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"height":28', '"height":32', ("28", "32")),
        ('"color":"gray"', '"color":"rgb"', ("1", "3")),
        ('"name":"image"', '"name":"pixels"', ("image", "pixels")),
        ('"shape":[10]', '"shape":[11]', ("10", "11")),
        ('"9"', '"8"', ("'8'",)),
        ('"schema_version":1', '"schema_version":2', ("1", "2")),
        ('"task":', '"colour":0,"task":', ("colour",)),
    ],
)
def test_run_refuses_a_manifest_at_odds_with_its_graph(
    edgecnn, one_line, tmp_path, model_file, restamp, digits, old, new, words
):
    path = restamp(model_file, tmp_path / "odd.onnx", manifest=(old, new))
    done = edgecnn("run", path, digits)
    assert done.returncode == 6
    one_line(done.stderr, str(path), *words)
