import onnx

from edgecnn import diagnosis
from edgecnn.diagnosis import check_devices, telemetry_is_off
from edgecnn_runtime.errors import ProviderError


def test_check_devices_runs_on_the_cpu():
    cpu = check_devices()[0]
    assert (cpu.device, cpu.provider, cpu.problem) == ("cpu", "CPUExecutionProvider", None)


def test_check_devices_says_why_cuda_cannot_be_used(monkeypatch):
    def session(*_arguments, device, **_options):
        raise ProviderError(f"device {device}: no driver")

    monkeypatch.setattr(diagnosis, "Session", session)
    cuda = check_devices()[1]
    assert (cuda.device, cuda.provider, cuda.problem) == ("cuda", None, "device cuda: no driver")


def test_check_devices_tries_a_valid_model():
    model = onnx.load_from_string(diagnosis._CONVOLUTION)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Conv"]  # without one a broken cuDNN goes unnoticed


def test_telemetry_is_off_says_what_the_import_left(monkeypatch):
    assert telemetry_is_off()
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    assert not telemetry_is_off()
