"""MLPerf's SingleStream, MultiStream and Offline scenarios, asked by MLCommons' LoadGen (an optional extra).

Reference:
    Reddi et al. 2020, MLPerf Inference Benchmark; https://github.com/mlcommons/inference/tree/master/loadgen
"""

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edgecnn.benchmarking.child import run_child, temporary_folder
from edgecnn.benchmarking.conditions import Conditions, Snapshot
from edgecnn.benchmarking.latency import Latency
from edgecnn.errors import MeasurementError, MissingDependencyError, UsageError
from edgecnn.machine import Machine, describe_machine
from edgecnn_runtime import Predictor
from edgecnn_runtime.container import is_plain_file
from edgecnn_runtime.evidence import MetricParity
from edgecnn_runtime.providers import Device

Scenario = Literal["single-stream", "multi-stream", "offline"]
SCHEMA_VERSION = 1
METHOD = (
    "MLPerf's LoadGen asks one file after another, each in a process of its own. Timed are the graph and the decoding "
    "of its outputs; the samples are ready pixels of 8 synthetic pictures. single-stream: one sample a query, the next "
    "when it is answered; multi-stream: 8 samples a query; offline: all samples in one query. valid is LoadGen's "
    "verdict on these settings, which are shorter than those of a submission to MLPerf (600 s)."
)
# LoadGen's early stopping needs 64 queries for the 90th percentile and 662 for the 99th.
DEFAULT_QUERIES: Mapping[Scenario, int] = {"single-stream": 100, "multi-stream": 662, "offline": 1000}
_LOG_LINE = ":::MLLOG "


@dataclass(frozen=True, slots=True)
class ScenarioConfig:
    """What LoadGen is asked to do.

    Attributes:
        scenario: how queries come.
        device: where to run.
        threads: of the CPU; None is one for each CPU that the process may use.
        warmup: queries before the measured ones (offline: batches).
        queries: measured queries of each file (offline: samples); None goes by `duration_s`, or by the scenario's
            default where that is None too.
        duration_s: least seconds a file.
    """

    scenario: Scenario
    device: Device = "auto"
    threads: int | None = None
    warmup: int = 10
    queries: int | None = None
    duration_s: float | None = None

    def __post_init__(self) -> None:
        if self.queries is not None and self.duration_s is not None:
            raise ValueError(f"expected queries or duration_s, received {self.queries} and {self.duration_s}")

    @property
    def spinning(self) -> bool:
        """Whether waiting threads burn CPU time: as in BenchConfig."""
        return self.threads is not None


@dataclass(frozen=True, slots=True)
class ScenarioBench:
    """What LoadGen found of one file.

    Attributes:
        file: its path.
        provider: the execution provider that ran it.
        threads: that one operator may use on the CPU.
        metric: the file's quality, out of its evidence; None where it was never measured.
        together: samples that can run together in the graph.
        queries: that were answered.
        samples_per_query: of each.
        latency_ms: of the queries; None for offline, which has one.
        samples_per_second: of single-stream and offline; None for multi-stream, where LoadGen gives none.
        valid: LoadGen's verdict.
        reasons: why it is not valid.
    """

    file: str
    provider: str
    threads: int
    metric: MetricParity | None
    together: int
    queries: int
    samples_per_query: int
    latency_ms: Latency | None
    samples_per_second: float | None
    valid: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScenarioReport:
    """A whole measurement.

    Attributes:
        method: what was measured and how.
        config: with which options.
        spinning: whether waiting threads burned CPU time.
        machine: where.
        conditions: what else went on there.
        files: one entry a file, in the order asked for.
    """

    method: str
    config: ScenarioConfig
    spinning: bool
    machine: Machine
    conditions: Conditions
    files: tuple[ScenarioBench, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns what JSON holds."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}


def bench_scenario(
    files: Sequence[str], config: ScenarioConfig, *, on_stage: Callable[[str], None] | None = None
) -> ScenarioReport:
    """Lets LoadGen ask model files, one after another.

    Args:
        files: paths of model files.
        config: scenario, device, threads, and how often.
        on_stage: called with a line as each stage begins.

    Raises:
        MissingDependencyError: LoadGen is not installed.
        UsageError: a file is plain ONNX.
        ModelFileError: a file is refused.
        ProviderError: the device cannot be used here.
        MeasurementError: the process that ran a file failed.
    """
    if importlib.util.find_spec("mlperf_loadgen") is None:
        raise MissingDependencyError.of("mlperf_loadgen")
    if config.queries is None and config.duration_s is None:
        config = replace(config, queries=DEFAULT_QUERIES[config.scenario])
    ready = [_load(file, config) for file in files]
    before, found = Snapshot.take(), []
    for file in ready:
        if on_stage is not None:
            on_stage(f"{config.scenario}: {file.file}")
        found.append(_bench_file(file, config))
    conditions = before.until(Snapshot.take())
    return ScenarioReport(METHOD, config, config.spinning, describe_machine(), conditions, tuple(found))


@dataclass(frozen=True, slots=True)
class _Loadable:
    """A file that loads here, and what it was then."""

    file: str
    provider: str
    threads: int
    metric: MetricParity | None


def _load(file: str, config: ScenarioConfig) -> _Loadable:
    """Loads a file in this process for a good error, and lets it go: another one will run it."""
    if is_plain_file(file):
        raise UsageError(
            f"--scenario: it cannot take effect on {file}: LoadGen times the graph with reading its outputs, and "
            "nobody can read those of plain ONNX. Leave --scenario out."
        )
    predictor = Predictor.load(file, device=config.device, threads=config.threads)
    evidence = predictor.evidence
    metric = None if evidence is None else evidence.parity.metric
    return _Loadable(file, predictor.provider, predictor.session.threads, metric)


def _bench_file(ready: _Loadable, config: ScenarioConfig) -> ScenarioBench:
    with temporary_folder() as folder:
        options = json.dumps({**asdict(config), "file": ready.file, "spinning": config.spinning, "logs": str(folder)})
        child = run_child("traffic.py", options, what=f"{ready.file}: {config.scenario}")
        log = read_log(folder / "mlperf_log_detail.txt")
    try:
        return ScenarioBench(
            file=ready.file,
            provider=ready.provider,
            threads=ready.threads,
            metric=ready.metric,
            together=child.found["together"],
            queries=log["result_query_count"],
            samples_per_query=log["effective_samples_per_query"],
            latency_ms=_latency(log, config.scenario),
            samples_per_second=_samples_per_second(log, config.scenario),
            valid=log["result_validity"] == "VALID",
            reasons=tuple(_reasons(log)),
        )
    except KeyError as error:
        raise MeasurementError(f"{ready.file}: expected {error} in LoadGen's log, received none") from error


def read_log(path: Path) -> dict[str, Any]:
    """Returns the last value of each key in LoadGen's detail log."""
    lines = path.read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line.removeprefix(_LOG_LINE)) for line in lines if line.startswith(_LOG_LINE)]
    return {entry["key"]: entry["value"] for entry in entries}


def _latency(log: Mapping[str, Any], scenario: Scenario) -> Latency | None:
    if scenario == "offline":
        return None
    kind = "percentile_per_query_latency_ns" if scenario == "multi-stream" else "percentile_latency_ns"
    p50, p90, p99 = (log[f"result_{share}.00_{kind}"] / 1e6 for share in (50, 90, 99))
    return Latency(n=log["result_query_count"], p50=p50, p90=p90, p99=p99)


def _samples_per_second(log: Mapping[str, Any], scenario: Scenario) -> float | None:
    keys = {"single-stream": "result_qps_with_loadgen_overhead", "offline": "result_samples_per_second"}
    return log[keys[scenario]] if scenario in keys else None


def _reasons(log: Mapping[str, Any]) -> list[str]:
    """Returns LoadGen's own words on what made a result invalid."""
    if log["result_validity"] == "VALID":
        return []
    texts = (str(log.get(key, "")) for key in ("result_invalid_reason", "early_stopping_result"))
    return [" ".join(text.replace("*", " ").split()) for text in texts if text.strip()]
