"""What each demonstration trains and leaves in its folder: known and judged before anything heavy is loaded."""

from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import RunFolderError, UsageError
from edgecnn.outputs import Output, check_outputs
from edgecnn.reads_and_writes import tries_paths
from edgecnn.training import TrainConfig
from edgecnn.training.run_folder import UNFINISHED, read_record
from edgecnn_runtime.report_file import report_path
from edgecnn_runtime.whole_files import LOCK_NAME


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What the demonstration of a task does.

    Attributes:
        name: of its files.
        folder: that they are put into by default.
        images: what its data are, in a word or two.
        training: what is trained, on embedded data.
        metric: the key of what an evaluation shows of it.
        told: the metric's name for people.
        agreement: what a file has in common with its source, in a few words.
        show: "module:function", which takes the int8 file's Predictor, the test part and a path, draws there what the
            file answers to some of the images, and returns in a few words what is to be seen.
    """

    name: str
    folder: str
    images: str
    training: TrainConfig
    metric: str
    told: str
    agreement: str
    show: str


DIGITS = DemoPlan(
    "digits",
    "demo",
    "scikit-learn's digits",
    TrainConfig(
        model="mnist_convnet", data="digits", epochs=20, batch_size=64, learning_rate=0.002, validation=0, seed=1
    ),
    metric="accuracy",
    told="accuracy",
    agreement="same best class as Keras",
    show="edgecnn.tasks.classification.demo:show",
)
SHAPES = DemoPlan(
    "shapes",
    "demo-detection",
    "drawn shapes",
    TrainConfig(
        model="yolov3_tiny",
        data="shapes",
        epochs=8,
        batch_size=8,
        learning_rate=0.01,
        schedule="cosine",
        warm_up=150,
        augment=("flip",),
        image_size=(192, 256),  # twice that of the pictures, whose shapes would share cells of 16 pixels
        width=0.25,
        validation=0,
        seed=1,
    ),
    metric="ap50",
    told="AP50",
    agreement="same boxes as Keras",
    show="edgecnn.tasks.detection.demo:show",
)
PIXELS = DemoPlan(
    "shapes",
    "demo-segmentation",
    "drawn shapes with their masks",
    TrainConfig(
        model="fcn8s",
        data="shapes",
        epochs=7,
        batch_size=16,
        learning_rate=0.0005,
        schedule="cosine",
        warm_up=100,
        augment=("flip",),
        image_size=(96, 128),
        width=0.25,
        validation=0,
        seed=1,
    ),
    metric="mean_iou",
    told="mean IoU",
    agreement="same class map as Keras",
    show="edgecnn.tasks.segmentation.demo:show",
)
ASKED = DemoPlan(
    "shapes",
    "demo-question",
    "drawn shapes with questions about them",
    TrainConfig(
        model="vqa_cnn_lstm",
        data="shapes:1",
        epochs=20,
        batch_size=8,
        optimizer="adam",
        learning_rate=0.003,
        schedule="cosine",
        warm_up=200,
        augment=("contrast", "brightness"),
        image_size=(48, 64),
        width=0.25,
        validation=0,
        seed=1,
    ),
    metric="answer_accuracy",
    told="answer accuracy",
    agreement="same answer as Keras",
    show="edgecnn.tasks.question.demo:show",
)


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """The folder of a demonstration.

    Attributes:
        path: of the folder.
        plan: of the demonstration.
    """

    path: Path
    plan: DemoPlan

    @property
    def run_dir(self) -> Path:
        """The training."""
        return self.path / "run"

    @property
    def model_paths(self) -> tuple[Path, Path]:
        """The float32 file and the int8 file."""
        return self.path / f"{self.plan.name}.onnx", self.path / f"{self.plan.name}.int8.onnx"

    @property
    def picture(self) -> Path:
        """Test images with their answers."""
        return self.path / "annotated.png"

    def check(self) -> None:
        """Refuses to replace another training, or files beside which no demonstration of ours was trained.

        Raises:
            UsageError: names the folder.
        """
        models = self.model_paths
        files = [*models, *map(report_path, models), *tries_paths(models[1]), self.picture]
        check_outputs([Output("-o", path) for path in files], [])
        try:
            trained = read_record(self.run_dir).config
            is_ours = trained == self.plan.training
        except RunFolderError:
            trained = None
            names = {entry.name for entry in self.run_dir.iterdir()} if self.run_dir.is_dir() else set()
            begun = self.run_dir.is_dir() and names <= {UNFINISHED, LOCK_NAME}
            is_ours = (begun or not self.run_dir.exists()) and not any(path.exists() for path in files)
        if not is_ours:
            other = next((plan for plan in (DIGITS, SHAPES, PIXELS, ASKED) if plan.training == trained), None)
            received = "one whose contents the demo did not make" if other is None else f"the demo of {other.images}"
            raise UsageError(
                f"{self.path}: expected an empty folder or that of an earlier demo of {self.plan.images}, received "
                f"{received}. Name another folder with -o."
            )
