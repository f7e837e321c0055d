"""The files of --questions and --proposals: read, or refused in one line, before a model is loaded."""

import json

import pytest
import typer

from edgecnn.cli import main
from edgecnn.cli.beside import proposals_for, read_proposals, read_questions
from edgecnn.errors import MissingDependencyError
from edgecnn_runtime.errors import ProposalsError
from edgecnn_runtime.inputs import Inputs


def test_boxes_are_read_by_picture(tmp_path):
    boxes = {"a.jpg": [[1, 2, 3, 4]], "sub/b.jpg": []}
    (tmp_path / "boxes.json").write_text("\ufeff" + json.dumps(boxes), encoding="utf-8")
    assert read_proposals(tmp_path / "boxes.json") == boxes
    assert read_proposals(None) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "expected JSON"),
        (b"[[1, 2, 3, 4]]", "expected an object"),
        (b"\xff\xfe", "cannot be read"),
        (b'{"a": [], "a": []}', "stands twice"),
        (b"[" * 100_000, "expected JSON"),
        (None, "No such file"),
    ],
)
def test_what_holds_no_boxes_is_refused_in_one_line(tmp_path, capsys, content, message):
    file = tmp_path / "boxes.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(typer.BadParameter, match=message):
        read_proposals(file)
    assert main(["run", "missing.onnx", "missing.png", "--proposals", str(file)]) == 2
    said = capsys.readouterr().err
    assert "--proposals" in said
    assert message in said
    assert len(said.splitlines()) == 1


def test_questions_of_a_file_follow_those_of_the_command(tmp_path):
    (tmp_path / "asked.txt").write_text(" What is it? \n\nIs it red?\n", encoding="utf-8")
    assert read_questions(["Why?"], tmp_path / "asked.txt") == ["Why?", "What is it?", "Is it red?"]
    assert read_questions(None, None) is None
    (tmp_path / "asked.txt").write_text("\n \n", encoding="utf-8")
    with pytest.raises(typer.BadParameter, match="expected a question a line, received none"):
        read_questions(None, tmp_path / "asked.txt")


class Loaded:
    """A predictor as far as it is asked here."""

    def __init__(self, manifest):
        self.manifest, self.inputs = manifest, Inputs(manifest)


@pytest.fixture
def regarding():
    pytest.importorskip("keras")
    from edgecnn.models.build import build_manifest, get_spec

    return Loaded(build_manifest(get_spec("rcnn"), None))


def test_more_boxes_than_a_model_looks_at_are_said(regarding, capsys):
    given = {"few.png": [[0, 0, 9, 9]], "many.png": [[0, 0, 9, 9]] * 301}
    assert proposals_for(regarding, given) is given
    assert "'many.png': 301 regions, of which the model looks at the first 300" in capsys.readouterr().err
    assert proposals_for(regarding, {}) == {}


def test_without_boxes_selective_search_proposes_or_its_extra_is_named(regarding, monkeypatch):
    from edgecnn.proposing import selective_search

    monkeypatch.setattr("edgecnn.extras.find_spec", lambda _: object())
    assert proposals_for(regarding, None) is selective_search
    monkeypatch.setattr("edgecnn.extras.find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r'pip install "edgecnn\[rcnn\]"'):
        proposals_for(regarding, None)


def test_a_model_that_takes_no_regions_refuses_them():
    pytest.importorskip("keras")
    from edgecnn.models.build import build_manifest, get_spec

    predictor = Loaded(build_manifest(get_spec("yolov3_tiny"), None))
    assert proposals_for(predictor, None) is None
    with pytest.raises(ProposalsError, match="this model takes an image alone"):
        proposals_for(predictor, {"a.png": []})
