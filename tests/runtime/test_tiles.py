"""Pictures in tiles, against the model on the whole picture and against a sum over all tiles in plain NumPy."""

import dataclasses
import math
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import segmentations
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgecnn_runtime import Predictor, SessionError
from edgecnn_runtime.map_decoders import largest_overlap
from edgecnn_runtime.model import run_all
from edgecnn_runtime.session import Session
from edgecnn_runtime.tiles import Tiled

WEIGHTS = np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32)


class Pixels:
    """A made-up model whose answer for a pixel depends on nothing else; it keeps the shapes that it was given."""

    def __init__(self, batch=None):
        self.batch, self.shapes = batch, []

    def run(self, feeds):
        (pixels,) = feeds.values()
        self.shapes.append(pixels.shape)
        assert self.batch in (None, len(pixels))
        return {"logits": pixels.astype(np.float32) @ WEIGHTS}


class Places(Pixels):
    """One whose answer depends on where in its input a pixel stands, so that every tile answers otherwise."""

    def run(self, feeds):
        logits = super().run(feeds)["logits"]
        y, x = np.indices(logits.shape[1:3])
        return {"logits": logits * (1 + np.sin(y + 2 * x))[..., np.newaxis]}


def make_manifest(size=(16, 16), tiles=(16, 4), **fields):
    return segmentations.make_manifest(size, tiles=tiles, classes=4, labels=None, **fields)


def picture(height, width, count=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def brute_force(model, pixels, size, overlap, step):
    """All weighted tiles of one picture, (H, W, 3), divided by the full map of their weights."""
    height, width = pixels.shape[:2]
    covered = [max(size, math.ceil(side / step) * step) for side in (height, width)]
    padded = np.pad(pixels, ((0, covered[0] - height), (0, covered[1] - width), (0, 0)), mode="reflect")
    line = np.exp(-(((np.arange(size) - (size - 1) / 2) / (size / 8)) ** 2) / 2)
    total, weights = np.zeros((*covered, 4)), np.zeros((*covered, 1))
    move = max(step, (size - overlap) // step * step)
    starts = [sorted({*range(0, side - size, move), side - size}) for side in covered]
    for y in starts[0]:
        for x in starts[1]:
            tile = np.s_[y : y + size, x : x + size]
            logits = model.run({"image": padded[tile][np.newaxis]})["logits"][0]
            total[tile] += logits * np.outer(line, line)[..., np.newaxis]
            weights[tile] += np.outer(line, line)[..., np.newaxis]
    return (total / weights)[:height, :width]


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 13), st.sampled_from([None, 1, 2, 5]), st.integers(1, 2))
def test_a_model_that_sees_pixels_alone_answers_as_on_the_whole_picture(height, width, overlap, batch, count):
    pixels, model = picture(height, width, count), Pixels(batch)
    tiled = Tiled(model, make_manifest(tiles=(16, overlap)), batch=batch)
    found = tiled.run({"image": pixels})
    assert list(found) == ["logits"]
    assert found["logits"].dtype == np.float32
    np.testing.assert_allclose(found["logits"], pixels.astype(np.float32) @ WEIGHTS, rtol=1e-4, atol=1e-3)
    assert {shape[1:] for shape in model.shapes} == {(16, 16, 3)}
    assert {shape[0] for shape in model.shapes} == {batch or 1}


@settings(deadline=None)
@given(
    st.integers(1, 50),
    st.integers(1, 50),
    st.sampled_from([(16, 4, None), (16, 8, None), (16, 3, None), (16, 14, None), (16, 5, 8), (24, 7, 8), (16, 4, 4)]),
)
def test_tiles_are_added_up_as_plain_numpy_does(height, width, tiles):
    size, overlap, multiple_of = tiles
    free = {} if multiple_of is None else {"size": (None, None), "multiple_of": multiple_of}
    manifest = make_manifest(tiles=(size, overlap), **free)
    pixels = picture(height, width)
    step = multiple_of or math.gcd(size, overlap)
    expected = brute_force(Places(), pixels[0], size, overlap, step)
    found = Tiled(Places(), manifest).run({"image": pixels})["logits"][0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=5e-3)


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(2, 6), st.integers(1, 40), st.sampled_from([None, 4, 8]))
def test_tiles_have_as_much_in_common_as_is_said(side, cells, overlap, multiple_of):
    size, free = 8 * cells, {} if multiple_of is None else {"size": (None, None), "multiple_of": multiple_of}
    assume(overlap <= largest_overlap(size, multiple_of or 1))
    where = np.arange(side, dtype=np.uint8)[np.newaxis, np.newaxis, :, np.newaxis].repeat(3, axis=3)
    seen = []

    class Seen(Pixels):
        def run(self, feeds):
            seen.append(feeds["image"][0, 0, :, 0].astype(int))
            return super().run(feeds)

    Tiled(Seen(), make_manifest(**{"size": (size, size), **free}, tiles=(size, overlap))).run({"image": where})
    whole = np.pad(np.arange(side), (0, max(0, seen[-1][0] + size - side)), mode="reflect")
    starts = [int(tile[0]) for tile in seen]
    for start, tile in zip(starts, seen, strict=True):
        np.testing.assert_array_equal(tile, whole[start : start + size])
    assert all(size - (later - start) >= overlap for start, later in pairwise(starts))
    assert starts[-1] + size >= side
    assert not any(start % (multiple_of or 1) for start in starts)


def test_a_tile_counts_most_in_its_middle():
    pixels = picture(16, 28)
    answers = iter((0.0, 1.0))

    class Constant(Pixels):
        def run(self, feeds):
            return {"logits": np.full((*feeds["image"].shape[:3], 4), next(answers), np.float32)}

    row = Tiled(Constant(), make_manifest()).run({"image": pixels})["logits"][0, 0, :, 0]
    assert not row[:12].any()
    assert (row[16:] == 1).all()
    assert (np.diff(row[11:17]) > 0).all()
    np.testing.assert_allclose(row[12:16] + row[15:11:-1], 1, rtol=1e-6)


def test_a_picture_smaller_than_a_tile_is_reflected_up_to_a_whole_one():
    class Seen(Pixels):
        def run(self, feeds):
            self.tile = feeds["image"]
            return super().run(feeds)

    for size in ((5, 7), (1, 1), (1, 16), (16, 16)):
        model, pixels = Seen(), picture(*size)
        Tiled(model, make_manifest()).run({"image": pixels})
        expected = np.pad(pixels[0], ((0, 16 - size[0]), (0, 16 - size[1]), (0, 0)), mode="reflect")
        np.testing.assert_array_equal(model.tile[0], expected)
        assert len(model.shapes) == 1


def test_tiles_see_the_grid_of_the_whole_picture():
    """A network that pools sees other groups of pixels where a tile lies elsewhere than on a multiple of its stride."""

    class Pooled(Pixels):
        def run(self, feeds):
            (pixels,) = feeds.values()
            n, height, width, _ = pixels.shape
            means = (pixels.astype(np.float32) @ WEIGHTS).reshape(n, height // 8, 8, width // 8, 8, 4).mean(axis=(2, 4))
            return {"logits": means.repeat(8, axis=1).repeat(8, axis=2)}

    for tiles in ((16, 5), (24, 6), (32, 9)):
        manifest, pixels = make_manifest((None, None), tiles), picture(75, 90)
        padded = np.pad(pixels, ((0, 0), (0, 5), (0, 6), (0, 0)), mode="reflect")
        whole = Pooled().run({"image": padded})["logits"][:, :75, :90]
        found = Tiled(Pooled(), manifest).run({"image": pixels})["logits"]
        np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-2)


def test_memory_is_the_picture_its_logits_and_a_few_tiles():
    class Zeros:
        def run(self, feeds):
            (pixels,) = feeds.values()
            return {"logits": np.zeros((*pixels.shape[:3], 4), np.float32)}

    tiled, pixels = Tiled(Zeros(), make_manifest((64, 64), (64, 16))), picture(700, 900)
    logits, tile = pixels[..., 0].size * 4 * 4, 64 * 64 * 4 * 8
    tracemalloc.start()
    try:
        tiled.run({"image": pixels})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert logits < peak < logits + 6 * tile


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(value):
    class Broken(Pixels):
        def run(self, feeds):
            return {"logits": super().run(feeds)["logits"] * np.float32(value)}

    assert not np.isfinite(Tiled(Broken(), make_manifest()).run({"image": picture(20, 20)})["logits"]).any()


def test_an_answer_of_another_shape_is_refused():
    class Smaller(Pixels):
        def run(self, feeds):
            return {"logits": super().run(feeds)["logits"][:, ::2, ::2]}

    with pytest.raises(SessionError, match=r"'logits': expected shape \(1, 16, 16, 4\), received \(1, 8, 8, 4\)"):
        Tiled(Smaller(), make_manifest()).run({"image": picture(20, 20)})


def test_a_manifest_without_tiles_is_refused():
    with pytest.raises(ValueError, match="expected a decoder with tiles"):
        Tiled(Pixels(), make_manifest(tiles=None))


# through a file


@pytest.fixture
def load(tmp_path, stamp):
    def load(graph, manifest):
        path = tmp_path / "m.onnx"
        path.write_bytes(stamp(segmentations.make_graph(**graph), manifest))
        return Predictor.load(path, device="cpu", threads=1)

    return load


@pytest.mark.parametrize("batch", [1, 3, "batch"])
@pytest.mark.parametrize("size", [(16, 16), (None, None)])
def test_a_predictor_answers_pictures_of_unlike_sizes_by_their_tiles(load, batch, size):
    tiled = segmentations.make_manifest(size, tiles=(16, 4))
    predictor = load({"size": size, "batch": batch}, tiled)
    pictures = [picture(*each)[0] for each in ((40, 23), (40, 23), (5, 9), (16, 16), (1, 1))]
    whole = Session(segmentations.make_graph((None, None)), device="cpu", threads=1)
    answers = predictor.predict_batch(pictures)
    assert predictor.batch is None
    for pixels, answer in zip(pictures, answers, strict=True):
        logits = whole.run({"image": pixels[np.newaxis]})["logits"][0]
        assert (answer.class_map != logits.argmax(axis=2)).mean() < 0.01
        np.testing.assert_array_equal(answer.class_map, predictor.predict(pixels).class_map)
        assert answer.shape == pixels.shape[:2]


def test_pictures_in_tiles_are_answered_one_by_one(load, monkeypatch):
    """However many are given together: the logits of all of them at once are what memory has no room for."""
    predictor, rows, run = load({}, segmentations.make_manifest(tiles=(16, 4))), [], Tiled.run

    def counted(tiled, feeds):
        rows.append(len(feeds["image"]))
        return run(tiled, feeds)

    monkeypatch.setattr(Tiled, "run", counted)
    pictures = list(picture(20, 30, count=3))
    assert len(predictor.predict_batch(pictures)) == len(list(predictor.stream(pictures, batch_size=2))) == 3
    assert rows == [1] * 6


def test_a_picture_in_tiles_keeps_its_size_whatever_the_input_does(load):
    pixels = picture(40, 23)[0]
    for fields in ({"resize": "letterbox", "pad_value": 9}, {"resize": "center_crop", "crop_fraction": 0.5}, {}):
        prepared = load({}, segmentations.make_manifest(tiles=(16, 4), **fields)).inputs(pixels)
        np.testing.assert_array_equal(prepared.feeds["image"], pixels[np.newaxis])
        assert (prepared.placement.scale, prepared.placement.offset) == ((1, 1), (0, 0))


def test_overlapping_tiles_hide_their_seams(load):
    """A network that sees eleven pixels, in tiles that overlap by more, against the whole picture."""
    graph, pixels = {"size": (None, None), "reach": 11}, picture(90, 110)[0]
    whole = load(graph, segmentations.make_manifest((None, None)))
    tiled = load(graph, segmentations.make_manifest((None, None), tiles=(48, 16)))
    expected, found = (one.predict(pixels).class_map for one in (whole, tiled))
    assert len(np.unique(expected)) > 1
    assert (expected != found).mean() < 0.01


def test_a_decoder_without_tiles_takes_the_picture_whole_again(load):
    tiled = load({"batch": 2, "size": (None, None)}, segmentations.make_manifest((None, None), tiles=(16, 4)))
    whole = tiled.with_decoder(dataclasses.replace(tiled.manifest.decoder, tiles=None))
    assert (tiled.batch, whole.batch) == (None, 2)
    pixels = picture(24, 40)
    feeds = whole.inputs(pixels[0]).feeds
    expected = run_all(tiled.session, feeds, 2)["logits"]
    np.testing.assert_array_equal(whole.run(feeds)["logits"], expected)


def test_tiles_are_imported_only_where_a_file_has_some(run_python, tmp_path, stamp):
    path = tmp_path / "m.onnx"
    path.write_bytes(stamp(segmentations.make_graph(), segmentations.make_manifest()))
    code = """
        import sys, edgecnn_runtime
        assert not [name for name in sys.modules if "segmentation" in name or "class_maps" in name]
        edgecnn_runtime.Predictor.load(sys.argv[1], device="cpu", threads=1)
        print("edgecnn_runtime.tiles" in sys.modules, "edgecnn_runtime.tasks.segmentation" in sys.modules)
    """
    assert run_python(code, str(path)).stdout == "False True\n"
