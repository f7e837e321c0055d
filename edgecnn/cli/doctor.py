"""`edgecnn doctor`: what ONNX Runtime can do here, and why CUDA is not used."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from edgecnn.cli.options import Format
from edgecnn.cli.streams import stdout_for_results
from edgecnn.cli.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgecnn.diagnosis import DeviceCheck
    from edgecnn.machine import Machine


def doctor(format: Format = "text") -> None:
    """Show versions, CPU, threads, and whether each device really runs a model."""
    with stdout_for_results() as results:
        from edgecnn.diagnosis import check_devices, telemetry_is_off  # these load ONNX Runtime
        from edgecnn.machine import describe_machine

        machine, devices, telemetry = describe_machine(), check_devices(), "off" if telemetry_is_off() else "on"
        if format == "json":
            results.json({**asdict(machine), "devices": [asdict(check) for check in devices], "telemetry": telemetry})
        else:
            results.report([_diagnosis_table(machine, devices, telemetry)])


def _diagnosis_table(machine: Machine, devices: Sequence[DeviceCheck], telemetry: str) -> Table:
    facts = [
        ["system", machine.system],
        ["cpu", f"{machine.cpu}, {machine.cpu_family}, {machine.usable_cpus} of {machine.cpus} threads usable"],
        ["python", machine.python],
        *([package, installed or "not installed"] for package, installed in machine.versions.items()),
        ["telemetry", telemetry],
    ]
    for check in devices:
        facts.append(
            [f"device {check.device}", f"no: {check.problem}" if check.problem else f"works: {check.provider}"]
        )
    if machine.versions["onnxruntime"] and machine.versions["onnxruntime-gpu"]:
        facts.append(
            ["problem", "onnxruntime and onnxruntime-gpu are both installed and clash: uninstall one of them."]
        )
    return Table(["what", "here"], facts)
