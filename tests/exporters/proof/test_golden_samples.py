import base64
import dataclasses
import io
import json

import keras
import numpy as np
import pytest
import segmentations
from PIL import Image

from edgecnn_exporters import ExportError, ParityError
from edgecnn_exporters.proof.golden_samples import ALIKE, LIMITS, make_golden
from edgecnn_runtime import Predictor
from edgecnn_runtime.errors import ModelFileError
from edgecnn_runtime.golden import MAX_BYTES
from edgecnn_runtime.session import Session


@pytest.fixture
def make(make_manifest, make_reference, export_model, model, exported, tmp_path):
    """Makes the golden samples of a model's file: `make(model, pictures)`."""
    exported_model = model

    def golden(model, pictures=None, *, reference=None, labels=None, **options):
        path = exported.path if model is exported_model else export_model(model, tmp_path / "m.onnx").path
        predictor = Predictor.load(path, device="cpu", threads=1)
        predictor = Predictor(predictor.session, make_manifest(model, labels=labels))
        return make_golden(
            predictor, reference or make_reference(model), pictures, **{"precision": "float32"} | options
        )

    return golden


class Shifted:
    """Answers as another model does, but for a part of the largest raw output."""

    def __init__(self, model, part):
        self.model, self.part = model, part

    def run(self, feeds):
        return {name: values + self.part * np.abs(values).max() for name, values in self.model.run(feeds).items()}


def opened(sample):
    return Image.open(io.BytesIO(sample.image_bytes))


def size_of(samples):
    return len(json.dumps([dataclasses.asdict(sample) for sample in samples]))


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (1, {"plain.png": "L", "resized.jpg": "L", "turned.jpg": "L", "tinted.png": "RGB"}),
        (3, {"plain.png": "RGB", "resized.jpg": "RGB", "turned.jpg": "RGB", "gray.png": "L"}),
    ],
)
def test_make_golden_covers_encodings_colours_sizes_and_turns(make, make_model, make_pixels, channels, expected):
    samples = make(make_model(channels=channels), list(make_pixels(5, channels=channels))).samples
    assert {sample.name: opened(sample).mode for sample in samples} == expected
    assert [opened(sample).format for sample in samples] == ["PNG", "JPEG", "JPEG", "PNG"]
    assert opened(samples[2]).getexif()[0x0112] == 6
    assert [sample.trace.image_size for sample in samples] == [(12, 10), (18, 15), (12, 13), (12, 10)]
    assert {sample.trace.inputs[0].shape for sample in samples} == {(1, 12, 10, channels)}


def test_make_golden_takes_the_pictures_that_are_given(make, model, make_pixels):
    pictures = list(make_pixels(2))
    samples = make(model, iter(pictures)).samples
    assert np.array_equal(np.asarray(opened(samples[0])), pictures[0].squeeze())
    assert np.array_equal(np.asarray(opened(samples[3]))[:, :, 0], pictures[1].squeeze())


def test_make_golden_takes_as_many_as_it_is_asked_for(make, model, make_pixels):
    pictures = list(make_pixels(3))
    samples = [make(model, pictures, count=count).samples for count in (1, 2, 3)]
    assert [len(made) for made in samples] == [1, 2, 3]
    assert samples[:2] == [samples[2][:1], samples[2][:2]]


@pytest.mark.parametrize("pictures", [None, ()])
def test_make_golden_draws_the_same_pictures_where_there_are_none(make, model, pictures):
    assert make(model, pictures).samples == make(model, None).samples


def test_make_golden_holds_what_the_file_answers(make, model, exported, make_pixels):
    samples = make(model, make_pixels(4)).samples
    predictor = Predictor.load(exported.path, device="cpu")
    for sample in samples:
        result = predictor.predict(sample.image_bytes)
        best = result.top(5)
        expected = {**{f"score of class {s.class_id}": s.score for s in best}, "best score": best[0].score}
        assert sample.trace.result.numbers == pytest.approx(expected, abs=1e-6)


def test_make_golden_fits_a_thousand_classes_at_299_pixels_of_noise(make, make_model, make_pixels):
    size = (299, 299)
    model = make_model(keras.layers.GlobalAveragePooling2D(name="mean"), size=size, channels=3, classes=1000)
    labels = tuple(f"a label of usual length, number {number}" for number in range(1000))
    samples = make(model, make_pixels(4, size=size, channels=3), labels=labels).samples
    assert size_of(samples) <= MAX_BYTES
    assert {sample.trace.inputs[0].shape for sample in samples} == {(1, 299, 299, 3)}
    assert max(max(opened(sample).size) for sample in samples) >= 48


def test_make_golden_refuses_labels_that_do_not_fit(make, model):
    with pytest.raises(ExportError, match=r"golden samples: expected at most 65536 bytes, received .*labels"):
        make(model, labels=tuple(letter * 9000 for letter in "abc"))


@pytest.mark.parametrize("pictures", [[np.zeros((1, 1), np.uint8)], [np.zeros((1, 900, 3), np.uint8)]])
def test_make_golden_takes_pictures_of_any_shape(make, model, pictures):
    golden = make(model, pictures)
    assert golden.gate.passed
    assert len(golden.samples) == 4


@pytest.mark.parametrize("size", [(40, 400), (400, 40), (64, 160), (32, 32)])
@pytest.mark.parametrize("tiles", [None, (64, 32)])
def test_make_golden_takes_long_and_narrow_pictures_for_a_network_that_pads(size, tiles):
    """A picture that is large enough must not be shrunk below what the network takes."""
    session = Session(segmentations.make_graph((None, None)), device="cpu", threads=1)
    predictor = Predictor(session, segmentations.make_manifest((None, None), multiple_of=32, tiles=tiles))
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    samples = make_golden(predictor, session, [noise], precision="float32").samples
    least = 1 if tiles else 32
    assert [min(opened(sample).size) >= least for sample in samples] == [True] * 4
    assert sum(len(sample.image_bytes) <= 8192 for sample in samples) == 4


@pytest.mark.parametrize("precision", LIMITS)
def test_make_golden_compares_with_the_source(make, model, make_reference, precision):
    budget = LIMITS[precision].source
    for part, passed in ((budget / 4, True), (budget * 4, False)):
        gate = make(model, precision=precision, reference=Shifted(make_reference(model), part)).gate
        assert (gate.name, gate.budget, gate.passed) == ("golden.outputs", budget, passed)


@pytest.mark.parametrize(("precision", "passed"), [("float32", False), ("int8", True)])
def test_make_golden_lets_int8_miss_one_picture(make, model, make_reference, precision, passed):
    class Once(Shifted):
        def run(self, feeds):
            answer, self.part = super().run(feeds), 0.0
            return answer

    assert make(model, precision=precision, reference=Once(make_reference(model), 4.0)).gate.passed is passed


def test_make_golden_passes_nothing_that_is_not_finite(make, model, make_reference):
    golden = make(model, reference=Shifted(make_reference(model), np.nan))
    assert not golden.gate.passed
    assert golden.samples == ()


def test_limits_are_wider_where_numbers_are_narrower():
    rows = [LIMITS[precision] for precision in ("float32", "float16", "int8")]
    assert rows == sorted(rows, key=lambda row: (row.elsewhere.outputs, row.elsewhere.results, row.source))
    assert all(ALIKE.outputs <= row.elsewhere.outputs <= row.source for row in rows)


# in an export


def test_export_stamps_samples_that_verify(exported):
    predictor = Predictor.load(exported.path, device="cpu", verify=True)
    assert [sample.passed for sample in predictor.verification.samples] == [True] * 4
    assert predictor.verification.checked_on == exported.evidence.cpu_family
    assert exported.evidence.gates[-1].name == "golden.outputs"


def test_export_refuses_a_number_of_golden_samples_out_of_range(model, export_model, tmp_path):
    for count in (-1, 5):
        with pytest.raises(ValueError, match=f"golden_samples: expected 0 to 4, received {count}"):
            export_model(model, tmp_path / "m.onnx", golden_samples=count)


def test_export_reads_no_picture_for_a_file_without_golden_samples(model, export_model, tmp_path):
    def pictures():
        raise AssertionError("a picture was read")
        yield

    report = export_model(model, tmp_path / "m.onnx", golden=pictures(), golden_samples=0)
    assert report.evidence.golden == ()
    with pytest.raises(ModelFileError, match="exported without any"):
        Predictor.load(report.path, device="cpu", verify=True)


@pytest.mark.parametrize("batch", [None, 3])
def test_export_stamps_samples_into_files_of_any_batch_size(model, export_model, tmp_path, batch):
    path = export_model(model, tmp_path / "m.onnx", batch=batch).path
    assert Predictor.load(path, device="cpu", verify=True).verification.passed


def test_export_gives_the_same_samples_on_any_number_of_threads(model, exported, export_model, tmp_path, monkeypatch):
    monkeypatch.setattr("edgecnn_runtime.session._usable_cpus", lambda: 3)
    assert export_model(model, tmp_path / "m.onnx", seed=7).path.read_bytes() == exported.path.read_bytes()


def test_export_refuses_a_file_that_answers_golden_pictures_otherwise(
    model, export_model, make_reference, make_pixels, tmp_path, files_in
):
    class RightOnOnePicture:
        def __init__(self):
            self.model, self.calls = make_reference(model), 0

            self.results = self.model.results

        def run(self, feeds):
            self.calls += 1
            return self.model.run(feeds) if self.calls == 1 else Shifted(self.model, 0.1).run(feeds)

    evaluation = [(make_pixels(4), None)]
    with pytest.raises(ParityError, match=r"no file written.*golden\.outputs .* \(budget 0\.0001\)"):
        export_model(model, tmp_path / "m.onnx", reference=RightOnOnePicture(), evaluation=evaluation)
    assert files_in(tmp_path) == ["m.report.json"]


def test_export_refuses_a_finished_file_that_answers_otherwise(
    model, export_model, export_module, monkeypatch, tmp_path, files_in
):
    def other_pixels(*arguments, **options):
        made = make_golden(*arguments, **options)
        sample = dataclasses.replace(made.samples[1], image=base64.b64encode(made.samples[0].image_bytes).decode())
        return dataclasses.replace(made, samples=(made.samples[0], sample))

    monkeypatch.setattr(export_module, "make_golden", other_pixels)
    with pytest.raises(ExportError, match=r"golden sample 'resized\.jpg': expected .*, received .* finished file"):
        export_model(model, tmp_path / "m.onnx")
    assert files_in(tmp_path) == []
