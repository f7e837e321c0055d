"""The whole way in one call: train on embedded digits, export, evaluate both, run, measure."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from edgecnn.atomic import make_folder, replacing
from edgecnn.benchmarking import BenchConfig, FileBench, bench
from edgecnn.data import Samples, load_dataset
from edgecnn.evaluation import Evaluation, evaluate
from edgecnn.export_config import ExportConfig
from edgecnn.exporting import export_source
from edgecnn.models.adapter import KerasModel
from edgecnn.models.loading import load_keras
from edgecnn.training import Progress, RunFolder, TrainConfig, train
from edgecnn_exporters import ExportReport
from edgecnn_runtime import Classification, Predictor

_SHOWN = 5  # digits whose answers are listed
_CONFIG = TrainConfig(model="mnist_convnet", data="digits", epochs=20, batch_size=64, learning_rate=0.002, seed=1)


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demonstration made and measured.

    Attributes:
        keras: the Keras model's score on the test digits.
        file: the model file's score on the same ones.
        export: what the export proved.
        bench: how fast the file is here.
        answers: of a few test digits, with the right label of each.
        picture: an annotated digit.
        seconds: the whole way took.
    """

    keras: Evaluation
    file: Evaluation
    export: ExportReport
    bench: FileBench
    answers: tuple[tuple[Classification, str], ...]
    picture: Path
    seconds: float


def run_demo(folder: Path, *, progress: Progress, on_stage: Callable[[str], None]) -> Demo:
    """Goes the whole way on scikit-learn's digits, without a network.

    Args:
        folder: gets the run folder `run/`, `digits.onnx`, its report and `annotated.png`; earlier ones are replaced.
        progress: is told how the training goes.
        on_stage: is told what else begins.

    Raises:
        WriteError: the folder cannot be written.
    """
    start = perf_counter()
    make_folder(folder)
    run_dir, model_path, picture = folder / "run", folder / "digits.onnx", folder / "annotated.png"
    train(_CONFIG, run_dir, overwrite=True, progress=progress)
    on_stage("exporting")
    report = export_source(ExportConfig(str(run_dir), data="digits"), model_path)
    on_stage("evaluating both")
    test = load_dataset("digits").test
    run, predictor = RunFolder.open(run_dir), Predictor.load(model_path, device="cpu")
    keras = evaluate(KerasModel(load_keras(run.model_path), run.manifest), run.manifest, test)
    file = evaluate(predictor.session, predictor.manifest, test, batch_size=1)
    on_stage("running the file")
    answers = tuple(_answer(predictor, test, index) for index in range(_SHOWN))
    with replacing(picture) as temporary:
        answers[0][0].draw(test[0][0], top_k=3).save(temporary, format="PNG")
    on_stage("measuring")
    measured = bench([str(model_path)], BenchConfig(device="cpu", threads=1, runs=200)).files[0]
    return Demo(keras, file, report, measured, answers, picture, perf_counter() - start)


def _answer(predictor: Predictor, samples: Samples, index: int) -> tuple[Classification, str]:
    source, class_id = samples[index]
    return predictor.predict(source), samples.labels[class_id]
