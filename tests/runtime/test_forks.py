"""Fault 37: what becomes of a Predictor in a forked process; each in a process of its own, whose end is looked at."""

import contextlib
import http.client
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

GRAPH = {"size": (256, 256), "channels": 3}  # large enough for ONNX Runtime to share the work out
START = """
    import gc, multiprocessing, os, signal, sys, warnings
    from concurrent.futures import ThreadPoolExecutor
    import numpy as np
    from edgecnn_runtime import EdgeCNNError, Predictor
    warnings.simplefilter("ignore")
    path, threads = sys.argv[1], int(sys.argv[2])
    image = np.arange(256 * 256 * 3, dtype=np.uint32).astype(np.uint8).reshape(256, 256, 3)

    def code_of(child):
        signal.alarm(600)  # a hang ends the parent by a signal
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        signal.alarm(0)
        return code

    def forked(work):
        child = os.fork()
        if child:
            return code_of(child)
        signal.alarm(500)
        sys.exit(work())
"""


@pytest.fixture
def fork(tmp_path, make_graph, make_manifest, write_model, run_python):
    """Runs code after START with a model file; returns what it printed, once its own exit code is 0."""
    path = write_model(tmp_path / "model.onnx", make_graph(**GRAPH), make_manifest(height=256, width=256, color="rgb"))

    def run(code, threads=2):
        done = run_python(START + code, str(path), str(threads))
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return run


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_forked_child_answers_as_its_parent_does_and_ends(fork, threads):
    code = """
    predictor = Predictor.load(path, device="cpu", threads=threads)
    expected = predictor.predict(image).scores.tobytes()
    print(*[forked(lambda: int(predictor.predict(image).scores.tobytes() != expected)) for _ in range(3)])
    print(int(predictor.predict(image).scores.tobytes() != expected))
    print(forked(lambda: 0))  # it ends without an answer too

    def drop():
        global predictor
        predictor = None
        return gc.collect() * 0

    print(forked(drop))
    """
    assert fork(code, threads) == ["0"] * 6


def test_a_child_of_a_child_answers_too(fork):
    code = """
    predictor = Predictor.load(path, device="cpu", threads=threads)
    expected = predictor.predict(image).scores.tobytes()

    def answer():
        return int(predictor.predict(image).scores.tobytes() != expected)

    print(forked(lambda: answer() + forked(answer)))
    print(forked(lambda: forked(answer)))
    """
    assert fork(code) == ["0", "0"]


def test_the_threads_of_a_child_load_once(fork):
    code = """
    predictor = Predictor.load(path, device="cpu", threads=threads)
    expected = predictor.predict(image).scores.tobytes()

    def answer():
        with ThreadPoolExecutor(8) as pool:
            sessions = set(pool.map(lambda _: predictor.predict(image) and predictor.session, range(32)))
        return len(sessions) - 1

    print(forked(answer))
    """
    assert fork(code) == ["0"]


def test_multiprocessing_by_fork_answers(fork):
    code = """
    predictor = Predictor.load(path, device="cpu", threads=threads)
    expected = predictor.predict(image).scores.tobytes()

    def answer(_):
        return predictor.predict(image).scores.tobytes() == expected

    if __name__ == "__main__":
        signal.alarm(600)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(all(pool.map(answer, range(8))))
            pool.close()
            pool.join()
    """
    assert fork(code) == ["True"]


def test_a_child_with_one_thread_shares_its_parents_weights(fork):
    code = """
    predictor = Predictor.load(path, device="cpu", threads=threads)
    os.remove(path)
    session = predictor.session
    print(forked(lambda: int(predictor.predict(image).label is None or predictor.session is not session)))
    """
    assert fork(code, threads=1) == ["0"]


def test_a_child_refuses_a_file_that_was_replaced(fork):
    code = """
    predictor = Predictor.load(path, device="cpu", threads=threads)
    data = open(path, "rb").read()
    open(path, "wb").write(data.replace(b"test_cnn", b"best_cnn"))

    def refusal():
        try:
            predictor.predict(image)
        except EdgeCNNError as error:
            return error.exit_code if "expected the file that" in str(error) else 99

    print(forked(refusal))
    """
    assert fork(code) == ["6"]


def test_a_child_is_told_the_cure_where_there_is_no_path(fork):
    code = """
    predictor = Predictor.load(open(path, "rb").read(), device="cpu", threads=threads)
    runs = (lambda: predictor.predict(image), lambda: predictor.session.run({"image": image[np.newaxis]}))

    def refusals():
        refused = 0
        for run in runs:
            try:
                run()
            except EdgeCNNError as error:
                refused += "after the fork" in str(error)
        return refused

    print(forked(refusals), forked(lambda: 0))
    """
    assert fork(code) == ["2", "0"]


def test_a_server_that_loads_before_it_forks_stops_at_once(fork):
    code = """
    predictor = Predictor.load(path, device="cpu", threads=threads)
    ready, told = os.pipe()

    def work():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        os.write(told, predictor.predict(image).label[:1].encode())
        signal.pause()

    workers = []
    for _ in range(2):
        workers.append(os.fork())
        if not workers[-1]:
            signal.alarm(500)
            work()
    signal.alarm(600)
    os.read(ready, 1), os.read(ready, 1)
    for worker in workers:
        os.kill(worker, signal.SIGTERM)
    print(*map(code_of, workers))
    """
    assert fork(code) == ["0", "0"]


def test_the_documented_server_answers_and_stops(tmp_path, model_path, photo, encode):
    page = (Path(__file__).parents[2] / "docs" / "servers.md").read_text(encoding="utf-8")
    (tmp_path / "server.py").write_text(page.split("```python\n")[1].split("```")[0], encoding="utf-8")
    command = [sys.executable, "-W", "ignore", tmp_path / "server.py", model_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            port = int(server.stdout.readline())
            pictures = [encode(photo()), b"no picture"] * 8
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda picture: post(port, picture), pictures))
        finally:
            server.terminate()
        assert server.wait() == 0
    assert answers[::2] == [(200, "two")] * 8
    assert {code for code, _ in answers[1::2]} == {422}


def post(port, content):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    with contextlib.closing(connection):
        connection.request("POST", "/", content)
        response = connection.getresponse()
        return response.status, response.read().decode()
