import dataclasses

import numpy as np
import pytest
from PIL import Image

from edgecnn.exporting.tries_picture import draw_tries
from edgecnn_exporters import Try
from edgecnn_exporters.quantization.speed import Speedup

SPEEDUP = Speedup(2.5, 5.0, 2.0, 100, 1, 1, "CPUExecutionProvider")


@pytest.fixture
def tries():
    refused = Try(
        *("int8", "minmax", 4, (), "accuracy", 0.9, 0.7, 0.2, 0.25, False, 0.8, SPEEDUP, 1_000_000, False, True)
    )
    kept = Try(
        *("int8", "minmax", 3, ("conv/Conv",), "accuracy", 0.9, 0.9, 0.0, 0.004, True, 1.0, None, 1_500_000),
        *(True, None),
    )
    return refused, kept


def test_draw_tries_writes_a_row_a_try(tries, tmp_path):
    draw_tries(tries, tmp_path / "m.onnx")
    lines = (tmp_path / "m.report.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert rows[2] == (
        "| 1 | minmax | 4 int8 | 0 | accuracy 0.7000 | 0.2000 | 0.2500 (not decided) | 0.8000 | 2.50 (n 100, 1 thread) "
        "| 1.00 | no |"
    )
    assert rows[3].endswith("| not measured | 1.50 | yes |")
    assert "In float32 in the last one: conv/Conv." in lines
    assert len({row.count("|") for row in rows}) == 1


def test_draw_tries_refuses_what_strict_refuses(tries, tmp_path):
    undecided = dataclasses.replace(tries[1], decided=False)
    strict = dataclasses.replace(undecided, strict=True)
    draw_tries([undecided, strict, dataclasses.replace(strict, decided=True)], tmp_path / "m.onnx")
    rows = [line for line in (tmp_path / "m.report.md").read_text().splitlines() if line.startswith("|")]
    assert [row.rsplit("|", 2)[1].strip() for row in rows[2:]] == ["yes", "no", "yes"]


@pytest.mark.parametrize(("strict", "greener"), [(False, True), (True, False)])
def test_draw_tries_colours_a_try_as_it_was_judged(tries, tmp_path, strict, greener):
    draw_tries([dataclasses.replace(tries[1], decided=False, strict=strict)], tmp_path / "m.onnx")
    with Image.open(tmp_path / "m.report.png") as picture:
        red, green, _ = np.moveaxis(np.asarray(picture.convert("RGB"), np.int16), 2, 0)
    coloured = np.abs(green - red) > 40  # all else is gray
    assert coloured.any()
    assert (green > red)[coloured].all() == greener


def test_draw_tries_draws_a_picture_beside_it(tries, tmp_path):
    draw_tries(tries, tmp_path / "m.onnx")
    with Image.open(tmp_path / "m.report.png") as picture:
        assert picture.size == (700, 500)
    assert "(m.report.png)" in (tmp_path / "m.report.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"m.report.md", "m.report.png"}


def test_draw_tries_takes_files_without_labels(tmp_path):
    one = Try("float16", None, 4, (), None, None, None, 1e-3, None, True, 1.0, None, 1000, True, None)
    draw_tries([one], tmp_path / "m.onnx")
    assert "| 1 | none | 4 float16 | 0 | none | 0.0010 | none | 1.0000 |" in (tmp_path / "m.report.md").read_text()
