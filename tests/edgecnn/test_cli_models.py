import json

import pytest

from edgecnn.cli import main
from edgecnn.models import CATALOG

TERMINAL = 80  # columns


@pytest.fixture
def listed(capfd):
    def run(*arguments):
        assert main(["models", *arguments]) == 0
        return capfd.readouterr().out

    return run


def test_models_lists_every_row_with_its_size_parameters_and_paper(listed):
    header, *lines = listed().splitlines()
    assert header.split() == ["name", "task", "input", "parameters", "paper", "or", "book"]
    rows = []  # a long reference goes on in the lines below
    for line in lines:
        start, reference = line[: header.index("paper")], line[header.index("paper") :]
        if start.strip():
            rows.append([*start.split(), reference])
        else:
            rows[-1][-1] += reference if rows[-1][-1].endswith("-") else f" {reference}"
    assert rows == [
        [s.name, s.task, "{}x{}x{}".format(*s.image_size, s.channels), f"{s.parameters:,}", s.reference]
        for s in CATALOG.values()
    ]


def test_models_fits_a_terminal(listed):
    assert max(map(len, listed().splitlines())) <= TERMINAL


def test_models_gives_programs_summary_and_reference(listed):
    rows = json.loads(listed("--format", "json"))
    assert [(row["name"], row["summary"], row["reference"]) for row in rows] == [
        (spec.name, spec.summary, spec.reference) for spec in CATALOG.values()
    ]


def test_models_shows_the_index_that_unfreeze_from_takes(listed):
    options = ["alexnet", "--image-size", "67,67", "--width", "0.05", "--classes", "3"]
    layers = json.loads(listed(*options, "--format", "json"))["layers"]
    indices = {layer["name"]: layer["backbone_index"] for layer in layers}
    assert [indices[name] for name in ("image", "normalization", "conv1", "pool5", "fc6")] == [0, None, 1, 10, None]
    text = listed(*options)
    rows = {name: line for line in text.splitlines() for name in indices if f" {name} " in line}
    assert rows["conv1"].split()[:2] == ["1", "conv1"]
    assert rows["normalization"].split()[:2] == ["normalization", "Rescaling"]
    assert "layers 0 to 10: 'edgecnn train --unfreeze-from N'" in text.splitlines()[-1]


def test_models_leaves_the_index_out_where_there_is_no_backbone(listed):
    text = listed("mnist_convnet")
    assert text.splitlines()[3].split()[0] == "layer"
    assert text.splitlines()[-1] == "backbone           none: 'edgecnn train' has nothing to --freeze here"
    layers = json.loads(listed("mnist_convnet", "--format", "json"))["layers"]
    assert {layer["backbone_index"] for layer in layers} == {None}
