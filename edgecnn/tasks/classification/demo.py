"""The whole way in one call: train on embedded digits, export in float32 and in int8, evaluate, run, measure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from PIL import Image, ImageOps

from edgecnn.atomic import make_folder, replacing
from edgecnn.benchmarking import BenchConfig, FileBench, bench
from edgecnn.data import Samples, load_dataset
from edgecnn.demo_folder import DEMO_TRAINING, DemoFolder
from edgecnn.evaluation import evaluate
from edgecnn.exporting.config import ExportConfig
from edgecnn.exporting.export import export_source
from edgecnn.models.adapter import KerasModel
from edgecnn.tasks.classification.metric import ClassificationEvaluation
from edgecnn.trained import open_trained
from edgecnn.training import Progress, train
from edgecnn_exporters import ExportReport
from edgecnn_runtime import Classification, Manifest, Model, Predictor
from edgecnn_runtime.drawing import draw_lines
from edgecnn_runtime.images import ImageSource, open_image

_SHOWN = 9  # digits in the picture
_A_ROW = 3  # of them
_FRAME = 8  # pixels round each
_HEAD_PART = 4  # the text stands above the digit, in this part of its height
_RIGHT, _WRONG = "#1a7f37", "#cf222e"


@dataclass(frozen=True, slots=True)
class FileDemo:
    """What was proven and measured of one file.

    Attributes:
        export: what the export proved.
        evaluation: its score on the test digits.
        bench: how fast it is here.
    """

    export: ExportReport
    evaluation: ClassificationEvaluation
    bench: FileBench


@dataclass(frozen=True, slots=True)
class Shown:
    """A test digit, what the int8 file answered, and what it is.

    Attributes:
        image: the digit, as `Predictor.predict` takes it.
        answer: of the int8 file.
        truth: the right label.
    """

    image: ImageSource
    answer: Classification
    truth: str

    @property
    def is_right(self) -> bool:
        """Whether the best class is the true one."""
        return self.answer.label == self.truth


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demonstration made and measured.

    Attributes:
        keras: the Keras model's score on the test digits.
        float32: the file of the model's own precision.
        int8: the quantized file.
        shown: the nine test digits of the picture.
        picture: those digits with their answers.
        seconds: the whole way took.
    """

    keras: ClassificationEvaluation
    float32: FileDemo
    int8: FileDemo
    shown: tuple[Shown, ...]
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
    place = DemoFolder(folder)
    place.check()
    run_dir, paths, picture = place.run_dir, place.model_paths, place.picture
    make_folder(folder)
    train(DEMO_TRAINING, run_dir, overwrite=True, progress=progress)
    on_stage("exporting in float32, then in int8")
    whole = ExportConfig(str(run_dir), data="digits")
    small = replace(whole, quantize="int8", min_speedup=0.0)  # a busy machine must not fail a demonstration
    reports = [export_source(config, path) for config, path in zip((whole, small), paths, strict=True)]
    on_stage("evaluating all three")
    test, trained = load_dataset("digits").test, open_trained(run_dir)
    keras = _evaluated(KerasModel(trained.load(), trained.manifest), trained.manifest, test, 64)
    predictors = [Predictor.load(path, device="cpu") for path in paths]
    evaluations = [_evaluated(one.session, one.manifest, test, 1) for one in predictors]
    on_stage("running the int8 file")
    shown = choose_shown(
        [Shown(image, _classified(predictors[1], image), test.labels[class_id]) for image, class_id in test]
    )
    with replacing(picture) as temporary:
        draw_shown(shown).save(temporary, format="PNG")
    on_stage("measuring both files in turn")
    measured = bench([str(path) for path in paths], BenchConfig(device="cpu", threads=1, runs=200)).files
    float32, int8 = (FileDemo(*parts) for parts in zip(reports, evaluations, measured, strict=True))
    return Demo(keras, float32, int8, shown, picture, perf_counter() - start)


def _evaluated(model: Model, manifest: Manifest, samples: Samples, batch_size: int) -> ClassificationEvaluation:
    evaluation = evaluate(model, manifest, samples, batch_size=batch_size)
    assert isinstance(evaluation, ClassificationEvaluation), "the demonstration trains a classifier"
    return evaluation


def _classified(predictor: Predictor, image: ImageSource) -> Classification:
    answer = predictor.predict(image)
    assert isinstance(answer, Classification), "the demonstration trains a classifier"
    return answer


def choose_shown(answered: Sequence[Shown]) -> tuple[Shown, ...]:
    """Returns nine digits, or as many as there are: right ones of as many classes as may be, and last a wrong one.

    Args:
        answered: all test digits, in their order; where none was answered wrongly, all that are returned are right.
    """
    wrong = [one for one in answered if not one.is_right][:1]
    right = [one for one in answered if one.is_right]
    firsts = list({one.truth: one for one in reversed(right)}.values())[::-1]  # the first of each class
    others = [one for one in right if all(one is not first for first in firsts)]
    return (*(firsts + others)[: _SHOWN - len(wrong)], *wrong)


def draw_shown(shown: Sequence[Shown]) -> Image.Image:
    """Returns one picture of the digits, three a row, each with its answer; a right one has a green frame."""
    tiles = [_tile(one) for one in shown]
    width, height = tiles[0].size
    sheet = Image.new("RGB", (width * _A_ROW, height * -(-len(tiles) // _A_ROW)), "white")
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % _A_ROW * width, index // _A_ROW * height))
    return sheet


def _tile(one: Shown) -> Image.Image:
    image = open_image(one.image)
    with_head = ImageOps.expand(image, (0, image.height // _HEAD_PART, 0, 0))  # room for the text
    verdict = f"right: a {one.truth}" if one.is_right else f"wrong: it is a {one.truth}"
    tile = draw_lines(with_head, [f"answer {one.answer.label}, {one.answer.score:.1%}", verdict])
    return ImageOps.expand(tile, _FRAME, _RIGHT if one.is_right else _WRONG)
