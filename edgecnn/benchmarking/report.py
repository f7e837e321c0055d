"""What a measurement of model files found: where, how, one entry a file; and its JSON."""

from dataclasses import asdict, dataclass
from typing import Any

from edgecnn.benchmarking.conditions import Conditions
from edgecnn.benchmarking.config import BenchConfig
from edgecnn.benchmarking.latency import Latency
from edgecnn.benchmarking.startup import Startup
from edgecnn.machine import Machine
from edgecnn_runtime import strict_json
from edgecnn_runtime.evidence import MetricParity
from edgecnn_runtime.manifest import ModelInfo
from edgecnn_runtime.plain import PlainInput

SCHEMA_VERSION = 3  # another one also where the method changes: then the numbers mean something else


@dataclass(frozen=True, slots=True)
class Proof:
    """What a file's evidence is of.

    Attributes:
        precision: of the graph.
        payload_sha256: hex digest of the graph.
    """

    precision: str
    payload_sha256: str


@dataclass(frozen=True, slots=True)
class FileBench:
    """What was measured of one file; times in milliseconds.

    Attributes:
        file: its path.
        provider: the execution provider that ran it.
        threads: that one operator may use on the CPU.
        metric: the file's quality, out of its evidence; None where it was never measured.
        startup: from process start to the first answer; None where no start was measured.
        preprocess_ms: decoding and resizing the picture; None of a plain file, which is given a ready array.
        inference_ms: the graph.
        postprocess_ms: from raw outputs to the result; None of a plain file, whose outputs nobody can read.
        total_ms: one whole answer; None of a plain file.
        further_ms: graph and result of a further question about the same picture; None of a file that takes none.
        manifest: which model it says it is; None of a plain file.
        evidence: what its evidence is of; None of a plain file.
        plain: what a plain file is given, as it was guessed; None of one of edgecnn's.
    """

    file: str
    provider: str
    threads: int
    metric: MetricParity | None
    startup: Startup | None
    preprocess_ms: Latency | None
    inference_ms: Latency
    postprocess_ms: Latency | None
    total_ms: Latency | None
    further_ms: Latency | None
    manifest: ModelInfo | None
    evidence: Proof | None
    plain: PlainInput | None


@dataclass(frozen=True, slots=True)
class Change:
    """A file's median inference time, then and now.

    Attributes:
        file: its name.
        before_ms: in the earlier report.
        now_ms: in this one.
        ratio: now / before: above 1 is slower.
        regressed: whether it is slower than allowed; None where no limit was given.
    """

    file: str
    before_ms: float
    now_ms: float
    ratio: float
    regressed: bool | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """This measurement against an earlier one.

    Attributes:
        report: path of the earlier report.
        max_regression: how much slower a file may be, as a share of the earlier time; None where no limit was given.
        changes: one a file.
        other_versions: packages and system parts whose version is not the same, "name then -> now".
        earlier_signs: that the machine was not quiet in the earlier measurement.
    """

    report: str
    max_regression: float | None
    changes: tuple[Change, ...]
    other_versions: tuple[str, ...]
    earlier_signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BenchReport:
    """A whole measurement.

    Attributes:
        method: what was measured and how.
        config: with which options.
        spinning: whether waiting threads burned CPU time.
        machine: where.
        conditions: what else went on there.
        files: one entry a file, in the order asked for.
        comparison: with an earlier report; None where none was given.
    """

    method: str
    config: BenchConfig
    spinning: bool
    machine: Machine
    conditions: Conditions
    files: tuple[FileBench, ...]
    comparison: Comparison | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns what JSON holds."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, text: str) -> "BenchReport":
        """Reads the JSON of what `to_dict` returns.

        Raises:
            ManifestError: damaged, or of another schema version.
        """
        return strict_json.load(cls, text, schema_version=SCHEMA_VERSION, what="report", cure="Measure again.")
