"""Giving a built model weights from ImageNet or from a file: all of them, all but the head, or none and an error."""

import contextlib
import math
import sys
import urllib.error
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np
import numpy.typing as npt

from edgecnn.errors import PretrainedWeightsError
from edgecnn.models.backbone import backbone_layers
from edgecnn.models.darknet_weights import DarknetWeights
from edgecnn.models.keras_names import CONSTANT_HERE, DENSE_HERE, own_names
from edgecnn.models.spec import ModelSpec
from edgecnn.models.weights_file import check_weights, is_darknet, open_weights
from edgecnn_runtime.pixel_scaling import IMAGENET_DEVIATIONS, IMAGENET_MEANS

_Result = TypeVar("_Result")
_Shapes = tuple[tuple[int, ...], ...]
_Read = Callable[[str], list[npt.NDArray[Any]]]
_NORMALIZATION = "normalization"
_DENSE = frozenset({"fc1", "fc2"})  # of VGG, before its last layer


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """What a model was given.

    Attributes:
        source: "none", "imagenet" or the file.
        layers: number of layers that were given weights.
        left_out: the head's layers that keep their fresh weights, because the source has another head.
        labels: one name a class, where they come with the weights.
        head_classes: the number of classes of the source's head; None where it has none of the model's name for it.
    """

    source: str
    layers: int
    left_out: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    head_classes: int | None = None


def load_weights(model: keras.Model, spec: ModelSpec, source: str | Path) -> LoadedWeights:
    """Loads weights into a model; after an error the model is as it was.

    Args:
        model: from `build_model` or `build_transfer_model`.
        spec: its catalogue row.
        source: "none", "imagenet" (Keras' own download, hash-checked and cached), or a .weights.h5 or .keras file of
            the same layers, or Darknet's .weights or .conv.N. A source with another head gives all but the head.

    Raises:
        UsageError: a row without ImageNet weights, or a file of another kind.
        PretrainedWeightsError: no network and no cache, a damaged file, or weights of another architecture.
        KerasFileError: a .keras file that is damaged or unsafe.
    """
    check_weights(spec, source)
    if str(source) == "none":
        return LoadedWeights("none", layers=0)
    with _opened(model, spec, source) as (shapes, read):
        dense = _dense_as_convolutions(model, shapes)
        shapes = {**shapes, **dense} if dense else shapes
        left_out = _left_out(model, spec, received=shapes, source=source, kept=frozenset(dense))
        labels = imagenet_labels() if str(source) == "imagenet" and not left_out else None
        taken = [layer for layer in model.layers if layer.weights and layer.name not in left_out]
        values = [read(layer.name) for layer in taken]  # all of them, before the first is assigned
        head = shapes.get(model.output_names[0]) or ((),)
    for layer, weights in zip(taken, values, strict=True):
        layer.set_weights([value.reshape(shape) for value, shape in zip(weights, _shapes(layer), strict=True)])
    return LoadedWeights(str(source), len(taken), left_out, labels, head[-1][-1] if head[-1] else None)


def takes_head(model: keras.Model, spec: ModelSpec, source: str | Path) -> bool:
    """Says whether `load_weights` would give a model its head too, and not the backbone alone.

    Args:
        model: as for `load_weights`, like the others; nothing is loaded into it.
        spec: likewise.
        source: likewise, but not "none".

    Raises:
        PretrainedWeightsError: as for `load_weights`.
        KerasFileError: likewise.
    """
    with _opened(model, spec, source) as (shapes, _):
        return not _left_out(model, spec, received=shapes, source=source)


def imagenet_labels() -> tuple[str, ...]:
    """Returns the names of ImageNet's 1000 classes as Keras' class index has them.

    Classes that share a name (a crane is a bird and a machine) carry their WordNet id too.

    Raises:
        PretrainedWeightsError: no network and no cache.
    """
    decode = keras.applications.imagenet_utils.decode_predictions
    ranks = np.arange(1000, 0, -1, dtype=np.float32)[None]  # the first class is the likeliest
    (classes,) = _downloaded(
        lambda: decode(ranks, top=1000),
        "the names of ImageNet's classes",
        "Copy imagenet_class_index.json from a cache that has it, ~/.keras/models.",
    )
    count = Counter(name for _, name, _ in classes)
    return tuple(name if count[name] == 1 else f"{name} ({wordnet_id})" for wordnet_id, name, _ in classes)


@contextlib.contextmanager
def _opened(model: keras.Model, spec: ModelSpec, source: str | Path) -> Iterator[tuple[Mapping[str, _Shapes], _Read]]:
    """Yields the source's shapes by our layer names, and what reads one layer's weights."""
    if str(source) == "imagenet":
        application = _application(model, spec)
        layers = {layer.name: layer for layer in application.layers if layer.weights}
        theirs = _by_own_name(spec, layers)
        yield _as_here(
            spec,
            {ours: _shapes(layers[name]) for ours, name in theirs.items()},
            lambda ours: layers[theirs[ours]].get_weights(),
            source,
        )
        return
    if spec.darknet and is_darknet(source):
        backbone = frozenset(layer.name for layer in backbone_layers(model, spec))
        darknet = DarknetWeights(Path(source), model, spec, backbone=backbone)
        yield darknet, darknet.read
        return
    with open_weights(Path(source)) as stored:
        theirs = _by_own_name(spec, stored)
        shapes = {ours: stored[name] for ours, name in theirs.items()}
        yield _as_here(spec, shapes, lambda ours: stored.read(theirs[ours]), source)


def _application(model: keras.Model, spec: ModelSpec) -> keras.Model:
    build = getattr(keras.applications, str(spec.application))
    fits = len(model.outputs) == 1 and model.outputs[0].shape[-1] == spec.num_classes
    names = {layer.name for layer in model.layers} if spec.shortened else _convolutions(model).keys()
    with_head = fits or bool(names & _DENSE)
    file = f"{spec.name}.weights.h5"

    def built() -> keras.Model:
        with warnings.catch_warnings():  # of the size that these weights were trained at, where none is given
            warnings.filterwarnings("ignore", "`input_shape` is undefined", UserWarning)
            return build(weights="imagenet", include_top=with_head)

    return _downloaded(
        built,
        f"the ImageNet weights of {spec.name}",
        f"Where there is a network run keras.applications.{spec.application}().save_weights({file!r}), and give that.",
    )


def _downloaded(download: Callable[[], _Result], what: str, otherwise: str) -> _Result:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Keras reports its download on stdout, which is for results
            return download()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        cause = error.__context__ if isinstance(error.__context__, urllib.error.URLError) else error
        if not isinstance(cause, OSError) and "file hash" not in str(cause):
            raise
        raise PretrainedWeightsError(
            f"{what}: expected a network or Keras' cached file, received {cause}. {otherwise}"
        ) from error


def _by_own_name(spec: ModelSpec, names: Mapping[str, Any]) -> dict[str, str]:
    if spec.application is None or "logits" in names:
        return {name: name for name in names}
    return {ours: name for name, ours in own_names(spec.application, names).items()}


def _as_here(
    spec: ModelSpec, shapes: Mapping[str, _Shapes], read: _Read, source: str | Path
) -> tuple[Mapping[str, _Shapes], _Read]:
    """Returns what was opened with the shapes that the model has where Keras has others, and without constants.

    Raises:
        PretrainedWeightsError: constants that are not those of the model.
    """
    if spec.application in CONSTANT_HERE and _NORMALIZATION in shapes:
        _check_normalization(spec, shapes[_NORMALIZATION], read, source)
        shapes = {name: layer for name, layer in shapes.items() if name != _NORMALIZATION}
    dense = DENSE_HERE.get(str(spec.application), frozenset())
    return {
        name: tuple(shape[2:] if name in dense and shape[:-2] == (1, 1) else shape for shape in layer)
        for name, layer in shapes.items()
    }, read


def _check_normalization(spec: ModelSpec, shapes: _Shapes, read: _Read, source: str | Path) -> None:
    """Refuses weights that were learned behind another normalisation than the model's.

    ImageNet's of Keras hold the deviations where its layer has variances, and make that good by a further division.
    """
    expected = np.array([IMAGENET_MEANS, IMAGENET_DEVIATIONS])
    received = f"shapes {', '.join(map(str, shapes))}"
    if tuple(filter(None, shapes)) == ((3,), (3,)):  # only then are they read; one integer may stand behind them
        values = np.array(read(_NORMALIZATION)[:2], np.float64)
        if np.allclose(values, expected, rtol=0, atol=1e-4):
            return
        received = " and ".join(np.array2string(row, precision=4, separator=", ") for row in values)
    means, deviations = (str(list(row)) for row in (IMAGENET_MEANS, IMAGENET_DEVIATIONS))
    raise PretrainedWeightsError(
        f"{source}: not the weights of this {spec.name}: layer {_NORMALIZATION!r}: expected ImageNet's means {means} "
        f"and deviations {deviations}, which are constants here, received {received}. Give weights that were learned "
        "from Keras' for ImageNet, or a file that edgecnn saved."
    )


def _left_out(
    model: keras.Model,
    spec: ModelSpec,
    *,
    received: Mapping[str, _Shapes],
    source: str | Path,
    kept: frozenset[str] = frozenset(),
) -> tuple[str, ...]:
    """Returns the layers that a source of another head, or of the first layers alone, leaves; else raises.

    Layers of the head that are `kept` are not left.
    """
    expected = {layer.name: _shapes(layer) for layer in model.layers if layer.weights}
    different = [name for name in {**expected, **received} if expected.get(name) != received.get(name)]
    if not different:
        return ()
    if isinstance(received, DarknetWeights) and not set(different) & set(received):
        return tuple(different)  # a network's first layers, perhaps of its head too
    backbone = set() if spec.backbone is None else {layer.name for layer in backbone_layers(model, spec)}
    # A further convolution in the source makes it another architecture, as VGG-19's are to VGG-16.
    further = any(len(shape) > 2 for name in received.keys() - expected.keys() for shape in received[name])
    further = further and not spec.shortened
    if spec.shortened:  # the dense layers over a region are those of the classifier over its last map
        kept |= {name for name in _DENSE if name in received and received[name] == expected.get(name)}
    if backbone and not further and backbone.isdisjoint(different):
        return tuple(name for name in expected if name not in backbone | kept)
    if backbone:  # a head may differ; what else differs is the reason
        different = [name for name in different if name in backbone or name not in expected] or different
    name = different[0]
    raise PretrainedWeightsError(
        f"{source}: not the weights of this {spec.name}: layer {name!r}: expected {_listed(expected.get(name))}, "
        f"received {_listed(received.get(name))}. Build the model, width and number of classes that the weights are of."
    )


def _dense_as_convolutions(model: keras.Model, theirs: Mapping[str, _Shapes]) -> dict[str, _Shapes]:
    """Returns the shapes of the convolutions that the model has for dense layers, where the source has their weights.

    The source may have them as dense layers: the numbers are the same, in the same order (see
    `edgecnn.models.convolutional`).
    """
    ours = {name: shapes for name, shapes in _convolutions(model).items() if name in _DENSE}
    as_dense = {name: ((math.prod(kernel[:3]), kernel[3]), *rest) for name, (kernel, *rest) in ours.items()}
    return ours if all(theirs.get(name) in (ours[name], as_dense[name]) for name in ours) else {}


def _convolutions(model: keras.Model) -> dict[str, _Shapes]:
    return {layer.name: _shapes(layer) for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}


def _listed(shapes: _Shapes | None) -> str:
    return "no such layer" if shapes is None else f"shapes {', '.join(map(str, shapes))}"


def _shapes(layer: keras.Layer) -> _Shapes:
    return tuple(tuple(weight.shape) for weight in layer.weights)
