"""Which execution providers really work here, found out by running one convolution on each."""

import os
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgecnn_runtime import Session
from edgecnn_runtime.errors import SessionError

# An ONNX model (IR 8, opset 17): y = Conv(x, w), float32, x and w of shape (1, 1, 2, 2): a convolution needs cuDNN.
_CONVOLUTION = (
    b'\x08\x08:k\n\x0f\n\x01x\n\x01w\x12\x01y"\x04Conv\x12\x01gZ\x1b\n\x01x\x12\x16\n\x14\x08\x01\x12\x10'
    b"\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x02\n\x02\x08\x02Z\x1b\n\x01w\x12\x16\n\x14\x08\x01\x12\x10"
    b"\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x02\n\x02\x08\x02b\x1b\n\x01y\x12\x16\n\x14\x08\x01\x12\x10"
    b"\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x01B\x04\n\x00\x10\x11"
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
    """Runs one convolution on each device."""
    return _check_device("cpu"), _check_device("cuda")


def telemetry_is_off() -> bool:
    """Returns whether ONNX Runtime was told, before its import, to send and store nothing."""
    return os.environ.get("ORT_DISABLE_TELEMETRY") == "1"


def _check_device(device: Literal["cpu", "cuda"]) -> DeviceCheck:
    try:
        session = Session(_CONVOLUTION, device=device, threads=1)
        ones = np.ones((1, 1, 2, 2), np.float32)
        answer = session.run({"x": ones, "w": ones})["y"].ravel()
    except SessionError as error:
        return DeviceCheck(device, None, str(error))
    if answer.tolist() != [4.0]:
        return DeviceCheck(device, session.provider, f"expected a sum of four ones, 4, received {answer.tolist()}")
    return DeviceCheck(device, session.provider, None)
