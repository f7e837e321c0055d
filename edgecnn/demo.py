"""The whole way in one call: train on embedded digits, export in float32 and in int8, evaluate, run, measure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from edgecnn.atomic import make_folder, replacing
from edgecnn.benchmarking import BenchConfig, FileBench, bench
from edgecnn.data import Samples, load_dataset
from edgecnn.errors import RunFolderError, UsageError
from edgecnn.evaluation import Evaluation, evaluate
from edgecnn.export_config import ExportConfig
from edgecnn.exporting import export_source
from edgecnn.models.adapter import KerasModel
from edgecnn.models.loading import load_keras
from edgecnn.outputs import Output, check_outputs
from edgecnn.quantize_config import QuantizeConfig
from edgecnn.reads_and_writes import tries_paths
from edgecnn.training import Progress, RunFolder, TrainConfig, train
from edgecnn.training.run_folder import UNFINISHED, read_record
from edgecnn_exporters import ExportReport, report_path
from edgecnn_runtime import Classification, Predictor
from edgecnn_runtime.whole_files import LOCK_NAME

_SHOWN = 5  # digits whose answers are listed
_CONFIG = TrainConfig(model="mnist_convnet", data="digits", epochs=20, batch_size=64, learning_rate=0.002, seed=1)
_QUANTIZE = QuantizeConfig("int8", min_speedup=0.0)  # a demonstration must not fail because the machine is busy


@dataclass(frozen=True, slots=True)
class FileDemo:
    """What was proven and measured of one file.

    Attributes:
        export: what the export proved.
        evaluation: its score on the test digits.
        bench: how fast it is here.
    """

    export: ExportReport
    evaluation: Evaluation
    bench: FileBench


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demonstration made and measured.

    Attributes:
        keras: the Keras model's score on the test digits.
        float32: the file of the model's own precision.
        int8: the quantized file.
        answers: of a few test digits by the int8 file, with the right label of each.
        picture: an annotated digit.
        seconds: the whole way took.
    """

    keras: Evaluation
    float32: FileDemo
    int8: FileDemo
    answers: tuple[tuple[Classification, str], ...]
    picture: Path
    seconds: float


def run_demo(folder: Path, *, progress: Progress, on_stage: Callable[[str], None]) -> Demo:
    """Goes the whole way on scikit-learn's digits, without a network.

    Args:
        folder: gets the run folder `run/`, `digits.onnx`, `digits.int8.onnx`, their reports and `annotated.png`;
            earlier ones are replaced.
        progress: is told how the training goes.
        on_stage: is told what else begins.

    Raises:
        UsageError: what has one of these names there is not an earlier demonstration's, or the folder is a run folder.
        WriteError: the folder cannot be written.
    """
    start = perf_counter()
    run_dir, picture = folder / "run", folder / "annotated.png"
    paths = folder / "digits.onnx", folder / "digits.int8.onnx"
    _check_folder(run_dir, [*paths, *map(report_path, paths), *tries_paths(paths[1]), picture])
    make_folder(folder)
    train(_CONFIG, run_dir, overwrite=True, progress=progress)
    on_stage("exporting in float32, then in int8")
    reports = [
        export_source(ExportConfig(str(run_dir), data="digits", quantize=quantize), path)
        for quantize, path in zip((None, _QUANTIZE), paths, strict=True)
    ]
    on_stage("evaluating all three")
    test, run = load_dataset("digits").test, RunFolder.open(run_dir)
    keras = evaluate(KerasModel(load_keras(run.model_path), run.manifest), run.manifest, test)
    predictors = [Predictor.load(path, device="cpu") for path in paths]
    evaluations = [evaluate(one.session, one.manifest, test, batch_size=1) for one in predictors]
    on_stage("running the int8 file")
    answers = tuple(_answer(predictors[1], test, index) for index in range(_SHOWN))
    with replacing(picture) as temporary:
        answers[0][0].draw(test[0][0], top_k=3).save(temporary, format="PNG")
    on_stage("measuring both files in turn")
    measured = bench([str(path) for path in paths], BenchConfig(device="cpu", threads=1, runs=200)).files
    float32, int8 = (FileDemo(*parts) for parts in zip(reports, evaluations, measured, strict=True))
    return Demo(keras, float32, int8, answers, picture, perf_counter() - start)


def _check_folder(run_dir: Path, files: Sequence[Path]) -> None:
    """Refuses to replace another training, or files beside which no demonstration of ours was trained."""
    check_outputs([Output("-o", path) for path in files], [])
    try:
        is_ours = read_record(run_dir).config == _CONFIG
    except RunFolderError:
        begun = {entry.name for entry in run_dir.iterdir()} <= {UNFINISHED, LOCK_NAME} if run_dir.is_dir() else False
        is_ours = begun or not run_dir.exists()
        is_ours = is_ours and not any(path.exists() for path in files)
    if not is_ours:
        raise UsageError(
            f"{run_dir.parent}: expected an empty folder or that of an earlier demo, received one whose contents the "
            "demo did not make. Name another folder with -o."
        )


def _answer(predictor: Predictor, samples: Samples, index: int) -> tuple[Classification, str]:
    source, class_id = samples[index]
    return predictor.predict(source), samples.labels[class_id]
