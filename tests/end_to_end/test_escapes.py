"""Names, labels and paths that would move a terminal's cursor, colour it, turn its text round or break its lines."""

import json
import os
import pty
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from PIL import Image

from edgecnn.data.load import load_dataset

HOSTILE = "\x1b[31m\x1b]0;t\x07\x9b2J\r\n\u202e\u2066\u2028\u2029\x85\x7f"
SHOWN = r"\x1b[31m\x1b]0;t\x07\x9b2J\r\n\u202e\u2066\u2028\u2029\x85\x7f"
LABELS = [f"{HOSTILE}{digit}" for digit in range(10)]


def obeyed(text):
    """The characters that a terminal would obey, but for the ends of lines."""
    return {c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"}} - {"\n"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder whose name is hostile itself."""
    folder = tmp_path_factory.mktemp("escapes") / f"{HOSTILE}folder"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def hostile_file(place, model_file, restamp):
    """A proven model file whose name, labels and model name are hostile."""
    names = json.dumps([str(digit) for digit in range(10)], separators=(",", ":"))
    old = f'"labels":{names},"model":{{"name":"mnist_convnet"'
    new = f'"labels":{json.dumps(LABELS, separators=(",", ":"))},"model":{{"name":{json.dumps(HOSTILE)}'
    return restamp(model_file, place / "digits.onnx", manifest=(old, new))


@pytest.fixture(scope="module")
def hostile_data(place):
    """Digits whose classes have hostile names."""
    dataset = load_dataset("digits")
    parts = {"train": dataset.train, "test": dataset.test}
    arrays = {}
    for name, part in parts.items():
        pixels = [np.asarray(part[index][0]).squeeze() for index in range(60)]
        arrays |= {f"x_{name}": np.stack(pixels), f"y_{name}": np.asarray(part.targets.ids[:60])}
    np.savez(place / "digits.npz", labels=np.array(LABELS), **arrays)
    return place / "digits.npz"


@pytest.fixture(scope="module")
def pictures(place):
    folder = place / "pictures"
    folder.mkdir()
    Image.new("L", (28, 28)).save(folder / f"{HOSTILE}.png")
    (folder / f"{HOSTILE}-bad.png").write_bytes(b"no picture")
    return folder


COMMANDS = {
    "inspect": (0, ["inspect", "FILE"]),
    "verify": (4, ["verify", "FILE"]),  # its golden samples hold the names that it was proven with
    "run": (1, ["run", "FILE", "PICTURES"]),
    "run, no such file": (6, ["run", "FILE.missing", "PICTURES"]),
    "run --save": (1, ["run", "FILE", "PICTURES", "--save", "SAVED"]),
    "run --font": (2, ["run", "FILE", "PICTURES", "--save", "SAVED", "--font", "FILE"]),
    "bench": (0, ["bench", "FILE", "--runs", "2", "--warmup", "0", "--starts", "0", "--threads", "1"]),
    "bench --compare": (1, ["bench", "FILE", "--compare", "FILE"]),
    "evaluate": (0, ["evaluate", "FILE", "--data", "DATA", "--save", "SAVED"]),
    "models": (2, ["models", HOSTILE]),
    "no such command": (2, [HOSTILE]),
    "train": (2, ["train", "mnist_convnet", "--data", "FILE", "-o", "SAVED"]),
    "export": (2, ["export", "PICTURES/x", "-o", "SAVED.onnx"]),
}


@pytest.fixture
def arguments(place, hostile_file, hostile_data, pictures):
    def fill(words):
        known = {"FILE": hostile_file, "DATA": hostile_data, "PICTURES": pictures, "SAVED": place / "saved"}
        filled = []
        for word in words:
            found = next((name for name in known if word.startswith(name)), "")
            filled.append(f"{known[found]}{word.removeprefix(found)}" if found else word)
        return filled

    return fill


@pytest.mark.parametrize(("code", "words"), COMMANDS.values(), ids=COMMANDS)
def test_no_command_shows_what_a_terminal_would_obey(edgecnn, arguments, code, words):
    done = edgecnn("--verbose", *arguments(words))
    assert "Traceback" not in done.stderr
    assert (obeyed(done.stdout), obeyed(done.stderr)) == (set(), set())
    assert done.returncode == code, done.stderr
    assert SHOWN in done.stdout + done.stderr


def test_inspect_shows_the_labels_and_the_model_on_lines_of_their_own(edgecnn, hostile_file):
    lines = edgecnn("inspect", hostile_file).stdout.split("\n")
    assert f"labels      {', '.join(f'{SHOWN}{digit}' for digit in range(10))}" in lines
    assert any(line.startswith(f"model       {SHOWN}, width 0.25") for line in lines)


def test_json_holds_names_as_they_are(edgecnn, hostile_file, pictures):
    done = edgecnn("run", hostile_file, pictures, "--format", "json", "--top-k", "10")
    good, bad = sorted(json.loads(done.stdout), key=lambda entry: "error" in entry)
    assert sorted(each["name"] for each in good["predictions"]) == LABELS
    assert (good["source"], bad["source"]) == (f"{pictures}/{HOSTILE}.png", f"{pictures}/{HOSTILE}-bad.png")


def test_csv_is_whole_in_a_file_and_harmless_on_a_terminal(edgecnn, hostile_file, pictures):
    command = ["run", str(hostile_file), str(pictures / f"{HOSTILE}.png"), "--format", "csv"]
    assert f"{pictures}/{HOSTILE}.png".encode() in edgecnn(*command, text=False, errors=None).stdout
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "edgecnn", *command], stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    pieces = []
    while True:
        try:
            pieces.append(os.read(ours, 65536))
        except OSError:  # how a terminal of Linux ends
            break
    os.close(ours)
    assert process.wait() == 0
    text = b"".join(pieces).decode()
    assert obeyed(text) == {"\r"}  # the terminal's own, and RFC 4180's
    assert f"{SHOWN}.png" in text


@pytest.mark.slow
def test_no_training_or_export_shows_what_a_terminal_would_obey(edgecnn, place, hostile_data, pictures):
    run, file = place / "run", place / (os.fsdecode(b"\xff") + f"{HOSTILE}.onnx")
    for words in (
        ["train", "mnist_convnet", "--data", hostile_data, "--epochs", "1", "--width", "0.1", "-o", run],
        ["evaluate", run, "--data", hostile_data, "--save", place / "drawn"],
        ["export", run, "-o", file, "--data", hostile_data, "--quantize", "fp16"],
        ["feature-maps", run, pictures / f"{HOSTILE}.png", "-o", place / "maps.png"],
    ):
        done = edgecnn("--verbose", *words)
        assert done.returncode == 0, done.stderr
        assert (obeyed(done.stdout), obeyed(done.stderr)) == (set(), set())
        assert SHOWN in done.stdout
    assert file.exists()
