"""Training of segmenters: windows, pixels that are ignored, and options that cannot go together."""

import keras
import numpy as np
import pytest
import segmentations
from PIL import Image

from edgecnn.cli import main
from edgecnn.errors import UsageError
from edgecnn.trained import open_trained
from edgecnn.training import TrainConfig, train

NARROW = {"image_size": (32, 32), "width": 1 / 16}


@pytest.fixture
def drawn(tmp_path):
    """Three pictures to learn from and one to validate with, of which tests ignore some."""
    segmentations.write_masks(tmp_path / "set", {"train": [(32, 32)] * 3, "val": [(40, 28)]})
    (tmp_path / "set" / "classes.txt").unlink()
    (tmp_path / "set" / "data.yaml").write_text("names: [sky, bird, tree]\nignore: 255\n")
    return tmp_path / "set"


def ignore(folder, *places):
    for place in places:
        with Image.open(folder / place) as mask:
            size = mask.size
        Image.new("L", size, 255).save(folder / place)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["unet", "--window", "64,64", "--image-size", "32,32"],
            "window: expected a part of the network's input of 32",
        ),
        (
            ["unet", "--window", "32,48", "--image-size", "48,32"],
            "window: expected a part of the network's input of 48",
        ),
        (["unet", "--window", "40,40"], "window: expected multiples of 16, the pixels of a coarsest cell of unet"),
        (["fcn8s", "--window", "48,64"], "window: expected multiples of 32, the pixels of a coarsest cell of fcn8s"),
        (["unet", "--window", "0,16"], "window: expected a height and a width of 1 or more, received (0, 16)"),
        (["unet", "--window", "64"], "expected two numbers of pixels such as 320,608, received '64'"),
        (["mnist_convnet", "--window", "16,16"], "window: it cannot take effect on a model for classification"),
        (["yolov3_tiny", "--window", "64,64"], "window: it cannot take effect on a model for detection"),
        (["unet", "--multi-scale", "64,96"], "multi_scale: it cannot take effect on a model for segmentation"),
        (["unet", "--class-weight", "0.5"], "class_weight: it cannot take effect on a model for segmentation"),
        (["unet", "--augment", "mosaic"], "augment: expected names of"),
        (["unet", "--classes", "1"], "expected at least 2 classes, received 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_train_refuses_options_that_cannot_go_together(tmp_path, capfd, words, said):
    assert main(["train", *words, "--data", "shapes", "-o", str(tmp_path / "run")]) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    assert said in " ".join(shown.err.split())
    assert not (tmp_path / "run").exists()


def test_masks_of_which_all_is_ignored_are_refused(drawn, tmp_path):
    ignore(drawn, *(f"train/masks/00{index}.png" for index in range(3)))
    config = TrainConfig("unet", str(drawn), epochs=1, **NARROW)
    with pytest.raises(UsageError, match="expected a pixel in the train part that is not ignored, received none in 3"):
        train(config, tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.*"))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"augment": ("elastic", "flip"), "ema": 0.9}, {"window": (16, 16)}], ids=str)
def test_batches_of_ignored_pixels_teach_nothing_and_break_nothing(drawn, tmp_path, options):
    ignore(drawn, "train/masks/000.png", "train/masks/001.png", *(["val/masks/000.png"] if "window" in options else []))
    config = TrainConfig("unet", str(drawn), epochs=2, batch_size=1, **NARROW, **options)
    history = train(config, tmp_path / "run").history
    for epoch in history:
        numbers = [epoch.loss, epoch.val_loss, *epoch.metrics.values(), *epoch.val_metrics.values()]
        assert np.isfinite(numbers).all()
        assert 0 <= epoch.metrics["mean_iou"] <= 1
    model = open_trained(str(tmp_path / "run")).load()
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


@pytest.mark.slow
def test_a_network_that_learned_from_windows_takes_whole_images(drawn, tmp_path):
    config = TrainConfig("unet", str(drawn), epochs=1, window=(16, 32), **NARROW)
    train(config, tmp_path / "run")
    trained = open_trained(str(tmp_path / "run"))
    assert trained.load().inputs[0].shape == (None, 32, 32, 1)
    assert (trained.manifest.image_input.height, trained.manifest.image_input.width) == (32, 32)
    assert keras.models.load_model(tmp_path / "run" / "model.keras").inputs[0].shape == (None, 32, 32, 1)
    config = TrainConfig("unet", str(drawn), epochs=2, window=(16, 32), **NARROW)
    assert len(train(config, tmp_path / "run", resume=True).history) == 2
