"""Faults 22, 25, 28 and 29 in `edgecnn run`: devices, signals, poor surroundings, and noise on stdout."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EDGECNN = Path(sys.executable).with_name("edgecnn")
# Libraries that print on stdout while they are imported, from Python and past it.
NOISY_SITE = """
import os, sys
class Noise:
    def find_spec(self, name, path=None, target=None):
        if name in ("onnxruntime", "numpy"):
            print("noise of", name, flush=True)
            os.write(1, b"noise past Python\\n")
sys.meta_path.insert(0, Noise())
"""


def test_run_never_falls_back_to_the_cpu_when_cuda_is_asked_for(edgecnn, one_line, model_file, digits):
    pytest.importorskip("onnxruntime", reason="needs the CPU build")
    done = edgecnn("run", model_file, digits, "--device", "cuda")
    assert done.returncode == 3
    assert done.stdout == ""
    one_line(done.stderr, "CUDA", "Install")


def test_run_says_once_where_auto_runs_and_names_the_provider_in_each_result(edgecnn, model_file, digits):
    done = edgecnn("run", model_file, digits, "--format", "json")
    assert done.stderr.count("device auto") == 1
    assert {entry["provider"] for entry in json.loads(done.stdout)} == {"CPUExecutionProvider"}


def test_run_finds_the_digits(edgecnn, model_file, digits):
    done = edgecnn("run", model_file, digits, "--format", "jsonl", "--top-k", "3")
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert all(len(entry["predictions"]) == 3 for entry in entries)
    right = sum(entry["predictions"][0]["name"] == Path(entry["source"]).stem for entry in entries)
    assert right >= 8  # of 10, after ten short epochs


def test_run_gives_a_file_its_bytes_on_stdin_and_a_list_the_same_answer(edgecnn, model_file, digits, tmp_path):
    path = digits / "4.png"
    (tmp_path / "list.txt").write_text(f"{path}\n")
    with path.open("rb") as stdin:
        done = edgecnn(
            *("run", model_file, path, "-", f"@{tmp_path}/list.txt", str(digits / "[4]*.png"), "--format", "json"),
            stdin=stdin,
        )
    first, *others = json.loads(done.stdout)
    assert [entry["source"] for entry in others] == ["-", str(path), str(path)]
    assert all(entry["predictions"] == first["predictions"] for entry in others)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--batch", "2"], "--batch"),
        (["--batch", "0"], "--batch"),
        (["--top-k", "0"], "--top-k"),
        (["--threads", "0"], "--threads"),
        (["--device", "tpu"], "--device"),
        (["--format", "xml"], "--format"),
        (["--quantize", "int8"], "--quantize"),
    ],
    ids=" ".join,
)
def test_run_refuses_options_that_cannot_take_effect(edgecnn, one_line, model_file, digits, arguments, word):
    done = edgecnn("run", model_file, digits, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    one_line(done.stderr, word)


def test_run_writes_csv_that_a_spreadsheet_reads(edgecnn, model_file, digits, tmp_path):
    import csv
    import io

    (tmp_path / "a,b.png").write_bytes((digits / "1.png").read_bytes())
    (tmp_path / "bad.png").write_bytes(b"bad")
    done = edgecnn("run", model_file, tmp_path, "--format", "csv", "--top-k", "2")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(Path(row["source"]).name, row["rank"], row["error_kind"]) for row in rows] == [
        ("a,b.png", "1", ""),
        ("a,b.png", "2", ""),
        ("bad.png", "", "image"),
    ]


@pytest.fixture
def long_list(digits, tmp_path):
    """A list of sources that takes minutes to answer."""
    path = tmp_path / "long.txt"
    path.write_text("".join(f"{digits / '5.png'}\n" for _ in range(200_000)))
    return f"@{path}"


@pytest.fixture
def start(model_file, long_list):
    """Starts a run over the long list, its stdout as a pipe; ends it with the test."""
    started = []

    def start(*options):
        command = [str(EDGECNN), "run", str(model_file), long_list, *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("format", ["jsonl", "json"])
def test_run_keeps_finished_results_and_is_quiet_when_it_is_interrupted(start, signum, code, format):
    process = start("--format", format)
    first = [process.stdout.readline() for _ in range(5)]
    process.send_signal(signum)
    text = "".join(first) + process.stdout.read()
    stderr = process.stderr.read()
    entries = json.loads(text) if format == "json" else [json.loads(line) for line in text.splitlines()]
    assert process.wait() == code
    assert len(entries) >= 4
    assert all(entry["predictions"] for entry in entries)
    assert "Traceback" not in stderr


def test_run_ends_quietly_when_nobody_reads_any_more(start):
    process = start("--format", "jsonl")
    assert json.loads(process.stdout.readline())
    process.stdout.close()
    stderr = process.stderr.read()
    assert process.wait() == 0
    assert "Traceback" not in stderr
    assert "BrokenPipe" not in stderr


@pytest.fixture
def surroundings(tmp_path):
    """Fresh folders for HOME, the working directory and temporary files, and their environment."""
    folders = [tmp_path / name for name in ("home", "work", "temporary")]
    for folder in folders:
        folder.mkdir()
    env = {
        "HOME": str(folders[0]),
        "TMPDIR": str(folders[2]),
        **dict.fromkeys(("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"), ""),
    }
    return folders, env


def without_network():
    """The command that takes the network away, where this system lets us."""
    command = ["unshare", "--user", "--map-root-user", "--net"] if os.geteuid() else ["unshare", "--net"]
    if shutil.which("unshare") and subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0:
        return command
    return []


def read_only(*folders):
    """The command that mounts folders read-only for what it runs, as root; permissions do not stop root."""
    mounts = " && ".join(
        f"mount --bind '{folder}' '{folder}' && mount -o remount,ro,bind '{folder}'" for folder in folders
    )
    return ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"]


def test_run_leaves_no_file_but_its_declared_outputs(edgecnn, model_file, digits, surroundings, tmp_path):
    folders, env = surroundings
    before = sorted(path.name for path in model_file.parent.iterdir())
    done = edgecnn(
        *("run", model_file, digits, "--save", tmp_path / "saved", "--format", "json"),
        wrapper=without_network(),
        env={**env, "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"},
        cwd=folders[1],
    )
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) == 10
    assert [path for folder in folders for path in folder.rglob("*")] == []
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == [f"{digit}.png" for digit in range(10)]
    assert sorted(path.name for path in model_file.parent.iterdir()) == before


@pytest.mark.parametrize(
    "changes",
    [{"LC_ALL": "C", "LANG": ""}, {"HOME": ""}, {"TERM": "", "NO_COLOR": "1"}],
)
def test_run_works_in_poor_surroundings(edgecnn, model_file, digits, tmp_path, changes):
    path = tmp_path / "f\u00fcnf.png"
    path.write_bytes((digits / "5.png").read_bytes())
    done = edgecnn(
        "run", model_file, path, "--format", "json", env=changes, text=False, errors=None, start_new_session=True
    )
    assert done.returncode == 0
    assert json.loads(done.stdout.decode("utf-8"))[0]["source"] == str(path)


def test_run_works_where_home_and_working_directory_are_read_only(edgecnn, model_file, digits, surroundings):
    folders, env = surroundings
    wrapper = []
    if os.geteuid() == 0:
        wrapper = read_only(*folders[:2])
        if subprocess.run([*wrapper, "true"], check=False, capture_output=True).returncode:
            pytest.skip("cannot mount here, and permissions do not stop root")
    for folder in folders[:2]:
        folder.chmod(0o500)
    done = edgecnn("run", model_file, digits, "--format", "json", wrapper=wrapper, env=env, cwd=folders[1])
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) == 10


@pytest.mark.parametrize("command", [["run"], ["inspect"], ["bench", "--runs", "2", "--warmup", "0"], ["doctor"]])
def test_stdout_parses_whatever_libraries_print(edgecnn, model_file, digits, tmp_path, command):
    (tmp_path / "sitecustomize.py").write_text(NOISY_SITE)
    name, *options = command
    arguments = {"run": [model_file, digits], "doctor": []}.get(name, [model_file])
    done = edgecnn(name, *arguments, *options, "--format", "json", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert "noise of" in done.stderr
    assert "noise past Python" in done.stderr


def test_run_says_so_when_stdout_cannot_take_the_results(edgecnn, one_line, model_file, digits):
    with open("/dev/full", "w") as full:  # noqa: PTH123  (a device)
        done = edgecnn("run", model_file, digits, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    one_line(done.stderr, "standard output", "No space left")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_bench_leaves_no_process_and_no_file_when_loadgen_is_interrupted(model_file, tmp_path, signum):
    pytest.importorskip("mlperf_loadgen")
    command = [EDGECNN, "bench", model_file, "--scenario", "multi-stream", "--duration", "60", "--device", "cpu"]
    options = {"stderr": subprocess.PIPE, "text": True, "env": {**os.environ, "TMPDIR": str(tmp_path)}}
    with subprocess.Popen(command, **options) as process:
        try:
            while not list(tmp_path.rglob("mlperf_log_*")):
                assert process.poll() is None
                time.sleep(0.02)  # a processor for the command
            (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            process.send_signal(signum)
            stderr = process.stderr.read()
            assert process.wait() == 128 + signum
        finally:
            process.kill()
    assert "Traceback" not in stderr
    assert not Path(f"/proc/{child}").exists()
    assert list(tmp_path.iterdir()) == []
