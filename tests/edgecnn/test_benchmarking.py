import io

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgecnn.benchmarking import IMAGE_SIZE, BenchConfig, _latency, _picture, bench
from edgecnn_runtime.container import append_metadata
from edgecnn_runtime.errors import ModelFileError
from edgecnn_runtime.manifest import METADATA_KEY, ImageInput, Manifest, ModelInfo, OutputSpec, SoftmaxDecoder


@pytest.fixture
def model_file(tmp_path):
    """A linear classifier of 4x4 gray pixels, without evidence."""
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["features"]),
        helper.make_node("MatMul", ["features", "weights"], ["logits"]),
    ]
    weights = numpy_helper.from_array(np.ones((16, 2), np.float32), "weights")
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 4, 4, 1])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])]
    graph = helper.make_graph(nodes, "test", inputs, outputs, [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    manifest = Manifest(
        task="classification",
        model=ModelInfo("test", 1.0),
        inputs=(ImageInput("image", 4, 4, "gray"),),
        labels=None,
        decoder=SoftmaxDecoder(),
        outputs=(OutputSpec("logits", (2,)),),
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(append_metadata(model.SerializeToString(), {METADATA_KEY: manifest.to_json()}))
    return str(path)


def test_bench_measures_each_file_as_often_as_asked(model_file):
    report = bench([model_file, model_file], BenchConfig(runs=7, warmup=1, threads=1))
    assert [file.inference_ms.n for file in report.files] == [7, 7]
    assert {file.provider for file in report.files} == {"CPUExecutionProvider"}
    assert [file.threads for file in report.files] == [1, 1]


def test_bench_measures_for_as_long_as_asked(model_file):
    report = bench([model_file], BenchConfig(runs=None, duration_s=0.05, warmup=0))
    assert report.files[0].total_ms.n >= 1


def test_bench_spins_only_on_threads_that_were_given(model_file):
    assert bench([model_file], BenchConfig(runs=1, threads=1)).spinning
    assert not bench([model_file], BenchConfig(runs=1)).spinning


def test_bench_parts_add_up_to_less_than_the_whole(model_file):
    file = bench([model_file], BenchConfig(runs=20)).files[0]
    assert file.preprocess_ms.p50 + file.inference_ms.p50 + file.postprocess_ms.p50 <= file.total_ms.p99


def test_bench_reports_no_quality_for_a_file_without_evidence(model_file):
    assert bench([model_file], BenchConfig(runs=1)).files[0].metric is None


def test_bench_tells_its_stages(model_file):
    stages = []
    bench([model_file], BenchConfig(runs=1), on_stage=stages.append)
    assert len(stages) == 2


def test_bench_refuses_a_missing_file(tmp_path):
    with pytest.raises(ModelFileError, match="nothing"):
        bench([str(tmp_path / "nothing.onnx")], BenchConfig())


@pytest.mark.parametrize("options", [{"runs": None, "duration_s": None}, {"runs": 5, "duration_s": 1.0}])
def test_config_wants_either_runs_or_a_duration(options):
    with pytest.raises(ValueError, match="runs or duration_s"):
        BenchConfig(**options)


def test_picture_is_the_same_jpeg_every_time():
    with Image.open(io.BytesIO(_picture())) as picture:
        assert (picture.height, picture.width, picture.format) == (*IMAGE_SIZE, "JPEG")
    assert _picture() == _picture()


def test_latency_gives_percentiles():
    latency = _latency(list(range(101)))
    assert (latency.n, latency.p50, latency.p90, latency.p99) == (101, 50, 90, 99)
