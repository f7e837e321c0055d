"""How fast model files are here: process start, steady state, MLPerf's scenarios, against an earlier report."""

from edgecnn.benchmarking.comparison import check_comparable, check_regression, compare, read_report
from edgecnn.benchmarking.conditions import Conditions
from edgecnn.benchmarking.config import BenchConfig, PlainHints
from edgecnn.benchmarking.latency import Latency
from edgecnn.benchmarking.measuring import bench, bench_against
from edgecnn.benchmarking.picture import IMAGE_SIZE
from edgecnn.benchmarking.report import BenchReport, Change, Comparison, FileBench, Proof
from edgecnn.benchmarking.scenarios import ScenarioBench, ScenarioConfig, ScenarioReport, bench_scenario
from edgecnn.benchmarking.startup import Startup

__all__ = [
    "IMAGE_SIZE",
    "BenchConfig",
    "BenchReport",
    "Change",
    "Comparison",
    "Conditions",
    "FileBench",
    "Latency",
    "PlainHints",
    "Proof",
    "ScenarioBench",
    "ScenarioConfig",
    "ScenarioReport",
    "Startup",
    "bench",
    "bench_against",
    "bench_scenario",
    "check_comparable",
    "check_regression",
    "compare",
    "read_report",
]
