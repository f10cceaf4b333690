"""The picture and the page of a journey show its numbers."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from tests.evaluation.pages import Page

from crossfade.errors import ConfigError
from crossfade.evaluation.journey import Journey, Moment
from crossfade.evaluation.journey_plots import _figure, page, picture, write_picture
from crossfade.evaluation.plots import _CSS

BASES = ("ease", "popularity", "nmf")
DAY = "2024-05-{:02}T18:30:00+00:00"


def moment(n: int, ease: float | None, by: str = "model", chance: float | None = None) -> Moment:
    weights = {} if ease is None else {"ease": ease, "popularity": 1 - ease, "nmf": 0.0}
    return Moment(n, DAY.format(n + 1), by, weights, 10, "t1", chance, None)


JOURNEY = Journey(
    "ann",
    "meta",
    BASES,
    10,
    (moment(0, 0.1, "static"), moment(3, None, "nobody"), moment(9, 0.8, chance=0.25)),
)


def test_bases_that_never_weigh_anything_are_left_out_and_the_largest_comes_first() -> None:
    assert JOURNEY.ranked() == ["popularity", "ease"]  # 1.1 to 0.9 in all


def test_notes_say_when_no_learned_model_answers() -> None:
    assert JOURNEY.notes() == [
        "after 0 events: the static blend answers, with the same weights for everybody",
        "after 3 events: no base can answer",
    ]
    static = Journey("ann", "static", BASES, 10, (moment(0, 0.1, "static"),))
    assert static.notes()[0].startswith("all moments: the static blend answers")
    learned = Journey("ann", "meta", BASES, 10, (moment(0, 0.1),))
    assert learned.notes() == []
    (note,) = replace(learned, unweighed={"fwls": 0.4}).notes()
    assert note.startswith("of the score of meta, 40% comes from models that weigh no bases")


def test_the_picture_has_a_stack_and_one_curve_for_what_is_known() -> None:
    stack, probability = _figure(JOURNEY).axes
    x, y = np.asarray(probability.lines[0].get_xydata(), np.float64).T
    assert x.tolist() == [0, 1, 2]
    assert np.isnan(y[:2]).all()
    assert y[2] == 0.25
    assert len(stack.collections) == 4  # two bases, before and after the gap
    ticks = [tick.get_text() for tick in probability.get_xticklabels()]
    assert ticks == ["0\n2024-05-01\nstatic", "3\n2024-05-04", "9\n2024-05-10"]


def test_the_page_is_whole_and_says_every_number() -> None:
    html = page(Journey('<img src="x">', *[getattr(JOURNEY, key) for key in
                                           ("model", "bases", "k", "moments")]))  # fmt: skip
    found = Page(html)
    assert found.open == []
    assert found.outside == []
    assert "<img" not in html
    for said in (
        "0.80",
        "0.20",
        "25.0%",
        "2024-05-10 18:30",
        "After 3 events: no base can answer.",
    ):
        assert said in found.text


def test_a_picture_on_a_page_follows_its_colours_and_a_file_has_its_own(tmp_path: Path) -> None:
    assert "var(--ink)" in picture(JOURNEY)
    write_picture(JOURNEY, tmp_path / "new" / "ann.svg")
    text = (tmp_path / "new" / "ann.svg").read_text()
    assert "var(--" not in text
    assert not any(colour in text for colour in _CSS)
    assert ET.fromstring(text).tag.endswith("svg")


def test_a_png_is_drawn_on_white(tmp_path: Path) -> None:
    from matplotlib.image import imread

    write_picture(JOURNEY, tmp_path / "ann.png")
    pixels = np.asarray(imread(tmp_path / "ann.png"))
    assert pixels.shape[1] > 1_000
    assert pixels[0, -1].tolist() == [1.0, 1.0, 1.0, 1.0]
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 10


def test_equal_journeys_give_equal_pictures() -> None:
    assert page(JOURNEY) == page(JOURNEY)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a picture ends in \.png, \.svg or \.html"):
        write_picture(JOURNEY, tmp_path / "ann.gif")
    assert list(tmp_path.iterdir()) == []


def test_json_has_null_for_what_is_not_known() -> None:
    document = json.loads(json.dumps(JOURNEY.to_json(), allow_nan=False))
    assert document["moments"][0]["probability"] is None
    assert document["moments"][1]["weights"] == {}
    assert document["moments"][2]["as_of"] == "2024-05-10T18:30:00+00:00"
