import dataclasses

import numpy as np
import pytest

from edgecnn_runtime.decoders import DistanceDecoder, OutputSpec, ProbabilitiesDecoder, SigmoidDecoder
from edgecnn_runtime.errors import OutputError, SessionError
from edgecnn_runtime.manifest import Manifest
from edgecnn_runtime.preprocessing import Placement
from edgecnn_runtime.tasks.scores import softmax, top_k
from edgecnn_runtime.tasks.table import decode

PLACEMENTS = [Placement((10, 20), (1.0, 1.0), (0.0, 0.0)), Placement((30, 40), (1.0, 1.0), (0.0, 0.0))]
LOGITS = np.array([[0, 1, 2], [2, 1, 0]], dtype=np.float32)


def test_decode_gives_one_classification_an_image(make_manifest):
    results = decode(make_manifest(), {"logits": LOGITS}, PLACEMENTS)
    assert [result.label for result in results] == ["two", "zero"]
    assert [result.shape for result in results] == [(10, 20), (30, 40)]
    np.testing.assert_array_equal([result.scores for result in results], softmax(LOGITS))


def test_decode_ignores_outputs_that_the_decoder_does_not_read(make_manifest):
    outputs = {"logits": LOGITS, "other": np.full((2, 5), np.nan)}
    assert len(decode(make_manifest(), outputs, PLACEMENTS)) == 2


# faults.md, row 23


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_decode_never_ranks_invalid_outputs(make_manifest, value):
    logits = LOGITS.copy()
    logits[1, 2] = value
    with pytest.raises(OutputError, match="received 1 NaN or infinite of 6") as caught:
        decode(make_manifest(), {"logits": logits}, PLACEMENTS)
    assert (caught.value.kind, caught.value.exit_code) == ("invalid_output", 1)


def test_decode_names_an_output_that_is_missing(make_manifest):
    with pytest.raises(SessionError, match=r"expected 'logits', received \['scores'\]"):
        decode(make_manifest(), {"scores": LOGITS}, PLACEMENTS)


@pytest.mark.parametrize("shape", [(2, 4), (1, 3), (2, 3, 1)])
def test_decode_names_a_shape_that_the_manifest_does_not_declare(make_manifest, shape):
    with pytest.raises(SessionError, match=r"expected shape \(2, 3\), received"):
        decode(make_manifest(), {"logits": np.zeros(shape, np.float32)}, PLACEMENTS)


def test_decode_gives_no_labels_where_the_model_never_saw_data(make_manifest):
    result = decode(make_manifest(labels=None), {"logits": LOGITS[:1]}, PLACEMENTS[:1])[0]
    assert result.label is None
    assert result.class_id == 2


def test_top_k_is_part_of_the_module():
    assert top_k(LOGITS[0], 1).tolist() == [2]


def test_decode_gives_the_nearest_prototype_the_highest_score(make_manifest):
    manifest = dataclasses.replace(make_manifest(), decoder=DistanceDecoder(), outputs=(OutputSpec("distances", (3,)),))
    distances = np.array([[4.0, 1.0, 9.0]], dtype=np.float32)
    result = decode(manifest, {"distances": distances}, PLACEMENTS[:1])[0]
    assert result.class_id == 1
    assert result.scores == pytest.approx(np.exp(-distances[0]) / np.exp(-distances[0]).sum())
    assert Manifest.from_json(manifest.to_json()) == manifest


def decoded(make_manifest, decoder, rows, labels):
    """The scores of rows of numbers, (N, classes), as lists."""
    values = np.array(rows, dtype=np.float32)
    outputs = (OutputSpec(decoder.output, (values.shape[1],)),)
    manifest = make_manifest(decoder=decoder, outputs=outputs, labels=labels)
    return decode(manifest, {decoder.output: values}, PLACEMENTS[: len(rows)])


@pytest.mark.parametrize(
    ("decoder", "rows"), [(SigmoidDecoder(), [[np.log(4)], [-np.log(3)]]), (ProbabilitiesDecoder(), [[0.8], [0.25]])]
)
def test_decode_reads_two_classes_from_one_unit(make_manifest, decoder, rows):
    results = decoded(make_manifest, decoder, rows, ("no", "yes"))
    np.testing.assert_allclose([result.scores for result in results], [[0.2, 0.8], [0.75, 0.25]], rtol=1e-6)
    assert [result.label for result in results] == ["yes", "no"]
    assert results[0].to_dict()["predictions"] == [
        {"name": "yes", "class": 1, "confidence": pytest.approx(0.8)},
        {"name": "no", "class": 0, "confidence": pytest.approx(0.2)},
    ]


@pytest.mark.parametrize(
    ("decoder", "rows"),
    [(SigmoidDecoder(), [[np.log(4), np.log(9), -np.log(9)]]), (ProbabilitiesDecoder(), [[0.8, 0.9, 0.1]])],
)
def test_decode_scores_several_units_each_for_itself(make_manifest, decoder, rows):
    (result,) = decoded(make_manifest, decoder, rows, ("a", "b", "c"))
    np.testing.assert_allclose(result.scores, [0.8, 0.9, 0.1], rtol=1e-6)
    assert [best.label for best in result.top(2)] == ["b", "a"]


def test_decode_takes_probabilities_as_they_are_but_for_rounding(make_manifest):
    (result,) = decoded(make_manifest, ProbabilitiesDecoder(), [[1.0000001, -1e-7, 0.25]], ("a", "b", "c"))
    assert result.scores.tolist() == [1, 0, 0.25]
