import numpy as np

from edgecnn_exporters.proof import proof
from edgecnn_exporters.proof.proof import Remembered


class Counting:
    def __init__(self):
        self.asked = 0

    def run(self, feeds):
        self.asked += 1
        return {"logits": feeds["image"] * 2.0}


def answers(model, batches):
    model.restart()
    return [float(model.run({"image": np.full((2, 3), batch)})["logits"][0, 0]) for batch in batches]


def test_remembered_asks_once():
    source = Counting()
    model = Remembered(source)
    assert answers(model, [1, 2, 3]) == answers(model, [1, 2, 3]) == [2, 4, 6]
    assert source.asked == 3


def test_remembered_goes_on_where_the_first_round_was_cut_short():
    source = Counting()
    model = Remembered(source)
    assert answers(model, [1]) == [2]
    assert answers(model, [1, 2]) == [2, 4]
    assert source.asked == 2


def test_remembered_asks_again_for_what_there_was_no_room_for(monkeypatch):
    monkeypatch.setattr(proof, "_MOST_BYTES", 100)  # two answers of 48 bytes
    source = Counting()
    model = Remembered(source)
    assert answers(model, [1, 2, 3]) == answers(model, [1, 2, 3]) == [2, 4, 6]
    assert source.asked == 4
