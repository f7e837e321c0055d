import numpy as np
import pytest
from PIL import Image

from edgecnn.cli import main
from edgecnn.models import build_manifest, build_model, get_spec


@pytest.fixture
def saved(tmp_path):
    """A model with its manifest beside it, and an image."""
    build_model("simple_cnn", image_size=(12, 12), num_classes=3, width=0.2, seed=1).save(tmp_path / "model.keras")
    manifest = build_manifest(get_spec("simple_cnn"), ("a", "b", "c"), image_size=(12, 12), width=0.2)
    (tmp_path / "manifest.json").write_text(manifest.to_json())
    Image.fromarray(np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)).save(tmp_path / "image.png")
    return tmp_path


def draw(folder, *options, source="model.keras", image="image.png", output="maps.png"):
    return main(
        ["feature-maps", str(folder / source), str(folder / image), "-o", str(folder / output), *map(str, options)]
    )


def test_feature_maps_draws_the_first_convolution(saved, capfd):
    assert draw(saved) == 0
    assert capfd.readouterr().out == f"{saved / 'maps.png'}: conv1, 6 of 6 channels of 10 x 10\n"
    with Image.open(saved / "maps.png") as image:
        assert image.format == "PNG"


def test_feature_maps_draws_the_layer_and_channels_that_are_asked_for(saved, capfd):
    assert draw(saved, "--layer", "conv2", "--channels", 5) == 0
    assert "conv2, 5 of 13 channels of 3 x 3" in capfd.readouterr().out


def test_feature_maps_takes_a_run_folder(npz, tmp_path, capfd):
    train = ["train", "simple_cnn", "--data", str(npz), "--image-size", "10,10", "--width", "0.05", "--epochs", "1"]
    assert main([*train, "-o", str(tmp_path / "run")]) == 0
    Image.new("L", (8, 8)).save(tmp_path / "image.png")
    assert draw(tmp_path, source="run") == 0
    assert capfd.readouterr().out.endswith("maps.png: conv1, 2 of 2 channels of 8 x 8\n")


@pytest.mark.parametrize(
    ("options", "files", "code", "message"),
    [
        (["--layer", "conv3"], {}, 2, "expected one of image, normalization, conv1, pool1, conv2, pool2, received"),
        (["--layer", "dense"], {}, 2, "received 'dense', whose output is (N, 205)"),
        (["--channels", "0"], {}, 2, "--channels"),
        ([], {"output": "maps.jpg"}, 2, "expected a name that ends in .png, received"),
        ([], {"output": "image.png"}, 2, "expected another file than what is read"),
        ([], {"output": "missing/maps.png"}, 1, "cannot write"),
        ([], {"image": "absent.png"}, 1, "absent.png: expected a readable image file"),
        ([], {"image": "manifest.json"}, 1, "manifest.json: expected "),
        ([], {"source": "absent.keras"}, 1, "absent.keras: expected a .keras file, received nothing"),
        ([], {"source": "."}, 1, "config.json is missing"),
    ],
    ids=lambda value: str(value) if isinstance(value, list | dict) else "",
)
def test_feature_maps_refuses_on_one_line_and_writes_nothing(saved, capfd, options, files, code, message):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    assert draw(saved, *options, **files) == code
    captured = capfd.readouterr()
    assert message in captured.err.splitlines()[-1]
    assert captured.out == ""
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_feature_maps_needs_the_manifest_of_the_model(saved, capfd):
    wrong = build_manifest(get_spec("simple_cnn"), ("a", "b", "c"), image_size=(28, 28))
    (saved / "manifest.json").write_text(wrong.to_json())
    assert draw(saved) == 6
    assert "the Keras model does not fit its manifest: expected inputs" in capfd.readouterr().err.splitlines()[-1]
    (saved / "manifest.json").unlink()
    assert draw(saved) == 2
    assert "a .keras file needs its manifest: " in capfd.readouterr().err.splitlines()[-1]
    assert not (saved / "maps.png").exists()
