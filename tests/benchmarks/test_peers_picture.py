"""The picture shows every way of every model, whichever they are."""

import re

import pytest

WAYS = ("plain fp32", "edgecnn fp32", "edgecnn int8", "edgecnn int8, of tomorrow", "Somebody's int8")


def row(model: str, way: str, ratio: float, *, threads: int = 1, agreement: float = 1.0) -> dict:
    spread = {"median": ratio, "p10": 0.9 * ratio, "p90": 1.1 * ratio, "n": 9}
    return {"model": model, "way": way, "ratio": spread, "threads": threads, "agreement": agreement}


@pytest.mark.parametrize("models", [1, 2, 3, 6])
def test_peers_picture_shows_each_way_of_each_model(script, models) -> None:
    picture = script("peers_picture")
    rows = [
        row(f"model_{model}", way, 1 + model + 0.1 * place) for model in range(models) for place, way in enumerate(WAYS)
    ]
    texts = picture.shown(picture.peers_picture(rows))
    for model in range(models):
        assert texts.count(f"model_{model}") == 1
        for place in range(len(WAYS)):
            assert f"{1 + model + 0.1 * place:.2f}" in texts
    for way in WAYS:
        assert texts.count(way) == models


def test_peers_picture_shows_one_thread_and_what_is_answered_otherwise(script) -> None:
    picture = script("peers_picture")
    rows = [
        row("a", "plain int8", 2.5, agreement=0.985),
        row("a", "plain int8", 7.25, threads=2),
        row("a", "slow", 0.003),
    ]
    texts = picture.shown(picture.peers_picture(rows))
    assert "2.50  (98.5%)" in texts
    assert "0.003" in texts
    assert not [text for text in texts if text.startswith("7.25")]


def test_peers_picture_draws_a_bar_as_long_as_its_ratio(script) -> None:
    drawn = script("peers_picture").peers_picture([row("a", "edgecnn int8", 4), row("a", "edgecnn int8 too", 2)])
    bars = re.findall(r'<path d="([^"]*)"[^>]*style="fill: #0a58a6"', drawn)
    spans = [[float(number) for number in re.findall(r"[ML] ([\d.]+)", bar)] for bar in bars]
    long, short = (max(span) - min(span) for span in spans)
    assert long == pytest.approx(2 * short, rel=1e-4)


def test_peers_picture_is_the_same_when_drawn_twice(script) -> None:
    picture = script("peers_picture")
    rows = [row("a_b$c", way, 1.5) for way in WAYS]
    assert picture.peers_picture(rows) == picture.peers_picture(rows)
