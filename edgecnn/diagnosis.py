"""Which execution providers really work here, found out by running a one-operator graph on each."""

import os
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgecnn_runtime import Session
from edgecnn_runtime.errors import SessionError

# An ONNX model (IR 8, opset 17): y = Relu(x), both float32 of shape (1,).
_RELU = (
    b'\x08\x08:3\n\x0c\n\x01x\x12\x01y"\x04Relu\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x11"
)


@dataclass(frozen=True, slots=True)
class DeviceCheck:
    """Whether a device can run a model here.

    Attributes:
        device: what `--device` takes.
        provider: the execution provider that ran the trial, or None.
        problem: why the device cannot be used and what to do, or None where it works.
    """

    device: Literal["cpu", "cuda"]
    provider: str | None
    problem: str | None


def check_devices() -> tuple[DeviceCheck, ...]:
    """Runs a small graph on each device."""
    return _check_device("cpu"), _check_device("cuda")


def telemetry_is_off() -> bool:
    """Returns whether ONNX Runtime was told, before its import, to send and store nothing."""
    return os.environ.get("ORT_DISABLE_TELEMETRY") == "1"


def _check_device(device: Literal["cpu", "cuda"]) -> DeviceCheck:
    try:
        session = Session(_RELU, device=device, threads=1)
        answer = session.run({"x": np.array([2.0], np.float32)})["y"]
    except SessionError as error:
        return DeviceCheck(device, None, str(error))
    if answer.tolist() != [2.0]:
        return DeviceCheck(device, session.provider, f"expected relu(2) = 2, received {answer.tolist()}")
    return DeviceCheck(device, session.provider, None)
