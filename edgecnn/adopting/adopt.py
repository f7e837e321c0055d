"""`edgecnn adopt`: from somebody's saved model to a run folder that evaluate, export and feature-maps take."""

import hashlib
import shlex
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgecnn.adopting.alternatives import Way, better_than, told, try_ways, ways
from edgecnn.adopting.config import AdoptConfig, as_options
from edgecnn.adopting.copy import copied_model
from edgecnn.adopting.fitting import FittedPlan, fit_plan
from edgecnn.adopting.mounting import Mounting
from edgecnn.adopting.original import OriginalModel, in_float32, inputs_of, trace, with_ends
from edgecnn.adopting.plan import Plan, given_options
from edgecnn.adopting.record import Adopted, AdoptionRecord
from edgecnn.adopting.scaling import told_scaling
from edgecnn.atomic import writing
from edgecnn.data import Dataset, Samples, load_dataset
from edgecnn.data.bad_pictures import find_bad_pictures, good_positions, refuse_bad_pictures
from edgecnn.data.batches import images_together, iter_ready
from edgecnn.data.parts import announce
from edgecnn.errors import UsageError
from edgecnn.evaluation import class_map, evaluate, narrow
from edgecnn.evaluation.metrics import Evaluation
from edgecnn.evaluation.scoring import explain
from edgecnn.models.adapter import KerasModel
from edgecnn.models.head import read_head
from edgecnn.outputs import RUN_CONFIG, RUN_MANIFEST
from edgecnn.tasks.table import TASKS, load, metric_of
from edgecnn.training.record import data_record
from edgecnn.training.run_folder import MODEL
from edgecnn_exporters.errors import ParityError
from edgecnn_exporters.proof.compare import compare
from edgecnn_exporters.proof.proof import SYNTHETIC
from edgecnn_exporters.proof.synthetic import synthetic_batches
from edgecnn_runtime.evidence import Parity
from edgecnn_runtime.inputs import Batch, preprocessor_of
from edgecnn_runtime.pixel_scaling import PixelScaling
from edgecnn_runtime.whole_files import publish, workplace

_PROVEN_ON = 64  # pictures
_PACKAGES = ("edgecnn", "keras", "numpy", "pillow", "tensorflow")


@dataclass(frozen=True, slots=True, eq=False)
class Adoption:
    """What an adoption came to.

    Attributes:
        run_dir: holds model.keras, manifest.json, config.json, and the model as it came.
        plan: what was found and said of the model.
        fitted: its manifest and ends.
        parity: the copy's answers beside those of the model itself.
        samples: that it was scored on; None without data.
        evaluation: the score; None likewise.
        warnings: what must be known, for people.
        parameters: of the model.
    """

    run_dir: Path
    plan: Plan
    fitted: FittedPlan
    parity: Parity
    samples: Samples | None
    evaluation: Evaluation | None
    warnings: tuple[str, ...]
    parameters: int

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object."""
        manifest, scaling, found = self.fitted.manifest, self.plan.scaling, self.plan.found
        asked = None if scaling is None else asdict(scaling)
        inside = found.takes("raw") and bool(found.steps)
        return {
            "run_dir": str(self.run_dir),
            "model": f"{self.plan.architecture.name} ({self.plan.architecture.class_name})",
            "task": manifest.task,
            "parameters": self.parameters,
            "input": {
                "image_size": list(self.plan.image_size),
                "color": "bgr" if scaling is not None and scaling.bgr else manifest.image_input.color,
                "pixels": f"scaled by the model itself, {found.told()}" if inside else told_scaling(scaling),
                "scaling": asked,
                "scaled_inside": inside,
            },
            "outputs": [output.name for output in manifest.outputs],
            "decoder": manifest.decoder.kind,
            "labels": None if manifest.labels is None else list(manifest.labels),
            "parity": asdict(self.parity),
            "evaluation": None if self.evaluation is None else self.evaluation.to_dict(),
            "warnings": list(self.warnings),
        }


def adopt(plan: Plan, run_dir: Path, *, on_stage: Callable[[str], None] | None = None) -> Adoption:
    """Makes a run folder of somebody's model, once its copy is proven to answer like the model itself.

    Args:
        plan: from `make_plan`.
        run_dir: missing or empty.
        on_stage: is told each stage's name when it begins.

    Raises:
        UsageError: outputs, labels or data that do not fit; or nobody says how pixels become numbers, and the message
            says which way answers the data best.
        KerasFileError: Keras cannot read the model.
        DatasetError: the data cannot be read.
        ParityError: the copy answers otherwise than the model.
        WriteError: the folder cannot be written.
    """
    stage = on_stage or (lambda _: None)
    config = plan.config
    stage("reading the model")
    loaded = _load(plan)
    dataset = None if config.data is None else load_dataset(config.data, skip_bad=config.skip_bad)
    labels = config.labels or (None if dataset is None else dataset.labels)
    fitted = _fit(plan, loaded, labels)
    dataset = None if dataset is None else narrow(fitted.manifest, dataset)
    samples = None if dataset is None else _judged(dataset, fitted, config)
    if plan.scaling is None:
        assert samples is not None, "the plan asks for it where there are no data"
        stage("trying how pixels become its numbers")
        unscaled = Mounting(plan.image, plan.layout, PixelScaling((0.0,), (1.0,)), fitted.ends)
        raise _undecided(plan, OriginalModel(loaded, unscaled, fitted.manifest), fitted, samples)
    mounting = Mounting(plan.image, plan.layout, plan.scaling, fitted.ends)
    original = OriginalModel(loaded, mounting, fitted.manifest)
    copy = copied_model(loaded, mounting, fitted.manifest)
    copied = KerasModel(copy, fitted.manifest)
    stage("comparing its copy with the model itself")
    parity = _proven(original, copied, fitted, samples)
    warnings, evaluation = list(plan.warnings), None
    if samples is not None and dataset is not None:
        stage("scoring it")
        announce("scoring", dataset, samples)
        evaluation = evaluate(copied, fitted.manifest, samples, skip_bad=config.skip_bad)
        stage("trying other ways to ask it")
        better = _better_way(plan, original, fitted, samples), _better_labels(plan, fitted, evaluation)
        found = max((one for one in better if one is not None), key=lambda one: one[0], default=None)
        warnings += explain(evaluation, copied, fitted.manifest, samples) if found is None else [found[1]]
    record = _record(plan, loaded, mounting, dataset)
    _write(run_dir, copy, fitted, record, plan)
    return Adoption(run_dir, plan, fitted, parity, samples, evaluation, tuple(warnings), loaded.count_params())


def _load(plan: Plan) -> keras.Model:
    channels = 3 if plan.color == "rgb" else 1
    known = plan.architecture.inputs
    model = with_ends(plan.config.file.load(), known[plan.image].shape if known else (*plan.image_size, channels))
    return model if plan.architecture.mixed is None else in_float32(model)


def _fit(plan: Plan, model: keras.Model, labels: tuple[str, ...] | None) -> FittedPlan:
    function = trace(model).get_concrete_function()
    names = list(getattr(model, "output_names", None) or [model.layers[-1].name])
    shapes = dict(zip(names, _output_shapes(plan, model), strict=True))
    heads = [read_head(function, number) for number in range(len(shapes))]
    text = None
    if plan.config.vocabulary is not None:
        (text,) = [shape[0] for number, (shape, _) in enumerate(inputs_of(model)) if number != plan.image]
    return fit_plan(plan, shapes, heads, labels, text_length=text)


def _output_shapes(plan: Plan, model: keras.Model) -> list[tuple[int | None, ...]]:
    """Returns the shapes of the outputs, without the batch axis, for images of the plan's size."""
    given = []
    for number, (shape, dtype) in enumerate(inputs_of(model)):
        fixed = shape
        if number == plan.image and None in shape and len(shape) == 3:
            channels = shape[0] if plan.layout == "channels_first" else shape[2]
            fixed = (channels, *plan.image_size) if plan.layout == "channels_first" else (*plan.image_size, channels)
        given.append(keras.KerasTensor((None, *fixed), dtype=dtype))
    inputs = keras.tree.pack_sequence_as(model.input, given) if len(given) > 1 else given[0]
    return [tuple(spec.shape[1:]) for spec in keras.tree.flatten(model.compute_output_spec(inputs))]


def _judged(dataset: Dataset, fitted: FittedPlan, config: AdoptConfig) -> Samples:
    """Returns the part to score, without the pictures that cannot be decoded."""
    samples = dataset.select(None)
    class_map(fitted.manifest, samples)  # other classes are refused before anything is decoded
    bad = find_bad_pictures(samples, preprocessor_of(fitted.manifest))
    if not config.skip_bad:
        refuse_bad_pictures(bad, of=len(samples))
    return samples.subset(good_positions(samples, bad)) if bad else samples


def _undecided(plan: Plan, original: OriginalModel, fitted: FittedPlan, samples: Samples) -> UsageError:
    """Returns what the ways came to, where nobody says which it is."""
    channels = fitted.manifest.image_input.channels
    tried = try_ways(original, fitted.manifest, samples, ways(channels, scaled_inside=False), asked=None)
    best, *others = tried
    command = _command(plan, best.way)
    sure = "" if others and better_than(others[0], [best]) else ", though not by much"
    return UsageError(
        f"{plan.config.file.path}: how pixels from 0 to 255 become its numbers is not in the model, and nobody says. "
        f"Tried {told(tried, _metric_name(fitted))}. {best.way.options} fits best{sure}. Type: {command}"
    )


def _better_way(plan: Plan, original: OriginalModel, fitted: FittedPlan, samples: Samples) -> tuple[float, str] | None:
    """Returns what the metric would be and a warning, where pixels scaled otherwise, or in other colours, win."""
    assert plan.scaling is not None, "nothing was asked otherwise"
    channels, inside = fitted.manifest.image_input.channels, plan.found.takes("raw") and bool(plan.found.steps)
    asked = Way("what was asked", plan.scaling)
    tried = try_ways(original, fitted.manifest, samples, ways(channels, scaled_inside=inside), asked=asked)
    own = next(one for one in tried if one.way is asked)
    best = better_than(own, [one for one in tried if one is not own])
    if best is None:
        return None
    said = f"it answers better otherwise: {told([best, own], _metric_name(fitted))}. Type: {_command(plan, best.way)}"
    return best.mean, said


def _better_labels(plan: Plan, fitted: FittedPlan, evaluation: Evaluation) -> tuple[float, str] | None:
    """Returns what the accuracy would be and a warning, where the labels in another order are right more often."""
    place, names = TASKS[fitted.manifest.task].label_order, fitted.manifest.labels
    order = None if place is None or names is None else load(place)(evaluation)
    if order is None or names is None:
        return None
    labels = tuple(names[class_id] for class_id in order.labels)
    typed = _command(plan, None, labels=labels)
    return (
        order.accuracy,
        f"its labels do not stand in the order of its outputs: {evaluation.headline()}, and accuracy "
        f"{order.accuracy:.4f} with {', '.join(labels)}. Type: {typed}",
    )


def _command(plan: Plan, way: Way | None, *, labels: tuple[str, ...] | None = None) -> str:
    options: dict[str, str | None] = given_options(plan.config)
    if way is not None:
        for option in ("--pixels", "--mean", "--std", "--color"):
            options.pop(option, None)
    if labels is not None:
        options["--labels"] = shlex.quote(",".join(labels))
    typed = " ".join(filter(None, [as_options(options), "" if way is None else way.options]))
    return f"edgecnn adopt {shlex.quote(str(plan.config.file.path))} {typed}".rstrip()


def _metric_name(fitted: FittedPlan) -> str:
    return metric_of(fitted.manifest)().name


def _proven(original: OriginalModel, copied: KerasModel, fitted: FittedPlan, samples: Samples | None) -> Parity:
    """Returns how far the copy's answers are from the model's own, on pictures, or on drawn ones.

    Raises:
        ParityError: they are not equal up to rounding.
    """
    manifest = fitted.manifest
    report = compare(
        original,
        copied,
        manifest,
        synthetic_batches(manifest) if samples is None else _some(samples, fitted),
        images_from=SYNTHETIC if samples is None else samples.part,
    )
    if not report.passed:
        raise ParityError(
            f"the copy of the model does not answer like the model itself: {report.summary()}. Nothing was written.",
            report,
        )
    return report.parity


def _some(samples: Samples, fitted: FittedPlan) -> Iterator[Batch]:
    chosen = samples.subset(np.unique(np.linspace(0, len(samples) - 1, _PROVEN_ON).astype(np.int64)))
    to_model = class_map(fitted.manifest, chosen)
    for batch in iter_ready(chosen, fitted.manifest, images_together(fitted.manifest), to_model=to_model):
        yield Batch(batch.feeds, batch.placements)


def _record(plan: Plan, model: keras.Model, mounting: Mounting, dataset: Dataset | None) -> AdoptionRecord:
    file = plan.config.file
    copied = file.copied(Path())
    with file.path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    adopted = Adopted(
        name=file.path.name,
        sha256=digest,
        file=copied.path.name,
        architecture=None if copied.architecture is None else copied.architecture.name,
        imports=file.imports,
        mounting=mounting,
        shape=tuple(model.inputs[plan.image].shape[1:]),
        in_float32=plan.architecture.mixed is not None,
    )
    data = None if dataset is None else data_record(dataset)
    return AdoptionRecord(adopted, data, {package: version(package) for package in _PACKAGES})


def _write(run_dir: Path, copy: keras.Model, fitted: FittedPlan, record: AdoptionRecord, plan: Plan) -> None:
    """Makes the run folder whole, by one rename."""
    parent = run_dir.parent
    with writing(run_dir):
        parent.mkdir(parents=True, exist_ok=True)
        with workplace(parent) as place:
            made = place / "run"
            made.mkdir()
            copy.save(made / MODEL)
            plan.config.file.copy(made)
            (made / RUN_MANIFEST).write_text(fitted.manifest.to_json() + "\n", encoding="utf-8")
            (made / RUN_CONFIG).write_text(record.to_json(), encoding="utf-8")
            publish(made, run_dir)
