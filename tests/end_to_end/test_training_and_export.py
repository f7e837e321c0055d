"""The way from training to a file: faults 13, 25, 26 and 28 on it, and the options that cannot take effect."""

import hashlib
import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

EDGECNN = Path(sys.executable).with_name("edgecnn")
# Exports against a source that answers differently from what was converted.
TAMPERED = """
import sys
import numpy as np
from edgecnn.cli import main
from edgecnn.models.adapter import KerasModel
run = KerasModel.run
KerasModel.run = lambda model, feeds: {name: np.roll(array, 1, axis=1) for name, array in run(model, feeds).items()}
sys.exit(main(sys.argv[1:]))
"""
# Exports to several outputs that cannot be written, in one process, and prints the exit codes.
OUTPUTS = """
import json, sys
from edgecnn.cli import main
print(json.dumps([main(["export", sys.argv[1], "--data", "digits", "-o", output]) for output in sys.argv[2:]]))
"""


def limit_file_size():
    """Stands for a full disk: every file ends at 10,000 bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_train_leaves_the_run_folder_it_promises(run_folder):
    names = {path.name for path in run_folder.iterdir()}
    assert names == {"config.json", "manifest.json", "history.csv", "curves.png", "model.keras"}


def test_export_proves_the_file_on_the_test_part(edgecnn, model_file):
    done = edgecnn("inspect", model_file, "--format", "json")
    tree = json.loads(done.stdout)
    assert set(tree) == {"manifest", "evidence", "graph"}
    assert tree["evidence"]["parity"]["decoded"] == {
        **tree["evidence"]["parity"]["decoded"],
        "images": 359,
        "top1_agreement": 1.0,
    }
    assert tree["evidence"]["parity"]["metric"]["name"] == "accuracy"
    assert tree["graph"]["operators"] == tree["evidence"]["requirements"]["operators"]
    assert tree["graph"]["batch"] == 1


def test_evaluate_prints_the_same_for_the_run_folder_and_the_file(edgecnn, run_folder, model_file, tmp_path):
    options = ["--data", "digits", "--format", "json"]
    keras = json.loads(edgecnn("evaluate", run_folder, *options, "--confusion", tmp_path / "c.png").stdout)
    file = json.loads(edgecnn("evaluate", model_file, *options).stdout)
    same = ("images", "accuracy", "top5", "per_class", "confusion")
    assert {key: keras[key] for key in same} == {key: file[key] for key in same}
    assert file["images"] == 359
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_export_gives_the_same_bytes_in_another_process(edgecnn, run_folder, model_file, tmp_path):
    path = tmp_path / model_file.name
    done = edgecnn("export", run_folder, "-o", path)  # the run's own data are still there, so they count
    assert done.returncode == 0, done.stderr
    assert sha256(path) == sha256(model_file)


def test_export_publishes_nothing_when_the_answers_differ(one_line, run_folder, model_file, tmp_path):
    path = tmp_path / "digits.onnx"
    path.write_bytes(model_file.read_bytes())
    command = [sys.executable, "-c", TAMPERED, "export", run_folder, "-o", path, "--data", "digits"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stdout == ""
    one_line(done.stderr, str(path), "logits", "image")
    assert sha256(path) == sha256(model_file)
    report = json.loads((tmp_path / "digits.report.json").read_text())
    assert report["passed"] is False
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "digits.report.json"]


def test_export_names_an_output_that_cannot_be_written(run_folder, model_file, tmp_path):
    (tmp_path / "directory").mkdir()
    kept = tmp_path / "kept.onnx"
    kept.write_bytes(model_file.read_bytes())
    outputs = [tmp_path / "directory", tmp_path / "missing" / "file.onnx", kept]
    command = [sys.executable, "-c", OUTPUTS, run_folder, *outputs]
    done = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=limit_file_size)
    assert json.loads(done.stdout) == [1, 1, 1]
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if any(f"{output}" in line for output in outputs)]
    assert len(errors) == 3
    assert sha256(kept) == sha256(model_file)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "directory", kept]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mnist_convnet"], ["--weights none"]),
        (["mnist_convnet", "--weights", "none", "--manifest", "m.json"], ["--manifest"]),
        (["mnist_convnett", "--weights", "none"], ["mnist_convnet"]),
        (["runs/nothing"], ["runs/nothing"]),
        ([".", "--weights", "none"], ["--weights"]),
        ([".", "--labels", "l.txt"], ["--labels"]),
        (["mnist_convnet", "--weights", "none", "--opset", "19"], ["--opset"]),
        (["mnist_convnet", "--weights", "none", "--batch", "some"], ["--batch", "dynamic"]),
        (["mnist_convnet", "--weights", "none", "--quantize", "int8"], ["--quantize"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_export_refuses_options_that_cannot_take_effect(edgecnn, one_line, tmp_path, arguments, words):
    done = edgecnn("export", *arguments, "-o", tmp_path / "out.onnx", cwd=tmp_path)
    assert done.returncode == 2
    one_line(done.stderr, *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["train", "resnet", "--data", "digits", "-o", "run"], 2, "resnet"),
        (["train", "mnist_convnet", "-o", "run"], 2, "--data"),
        (["evaluate", "nothing.onnx", "--data", "digits"], 6, "nothing.onnx"),
        (["evaluate", ".", "--data", "digits", "--device", "cpu"], 2, "--device"),
        (["models", "--width", "2"], 2, "--width"),
        (["models", "nothing"], 2, "nothing"),
        (["models", "mnist_convnet", "--image-size", "64"], 2, "--image-size"),
        (["verify"], 2, "verify"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_commands_refuse_what_they_cannot_do(edgecnn, one_line, tmp_path, arguments, code, word):
    done = edgecnn(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert done.stdout == ""
    one_line(done.stderr, word)
    assert list(tmp_path.iterdir()) == []


def interrupted(command, signum):
    """Starts a training, sends a signal after its next epoch, and returns the exit code and stderr."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines = []
    while not lines or not lines[-1].startswith("edgecnn: epoch "):
        lines.append(process.stderr.readline())
        assert process.poll() is None, lines
    process.send_signal(signum)
    lines.append(process.stderr.read())
    process.stderr.close()
    return process.wait(timeout=60), "".join(lines)


def train_command(folder):
    options = ["--epochs", "8", "--width", "0.1", "--seed", "1"]
    return [str(EDGECNN), "train", "mnist_convnet", "--data", "digits", *options, "-o", str(folder)]


def test_train_goes_on_after_sigint(edgecnn, tmp_path):
    folder = tmp_path / "run"
    code, stderr = interrupted(train_command(folder), signal.SIGINT)
    assert code == 130
    assert "Traceback" not in stderr
    unfinished = edgecnn("evaluate", folder, "--data", "digits")
    assert unfinished.returncode == 1
    assert "--resume" in unfinished.stderr
    done = edgecnn(*train_command(folder)[1:], "--resume")
    assert done.returncode == 0, done.stderr
    assert "epoch 8 of 8" in done.stdout
    assert "epoch 1 of 8" not in done.stderr
    assert not (folder / "unfinished").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_train_comes_to_the_same_weights_after_any_end(edgecnn, tmp_path, signum, code):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert edgecnn(*train_command(whole)[1:]).returncode == 0
    ended, stderr = interrupted(train_command(cut), signum)
    assert ended == code
    assert "Traceback" not in stderr
    assert edgecnn(*train_command(cut)[1:], "--resume").returncode == 0
    assert (cut / "history.csv").read_text() == (whole / "history.csv").read_text()


@pytest.mark.slow
def test_train_refuses_a_folder_that_is_not_empty(edgecnn, one_line, run_folder):
    before = sha256(run_folder / "model.keras")
    done = edgecnn("train", "mnist_convnet", "--data", "digits", "-o", run_folder)
    assert done.returncode == 2
    one_line(done.stderr, "--resume", "--overwrite")
    assert sha256(run_folder / "model.keras") == before


@pytest.mark.slow
def test_export_takes_a_keras_file_with_its_manifest(edgecnn, run_folder, model_file, tmp_path):
    path = tmp_path / "out.onnx"
    done = edgecnn("export", run_folder / "model.keras", "-o", path, "--data", "digits", "--batch", "dynamic")
    assert done.returncode == 0, done.stderr
    answers = [
        json.loads(edgecnn("evaluate", file, "--data", "digits", "--format", "json").stdout)
        for file in (path, model_file)
    ]
    assert answers[0]["accuracy"] == answers[1]["accuracy"]


@pytest.mark.slow
def test_export_says_why_there_is_no_metric(edgecnn, tmp_path):
    path = tmp_path / "random.onnx"
    done = edgecnn("export", "mnist_convnet", "--weights", "none", "-o", path)
    assert done.returncode == 0, done.stderr
    assert "no metric, because" in done.stderr
    tree = json.loads(edgecnn("inspect", path, "--format", "json").stdout)
    assert tree["manifest"]["labels"] is None
    assert tree["evidence"]["parity"]["metric"] is None
    assert tree["evidence"]["parity"]["images_from"] == "synthetic"


@pytest.mark.slow
def test_demo_works_twice_and_offline(edgecnn, tmp_path):
    for _ in range(2):
        done = edgecnn(
            "demo", cwd=tmp_path, env={"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
        )
        assert done.returncode == 0, done.stderr
        accuracy = next(line for line in done.stdout.splitlines() if line.startswith("test accuracy of the file"))
        assert float(accuracy.split()[5]) >= 0.95
    assert (tmp_path / "demo" / "annotated.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {"demo"}
