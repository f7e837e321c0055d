"""The harness tells what it must: each rule is broken on purpose by a fault that is planted in a reader."""

import os
import subprocess
import sys
import time
from pathlib import Path

import fuzzing.harness
import pytest
from fuzzing import models, pictures, records
from fuzzing.harness import Target, check, fuzz
from fuzzing.mutation import Mutator

import edgecnn.data.npz
import edgecnn_runtime.container
import edgecnn_runtime.image_damage
import edgecnn_runtime.strict_json
from edgecnn_runtime.errors import EdgeCNNError

RUN = Path(__file__).with_name("run.py")
GROUPS = (models, pictures, records)


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    """The readers by name, made before any fault is planted."""
    return {one.name: one for module in GROUPS for one in module.targets(tmp_path_factory.mktemp("fuzz"))}


def raising(error):
    def fault(*_arguments, **_options):
        raise error

    return fault


FAULTS = {  # reader -> module, name in it, and what takes its place
    "container": (edgecnn_runtime.container, "_default_opset", raising(KeyError("planted"))),
    "manifest": (edgecnn_runtime.strict_json, "_union", raising(AttributeError("planted"))),
    "evidence": (edgecnn_runtime.strict_json, "_scalar", raising(RecursionError("planted"))),
    "npz": (edgecnn.data.npz, "_labels", raising(IndexError("planted"))),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_exception_is_found_with_what_makes_it_again(name, targets, monkeypatch):
    chosen = targets[name]
    assert fuzz(chosen, range(100)) == []
    monkeypatch.setattr(*FAULTS[name][:2], FAULTS[name][2])
    found = fuzz(chosen, range(100))
    assert found
    assert "planted" in found[0].problem
    assert f"run.py {name} --case {found[0].number}\nhex: " in str(found[0])
    assert Mutator(chosen.seeds, chosen.tokens, is_json=chosen.is_json).case(found[0].number) == found[0].data


def test_a_payload_that_is_cut_short_is_found_by_onnx(targets, monkeypatch):
    real = edgecnn_runtime.container.hold_payload
    monkeypatch.setattr(edgecnn_runtime.container, "hold_payload", lambda stream, size: real(stream, size - 4))
    assert any("disagrees" in one.problem for one in fuzz(targets["container"], range(200)))


def test_a_manifest_that_is_read_wrongly_is_found_by_json(targets, monkeypatch):
    real = edgecnn_runtime.strict_json._scalar

    def upper(hint, value, where):
        read = real(hint, value, where)
        return read.upper() if hint is str else read

    monkeypatch.setattr(edgecnn_runtime.strict_json, "_scalar", upper)
    assert any("disagrees" in one.problem for one in fuzz(targets["manifest"], range(150)))


def test_pixels_that_are_not_there_are_found_by_pillow(targets, monkeypatch):
    monkeypatch.setattr("edgecnn_runtime.image_files.load", lambda image, _stream: image.putdata([0] * 126))
    found = fuzz(targets["png"], range(50))
    assert any("other pixels" in one.problem for one in found)


def read_by(read, **options):
    return check(Target("planted", [b"seed"], read, 1, **options), b"data")


def test_check_takes_a_result_or_an_error_of_ours():
    assert read_by(lambda data: data) is None
    assert read_by(raising(EdgeCNNError("no"))) is None
    assert read_by(raising(ValueError("no")), allowed=(ValueError,)) is None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("no"), "KeyError"),
        (ValueError("no"), "ValueError"),
        (MemoryError(), "MemoryError"),
        (SystemExit(3), "SystemExit"),
    ],
    ids=repr,
)
def test_check_tells_another_exception(error, words):
    assert words in read_by(raising(error))


class Talkative(EdgeCNNError):
    def __str__(self):
        return str(self.args[0])


@pytest.mark.parametrize(
    ("message", "words"), [("x" * 2001, "2001 characters"), ("a\nb", "not one line"), ("\x1b[31m", "not one line")]
)
def test_check_tells_a_message_that_is_too_long_or_more_than_one_line(message, words):
    assert words in read_by(raising(Talkative(message)))


def test_fuzz_tells_a_hang(monkeypatch):
    monkeypatch.setattr(fuzzing.harness, "HANG_S", 0.2)
    (found,) = fuzz(Target("planted", [b"seed"], lambda _data: time.sleep(20), 1), [0])
    assert "still at work" in found.problem


def test_fuzz_tells_memory_that_is_taken():
    hungry = Target("planted", [b"seed"], lambda _data: len(b"x" * (1 << 30)), 1, memory_mb=100)
    (found,) = fuzz(hungry, [0])
    assert "MB of memory" in found.problem


def test_the_note_survives_a_signal(tmp_path):
    script = (
        "import sys, run, pathlib; from fuzzing.harness import Target, fuzz; import os, signal\n"
        "target = Target('planted', [b's'], lambda data: os.kill(os.getpid(), signal.SIGSEGV), 1)\n"
        "fuzz(target, [7], now=run._noting(pathlib.Path(sys.argv[1]), target))"
    )
    environment = {**os.environ, "PYTHONPATH": str(RUN.parent)}
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "note"], env=environment, check=False)
    assert done.returncode == -11
    assert (tmp_path / "note").read_text().strip() == "planted --case 7"
