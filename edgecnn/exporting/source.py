"""What an export reads beside its data, judged before Keras is loaded: the model, its labels, its size, its weights."""

from pathlib import Path

from edgecnn.data.load import check_data
from edgecnn.errors import DatasetError, UsageError
from edgecnn.exporting.config import ExportConfig
from edgecnn.exporting.picture_size import for_pictures
from edgecnn.models.build import build_manifest, get_spec
from edgecnn.outputs import recorded_data
from edgecnn.trained import open_trained
from edgecnn_runtime.manifest import Manifest


def check_source(config: ExportConfig) -> None:
    """Refuses what can be refused before the model is built or loaded.

    Raises:
        UsageError: labels that cannot be read, a size or width that the model does not have, weights of another kind,
            int8 without data to calibrate on, pictures of any size or tiles of a model that cannot take them, non-max
            suppression of a model that finds no boxes, a split of one that answers no questions.
        RunFolderError: the run folder is damaged or not finished.
        KerasFileError: the .keras file is missing, damaged, or holds what can run code.
        PretrainedWeightsError: the file of weights is missing or damaged.
        ManifestError: the manifest of the .keras file is damaged; labels that are not unique.
        DatasetError: the data are not found.
    """
    if config.kind == "name":
        manifest = _check_name(config)
    else:
        trained = open_trained(config.source, config.manifest, checkpoint=config.checkpoint)
        trained.check_imports(config.imports)
        manifest = trained.manifest
    for_pictures(config, manifest)
    if config.nms == "graph" and manifest.decoder.suppresses != "runtime":
        raise UsageError(
            f"--nms graph: it cannot take effect on {config.source}, whose decoder {manifest.decoder.kind!r} drops no "
            "boxes that overlap. Leave it out."
        )
    if config.split and not manifest.decoder.asks:
        raise UsageError(
            f"--split: it cannot take effect on {config.source}, which answers no questions about a picture. Leave it "
            "out."
        )
    if config.data is not None:
        check_data(config.data)
    elif config.quantize == "int8":
        _check_recorded_data(config.source)


def read_labels(path: Path) -> list[str]:
    """Reads one label a line.

    Raises:
        UsageError: the file cannot be read, or holds none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"--labels: {path} cannot be read: {error}") from error
    labels = [line.strip() for line in lines if line.strip()]
    if not labels:
        raise UsageError(f"--labels: {path}: expected one label a line, received none")
    return labels


def _check_name(config: ExportConfig) -> Manifest:
    spec, weights = get_spec(config.source), config.weights or "none"
    if weights == "imagenet" and config.labels is not None:
        raise UsageError("--labels: expected none with --weights imagenet, whose labels come with it. Leave it out.")
    labels = None if config.labels is None else read_labels(config.labels)
    width = 1.0 if config.width is None else config.width
    manifest = build_manifest(spec, labels, image_size=config.built_size, width=width)
    if weights != "none":
        from edgecnn.models.weights_file import check_weights  # loads h5py

        check_weights(spec, weights)
    return manifest


def _check_recorded_data(run_dir: str) -> None:
    location = recorded_data(Path(run_dir))
    if location is None:
        raise UsageError(
            f"--quantize int8: it needs images to calibrate on and to judge by, and {run_dir} was adopted without any. "
            "Give labelled ones with --data."
        )
    try:
        if location is not None:
            check_data(location)
    except DatasetError as error:
        raise UsageError(
            f"--quantize int8: it needs images to calibrate on and to judge by, and the run's own data cannot be read "
            f"({error}). Name a copy with --data."
        ) from error
