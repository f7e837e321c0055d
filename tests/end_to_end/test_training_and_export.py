"""The way from training to a file: faults 13, 25, 26 and 28 on it, and the options that cannot take effect."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from edgecnn_runtime.container import read_model_file

EDGECNN = Path(sys.executable).with_name("edgecnn")
# Several exports in one process, because TensorFlow takes seconds to start: prints exit code and stderr of each.
EXPORTS = """
import contextlib, io, json, resource, sys
import numpy as np
from edgecnn.cli import main
from edgecnn.models.adapter import KerasModel

def export(*arguments):
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        code = main(["export", run_folder, *arguments])
    return {"code": code, "stderr": stderr.getvalue()}

def full_disk():
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)

run_folder, again, directory, missing, full, tampered, int8, slow, bare = sys.argv[1:]
done = {"again": export("-o", again)}  # the run's own data are still there, so they count
fewer_bits = ["--data", "digits", "--quantize", "int8", "--max-drop", "0.05"]
done["int8"] = export("-o", int8, *fewer_bits, "--min-speedup", "0")
done["slow"] = export("-o", slow, *fewer_bits, "--min-speedup", "1e6")
done["bare"] = export("-o", bare, "--golden-samples", "0")
done["directory"] = export("-o", directory, "--data", "digits")
done["missing"] = export("-o", missing, "--data", "digits")
with contextlib.contextmanager(full_disk)():
    done["full"] = export("-o", full, "--data", "digits")
run = KerasModel.run  # from here on the source answers differently from what is converted
KerasModel.run = lambda model, feeds: {name: np.roll(array, 1, axis=1) for name, array in run(model, feeds).items()}
done["tampered"] = export("-o", tampered, "--data", "digits")
print(json.dumps(done))
"""


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_train_leaves_the_run_folder_it_promises(run_folder):
    names = {path.name for path in run_folder.iterdir()}
    pictures = {"confusion.png", "curves.png", "worst.png"}
    assert names == {"best.keras", "config.json", "manifest.json", "history.csv", "model.keras"} | pictures


def test_export_proves_the_file_on_the_test_part(edgecnn, model_file):
    done = edgecnn("inspect", model_file, "--format", "json")
    tree = json.loads(done.stdout)
    assert set(tree) == {"manifest", "evidence", "golden", "graph"}
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
    keras = json.loads(edgecnn("evaluate", run_folder, *options, "--save", tmp_path / "drawn").stdout)
    file = json.loads(edgecnn("evaluate", model_file, *options).stdout)
    same = ("images", "accuracy", "top5", "per_class", "confusion")
    assert {key: keras[key] for key in same} == {key: file[key] for key in same}
    assert file["images"] == 359
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {"confusion.png", "worst.png"}


@pytest.fixture(scope="session")
def exports(run_folder, model_file, made_once):
    """Exports the run again, to places that cannot be written, and tampered with: the folder, and what happened."""

    def export(folder):
        for name in ("directory", "kept", "int8"):
            (folder / name).mkdir()
        kept = [folder / "kept" / name for name in ("full.onnx", "tampered.onnx")]
        fewer_bits = [folder / "int8" / name for name in ("fits.onnx", "slow.onnx")]
        for path in (*kept, fewer_bits[1]):
            path.write_bytes(model_file.read_bytes())
        outputs = [folder / model_file.name, folder / "directory", folder / "missing" / "file.onnx", *kept, *fewer_bits]
        outputs.append(folder / "bare.onnx")
        command = [sys.executable, "-c", EXPORTS, run_folder, *outputs]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (folder / "stdout.txt").write_text(done.stdout)

    folder = made_once("exports", export)
    stdout = (folder / "stdout.txt").read_text()
    return folder, {**json.loads(stdout.splitlines()[-1]), "stdout": stdout}


@pytest.mark.slow
def test_export_gives_the_same_bytes_in_another_process(exports, model_file):
    folder, done = exports
    assert done["again"]["code"] == 0, done
    assert sha256(folder / model_file.name) == sha256(model_file)


def test_export_writes_an_int8_file_that_carries_its_proof(edgecnn, exports):
    folder, done = exports
    assert done["int8"]["code"] == 0, done["int8"]["stderr"]
    tree = json.loads(edgecnn("inspect", folder / "int8" / "fits.onnx", "--format", "json").stdout)
    assert tree["evidence"]["precision"] == "int8"
    assert tree["evidence"]["parity"]["metric"]["images"] == 359
    gates = {gate["name"]: gate for gate in tree["evidence"]["gates"]}
    assert gates["parity.accuracy_drop"]["budget"] == 0.05
    assert (gates["speedup"]["value"], gates["speedup"]["passed"]) == (None, True)
    report = json.loads((folder / "int8" / "fits.report.json").read_text())
    assert report["tries"][-1]["speedup"]["ratio"] > 0
    assert "95 % bound" in edgecnn("inspect", folder / "int8" / "fits.onnx").stdout


def test_export_leaves_every_picture_out_of_a_file_without_golden_samples(edgecnn, exports, one_line, model_file):
    folder, done = exports
    bare = folder / "bare.onnx"
    assert done["bare"]["code"] == 0, done["bare"]["stderr"]
    assert done["stdout"].count("no golden samples: edgecnn verify cannot prove") == 1
    assert b'"image":"' in model_file.read_bytes()
    assert b'"image":"' not in bare.read_bytes()
    assert read_model_file(bare).sha256 == read_model_file(model_file).sha256
    assert json.loads((folder / "bare.report.json").read_text())["golden_samples"] == 0
    assert "golden      none: the file was exported without samples" in edgecnn("inspect", bare).stdout
    verified = edgecnn("verify", bare)
    assert (verified.returncode, verified.stdout) == (6, "")
    one_line(verified.stderr, "bare.onnx", "exported without any", "--golden-samples 1")


def test_export_refuses_more_golden_samples_than_a_file_holds(edgecnn, run_folder, one_line, tmp_path):
    done = edgecnn("export", run_folder, "-o", tmp_path / "m.onnx", "--golden-samples", "5")
    assert done.returncode == 2
    one_line(done.stderr, "--golden-samples", "0 to 4", "5")
    assert list(tmp_path.iterdir()) == []


def test_export_that_keeps_no_budget_leaves_the_earlier_file_and_a_report(exports, one_line, model_file):
    folder, done = exports
    assert done["slow"]["code"] == 5
    one_line(done["slow"]["stderr"], str(folder / "int8" / "slow.onnx"), "--min-speedup", "--quantize fp16")
    assert sha256(folder / "int8" / "slow.onnx") == sha256(model_file)
    reports = {path.name for path in (folder / "int8").iterdir() if path.name.startswith("slow.report")}
    assert reports == {"slow.report.json", "slow.report.md", "slow.report.png"}


@pytest.mark.parametrize(
    ("fault", "path"), [("directory", "directory"), ("missing", "missing/file.onnx"), ("full", "kept/full.onnx")]
)
def test_export_names_an_output_that_cannot_be_written(exports, one_line, fault, path):
    folder, done = exports
    assert done[fault]["code"] == 1
    one_line(done[fault]["stderr"], str(folder / path))


def test_export_publishes_nothing_when_the_answers_differ(exports, one_line):
    folder, done = exports
    assert done["tampered"]["code"] == 4
    one_line(done["tampered"]["stderr"], str(folder / "kept" / "tampered.onnx"), "logits", "image")
    assert json.loads((folder / "kept" / "tampered.report.json").read_text())["passed"] is False


def test_export_that_fails_leaves_the_earlier_file_and_nothing_else(exports, model_file):
    folder, _ = exports
    kept = {path.name: path for path in (folder / "kept").iterdir()}
    assert set(kept) == {"full.onnx", "tampered.onnx", "tampered.report.json"}
    assert sha256(kept["full.onnx"]) == sha256(kept["tampered.onnx"]) == sha256(model_file)
    assert list((folder / "directory").iterdir()) == []
    assert not (folder / "missing").exists()


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
        (["mnist_convnet", "--weights", "none", "--quantize", "int8"], ["--quantize int8", "--data"]),
        (["mnist_convnet", "--weights", "none", "--quantize", "int4"], ["--quantize"]),
        (["mnist_convnet", "--weights", "none", "--max-drop", "0.1"], ["--max-drop", "--quantize"]),
        (["mnist_convnet", "--weights", "none", "--quantize", "fp16", "--reduce-range"], ["--reduce-range"]),
        (["mnist_convnet", "--weights", "none", "--quantize", "fp16", "--max-drop", "2"], ["--max-drop"]),
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


def interrupted(command, signum, *, after="edgecnn: epoch "):
    """Starts a command, sends a signal once a line of stderr begins so, and returns the exit code and stderr."""
    traced = {**os.environ, "PYTHONFAULTHANDLER": "1"}  # a crash says where
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=traced)
    lines = []
    while not lines or not lines[-1].startswith(after):
        lines.append(process.stderr.readline())
        assert process.poll() is None, lines
    process.send_signal(signum)
    lines.append(process.stderr.read())
    process.stderr.close()
    return process.wait(), "".join(lines)


def train_command(folder):
    options = ["--epochs", "8", "--width", "0.1", "--seed", "1"]
    return [str(EDGECNN), "train", "mnist_convnet", "--data", "digits", *options, "-o", str(folder)]


@pytest.mark.slow
def test_train_goes_on_after_sigint(edgecnn, tmp_path):
    folder = tmp_path / "run"
    code, stderr = interrupted(train_command(folder), signal.SIGINT)
    assert code == 130, stderr
    assert "Traceback" not in stderr
    done = edgecnn(*train_command(folder)[1:], "--resume")
    assert done.returncode == 0, done.stderr
    assert "epoch 8 of 8" in done.stdout
    assert "epoch 1 of 8" not in done.stderr
    assert not (folder / "unfinished").exists()


@pytest.fixture(scope="session")
def whole(edgecnn, made_once):
    """The folder of a run that nothing interrupted."""

    def train(folder):
        assert edgecnn(*train_command(folder / "run")[1:]).returncode == 0

    return made_once("whole", train) / "run"


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_train_comes_to_the_same_weights_after_any_end(edgecnn, tmp_path, whole, signum, code):
    cut = tmp_path / "cut"
    ended, stderr = interrupted(train_command(cut), signum)
    assert ended == code, stderr
    assert "Traceback" not in stderr
    assert edgecnn(*train_command(cut)[1:], "--resume").returncode == 0
    assert (cut / "history.csv").read_text() == (whole / "history.csv").read_text()


@pytest.mark.slow
def test_evaluate_says_how_to_finish_an_interrupted_run(edgecnn, one_line, tmp_path):
    interrupted(train_command(tmp_path / "run"), signal.SIGTERM)
    done = edgecnn("evaluate", tmp_path / "run", "--data", "digits")
    assert done.returncode == 1
    one_line(done.stderr, "--resume")


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
@pytest.mark.parametrize("stage", ["convert", "parity"])
def test_export_leaves_the_earlier_file_when_it_is_ended(run_folder, model_file, tmp_path, signum, code, stage):
    path = tmp_path / "digits.onnx"
    path.write_bytes(model_file.read_bytes())
    command = [str(EDGECNN), "export", str(run_folder), "-o", str(path), "--data", "digits"]
    ended, stderr = interrupted(command, signum, after=f"edgecnn: export: {stage}")
    assert ended == code, stderr
    assert "Traceback" not in stderr
    assert sha256(path) == sha256(model_file)
    if signum != signal.SIGKILL:
        assert list(tmp_path.iterdir()) == [path]


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
        accuracy = next(line for line in done.stdout.splitlines() if line.startswith("accuracy of the file"))
        assert min(float(value) for value in accuracy.split()[4:]) >= 0.95
        table = done.stdout.split("\n\n")[1].splitlines()
        assert max(map(len, table)) <= 80
    with Image.open(tmp_path / "demo" / "annotated.png") as picture:
        picture.load()
        assert (picture.format, picture.width % 3) == ("PNG", 0)
    assert {path.name for path in tmp_path.iterdir()} == {"demo"}
