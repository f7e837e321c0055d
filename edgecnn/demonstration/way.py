"""The whole way in one call: train on embedded data, export in float32 and in int8, evaluate, run, measure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from edgecnn.atomic import make_folder
from edgecnn.benchmarking import BenchConfig, FileBench, bench
from edgecnn.data import load_dataset
from edgecnn.demonstration.plans import DemoFolder, DemoPlan
from edgecnn.evaluation import Evaluation, evaluate
from edgecnn.evaluation.scoring import narrow
from edgecnn.exporting.config import ExportConfig
from edgecnn.exporting.export import export_source
from edgecnn.models.adapter import KerasModel
from edgecnn.tasks.table import load
from edgecnn.trained import open_trained
from edgecnn.training import Progress, train
from edgecnn_exporters import ExportReport
from edgecnn_runtime import Predictor


@dataclass(frozen=True, slots=True)
class FileDemo:
    """What was proven and measured of one file.

    Attributes:
        export: what the export proved.
        evaluation: its score on the test images.
        bench: how fast it is here.
    """

    export: ExportReport
    evaluation: Evaluation
    bench: FileBench


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demonstration made and measured.

    Attributes:
        keras: the Keras model's score on the test images.
        float32: the file of the model's own precision.
        int8: the quantized file.
        picture: some of those images with the int8 file's answers.
        shown: what is to be seen there, for people.
        seconds: the whole way took.
    """

    keras: Evaluation
    float32: FileDemo
    int8: FileDemo
    picture: Path
    shown: str
    seconds: float


def run_demo(plan: DemoPlan, folder: Path, *, progress: Progress, on_stage: Callable[[str], None]) -> Demo:
    """Goes the whole way, without a network.

    Args:
        plan: what is trained, and shown.
        folder: gets the run folder `run/`, NAME.onnx, NAME.int8.onnx, their reports and `annotated.png`; earlier ones
            are replaced.
        progress: is told how the training goes.
        on_stage: is told what else begins.

    Raises:
        UsageError: what has one of these names there is not an earlier demonstration's, or the folder is a run folder.
        WriteError: the folder cannot be written.
    """
    start = perf_counter()
    place = DemoFolder(folder, plan)
    place.check()
    run_dir, paths = place.run_dir, place.model_paths
    make_folder(folder)
    train(plan.training, run_dir, overwrite=True, progress=progress)
    on_stage("exporting in float32, then in int8")
    whole = ExportConfig(str(run_dir), data=plan.training.data)
    small = replace(whole, quantize="int8", min_speedup=0.0)  # a busy machine must not fail a demonstration
    reports = [export_source(config, path) for config, path in zip((whole, small), paths, strict=True)]
    on_stage("evaluating all three")
    trained = open_trained(run_dir)
    test = narrow(trained.manifest, load_dataset(plan.training.data)).test
    keras = evaluate(KerasModel(trained.load(), trained.manifest), trained.manifest, test)
    predictors = [Predictor.load(path, device="cpu") for path in paths]
    evaluations = [evaluate(one.session, one.manifest, test, batch_size=1) for one in predictors]
    on_stage("running the int8 file")
    shown = load(plan.show)(predictors[1], test, place.picture)
    on_stage("measuring both files in turn")
    measured = bench([str(path) for path in paths], BenchConfig(device="cpu", threads=1, runs=200)).files
    float32, int8 = (FileDemo(*parts) for parts in zip(reports, evaluations, measured, strict=True))
    return Demo(keras, float32, int8, place.picture, shown, perf_counter() - start)
