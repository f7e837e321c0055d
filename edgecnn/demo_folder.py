"""What the demonstration leaves in its folder, and whether it may: judged before anything heavy is loaded."""

from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import RunFolderError, UsageError
from edgecnn.outputs import Output, check_outputs
from edgecnn.reads_and_writes import tries_paths
from edgecnn.training import TrainConfig
from edgecnn.training.run_folder import UNFINISHED, read_record
from edgecnn_runtime.report_file import report_path
from edgecnn_runtime.whole_files import LOCK_NAME

DEMO_TRAINING = TrainConfig(model="mnist_convnet", data="digits", epochs=20, batch_size=64, learning_rate=0.002, seed=1)


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """The folder of a demonstration.

    Attributes:
        path: of the folder.
    """

    path: Path

    @property
    def run_dir(self) -> Path:
        """The training."""
        return self.path / "run"

    @property
    def model_paths(self) -> tuple[Path, Path]:
        """The float32 file and the int8 file."""
        return self.path / "digits.onnx", self.path / "digits.int8.onnx"

    @property
    def picture(self) -> Path:
        """Test digits with their answers."""
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
            is_ours = read_record(self.run_dir).config == DEMO_TRAINING
        except RunFolderError:
            names = {entry.name for entry in self.run_dir.iterdir()} if self.run_dir.is_dir() else set()
            begun = self.run_dir.is_dir() and names <= {UNFINISHED, LOCK_NAME}
            is_ours = (begun or not self.run_dir.exists()) and not any(path.exists() for path in files)
        if not is_ours:
            raise UsageError(
                f"{self.path}: expected an empty folder or that of an earlier demo, received one whose contents the "
                "demo did not make. Name another folder with -o."
            )
