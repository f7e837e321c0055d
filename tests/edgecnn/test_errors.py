import inspect

import pytest

import edgecnn.errors
from edgecnn import extras
from edgecnn.errors import MissingDependencyError, UnknownModelError
from edgecnn.models.catalog import CATALOG
from edgecnn_runtime.errors import EdgeCNNError

CLASSES = [value for _, value in inspect.getmembers(edgecnn.errors, inspect.isclass)]
OURS = [error for error in CLASSES if issubclass(error, EdgeCNNError) and error is not EdgeCNNError]


@pytest.mark.parametrize("error", OURS, ids=lambda error: error.__name__)
def test_docstring_draws_every_error_with_its_exit_code(error):
    lines = [line.split() for line in edgecnn.errors.__doc__.splitlines()]
    assert [words[words.index(error.__name__) + 1] for words in lines if error.__name__ in words] == [
        str(error.exit_code)
    ]


def test_errors_have_a_kind_each():
    assert len({error.kind for error in OURS}) == len(OURS)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("mobilenet_v4", "mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small or mobilenet_v2_localizer"),
        ("MobileNetV3", "mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small or mobilenet_v2_localizer"),
        ("mobilnet_v3_large", "mobilenet_v3_large, mobilenet_v3_small, mobilenet_v2_localizer or mobilenet_v2"),
        ("resnet101", "resnet50, resnet34 or resnet34_localizer"),
        ("resnt50", "resnet50, resnet34 or resnet34_localizer"),
        ("se_resnet101", "se_resnet50"),
        ("efficientnet_b7", "efficientnet_b0"),
        ("vgg13", "vgg16 or vgg19"),
        ("yolov5", "yolov3 or yolov3_tiny"),
        ("faster_rcnn_resnet50", "faster_rcnn"),
        ("mnist_convnett", "mnist_convnet"),
    ],
)
def test_unknown_model_error_suggests_the_family_alone(name, near):
    message = str(UnknownModelError.near(name, CATALOG))
    assert message == f"unknown model {name!r}: did you mean {near}? Run `edgecnn models` for the list."


@pytest.mark.parametrize("name", ["foo", "inception_v3", "densenet121", "squeezenet", "mask_rcnn", "v3", "34", ""])
def test_unknown_model_error_suggests_nothing_of_another_family(name):
    assert str(UnknownModelError.near(name, CATALOG)) == f"unknown model {name!r}. Run `edgecnn models` for the list."


def test_missing_dependency_error_names_the_command():
    assert 'pip install "edgecnn[train]"' in str(MissingDependencyError.of("keras"))


def test_missing_dependency_error_brings_no_second_wheel_of_onnxruntime_beside_the_gpus(monkeypatch):
    assert 'pip install "edgecnn[evaluate]"' in str(MissingDependencyError.of("sklearn"))
    monkeypatch.setattr(extras, "version", {"onnxruntime-gpu": "1.31.1"}.__getitem__)
    assert str(MissingDependencyError.of("sklearn")).endswith("Run: pip install scikit-learn")
    assert 'pip install "edgecnn[train]"' in str(MissingDependencyError.of("keras"))
