"""The weight landscape: areas, section and JSON say what the bins say."""

import json
import re

import numpy as np
import pytest
from matplotlib.axes import Axes
from tests.evaluation.pages import Page

from crossfade.evaluation.area_plots import OTHERS, Areas, areas_figure
from crossfade.evaluation.landscape import UNKNOWN, Landscape, WeightBin
from crossfade.evaluation.landscape_section import landscape_section
from crossfade.evaluation.plots import PALETTE
from crossfade.evaluation.report import template

BASES = ("popularity", "ease", "nmf")
NEW = {"popularity": 0.9, "ease": 0.1, "nmf": 0.0}
OLD = {"popularity": 0.25, "ease": 0.75, "nmf": 0.0}


def landscape(**changes: object) -> Landscape:
    found = {
        "model": "meta",
        "bases": BASES,
        "n": 1_300,
        "n_without": 0,
        "by_history": (
            WeightBin("none", 300, 12, NEW),
            WeightBin("1", 0, 0, {}),
            WeightBin("2–3", 900, 1_050, OLD),
            WeightBin("4–7", 100, 3, NEW),
        ),
        "by_age": (WeightBin(UNKNOWN, 300, 12, NEW), WeightBin("1–3 days", 1_000, 20, OLD)),
    }
    return Landscape(**{**found, **changes})  # type: ignore[arg-type]


def page(found: Landscape) -> Page:
    return Page(template("landscape.html.j2").render(landscape=landscape_section(found)))


def filled(axes: Axes) -> list[tuple[float, float, float]]:
    """From where to where each area goes, and how high it is in the middle."""
    spans = []
    for area in axes.collections:
        x, y = np.asarray(area.get_paths()[0].vertices, np.float64).T
        spans.append((float(x.min()), float(x.max()), float(np.ptp(y))))
    return spans


def test_areas_stack_the_largest_base_first_and_stop_at_gaps() -> None:
    areas = Areas.of([OLD, {}, OLD, OLD], BASES)
    assert areas.names == ("ease", "popularity")  # nmf weighs nothing anywhere
    (axes,) = areas_figure(areas, ["a", "b", "c", "d"], "x").axes
    assert filled(axes) == [
        (-0.5, 0.5, 0.75),
        (-0.5, 0.5, 0.25),
        (1.5, 3.5, 0.75),
        (1.5, 3.5, 0.25),
    ]
    assert axes.get_ylim() == (0, 1)


def test_a_base_has_its_colour_by_its_place_whatever_it_weighs() -> None:
    assert Areas.of([OLD], BASES).colours == (PALETTE[1], PALETTE[0])
    assert Areas.of([NEW], BASES).colours == (PALETTE[0], PALETTE[1])


def test_hairlines_go_together_and_nothing_is_lost() -> None:
    weights = {"popularity": 0.992, "ease": 0.004, "nmf": 0.004}
    areas = Areas.of([weights], BASES)
    assert areas.names == ("popularity", "2 others")
    assert areas.colours[-1] == OTHERS
    assert areas.share[0] == pytest.approx([0.992, 0.008])


def test_the_section_names_whom_the_first_and_last_bins_with_enough_requests_trust() -> None:
    told = landscape_section(landscape())["told"]
    assert told == [
        "Wanted events before: none – popularity 0.90, ease 0.10.",
        "Wanted events before: 2–3 – ease 0.75, popularity 0.25.",
    ]


def test_the_section_draws_and_counts_every_bin() -> None:
    found = page(landscape(n_without=77))
    assert found.open == []
    assert found.outside == []
    assert len(set(found.ids)) == len(found.ids)
    for said in ("1,300 candidates", "77 candidates have a score in which no base", "n = 1,050"):
        assert said in found.text
    assert "n = 900" not in found.text  # requests are counted along the history
    assert "n = 1,000" in found.text  # and candidates along the age of items


def test_items_of_unknown_age_stand_apart() -> None:
    _, age = landscape_section(landscape())["plots"]
    # Two bases on either side of the gap; in one piece there would be two areas.
    assert len(re.findall(r'id="weights-age-\w*PolyCollection_\d', age)) == 4


def test_candidates_without_weights_are_only_spoken_of_where_there_are_some() -> None:
    assert "left out" not in page(landscape()).text


def test_a_model_that_weighs_nothing_says_so_instead_of_drawing() -> None:
    trees = landscape(model="lambdamart", n=0, n_without=1_300, by_history=(), by_age=())
    text = page(trees).text
    assert "lambdamart weighs no bases in any score" in text
    assert "1,300 candidates have a score" in text


def test_json_holds_every_bin() -> None:
    document = json.loads(json.dumps(landscape().to_json(), allow_nan=False))
    assert document["by_history"][2] == {
        "name": "2–3",
        "n": 900,
        "n_requests": 1_050,
        "mean": OLD,
    }
    assert document["by_history"][1]["mean"] == {}


def test_members_that_weigh_no_bases_are_named_with_their_share() -> None:
    said = "35% comes from models that weigh no bases (lambdamart 0.25, fwls 0.10)"
    assert said in page(landscape(unweighed={"lambdamart": 0.25, "fwls": 0.10})).text
    assert "weigh no bases" not in page(landscape()).text


def test_what_modalities_weigh_is_told_where_any_are_weighed() -> None:
    rendered = template("landscape.html.j2").render
    some = landscape(modalities={"request.session": 0.75, "request.temporal": 0.25})
    assert "request.session 0.75, request.temporal 0.25." in rendered(
        landscape=landscape_section(some)
    )
    assert "went into their context" not in rendered(landscape=landscape_section(landscape()))
