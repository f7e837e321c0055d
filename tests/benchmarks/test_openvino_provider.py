"""What the OpenVINO provider's benchmark makes of what was played, and what it says where it cannot play."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

CPU, OPENVINO = "CPUExecutionProvider", "OpenVINOExecutionProvider"
CASE = SimpleNamespace(name="a", trained=True, truths=np.array([0, 1]))


def played(file: str, provider: str, milliseconds: float, logits: list[list[float]]) -> dict:
    times = [milliseconds] * 4
    return {
        "threads": 1,
        "file": file,
        "provider": provider,
        "milliseconds": times,
        "logits": logits,
        "nodes": {provider: 3},
    }


@pytest.fixture
def provider(script):
    return script("openvino_provider")


@pytest.fixture
def rows(provider) -> list[dict]:
    return provider.rows_of(
        CASE,
        [
            played("fp32", CPU, 4.0, [[2.0, 0.0], [0.0, 4.0]]),
            played("fp32", OPENVINO, 2.0, [[2.0, 0.0], [0.0, 3.0]]),
            played("int8", CPU, 2.0, [[1.0, 0.0], [0.0, 1.0]]),
            played("int8", OPENVINO, 1.0, [[1.0, 0.0], [1.0, 0.5]]),
        ],
    )


def test_rows_of_compares_speed_with_the_cpu_provider_on_float32(rows) -> None:
    assert [row["ratio"]["median"] for row in rows] == [1, 2, 2, 4]


def test_rows_of_compares_answers_with_the_cpu_provider_on_the_same_file(rows) -> None:
    assert [row["max_relative"] for row in rows] == [0, 0.25, 0, 1]
    assert [row["agreement"] for row in rows] == [1, 1, 1, 0.5]
    assert [row["accuracy"] for row in rows] == [1, 1, 1, 0.5]


def test_problems_names_other_answers_and_a_provider_that_was_not_used(provider, rows) -> None:
    assert [line.partition(":")[0] for line in provider.problems(rows)] == [f"a, int8, {OPENVINO}, 1 threads"]
    rows[1]["nodes"] = {CPU: 3}
    assert f"a, fp32, {OPENVINO}, 1 threads: expected nodes on it, received {{'{CPU}': 3}}" in provider.problems(rows)


def test_main_says_in_one_line_that_the_wheel_cannot_be_installed(provider, monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(provider, "WHEEL", "onnxruntime-openvino === no such version")  # uv refuses it unread
    monkeypatch.setattr(sys, "argv", ["openvino_provider.py", "--data", str(tmp_path)])
    assert provider.main() == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("skipped: onnxruntime-openvino === no such version cannot be installed here")


def test_problems_names_openvino_where_this_onnxruntime_lacks_it(script, provider, tmp_path) -> None:
    turns = script("openvino_turns")
    nodes = [make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT), make_node("Flatten", ["float"], ["logits"])]
    image, logits = (
        make_tensor_value_info("image", TensorProto.UINT8, (1, 1, 2, 1)),
        ("logits", TensorProto.FLOAT, (1, 2)),
    )
    graph = make_graph(nodes, "tiny", [image], [make_tensor_value_info(*logits)])
    payload = make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8).SerializeToString()
    for file in turns.FILES:
        (tmp_path / f"{file}.onnx").write_bytes(payload)
    with pytest.warns(UserWarning, match=OPENVINO):
        rows = provider.rows_of(CASE, turns.play(tmp_path, np.eye(2, dtype=np.uint8).reshape(2, 1, 2, 1), 1, 3))
    assert [row["accuracy"] for row in rows] == [1, 1, 1, 1]
    assert [row["nodes"] for row in rows] == [{CPU: 2}] * 4
    assert len(provider.problems(rows)) == 2


def test_turns_load_nothing_of_edgecnn(script) -> None:
    folder = str(Path(script("openvino_turns").__file__).parent)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import openvino_turns; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert not {"edgecnn", "edgecnn_runtime", "PIL", "keras"} & set(done.stdout.split())
