"""Faults 20, 36 and 39 in what `edgecnn run` is given: links, floods, lists, closed streams, a folder that is gone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOISY_SITE = """
import os, sys
class Noise:
    def find_spec(self, name, path=None, target=None):
        if name in ("onnxruntime", "numpy"):
            os.write(1, b"noise past Python\\n")
            os.write(2, b"noise on stderr\\n")
sys.meta_path.insert(0, Noise())
"""
# Started from a small process: a child's peak is never below that of the process that started it.
PEAK_MEMORY = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print("peak kilobytes:", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
PYTHON = Path(sys.executable)


def closing(*descriptors):
    """The command that runs another one with some of its standard streams closed."""
    return ["sh", "-c", f'exec "$@" {" ".join(f"{descriptor}>&-" for descriptor in descriptors)}', "sh"]


def in_lost_folder(folder):
    """The command that runs another one in a folder that is removed."""
    return ["sh", "-c", 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"', str(folder)]


@pytest.fixture
def answers(edgecnn, model_file):
    """Runs on sources and returns the exit code and the answers."""

    def run(*sources, **options):
        done = edgecnn("run", model_file, *sources, "--format", "json", "--device", "cpu", **options)
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


@pytest.fixture
def folder(tmp_path, digits):
    """A folder with one picture, a.png."""
    path = tmp_path / "pictures"
    path.mkdir()
    (path / "a.png").write_bytes((digits / "3.png").read_bytes())
    return path


def test_run_says_that_stdin_is_closed_and_answers_the_others(answers, folder):
    code, (first, second) = answers("-", folder / "a.png", wrapper=closing(0))
    assert code == 1
    assert first["source"] == "-"
    assert "it is closed" in first["error"]["message"]
    assert second["predictions"]


COMMANDS = [["inspect"], ["models"], ["run"], ["verify"], ["doctor"]]


@pytest.mark.parametrize("command", COMMANDS, ids="".join)
@pytest.mark.parametrize("closed", [(2,), (0, 2)], ids=str)
def test_stdout_holds_results_alone_where_stderr_is_closed(edgecnn, model_file, folder, command, closed):
    (folder / "sitecustomize.py").write_text(NOISY_SITE)
    arguments = {"run": [model_file, folder / "a.png"], "inspect": [model_file], "verify": [model_file]}
    done = edgecnn(
        *(*command, *arguments.get(command[0], []), "--format", "json"),
        wrapper=closing(*closed),
        env={"PYTHONPATH": str(folder)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)


@pytest.mark.parametrize("closed", [(1,), (0, 1), (0, 1, 2)], ids=str)
def test_run_ends_with_one_line_where_stdout_is_closed(edgecnn, one_line, model_file, folder, closed):
    done = edgecnn("run", model_file, folder / "a.png", wrapper=closing(*closed))
    assert (done.returncode, done.stdout) == (1, "")
    if 2 in closed:
        assert done.stderr == ""
    else:
        one_line(done.stderr, "standard output", "it is closed")


@pytest.mark.parametrize(
    "command", [["run", "MODEL", "PICTURE"], ["run", "MODEL", "PICTURE", "--save", "OUT"], ["inspect", "MODEL"]]
)
@pytest.mark.parametrize("program", [["edgecnn"], [sys.executable, "-m", "edgecnn"]], ids=["script", "module"])
def test_commands_work_with_whole_paths_where_the_working_directory_is_gone(model_file, folder, command, program):
    places = {"MODEL": str(model_file), "PICTURE": str(folder / "a.png"), "OUT": str(folder / "out")}
    path = f"{PYTHON.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*in_lost_folder(folder / "gone"), *program, *(places.get(word, word) for word in command)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["run", "MODEL", "a.png", "--save", "out"], 1),
        (["run", "a.onnx", "PICTURE"], 6),
        (["inspect", "a.onnx"], 6),
        (["bench", "MODEL", "--runs", "1", "--report", "r.json"], 1),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_relative_paths_fail_in_one_line_where_the_working_directory_is_gone(
    edgecnn, one_line, model_file, folder, command, code
):
    places = {"MODEL": str(model_file), "PICTURE": str(folder / "a.png")}
    done = edgecnn(*(places.get(word, word) for word in command), wrapper=in_lost_folder(folder / "gone"))
    assert done.returncode == code
    assert done.stdout == ""
    one_line(done.stderr, "working directory was removed")


def test_a_predictor_is_loaded_and_pickled_where_the_working_directory_is_gone(model_file, folder):
    script = """
import pickle, sys
from edgecnn_runtime import Predictor
predictor = Predictor.load(sys.argv[1], device="cpu")
print(pickle.loads(pickle.dumps(predictor)).predict(sys.argv[2]).label == predictor.predict(sys.argv[2]).label)
"""
    command = [sys.executable, "-c", script, str(model_file), str(folder / "a.png")]
    done = subprocess.run([*in_lost_folder(folder / "gone"), *command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_run_reads_a_flood_on_stdin_no_further_than_its_beginning(edgecnn, model_file):
    with open("/dev/zero", "rb") as zeros:  # noqa: PTH123  (a device)
        done = edgecnn(
            *("run", model_file, "-", "--format", "json"),
            stdin=zeros,
            wrapper=[sys.executable, "-c", PEAK_MEMORY],
            timeout=60,
        )
    answers, peak = done.stdout.split("peak kilobytes: ")
    assert done.returncode == 1
    assert "received a file that starts with" in json.loads(answers)[0]["error"]["message"]
    assert int(peak) < 300_000


def test_run_refuses_floods_by_path_and_answers_the_others(answers, folder):
    os.mkfifo(folder / "fifo.png")
    with (folder / "large.txt").open("wb") as file:
        file.truncate(2 << 30)  # of zeros, and takes no room
    floods = ["/dev/zero", "@/dev/zero", folder / "fifo.png", f"@{folder}/fifo.png", f"@{folder}/large.txt"]
    code, entries = answers(*floods, folder / "a.png", timeout=60)
    assert code == 1
    assert ["error" in entry for entry in entries] == [True] * 5 + [False]
    assert "not a regular file" in entries[0]["error"]["message"]
    assert "received a longer line" in entries[4]["error"]["message"] or "a NUL" in entries[4]["error"]["message"]


def test_run_refuses_a_flood_as_its_model(edgecnn, one_line, folder):
    done = edgecnn("run", "/dev/zero", folder / "a.png")
    assert done.returncode == 6
    one_line(done.stderr, "not a regular file")


def test_run_answers_a_list_from_stdin(answers, folder):
    code, entries = answers("@-", input=f"{folder}/a.png\n{folder}/missing.png\n")
    assert code == 1
    assert [entry["source"] for entry in entries] == [f"{folder}/a.png", f"{folder}/missing.png"]
    saved = folder.with_name("saved")
    code, entries = answers("@-", "--save", saved, input=f"{folder}/a.png\n")
    assert (code, len(entries)) == (0, 1)
    assert [path.name for path in saved.iterdir()] == ["a.png"]


def test_run_keeps_pictures_of_a_list_on_stdin_from_being_overwritten(edgecnn, one_line, model_file, folder):
    before = (folder / "a.png").read_bytes()
    done = edgecnn("run", model_file, "@-", "--save", folder, input=f"{folder}/a.png\n")
    assert done.returncode == 2
    one_line(done.stderr, "Name another folder")
    assert (folder / "a.png").read_bytes() == before


def test_run_refuses_to_read_stdin_twice(edgecnn, one_line, model_file):
    done = edgecnn("run", model_file, "-", "@-")
    assert done.returncode == 2
    one_line(done.stderr, "name it once")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_run_answers_every_picture_of_a_list_of_any_encoding(answers, folder, encoding):
    (folder / "ひまわり.png").write_bytes((folder / "a.png").read_bytes())
    (folder / "list.txt").write_text("a.png\r\nひまわり.png\r\n", encoding=encoding, newline="")
    code, entries = answers("@list.txt", cwd=folder)
    assert code == 0
    assert [entry["source"] for entry in entries] == ["a.png", "ひまわり.png"]


def test_run_takes_what_a_shell_finds_for_pictures(answers, folder):
    (folder / "@at.png").write_bytes((folder / "a.png").read_bytes())
    (folder / "at.png").write_bytes((folder / "a.png").read_bytes())
    code, entries = answers(*sorted(path.name for path in folder.glob("*.png")), cwd=folder)
    assert code == 0
    assert [entry["source"] for entry in entries] == ["@at.png", "a.png", "at.png"]


def test_run_reads_links_to_themselves_and_says_what_it_does_not_take(answers, folder):
    for name in "bcdefghi":
        (folder / name).symlink_to(".")
    (folder / "film.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    sources = [f"{folder}/**/*.png", "https://host/a.png?size=3", "rtsp://host/1", "0", folder / "film.mp4"]
    code, (first, *others) = answers(*sources, cwd=folder, timeout=60)
    assert code == 1
    assert first["source"] == f"{folder}/a.png"
    received = ["a URL", "a video stream", "a camera", "a video,"]
    assert all(f"received {words}" in entry["error"]["message"] for words, entry in zip(received, others, strict=True))


@pytest.mark.parametrize("source", ["x" * 5000, "https://host/" + "x" * 5000, "data:image/png;base64," + "A" * 5000])
def test_run_saves_beside_a_source_whose_name_is_too_long(answers, folder, source):
    code, (first, second) = answers(source, folder / "a.png", "--save", folder / "out")
    assert code == 1
    assert len(first["error"]["message"]) <= 6000
    assert second["predictions"]
